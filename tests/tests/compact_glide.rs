//! Compact GLIDE: a tiny model of random weights opens, samples, is summarized and converted; networks with a mask among their
//! channels sample without one too.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use ::clip::{NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder};
use ::decoder::{AttentionConfig, TextTransformer, TextTransformerConfig, UNet, UNetConfig};
use ::diffusion::Prediction;
use ::weights::Folder;
use families::glide::{self, NetworkConfig};
use families::{
    Ability, ModelFolders, compact_glide, convert_model, karlo, recognise, summarize_model,
};
use image::RgbImage;
use layers::Params;
use pipeline::{Error, Pipeline, Request, Settings, Silent, Task};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::components::golden;
use crate::models::{lively, values};
use crate::pipeline::copy_folder;
use crate::requests::is_same;

const CAPTION: &str = "a red house under a blue sky";
/// The tokenizer's tokens, and those of a caption.
const TOKENS: i64 = 604;
const CONTEXT: i64 = 12;

fn base(in_channels: i64) -> UNetConfig {
    UNetConfig {
        sample_size: 16,
        in_channels,
        out_channels: 6,
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 4, context_width: 16, finest_level: 1 }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    }
}

fn upsampler(in_channels: i64) -> UNetConfig {
    UNetConfig {
        sample_size: 32,
        in_channels,
        out_channels: 3,
        attention: None,
        scale_shift: false,
        ..base(in_channels)
    }
}

/// Random tensors of a network; a U-Net's for more than `channels` input channels are those for so many, and further ones.
fn tensors(seed: u64, make: &dyn Fn(&Params)) -> Vec<(String, Tensor)> {
    let source = lively(seed);
    make(&Params::root(&source));
    source.0.into_parameters()
}

fn write_unet(folder: &Path, config: &UNetConfig, channels: i64) {
    let plain = UNetConfig { in_channels: channels, ..config.clone() };
    let mut tensors = tensors(11, &|p| drop(UNet::new(p, &plain)));
    if config.in_channels > channels {
        let (_, convolution) =
            tensors.iter_mut().find(|(name, _)| name == "conv_in.weight").unwrap();
        let further =
            values(12, &[config.block_out_channels[0], config.in_channels - channels, 3, 3]);
        // The noised image comes first, then the known pixels and the mask, and the enlarged image last.
        let (image, others) = (convolution.narrow(1, 0, 3), convolution.narrow(1, 3, channels - 3));
        *convolution = Tensor::cat(&[image, further, others], 1);
    }
    let config = NetworkConfig::UNet(config.clone());
    glide::save_network(folder, &config, &tensors, Kind::Float).unwrap();
}

/// Writes a model whose networks take a mask where `inpaints` is true: with the same weights beside those of the mask.
pub(crate) fn write_compact_glide(folder: &Path, inpaints: bool) {
    let (base, upsampler) = match inpaints {
        true => (base(7), upsampler(10)),
        false => (base(3), upsampler(6)),
    };
    write_unet(&folder.join("decoder"), &base, 3);
    write_unet(&folder.join("upsampler"), &upsampler, 6);
    let text = TextTransformerConfig {
        vocab_size: TOKENS,
        context_length: CONTEXT,
        width: 16,
        layers: 1,
        heads: 2,
        time_width: 32,
    };
    let save = |name: &str, config: NetworkConfig, tensors: &[(String, Tensor)]| {
        glide::save_network(&folder.join(name), &config, tensors, Kind::Float).unwrap();
    };
    let weights = tensors(1, &|p| drop(TextTransformer::new(p, &text)));
    save("decoder_text_encoder", NetworkConfig::TextTransformer(text), &weights);
    let text = NoisedTextConfig {
        vocab_size: TOKENS,
        context_length: CONTEXT,
        width: 16,
        layers: 1,
        heads: 2,
        embedding: 8,
    };
    let weights = tensors(2, &|p| drop(NoisedTextEncoder::new(p, &text)));
    save("clip_text_encoder", NetworkConfig::NoisedText(text), &weights);
    let image = NoisedImageConfig {
        image_size: 16,
        patch_size: 4,
        width: 16,
        layers: 1,
        heads: 2,
        embedding: 8,
        timesteps: 1000,
    };
    let weights = tensors(3, &|p| drop(NoisedImageEncoder::new(p, &image)));
    save("clip_image_encoder", NetworkConfig::NoisedImage(image), &weights);
    glide::write_scheduler(&folder.join("decoder_scheduler"), glide::DECODER_SCHEDULER).unwrap();
    let scheduler = karlo::upsampler_scheduler(Prediction::Epsilon);
    families::write_scheduler_config(&folder.join("upsampler_scheduler"), &scheduler).unwrap();
    for tokenizer in ["tokenizer", "clip_tokenizer"] {
        copy_folder(&golden("karlo").join("tokenizer"), &folder.join(tokenizer));
    }
    let family = compact_glide();
    families::save_model_index(folder, &family, None).unwrap();
    let defaults =
        json!({ "decoder_steps": 3, "decoder_guidance_scale": 3.0, "upsampler_steps": 2 });
    families::save_model_defaults(folder, &family, &defaults).unwrap();
}

