//! Karlo as Kakao Brain publishes it: its networks give what their own code does (golden/record_karlo_files.py), its files draw
//! what the folders do that they become, and whatever is wrong with them is one sentence.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use ::decoder::{AttentionConfig, ConditioningConfig, UNetConfig};
use ::images::{RgbImage, read_image};
use ::pipeline::{Pipeline, Request, Silent};
use ::prior::PriorConfig;
use ::weights::{Checkpoint, Folder, load_safetensors, tensor_names};
use families::{Ability, ModelFolders, Shapes, karlo, summarize_model};
use tch::{Device, Kind, Tensor, no_grad};

use crate::golden::{NETWORK, agree};
use crate::pipeline::few_steps;

mod refusals;
mod release;

use self::release::{
    CLIP, DECODER, MERGES, PRIOR, STATISTICS, UPSAMPLER, golden, published, state_dict,
};

const HERE: (Device, Kind) = (Device::Cpu, Kind::Float);
const CAPTION: &str = "a red house under a blue sky";

fn folder(place: &Path) -> Folder {
    Folder::open(place).unwrap()
}

/// The folder that a component opens in.
fn component(place: &Path, name: &'static str) -> Folder {
    karlo().component_in(&folder(place), name).unwrap_or_else(|| panic!("{name} is not there"))
}

fn open(place: &Path) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders::new(families::locate(place).unwrap());
    Pipeline::open(folders, HERE.0, HERE.1).unwrap()
}

fn draw(pipeline: &Pipeline) -> RgbImage {
    let request = Request::new(CAPTION, 7, few_steps());
    pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
}

/// The tensors in one file of a component's own folder.
fn tensors(model: &Path, component: &str) -> HashMap<String, Tensor> {
    let file = model.join(component).join("diffusion_pytorch_model.safetensors");
    load_safetensors(file).unwrap().into_iter().collect()
}

/// The tensors in a recorded file.
fn saved(file: &str) -> HashMap<String, Tensor> {
    let file = Checkpoint::open(golden(file), "weights", HERE.0, HERE.1).unwrap();
    file.tensors().unwrap().into_iter().collect()
}

#[test]
fn networks_agree_with_the_references() {
    let place = published();
    let record: HashMap<String, Tensor> =
        load_safetensors(golden("networks.safetensors")).unwrap().into_iter().collect();
    let get = |name: &str| &record[name];
    let at = |name| component(place.path(), name);
    no_grad(|| {
        let prior = families::open_prior(&at("prior"), HERE.0, HERE.1).unwrap();
        let (embedding, states, mask) = (get("embedding"), get("states"), get("mask"));
        let clean = prior.forward(get("noised"), get("timesteps"), embedding, states, mask);
        agree("the prior", &clean, get("clean"), NETWORK);
        let conditioning = families::open_conditioning(&at("text_proj"), HERE.0, HERE.1).unwrap();
        let conditions = conditioning.forward(get("image"), embedding, states, mask);
        let decoder = families::open_decoder(&at("decoder"), HERE.0, HERE.1).unwrap();
        let decoded = decoder.forward(get("small"), get("timesteps"), Some(&conditions));
        agree("the decoder", &decoded, get("decoded"), NETWORK);
        for (name, network) in
            [("super_res_first", "model_first_steps"), ("super_res_last", "model_last_step")]
        {
            let upsampler = families::open_upsampler(&at(name), HERE.0, HERE.1).unwrap();
            let upsampled = upsampler.forward(get("large"), get("timesteps"), None);
            agree(name, &upsampled, get(network), NETWORK);
        }
    });
}

