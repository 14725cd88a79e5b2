//! Conversions: the same model in our own layout, or nothing at all.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ::pipeline::{Pipeline, Request, Settings, Silent, TimestepRespacing};
use ::weights::{Checkpoint, Folder, WeightSummary, load_safetensors, save_safetensors};
use families::{Ability, Error, ModelFolders, ModelSummary, convert_model, summarize_model};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::pipeline::{copy_folder, model};

const CAPTION: &str = "a red house under a blue sky";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn folder(path: &Path) -> Folder {
    Folder::open(path).unwrap()
}

fn convert(from: &Folder, to: &Path, dtype: Option<Kind>) -> Result<Vec<String>, Error> {
    convert_model(from, to, dtype, &mut |_| ControlFlow::Continue(()))
}

fn open(model: &Path) -> Pipeline {
    tch::set_num_threads(1);
    Pipeline::open(ModelFolders::new(folder(model)), Device::Cpu, Kind::Float).unwrap()
}

/// A picture of a few steps a stage.
fn draw(model: &Path) -> RgbImage {
    let pipeline = open(model);
    let mut settings: Settings = pipeline.defaults().unwrap();
    if let Some(prior) = &mut settings.prior {
        prior.steps = 2;
    }
    settings.stages.iter_mut().for_each(|stage| stage.steps = TimestepRespacing::Count(2));
    let request = Request::new(CAPTION, 7, settings);
    pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
}

/// The files below a folder, hidden ones too, by their names from there.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => names.extend(files(&entry.path()).into_iter().map(|f| format!("{name}/{f}"))),
            false => names.push(name),
        }
    }
    names.sort();
    names
}

/// Fails unless both files hold the same tensors of the same kinds.
fn assert_same_tensors(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| {
        let mut tensors = load_safetensors(path).unwrap();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        tensors
    });
    assert_eq!(one.len(), other.len());
    for ((name, a), (same, b)) in one.iter().zip(&other) {
        assert_eq!((name, a.kind()), (same, b.kind()));
        assert!(a == b && a.size() == b.size(), "{name}");
    }
}

#[test]
fn pickles_become_safetensors_that_draw_the_same_pictures() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let mut steps = Vec::new();
    let left_out = convert_model(&folder(&model("karlo")), &out, None, &mut |step| {
        steps.push((step.component, step.done, step.total));
        ControlFlow::Continue(())
    });
    assert_eq!(left_out.unwrap(), [""; 0]);
    // 12 components, each of which is opened, and then written.
    assert_eq!((steps.len(), steps[23]), (24, (steps[11].0, 24, 24)));
    let expected: Vec<String> = files(&model("karlo"))
        .into_iter()
        .map(|name| name.replace("pytorch_model.bin", "model.safetensors"))
        .map(|name| name.replace("diffusion_model", "diffusion_pytorch_model"))
        .collect();
    assert_eq!(files(&out), expected);
    let copied =
        |name: &str| [model("karlo"), out.clone()].map(|m| fs::read(m.join(name)).unwrap());
    for name in expected.iter().filter(|name| !name.ends_with(".safetensors")) {
        let [before, after] = copied(name);
        assert!(before == after, "{name}");
    }
    for part in ["prior/diffusion_pytorch_model", "text_encoder/model"] {
        let before = model("karlo").join(part.replace("/model", "/pytorch_model"));
        let after = out.join(part).with_extension("safetensors");
        assert_same_tensors(&before.with_extension("bin"), &after);
    }
    assert!(draw(&model("karlo")) == draw(&out));
    // Safetensors again, and nothing changes.
    let again = place.path().join("again");
    convert(&folder(&out), &again, None).unwrap();
    for name in expected {
        assert!(fs::read(out.join(&name)).unwrap() == fs::read(again.join(&name)).unwrap());
    }
}

#[test]
fn the_built_in_model_keeps_what_is_finer_than_its_networks() {
    let place = tempfile::tempdir().unwrap();
    let built_in = unclip::built_in_folder().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    let out = place.path().join("out");
    convert(&built_in, &out, None).unwrap();
    assert_eq!(files(&out), files(&source));
    for name in files(&out) {
        match name.ends_with(".safetensors") {
            true => assert_same_tensors(&source.join(&name), &out.join(&name)),
            false => assert!(
                fs::read(source.join(&name)).unwrap() == fs::read(out.join(&name)).unwrap(),
                "{name}"
            ),
        }
    }
    let wide = place.path().join("wide");
    convert(&built_in, &wide, Some(Kind::BFloat16)).unwrap();
    let kind = |name: &str| load_safetensors(wide.join(name)).unwrap()[0].1.kind();
    assert_eq!(kind("decoder/diffusion_pytorch_model.safetensors"), Kind::BFloat16);
    assert_eq!(kind("prior_autoregressive/model.safetensors"), Kind::BFloat16);
    assert_eq!(kind("image_pca/model.safetensors"), Kind::Float);
    assert_same_tensors(
        &source.join("prior_autoregressive/codes.safetensors"),
        &wide.join("prior_autoregressive/codes.safetensors"),
    );
}