pub(crate) fn open_at(folder: &Path) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders::new(Folder::open(folder).unwrap());
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

fn draw(pipeline: &Pipeline, settings: &Settings, caption: &str, seed: u64) -> RgbImage {
    let request = Request::new(caption, seed, settings.clone());
    pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
}

#[test]
fn a_model_is_recognised_by_its_index_and_by_no_other_familys_name() {
    let place = tempfile::tempdir().unwrap();
    write_compact_glide(place.path(), true);
    let folder = Folder::open(place.path()).unwrap();
    assert_eq!(recognise(&folder).name, "compact GLIDE");
    for (class, name) in [
        ("GlidePipeline", "GLIDE"),
        ("UnCLIPPipeline", "Karlo"),
        ("CompactGlidePipeline", "compact GLIDE"),
    ] {
        let index = json!({ "_class_name": class });
        fs::write(place.path().join("model_index.json"), index.to_string()).unwrap();
        assert_eq!(recognise(&folder).name, name);
    }
}

#[test]
fn a_model_is_sampled_with_its_own_settings_by_caption_and_seed() {
    let place = tempfile::tempdir().unwrap();
    write_compact_glide(place.path(), true);
    let pipeline = open_at(place.path());
    let settings = pipeline.defaults().unwrap();
    assert_eq!((settings.stages[0].steps.count(), settings.stages[1].steps.count()), (3, 2));
    assert_eq!(settings.stages[0].guidance_scale, Some(3.0));
    assert!(settings.prior.is_none() && pipeline.stages().eq(["decoder", "upsampler"]));
    let picture = draw(&pipeline, &settings, CAPTION, 1);
    assert_eq!(picture.dimensions(), (32, 32));
    assert!(picture == draw(&pipeline, &settings, CAPTION, 1));
    assert!(picture != draw(&pipeline, &settings, CAPTION, 2));
    assert!(picture != draw(&pipeline, &settings, "a mushroom", 1), "the caption is read");
    let guided = settings!(settings, clip_guidance_scale: Some(50.0));
    assert!(picture != draw(&pipeline, &guided, CAPTION, 1), "CLIP guides");
    let long = [CAPTION; 4].join(" ");
    assert!(pipeline.cut_off_words(&long).unwrap().is_some());
    assert_eq!(pipeline.cut_off_words("a house").unwrap(), None);
    // It has no CLIP of clean images, and no embedding to decode.
    let refused = pipeline.prepare(Task::DECODE, &settings).unwrap_err();
    assert!(matches!(refused, Error::NoEmbedding { family: "compact GLIDE" }), "{refused}");
}

#[test]
fn words_that_no_training_caption_had_are_named() {
    let place = tempfile::tempdir().unwrap();
    write_compact_glide(place.path(), false);
    fs::write(place.path().join("tokenizer/words.txt"), "a\nhouse\n").unwrap();
    let pipeline = open_at(place.path());
    assert_eq!(pipeline.unknown_words("a blue house").unwrap(), ["blue"]);
}

#[test]
fn networks_that_take_a_mask_sample_without_one_as_if_they_took_none() {
    let pictures = [false, true].map(|inpaints| {
        let place = tempfile::tempdir().unwrap();
        write_compact_glide(place.path(), inpaints);
        let pipeline = open_at(place.path());
        assert_eq!(pipeline.repaints().unwrap(), !inpaints);
        draw(&pipeline, &pipeline.defaults().unwrap(), CAPTION, 5)
    });
    assert!(is_same(&pictures[0], &pictures[1]), "the mask's channels are zeros");
}

