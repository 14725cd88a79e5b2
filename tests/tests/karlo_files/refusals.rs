//! Whatever is wrong with Karlo's published files is one sentence.

use std::fs;
use std::path::Path;

use families::ModelFolders;
use pipeline::{Pipeline, Request, Silent};
use tch::{Kind, Tensor};

use super::release::{
    CLIP, DECODER, MERGES, PRIOR, STATISTICS, Tensors, UPSAMPLER, published, state_dict, write,
};
use super::{CAPTION, HERE, few_steps};

/// The error of a picture of the files at `place`, in which the folder is called "karlo".
fn refusal(place: &Path) -> String {
    tch::set_num_threads(1);
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        let folders = ModelFolders::new(families::locate(place)?);
        let pipeline = Pipeline::open(folders, HERE.0, HERE.1)?;
        let request = Request::new(CAPTION, 7, few_steps());
        pipeline.sample(&[request], &mut Silent)?;
        Ok(())
    };
    let error = draw().expect_err("the files are refused").to_string();
    error.replace(&place.display().to_string(), "karlo")
}

#[test]
fn a_missing_file_is_named() {
    for (file, sentence) in [
        (
            CLIP,
            "karlo/ViT-L-14.pt is missing: CLIP is published in it, beside the other files in that folder",
        ),
        (
            STATISTICS,
            "karlo/ViT-L-14_stats.th is missing: the prior's normalisation (mean and deviation) is",
        ),
        (
            PRIOR,
            "karlo/prior-ckpt-step=01000000-of-01000000.ckpt is missing: the prior is published",
        ),
        (DECODER, "karlo/decoder-ckpt-step=01000000-of-01000000.ckpt is missing: the decoder is"),
        (UPSAMPLER, "karlo/improved-sr-ckpt-step=1.2M.ckpt is missing: the upsampler is published"),
        (
            MERGES,
            "karlo/ViT-L-14.pt has no bpe_simple_vocab_16e6.txt (or tokenizer.json) beside it, which reading captions needs",
        ),
    ] {
        let place = published();
        fs::remove_file(place.path().join(file)).unwrap();
        let refusal = refusal(place.path());
        assert!(refusal.starts_with(sentence), "{refusal}");
    }
    // The decoder alone is no CLIP and no empty folder.
    let place = published();
    for file in [CLIP, STATISTICS, PRIOR, UPSAMPLER, MERGES] {
        fs::remove_file(place.path().join(file)).unwrap();
    }
    let refusal = refusal(place.path());
    assert!(refusal.starts_with("karlo/ViT-L-14.pt is missing: "), "{refusal}");
}

/// The refusal where a file holds these bytes instead.
fn with_bytes(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let place = published();
    let path = place.path().join(file);
    let bytes = change(fs::read(&path).unwrap());
    fs::write(path, bytes).unwrap();
    refusal(place.path())
}

#[test]
fn damaged_files_are_refused() {
    for (file, sentence) in [
        (PRIOR, "cannot be read as a PyTorch state dict: it is damaged or cut short"),
        (STATISTICS, "cannot be read as a PyTorch state dict: it is damaged or cut short"),
        (DECODER, DECODER),
        (UPSAMPLER, UPSAMPLER),
        (CLIP, CLIP),
    ] {
        let refusal = with_bytes(file, |bytes| bytes[..bytes.len() / 2].to_vec());
        assert!(refusal.contains(sentence) && refusal.contains(file), "{refusal}");
    }
    let refusal = with_bytes(DECODER, |_| b"<!DOCTYPE html><html>".to_vec());
    assert!(refusal.contains(DECODER) && refusal.contains("HTML page"), "{refusal}");
}

/// The refusal where the file called `file` holds the tensors of the one that is called `of`, changed.
fn with_tensors(file: &str, of: &str, change: impl FnOnce(&mut Tensors)) -> String {
    let place = published();
    let mut tensors = state_dict(of);
    change(&mut tensors);
    write(place.path(), file, &tensors);
    refusal(place.path())
}

fn find<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut Tensor {
    &mut tensors.iter_mut().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let unchanged = |_: &mut Tensors| {};
    let add = |tensors: &mut Tensors| {
        tensors.push(("model.step".to_owned(), Tensor::ones([1], (Kind::Float, HERE.0))));
    };
    let without = |name: &'static str| {
        move |tensors: &mut Tensors| tensors.retain(|(found, _)| found != name)
    };
    for (refusal, sentence) in [
        // A checkpoint of something else.
        (
            with_tensors(PRIOR, "decoder", unchanged),
            "cannot be used for the prior: it has no tensor prd_emb, only model.",
        ),
        (
            with_tensors(DECODER, "prior", unchanged),
            "cannot be used for the decoder's conditioning: it has no tensor input_blocks.0.0.weight, only model.",
        ),
        (
            with_tensors(UPSAMPLER, "decoder", unchanged),
            "cannot be used for the upsampler: it has no tensor input_blocks.0.0.weight",
        ),
        (with_tensors(PRIOR, "prior", add), "1 tensor unused (step)"),
        (with_tensors(DECODER, "decoder", add), "1 tensor unused (step)"),
        (
            with_tensors(PRIOR, "prior", without("model.final_ln.bias")),
            "1 tensor missing (final_ln.bias)",
        ),
        (
            with_tensors(DECODER, "decoder", without("model.text_feat_proj.bias")),
            "1 tensor missing (text_feat_proj.bias)",
        ),
        (
            with_tensors(UPSAMPLER, "improved_sr", |tensors| {
                tensors.retain(|(name, _)| !name.starts_with("model_last_step."));
            }),
            "cannot be used for the upsampler: it has no tensor input_blocks.0.0.weight",
        ),
        (
            with_tensors(DECODER, "decoder", |tensors| {
                let weight = find(tensors, "model.clip_tok_proj.weight");
                *weight = weight.narrow(0, 0, 95);
            }),
            "its clip_tok_proj has 95 outputs, which are no tokens of 24 numbers",
        ),
    ] {
        assert!(refusal.contains(sentence), "{refusal} / {sentence}");
    }
    let place = published();
    let tensors = ["0", "1"].map(|n| (n.to_owned(), Tensor::ones([63], (Kind::Float, HERE.0))));
    write(place.path(), STATISTICS, &tensors.into());
    let sentence =
        "the mean in ViT-L-14_stats.th beside it is [63], and its embeddings have 64 numbers";
    let refusal = refusal(place.path());
    assert!(refusal.contains(sentence), "{refusal}");
}

#[test]
fn numbers_that_no_tensor_has_are_checked() {
    for (options, sentence) in [
        (
            "{}",
            "its width 48 is not a multiple of 64, a head's: how many heads there are, karlo.json beside it must say as xf_heads",
        ),
        (r#"{"prior": {"xf_heads": 5}}"#, "its width 48 is not a multiple of its 5 heads"),
        (
            r#"{"decoder": {"image_size": 0}}"#,
            "karlo/karlo.json cannot be read: decoder.image_size is 0: it must lie between 1 and 256",
        ),
        (r#"{"decoder": 3}"#, "decoder is 3, and an object is wanted"),
        (r#"{"decoder": {"heads": 3}}"#, "unknown field `heads`"),
        ("[]", "it is not a JSON object"),
    ] {
        let place = published();
        fs::write(place.path().join("karlo.json"), options).unwrap();
        let refusal = refusal(place.path());
        assert!(refusal.contains(sentence), "{refusal}");
    }
}