#[test]
fn shards_and_variants_become_one_file() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    copy_folder(&model("deep"), &from);
    let decoder = from.join("decoder");
    let whole = decoder.join("diffusion_pytorch_model.safetensors");
    let tensors = load_safetensors(&whole).unwrap();
    let shard = |n: usize| format!("diffusion_pytorch_model-0000{n}-of-00002.safetensors");
    let mut map = serde_json::Map::new();
    for (n, part) in (1..).zip([&tensors[..5], &tensors[5..]]) {
        save_safetensors(decoder.join(shard(n)), part, None).unwrap();
        map.extend(part.iter().map(|(name, _)| (name.clone(), shard(n).into())));
    }
    let index = serde_json::json!({ "weight_map": map });
    let index_name = "diffusion_pytorch_model.safetensors.index.json";
    fs::write(decoder.join(index_name), index.to_string()).unwrap();
    fs::remove_file(&whole).unwrap();
    // A prior in half precision beside the plain one, which is another.
    let prior = from.join("prior/diffusion_pytorch_model.safetensors");
    let half = prior.with_extension("fp16.safetensors");
    save_safetensors(&half, &load_safetensors(&prior).unwrap(), Kind::Half).unwrap();

    let out = place.path().join("out");
    let left_out = convert(&folder(&from), &out, None).unwrap();
    assert_eq!(left_out, ["prior/diffusion_pytorch_model.fp16.safetensors"]);
    assert_eq!(files(&out), files(&model("deep")));
    let converted = |part: &str| out.join(part).join("diffusion_pytorch_model.safetensors");
    assert_same_tensors(
        &model("deep").join("decoder").join(whole.file_name().unwrap()),
        &converted("decoder"),
    );
    assert_same_tensors(&prior, &converted("prior"));

    let other = place.path().join("other");
    let left_out = convert(&folder(&from).with_variant("fp16"), &other, None).unwrap();
    assert_eq!(left_out, ["prior/diffusion_pytorch_model.safetensors"]);
    assert_same_tensors(&half, &other.join("prior/diffusion_pytorch_model.safetensors"));
}

#[test]
fn a_dtype_changes_floats_alone() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    copy_folder(&model("deep"), &from);
    let path = from.join("text_encoder/model.safetensors");
    let mut tensors = load_safetensors(&path).unwrap();
    let positions = Tensor::arange(77, (Kind::Int64, Device::Cpu));
    tensors.push(("text_model.embeddings.position_ids".to_owned(), positions.shallow_clone()));
    save_safetensors(&path, &tensors, None).unwrap();
    for (dtype, expected) in [(None, Kind::Float), (Some(Kind::Half), Kind::Half)] {
        let out = place.path().join(format!("{expected:?}"));
        convert(&folder(&from), &out, dtype).unwrap();
        for (name, tensor) in load_safetensors(out.join("text_encoder/model.safetensors")).unwrap()
        {
            match name.ends_with("position_ids") {
                true => assert!(tensor == positions && tensor.kind() == Kind::Int64),
                false => assert_eq!(tensor.kind(), expected, "{name}"),
            }
        }
        assert_eq!(draw(&out).dimensions(), (24, 24));
    }
    // A number that f16 does not hold.
    let path = from.join("decoder/diffusion_pytorch_model.safetensors");
    let mut tensors = load_safetensors(&path).unwrap();
    let _ = tensors[0].1.fill_(1e6);
    save_safetensors(&path, &tensors, None).unwrap();
    let out = place.path().join("never");
    let error = convert(&folder(&from), &out, Some(Kind::Half)).unwrap_err().to_string();
    let file = out.join("decoder/diffusion_pytorch_model.safetensors");
    assert!(error.contains(file.to_str().unwrap()) && error.contains("65504"), "{error}");
    assert!(!out.exists());
    assert!(files(place.path()).iter().all(|name| !name.contains("partial")));
}