#[test]
fn a_summary_and_a_conversion_know_all_components() {
    let place = tempfile::tempdir().unwrap();
    let model = place.path().join("model");
    fs::create_dir(&model).unwrap();
    write_compact_glide(&model, true);
    let summary = summarize_model(&Folder::open(&model).unwrap()).unwrap();
    assert_eq!((summary.family, summary.problems.len()), (Some("compact GLIDE"), 0));
    let components: Vec<&str> = summary.components.iter().map(|c| c.component).collect();
    assert_eq!(
        components.join(" "),
        "tokenizer decoder_text_encoder decoder decoder_scheduler upsampler upsampler_scheduler clip_tokenizer \
         clip_text_encoder clip_image_encoder"
    );
    assert!(summary.components.iter().all(|component| component.problem.is_none()));
    let able: Vec<Ability> = summary.abilities.iter().map(|ability| ability.ability).collect();
    assert_eq!(able, [Ability::Generate, Ability::ClipGuidance, Ability::Inpaint]);
    assert!(summary.abilities.iter().all(|ability| ability.missing.is_empty()));

    let converted = place.path().join("converted");
    let go_on = &mut |_| ControlFlow::Continue(());
    let left_out = convert_model(&Folder::open(&model).unwrap(), &converted, None, go_on).unwrap();
    assert_eq!(left_out, [""; 0]);
    let settings = open_at(&model).defaults().unwrap();
    let [one, other] =
        [&model, &converted].map(|model| draw(&open_at(model), &settings, CAPTION, 3));
    assert!(one == other);
}

#[test]
fn a_model_without_the_noised_clip_samples_and_is_completed() {
    let place = tempfile::tempdir().unwrap();
    let [whole, lacking] = ["whole", "lacking"].map(|name| place.path().join(name));
    fs::create_dir(&whole).unwrap();
    write_compact_glide(&whole, false);
    copy_folder(&whole, &lacking);
    for component in ["clip_tokenizer", "clip_text_encoder", "clip_image_encoder"] {
        fs::remove_dir_all(lacking.join(component)).unwrap();
    }
    let pipeline = open_at(&lacking);
    let settings = pipeline.defaults().unwrap();
    draw(&pipeline, &settings, CAPTION, 1);
    let guided = settings!(settings, clip_guidance_scale: Some(1.0));
    let refused = pipeline.prepare(Task::GENERATE, &guided).unwrap_err().to_string();
    assert!(refused.contains("has no clip_tokenizer/, which this needs"), "{refused}");
    families::complete_model(
        &Folder::open(whole).unwrap(),
        &lacking,
        &compact_glide(),
        &["clip_image_encoder"],
    )
    .unwrap();
    assert!(lacking.join("clip_text_encoder").is_dir());
    assert!(!lacking.join("clip_image_encoder").exists());
}

#[test]
fn channels_that_no_input_has_are_refused_in_one_sentence() {
    let place = tempfile::tempdir().unwrap();
    for (component, config, channels, sentence) in [
        ("decoder", base(5), 3, "the number of outputs is 10 in the first and 6 in the second"),
        ("decoder", base(6), 3, "the number of channels is 3 in the first and 6 in the second"),
        ("upsampler", upsampler(7), 6, "channels of two pictures is 6 in the first and 7 in the"),
        ("upsampler", upsampler(9), 6, "the number of outputs is 4 in the first and 3 in the sec"),
    ] {
        let model = place.path().join(format!("{component}-{}", config.in_channels));
        fs::create_dir(&model).unwrap();
        write_compact_glide(&model, false);
        fs::remove_dir_all(model.join(component)).unwrap();
        write_unet(&model.join(component), &config, channels);
        let summary = summarize_model(&Folder::open(&model).unwrap()).unwrap();
        assert!(summary.problems.iter().any(|p| p.contains(sentence)), "{:?}", summary.problems);
        let pipeline = open_at(&model);
        let settings = pipeline.defaults().unwrap();
        let refused = pipeline.prepare(Task::GENERATE, &settings).unwrap_err().to_string();
        assert!(refused.contains("do not fit each other"), "{refused}");
    }
}