#[test]
fn a_checkpoint_of_a_trainers_and_a_tuple_are_read() {
    let drawn = state_dict("prior");
    let names = tensor_names(&golden("prior.ckpt")).unwrap();
    assert_eq!(names, drawn.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let saved = saved("prior.ckpt");
    for (name, tensor) in drawn {
        let (saved, tensor) = (saved[&name].to_kind(Kind::Float), tensor.to_kind(Kind::Float));
        // A number in the middle of two of f16 may become either.
        assert!(saved.allclose(&tensor, 1e-3, 1e-6, false), "{name}");
        assert!(
            tensor.count_nonzero(None::<i64>).int64_value(&[]) as usize * 10 > 9 * tensor.numel()
        );
    }
    assert_eq!(tensor_names(&golden("stats.th")).unwrap(), ["0", "1"]);
}

#[test]
fn shapes_are_read_off_the_tensors() {
    let place = published();
    let shapes = Shapes::read(&folder(place.path()), &karlo()).unwrap();
    let prior = PriorConfig {
        embedding: 64,
        text_width: 64,
        context_length: 16,
        heads: 3,
        head_width: 16,
        layers: 2,
    };
    assert_eq!(shapes.prior, Some(prior));
    assert_eq!(shapes.prior_scheduler.unwrap().clip_range, Some(10.0), "as Kakao's code");
    let decoder = UNetConfig {
        sample_size: 8,
        in_channels: 3,
        out_channels: 6,
        block_out_channels: vec![32, 64],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 16, context_width: 24, finest_level: 1 }),
        scale_shift: true,
        norm_groups: 32,
        norm_eps: 1e-5,
    };
    let upsampler = UNetConfig {
        sample_size: 16,
        in_channels: 6,
        out_channels: 3,
        attention: None,
        scale_shift: false,
        ..decoder.clone()
    };
    let conditioning = ConditioningConfig {
        embedding: 64,
        text_width: 64,
        time_width: 128,
        context_width: 24,
        extra_tokens: 4,
    };
    let [first, second] = &shapes.stages[..] else { panic!("{:?}", shapes.stages) };
    assert_eq!(first.network.as_ref(), Some(&decoder));
    assert_eq!(first.conditioning.as_ref(), Some(&conditioning));
    assert_eq!(second.network.as_ref(), Some(&upsampler));
    assert_eq!(second.last_network.as_ref(), Some(&upsampler));
    assert_eq!(shapes.text_encoder.unwrap().embedding, 64);
    assert_eq!(shapes.image_encoder.unwrap().embedding(), 64);
}