#[test]
fn tensors_of_any_kind_and_of_one_storage_are_written_as_they_are() {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("to.safetensors");
    for name in ["nested.bin", "legacy.bin", "protocol4.bin"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/weights").join(name);
        let checkpoint = Checkpoint::open(&path, "weights", Device::Cpu, Kind::Float).unwrap();
        let tensors = checkpoint.tensors().unwrap();
        save_safetensors(&to, &tensors, None).unwrap();
        assert_same_tensors(&path, &to);
        let tensor = |name: &str| &tensors.iter().find(|(n, _)| n == name).unwrap().1;
        // One is a view of the other's storage, and one is no contiguous one of its own.
        assert!(tensor("whole").get(1) == *tensor("part"));
        assert!(!tensor("turned").is_contiguous());
        assert_eq!(tensor("double").kind(), Kind::Double);
        assert_eq!(tensor("bool").kind(), Kind::Bool);
        let summary = checkpoint.summary();
        assert_eq!(summary.dtypes, ["f32", "f16", "bf16", "f64"]);
        assert_eq!(summary.parameters, 24 + 6 + 6 + 3 + 2 + 1 + 1 + 2);
    }
}

#[test]
fn clip_alone_and_components_alone_are_converted() {
    let place = tempfile::tempdir().unwrap();
    let clip = golden("zero_shot/model");
    let out = place.path().join("clip");
    convert(&folder(&clip), &out, None).unwrap();
    let embeddings = |model: &Path| {
        let pipeline = open(model);
        pipeline.prepare_clip().unwrap();
        let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let text =
            pipeline.class_embeddings(&["house"], &::pipeline::Template::defaults()).unwrap();
        let image = pipeline.encode_images(&[image]).unwrap();
        ([text, image], pipeline.logit_factor().unwrap())
    };
    let ((before, factor), (after, same_factor)) = (embeddings(&clip), embeddings(&out));
    assert_eq!(factor, same_factor);
    for (before, after) in before.iter().zip(&after) {
        // The published file's tensors lie at any place, and kernels round by their alignment.
        let off = (before - after).abs().max().double_value(&[]);
        assert!(off < 1e-6, "{off}");
    }
    assert_same_tensors(&clip.join("model.safetensors"), &out.join("model.safetensors"));
    for part in
        ["prior", "decoder", "text_proj", "super_res_first", "text_encoder", "image_encoder"]
    {
        let out = place.path().join(part);
        let left_out = convert(&folder(&model("karlo").join(part)), &out, None).unwrap();
        assert_eq!(left_out, [""; 0]);
        let names = files(&out);
        assert_eq!((names.len(), &*names[0]), (2, "config.json"), "{names:?}");
        assert!(names[1].ends_with("model.safetensors"), "{names:?}");
    }
    let again = place.path().join("again");
    copy_folder(&model("karlo"), &again);
    fs::remove_dir_all(again.join("prior")).unwrap();
    fs::rename(place.path().join("prior"), again.join("prior")).unwrap();
    assert!(draw(&again) == draw(&model("karlo")));
}

#[test]
fn published_files_become_folders_that_draw_the_same_pictures() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("published");
    copy_folder(&golden("glide/model"), &from);
    for name in ["NOTES.txt", "LICENSE", ".hidden"] {
        fs::write(from.join(name), "words").unwrap();
    }
    let out = place.path().join("out");
    assert_eq!(convert(&folder(&from), &out, None).unwrap(), ["NOTES.txt"]);
    let names = files(&out);
    let parts: std::collections::BTreeSet<&str> =
        names.iter().filter_map(|name| Some(name.split_once('/')?.0)).collect();
    assert_eq!(parts, families::glide().all_components().into_iter().collect());
    assert!(names.contains(&"LICENSE".to_owned()) && !names.contains(&"glide.json".to_owned()));
    let index = fs::read_to_string(out.join("model_index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["_class_name"], "GlidePipeline");
    assert_eq!(families::recognise(&folder(&out)).name, "GLIDE");
    assert!(draw(&from) == draw(&out));

    let again = place.path().join("again");
    convert(&folder(&out), &again, None).unwrap();
    assert_eq!(files(&again), names);
    for name in names {
        assert!(
            fs::read(out.join(&name)).unwrap() == fs::read(again.join(&name)).unwrap(),
            "{name}"
        );
    }
    // What is not there is not written.
    fs::remove_file(from.join("base.pt")).unwrap();
    fs::remove_file(from.join("base_inpaint.pt")).unwrap();
    fs::remove_file(from.join("vocab.bpe")).unwrap();
    let part = place.path().join("part");
    let error = convert(&folder(&from), &part, None).unwrap_err().to_string();
    assert!(error.contains("tokenizer"), "{error}");
    fs::remove_file(from.join("encoder.json")).unwrap();
    convert(&folder(&from), &part, None).unwrap();
    assert!(part.join("upsampler").exists() && part.join("upsampler_scheduler").exists());
    for missing in ["decoder", "decoder_text_encoder", "decoder_scheduler", "tokenizer"] {
        assert!(!part.join(missing).exists(), "{missing}");
    }
}

#[test]
fn damaged_models_leave_nothing() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    copy_folder(&model("karlo"), &from);
    let out = place.path().join("out");
    for (name, words) in [
        ("super_res_last/diffusion_pytorch_model.bin", "state dict"),
        ("tokenizer/vocab.json", "tokenizer"),
        ("decoder_scheduler/scheduler_config.json", "scheduler"),
        ("prior/config.json", "prior"),
    ] {
        let path = from.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = convert(&folder(&from), &out, None).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("from"), "{error}");
        fs::write(&path, bytes).unwrap();
    }
    // A tensor too many, and an index of another pipeline.
    let index = from.join("model_index.json");
    let whole = fs::read_to_string(&index).unwrap();
    fs::write(&index, whole.replace("UnCLIPPipeline", "FluxPipeline")).unwrap();
    let error = convert(&folder(&from), &out, None).unwrap_err().to_string();
    assert!(error.contains("FluxPipeline"), "{error}");
    fs::write(&index, whole).unwrap();
    // Whoever stops it stops it before the folder is there, whenever that is.
    for stop_at in [1, 12, 13, 24] {
        let stopped =
            convert_model(&folder(&from), &out, None, &mut |step| match step.done == stop_at {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
        assert!(matches!(stopped, Err(Error::Stopped)), "{stop_at}");
    }
    let names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["from"]);
}

#[test]
fn only_new_and_empty_folders_elsewhere_are_written() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    copy_folder(&model("deep"), &from);
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "mine").unwrap();
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&from, &link).unwrap();
    let before = files(place.path());
    for (out, words) in [
        (full.clone(), "not empty"),
        (full.join("mine"), "Not a directory"),
        (from.clone(), "it is the model itself"),
        (link.clone(), "it is the model itself"),
        (from.join("new"), "in the model's folder"),
        (link.join("decoder/../new"), "in the model's folder"),
        (place.path().join("no/such"), "there is no folder"),
    ] {
        let error = convert(&folder(&from), &out, None).unwrap_err().to_string();
        assert!(error.contains(words), "{}: {error}", out.display());
        assert!(error.contains(out.to_str().unwrap()), "{error}");
    }
    assert_eq!(files(place.path()), before);
    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    convert(&folder(&from), &empty, None).unwrap();
    assert_eq!(files(&empty), files(&from));
    let nothing = place.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let error = convert(&folder(&nothing), &place.path().join("out"), None).unwrap_err();
    assert!(error.to_string().contains("is no model: it holds no file"), "{error}");
}

/// The abilities that a model lacks, with the parts that are missing for each.
fn lacks(summary: &ModelSummary) -> Vec<(Ability, Vec<String>)> {
    let lacking = summary.abilities.iter().filter(|ability| !ability.missing.is_empty());
    lacking.map(|ability| (ability.ability, ability.missing.clone())).collect()
}

#[test]
fn a_summary_counts_what_the_files_hold() {
    let summary = summarize_model(&folder(&model("karlo"))).unwrap();
    assert_eq!(summary.family, Some("Karlo"));
    assert_eq!(summary.components.len(), 12);
    assert_eq!(summary.problems, [""; 0]);
    let mut parameters = 0;
    for component in summary.components.iter().filter(|component| component.weights.is_some()) {
        let weights = component.weights.as_ref().unwrap();
        let place = model("karlo").join(component.component);
        let file = files(&place).into_iter().find(|name| name.ends_with(".bin")).unwrap();
        let tensors = load_safetensors(place.join(file)).unwrap();
        let floats = tensors.iter().filter(|(_, tensor)| tensor.is_floating_point());
        let count: usize = floats.map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(weights.parameters, count as u64, "{}", component.component);
        assert_eq!(weights.tensors, tensors.len() as u64);
        assert_eq!(
            (&weights.formats[..], &weights.dtypes[..]),
            (&["PyTorch"][..], &["f32".to_owned()][..])
        );
        parameters += weights.parameters;
    }
    assert_eq!(summary.weights.parameters, parameters);
    let largest =
        summary.components.iter().filter_map(|c| Some(c.weights.as_ref()?.parameters)).max();
    let [single, half] = &summary.memory;
    assert_eq!((single.all, half.all), (4 * parameters, 2 * parameters));
    assert_eq!((single.largest, half.largest), (4 * largest.unwrap(), 2 * largest.unwrap()));
    assert_eq!(lacks(&summary), [(Ability::Reconstruct, vec!["image_pca/".to_owned()])]);
    let built_in = summarize_model(&unclip::built_in_folder().unwrap()).unwrap();
    assert_eq!(lacks(&built_in), []);
    assert_eq!(built_in.weights.dtypes[0], "f16");
}