#[test]
fn published_files_draw_what_the_folders_do_that_they_become() {
    let place = published();
    fs::write(place.path().join("LICENSE"), "words").unwrap();
    let to = tempfile::tempdir().unwrap();
    let out = to.path().join("out");
    let from = folder(place.path());
    let left_out =
        families::convert_model(&from, &out, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(left_out, [""; 0]);
    let components: HashSet<String> = folder(&out).folder_names().into_iter().collect();
    let ours = ["prior_autoregressive", "image_pca", "decoder_distilled", "super_res_distilled"];
    let all = karlo().all_components().into_iter().filter(|name| !ours.contains(name));
    assert_eq!(components, all.map(str::to_owned).collect());
    assert!(out.join("LICENSE").exists() && !out.join("karlo.json").exists());

    let (published, folders) = (open(place.path()), open(&out));
    let image = draw(&published);
    assert!(image == draw(&folders));
    let pixels: HashSet<_> = image.pixels().collect();
    assert!(pixels.len() > 50, "the picture is of {} colours", pixels.len());
    let photograph = read_image(&golden("../data/images/0.png")).unwrap().image;
    let vary = |pipeline: &Pipeline| {
        pipeline.vary(&photograph, &[3], &few_steps(), &mut Silent).unwrap().remove(0)
    };
    assert!(vary(&published) == vary(&folders));
    assert!(vary(&published) != image);
    let factors = [&published, &folders].map(|pipeline| pipeline.logit_factor().unwrap());
    assert!((factors[0].unwrap().ln() - 2.75).abs() < 1e-6, "{factors:?}");
    assert!((factors[1].unwrap().ln() - 2.75).abs() < 1e-6, "{factors:?}");

    assert_tensors_are_moved(&out);
    let again = to.path().join("again");
    families::convert_model(&folder(&out), &again, None, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!(draw(&open(&again)) == image);
}

/// Fails unless tensors in the folders are the published ones, each moved as Kakao Brain's code reads it.
fn assert_tensors_are_moved(out: &Path) {
    let drawn = ["decoder", "improved_sr"].into_iter().flat_map(state_dict);
    let theirs: HashMap<String, Tensor> = drawn.chain(saved("prior.ckpt")).collect();
    let theirs = |name: &str| theirs[name].shallow_clone();
    let prior = tensors(out, "prior");
    // [heads, parts, head width, inputs]
    let packed = theirs("model.transformer.resblocks.1.attn.c_qkv.weight").view([3, 3, 16, 48]);
    let decoder = tensors(out, "decoder");
    let qkv = theirs("model.middle_block.1.qkv.weight").view([4, 3, 16, 64]);
    for (part, leaf) in (0..).zip(["to_q", "to_k", "to_v"]) {
        let ours = &prior[&format!("transformer_blocks.1.attn1.{leaf}.weight")];
        assert_eq!(*ours, packed.select(1, part).reshape([48, 48]), "{leaf}");
        let ours = &decoder[&format!("mid_block.attentions.0.{leaf}.weight")];
        assert_eq!(*ours, qkv.select(1, part).reshape([64, 64]), "{leaf}");
    }
    let context = theirs("model.output_blocks.1.1.encoder_kv.bias").view([4, 2, 16]);
    for (part, leaf) in (0..).zip(["add_k_proj", "add_v_proj"]) {
        let ours = &decoder[&format!("up_blocks.0.attentions.1.{leaf}.bias")];
        assert_eq!(*ours, context.select(1, part).reshape([64]), "{leaf}");
    }
    let conditioning = tensors(out, "text_proj");
    let (first, last) = (tensors(out, "super_res_first"), tensors(out, "super_res_last"));
    for (ours, name, their) in [
        (&prior, "proj_in.weight", "model.clip_img_proj.weight"),
        (&prior, "embedding_proj.bias", "model.text_emb_proj.bias"),
        (&prior, "encoder_hidden_states_proj.bias", "model.text_enc_proj.bias"),
        (&prior, "prd_embedding", "model.prd_emb"),
        (&prior, "transformer_blocks.0.norm3.bias", "model.transformer.resblocks.0.ln_2.bias"),
        (&decoder, "conv_in.weight", "model.input_blocks.0.0.weight"),
        (
            &decoder,
            "up_blocks.0.upsamplers.0.conv1.bias",
            "model.output_blocks.1.2.in_layers.2.bias",
        ),
        (&conditioning, "embedding_proj.bias", "model.text_feat_proj.bias"),
        (&conditioning, "learned_classifier_free_guidance_embeddings", "model.cf_param"),
        (&conditioning, "clip_extra_context_tokens_proj.weight", "model.clip_tok_proj.weight"),
        (&conditioning, "text_encoder_hidden_states_norm.weight", "model.text_seq_proj.1.weight"),
        (
            &first,
            "mid_block.resnets.1.conv2.bias",
            "model_first_steps.middle_block.1.out_layers.3.bias",
        ),
        (
            &last,
            "up_blocks.0.upsamplers.0.norm1.bias",
            "model_last_step.output_blocks.1.1.in_layers.0.bias",
        ),
    ] {
        assert_eq!(ours[name], theirs(their), "{name}");
    }
    let statistics = saved("stats.th");
    assert_eq!(prior["clip_mean"], statistics["0"].unsqueeze(0));
    assert_eq!(prior["clip_std"], statistics["1"].unsqueeze(0));
}

#[test]
fn files_by_other_names_are_known_by_their_tensors() {
    let place = published();
    let image = draw(&open(place.path()));
    for (from, to) in [
        (CLIP, "clip.pt"),
        (STATISTICS, "statistics.pth"),
        (PRIOR, "1.ckpt"),
        (DECODER, "2.ckpt"),
        (UPSAMPLER, "3.pt"),
    ] {
        fs::rename(place.path().join(from), place.path().join(to)).unwrap();
    }
    assert!(draw(&open(place.path())) == image);
}

#[test]
fn a_summary_counts_the_files_tensors() {
    let place = published();
    let summary = summarize_model(&folder(place.path())).unwrap();
    assert_eq!((summary.family, summary.description.as_deref()), (Some("Karlo"), None));
    assert_eq!(summary.problems, [""; 0]);
    let count = |file: &str| state_dict(file).iter().map(|(_, t)| t.numel() as u64).sum::<u64>();
    let parameters = |names: &[&str]| {
        let of = summary.components.iter().filter(|c| names.contains(&c.component));
        of.map(|component| component.weights.as_ref().unwrap().parameters).sum::<u64>()
    };
    assert_eq!(parameters(&["prior"]), count("prior") + 2 * 64);
    assert_eq!(parameters(&["decoder", "text_proj"]), count("decoder"));
    assert_eq!(parameters(&["super_res_first", "super_res_last"]), count("improved_sr"));
    assert_eq!(summary.components.len(), 12);
    let missing = |summary: &families::ModelSummary, ability| {
        let found = summary.abilities.iter().find(|found| found.ability == ability);
        found.unwrap().missing.clone()
    };
    for ability in [Ability::Generate, Ability::Variations, Ability::Edit, Ability::Classify] {
        assert_eq!(missing(&summary, ability), [""; 0], "{ability}");
    }
    assert_eq!(missing(&summary, Ability::Reconstruct), ["image_pca/"]);
    for file in [STATISTICS, UPSAMPLER, MERGES] {
        fs::remove_file(place.path().join(file)).unwrap();
    }
    let summary = summarize_model(&folder(place.path())).unwrap();
    assert_eq!(
        missing(&summary, Ability::Generate),
        ["bpe_simple_vocab_16e6.txt", UPSAMPLER, STATISTICS]
    );
    // A file of several components is named once.
    fs::remove_file(place.path().join(CLIP)).unwrap();
    let summary = summarize_model(&folder(place.path())).unwrap();
    assert_eq!(missing(&summary, Ability::Variations), [CLIP, UPSAMPLER]);
}