#[test]
fn a_summary_says_what_is_missing_and_does_not_fit() {
    let place = tempfile::tempdir().unwrap();
    let from = place.path().join("from");
    copy_folder(&model("deep"), &from);
    fs::remove_dir_all(from.join("prior")).unwrap();
    fs::remove_dir_all(from.join("image_encoder")).unwrap();
    fs::remove_dir_all(from.join("text_proj")).unwrap();
    copy_folder(&model("odd").join("text_proj"), &from.join("text_proj"));
    fs::write(from.join("super_res_last/diffusion_pytorch_model.safetensors"), "words").unwrap();
    let summary = summarize_model(&folder(&from)).unwrap();
    let lacking = |ability| {
        let mut all = lacks(&summary).into_iter();
        all.find(|(of, _)| *of == ability).map(|(_, missing)| missing).unwrap_or_default()
    };
    assert_eq!(lacking(Ability::Generate), ["prior/"]);
    assert_eq!(lacking(Ability::Variations), ["image_encoder/"]);
    assert_eq!(lacking(Ability::Interpolate), ["prior/", "image_encoder/"]);
    assert_eq!(lacking(Ability::Reconstruct), ["image_encoder/", "image_pca/"]);
    assert!(summary.problems[0].contains("text_encoder and text_proj do not fit each other"));
    let last = summary.components.iter().find(|c| c.component == "super_res_last").unwrap();
    assert!(last.weights.is_none());
    assert!(last.problem.as_ref().unwrap().contains("super_res_last"), "{last:?}");

    // A prior of the other kind does as well.
    let tokens = unclip::built_in_folder().unwrap();
    let out = place.path().join("codes");
    convert(&tokens, &out, None).unwrap();
    fs::remove_dir_all(out.join("prior")).unwrap();
    let summary = summarize_model(&folder(&out)).unwrap();
    assert_eq!(lacks(&summary), []);
}

#[test]
fn summaries_know_every_layout() {
    let glide = golden("glide/model");
    let summary = summarize_model(&folder(&glide)).unwrap();
    assert_eq!((summary.family, summary.components.len()), (Some("GLIDE"), 14));
    assert_eq!(lacks(&summary), []);
    assert_eq!(summary.problems, [""; 0]);
    let can: Vec<Ability> = summary.abilities.iter().map(|ability| ability.ability).collect();
    assert_eq!(can, [Ability::Generate, Ability::ClipGuidance, Ability::Inpaint]);
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    convert(&folder(&glide), &out, None).unwrap();
    let converted = summarize_model(&folder(&out)).unwrap();
    let count = |summary: &ModelSummary| -> Vec<(&str, Option<u64>)> {
        let components = summary.components.iter();
        components.map(|c| (c.component, c.weights.as_ref().map(|w| w.parameters))).collect()
    };
    assert_eq!(count(&summary), count(&converted));
    assert_eq!(converted.weights.formats, ["safetensors"]);

    let clip = summarize_model(&folder(&golden("zero_shot/model"))).unwrap();
    assert_eq!((clip.family, clip.components.len()), (Some("CLIP"), 4));
    let can = clip.abilities.iter().filter(|ability| ability.missing.is_empty());
    let can: Vec<Ability> = can.map(|ability| ability.ability).collect();
    assert_eq!(can, [Ability::Embed, Ability::Classify, Ability::Search]);
    let prior = summarize_model(&folder(&model("deep").join("prior"))).unwrap();
    assert_eq!((prior.family, prior.components.len(), prior.abilities.len()), (None, 1, 0));
    assert!(prior.description.unwrap().starts_with("it is one part of the model in "));
    let file = model("deep").join("prior/diffusion_pytorch_model.safetensors");
    assert_eq!(WeightSummary::of_file(&file).unwrap(), prior.weights);
}
