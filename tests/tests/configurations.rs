//! Publishers' configurations: understood to the last field, or refused with it.

use std::fs;
use std::path::Path;

use ::decoder::{AttentionConfig, UNet, UNetConfig};
use ::weights::Folder;
use families::Error;
use layers::{Initialiser, Params};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::components::{golden, open};

/// A copy of one component, whose folder is called as in the model.
fn copied(model: &Path, part: &str) -> (tempfile::TempDir, Folder) {
    let folder = tempfile::Builder::new().suffix(part).tempdir().unwrap();
    for file in fs::read_dir(model.join(part)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let opened = Folder::open(folder.path()).unwrap();
    (folder, opened)
}

/// A copy of one component whose configuration is edited.
fn edited(model: &Path, part: &str, edit: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Folder) {
    let (folder, opened) = copied(model, part);
    let name = if part.ends_with("scheduler") { "scheduler_config.json" } else { "config.json" };
    let path = folder.path().join(name);
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(&path, config.to_string()).unwrap();
    (folder, opened)
}

#[test]
fn a_configuration_that_must_be_guessed_is_refused() {
    let cases = [
        (
            "prior",
            "norm_in_type",
            json!("layer"),
            r#"its field norm_in_type is "layer" where null is wanted"#,
        ),
        (
            "prior",
            "encoder_hid_proj_type",
            json!(null),
            r#"encoder_hid_proj_type is null where "linear" is wanted"#,
        ),
        ("prior", "added_emb_type", json!(null), r#"added_emb_type is null where "prd" is wanted"#),
        ("prior", "time_embed_act_fn", json!("gelu"), "time_embed_act_fn is \"gelu\""),
        (
            "prior",
            "additional_embeddings",
            json!(5),
            "additional_embeddings is 5 where 4 is wanted",
        ),
        ("prior", "time_embed_dim", json!(99), "time_embed_dim is 99 where null or 16 is wanted"),
        (
            "prior",
            "num_layers",
            json!(100_000),
            "num_layers is 100000 where a whole number from 1 to 1024 is wanted",
        ),
        ("prior", "num_layers", json!(0), "num_layers is 0 where"),
        ("prior", "embedding_dim", json!(-768), "embedding_dim is -768"),
        ("prior", "embedding_dim", json!("wide"), "embedding_dim is \"wide\""),
        ("prior", "flavour", json!("new"), r#"its field flavour = "new" is unknown"#),
        ("decoder", "act_fn", json!("gelu"), "act_fn is \"gelu\""),
        ("decoder", "class_embed_type", json!("timestep"), "class_embed_type is \"timestep\""),
        (
            "decoder",
            "resnet_time_scale_shift",
            json!("ada_group"),
            "resnet_time_scale_shift is \"ada_group\"",
        ),
        ("decoder", "time_embedding_type", json!("fourier"), "time_embedding_type is \"fourier\""),
        (
            "decoder",
            "encoder_hid_dim_type",
            json!("text_proj"),
            "encoder_hid_dim_type is \"text_proj\" where null",
        ),
        (
            "decoder",
            "mid_block_type",
            json!("UNetMidBlock2DCrossAttn"),
            "mid_block_type is \"UNetMidBlock2DCrossAttn\"",
        ),
        (
            "decoder",
            "down_block_types",
            json!(["DownBlock2D", "DownBlock2D"]),
            "down_block_types is [\"DownBlock2D\"",
        ),
        (
            "decoder",
            "down_block_types",
            json!(["SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"]),
            "a list of 2, first \"ResnetDownsampleBlock2D\" and then, from some level on",
        ),
        (
            "decoder",
            "down_block_types",
            json!(["SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"]),
            "up_block_types is [\"SimpleCrossAttnUpBlock2D\",\"ResnetUpsampleBlock2D\"]",
        ),
        (
            "decoder",
            "down_block_types",
            json!([
                "ResnetDownsampleBlock2D",
                "ResnetDownsampleBlock2D",
                "ResnetDownsampleBlock2D"
            ]),
            "a list of 2, first",
        ),
        (
            "decoder",
            "norm_num_groups",
            json!(5),
            "its block_out_channels 8 is not a multiple of its norm_num_groups 5",
        ),
        (
            "decoder",
            "attention_head_dim",
            json!(5),
            "its block_out_channels 12 is not a multiple of its attention_head_dim 5",
        ),
        ("decoder", "sample_size", json!(15), "its sample_size 15 is not a multiple"),
        ("decoder", "block_out_channels", json!([]), "block_out_channels is [] where"),
        (
            "super_res_first",
            "add_attention",
            json!(true),
            "add_attention is true where false is wanted",
        ),
        (
            "super_res_first",
            "flip_sin_to_cos",
            json!(false),
            "flip_sin_to_cos is false where true is wanted",
        ),
        ("text_encoder", "hidden_act", json!("relu"), "hidden_act is \"relu\""),
        (
            "text_encoder",
            "num_attention_heads",
            json!(3),
            "its hidden_size 16 is not a multiple of its num_attention_heads 3",
        ),
        (
            "text_encoder",
            "eos_token_id",
            json!(604),
            "its eos_token_id 604 is not below its vocab_size 604",
        ),
        ("image_encoder", "num_channels", json!(1), "num_channels is 1 where 3 is wanted"),
        (
            "image_encoder",
            "layer_norm_eps",
            json!(0),
            "layer_norm_eps is 0 where a positive number up to 1 is wanted",
        ),
        (
            "prior_scheduler",
            "prediction_type",
            json!("velocity"),
            "prediction_type is \"velocity\"",
        ),
        ("prior_scheduler", "beta_schedule", json!("linear"), "beta_schedule is \"linear\""),
        ("prior_scheduler", "clip_sample", json!("yes"), "clip_sample is \"yes\""),
    ];
    for (part, field, value, sentence) in cases {
        let (_place, folder) = edited(&golden("karlo"), part, |config| config[field] = value);
        let error = open(part, &folder).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains(sentence), "{error} / {sentence}");
    }
}

#[test]
fn a_configuration_that_contradicts_its_weights_is_told_by_shapes() {
    let cases = [
        ("prior", "num_layers", json!(3), "tensors missing (transformer_blocks.2.norm1.weight"),
        ("prior", "num_layers", json!(1), "tensors unused (transformer_blocks.1."),
        (
            "text_encoder",
            "vocab_size",
            json!(700),
            "token_embedding.weight is [604, 16] where [700, 16] is wanted",
        ),
        (
            "decoder",
            "in_channels",
            json!(4),
            "conv_in.weight is [8, 3, 3, 3] where [8, 4, 3, 3] is wanted",
        ),
        (
            "image_encoder",
            "patch_size",
            json!(4),
            "patch_embedding.weight is [16, 3, 8, 8] where [16, 3, 4, 4] is wanted",
        ),
        ("text_encoder", "hidden_size", json!(1 << 20), "tensors of another shape"),
    ];
    for (part, field, value, sentence) in cases {
        let (_place, folder) = edited(&golden("karlo"), part, |config| config[field] = value);
        let error = open(part, &folder).unwrap_err();
        assert!(matches!(error, Error::Weights(::weights::Error::Tensors { .. })), "{error}");
        assert!(error.to_string().contains(sentence), "{error} / {sentence}");
    }
}

#[test]
fn later_fields_that_change_nothing_are_accepted() {
    let (_place, folder) = edited(&golden("karlo"), "decoder", |config| {
        config["some_later_switch"] = json!(false);
        config["some_later_option"] = json!(null);
        config["_bookkeeping"] = json!("anything");
        config["layers_per_block"] = json!([2, 2]);
        config["mid_block_scale_factor"] = json!(1.0);
    });
    open("decoder", &folder).unwrap();
}

#[test]
fn attention_may_begin_at_any_level() {
    let config = |finest_level| UNetConfig {
        sample_size: 8,
        in_channels: 7,
        out_channels: 6,
        block_out_channels: vec![8, 12, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 4, context_width: 20, finest_level }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    };
    let error = families::configs::check_unet(&config(4)).unwrap_err().to_string();
    assert_eq!(error, "its finest_level is 4, which must lie between 0 and its 3 levels");
    for config in (0..=3).map(config) {
        families::configs::check_unet(&config).unwrap();
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("decoder");
        let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
        UNet::new(&Params::root(&initialiser), &config);
        families::save_decoder(&folder, &initialiser.into_parameters(), &config).unwrap();
        let folder = Folder::open(folder).unwrap();
        let opened = families::open_decoder(&folder, Device::Cpu, Kind::Float).unwrap();
        assert_eq!(opened.config(), &config);
    }
}

#[test]
fn half_of_a_whole_clip_opens() {
    let model = golden("deep");
    let read = |part: &str| -> Value {
        serde_json::from_slice(&fs::read(model.join(part).join("config.json")).unwrap()).unwrap()
    };
    let place = tempfile::tempdir().unwrap();
    let config = json!({
        "architectures": ["CLIPModel"],
        "text_config": read("text_encoder"),
        "vision_config": read("image_encoder"),
    });
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![("logit_scale".to_owned(), Tensor::from(4.6f32))];
    for part in ["text_encoder", "image_encoder"] {
        tensors.extend(
            ::weights::load_safetensors(model.join(part).join("model.safetensors")).unwrap(),
        );
    }
    ::weights::save_safetensors(place.path().join("model.safetensors"), &tensors, Kind::Float)
        .unwrap();
    let folder = Folder::open(place.path()).unwrap();
    open("text_encoder", &folder).unwrap();
    open("image_encoder", &folder).unwrap();
}

/// The names of the files of a model's parts that hold JSON.
fn configuration(part: &str) -> &'static str {
    match part {
        "tokenizer" => "tokenizer_config.json",
        "feature_extractor" => "preprocessor_config.json",
        _ if part.ends_with("scheduler") => "scheduler_config.json",
        _ => "config.json",
    }
}

/// A copy of one component whose configuration has another text.
fn rewritten(part: &str, edit: impl FnOnce(String) -> String) -> (tempfile::TempDir, Folder) {
    let (place, folder) = copied(&golden("deep"), part);
    let path = place.path().join(configuration(part));
    fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
    (place, folder)
}

#[test]
fn the_class_of_another_network_is_refused() {
    let cases = [
        ("prior", "_class_name", json!("UNet2DModel")),
        ("prior", "_class_name", json!(7)),
        ("prior", "_class_name", json!(["UNet2DModel"])),
        ("prior", "architectures", json!(["UNet2DModel"])),
        ("decoder", "_class_name", json!("UNet2DModel")),
        ("super_res_last", "_class_name", json!("UNet2DConditionModel")),
        ("decoder_scheduler", "_class_name", json!("DDPMScheduler")),
        ("text_proj", "_class_name", json!("UnCLIPScheduler")),
        ("text_encoder", "architectures", json!("CLIPVisionModelWithProjection")),
        ("text_encoder", "architectures", json!([])),
        ("text_encoder", "_class_name", json!("PriorTransformer")),
        ("text_encoder", "model_type", json!("clip_vision_model")),
        ("image_encoder", "architectures", json!(["ViTModel"])),
        ("image_encoder", "model_type", json!("bert")),
        ("feature_extractor", "image_processor_type", json!("ViTImageProcessor")),
        ("feature_extractor", "feature_extractor_type", json!(3)),
        ("tokenizer", "tokenizer_class", json!("BertTokenizer")),
        ("tokenizer", "tokenizer_class", json!(["CLIPTokenizer"])),
    ];
    for (part, field, value) in cases {
        let (_place, folder) = rewritten(part, |text| {
            let mut config: Value = serde_json::from_str(&text).unwrap();
            config[field] = value.clone();
            config.to_string()
        });
        let error = open(part, &folder).expect_err(&format!("{part} {field} {value}"));
        let message = error.to_string();
        assert!(message.contains(part), "{message}");
        let first = value.as_array().and_then(|names| names.first());
        let named = first.unwrap_or(&value).as_str().unwrap_or(field);
        assert!(message.contains(named), "{part} {field} {value}: {message}");
    }
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    for (part, field) in [
        ("prior", "num_layers"),
        ("decoder", "sample_size"),
        ("text_encoder", "vocab_size"),
        ("prior_scheduler", "clip_sample_range"),
        ("feature_extractor", "size"),
        ("tokenizer", "model_max_length"),
    ] {
        let (_place, folder) = rewritten(part, |text| {
            let config: Value = serde_json::from_str(&text).unwrap();
            text.replacen('{', &format!("{{{field:?}: {},", config[field]), 1)
        });
        let message = open(part, &folder).unwrap_err().to_string();
        assert!(
            message.contains(part) && message.contains(&format!("{field:?} is there twice")),
            "{message}"
        );
    }
}

#[test]
fn a_configuration_longer_than_any_is_refused_by_its_length() {
    for part in ["prior", "tokenizer", "feature_extractor", "prior_scheduler"] {
        let (_place, folder) = rewritten(part, |text| text + &" ".repeat(16 << 20));
        let message = open(part, &folder).unwrap_err().to_string();
        let sentence = "bytes, and at most 16777216 are read";
        assert!(message.contains(configuration(part)) && message.contains(sentence), "{message}");
        // As many values as fit into it.
        let (_place, folder) =
            rewritten(part, |_| format!("{{\"a\": [{}0]}}", "0,".repeat(1 << 20)));
        let message = open(part, &folder).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("it has more than"), "{message}");
        let (_place, folder) = rewritten(part, |_| "[".repeat(1 << 20));
        let message = open(part, &folder).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("recursion limit"), "{message}");
    }
}

#[test]
fn every_field_that_changes_is_understood_or_named() {
    let huge: Value = serde_json::from_str("1e300").unwrap();
    let values = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1e18),
        json!(1u64 << 40),
        huge,
        json!("x"),
        json!([]),
        json!({}),
    ];
    let parts = [
        "prior",
        "decoder",
        "super_res_first",
        "text_encoder",
        "image_encoder",
        "text_proj",
        "prior_scheduler",
        "decoder_scheduler",
        "feature_extractor",
    ];
    let mut accepted = Vec::new();
    for part in parts {
        let (place, folder) = copied(&golden("deep"), part);
        let path = place.path().join(configuration(part));
        let sound: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for field in sound.as_object().unwrap().keys() {
            for value in values.iter().filter(|value| **value != sound[field]) {
                let mut config = sound.clone();
                config[field] = value.clone();
                fs::write(&path, config.to_string()).unwrap();
                match open(part, &folder) {
                    Ok(()) => accepted.push(format!("{part} {field} {value}")),
                    Err(error) => {
                        let message = error.to_string();
                        assert!(message.contains(part), "{part} {field} {value}: {message}");
                        assert!(message.chars().count() <= 2000, "{message}");
                    }
                }
            }
        }
    }
    // What says nothing about pixels or numbers: bookkeeping, and what is as absent.
    let harmless = [
        "_diffusers_version",
        "_use_default_values",
        "transformers_version",
        "output_hidden_states",
        "return_dict",
        "dtype",
        "chunk_size_feed_forward",
        "is_encoder_decoder",
        "id2label",
        "label2id",
        "problem_type",
        "attention_dropout",
        "initializer_range",
        "initializer_factor",
        "pad_token_id",
        "bos_token_id",
        "output_attentions",
        "dropout",
        "downsample_padding",
        "downsample_type",
        "upsample_type",
        "num_train_timesteps",
        "attn_norm_num_groups",
        "transformer_layers_per_block",
        "addition_embed_type_num_heads",
        "do_convert_rgb",
    ];
    let understood = |entry: &String| {
        let mut words = entry.split(' ');
        let (part, field, value) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        value == "null"
            || harmless.contains(&field)
                && !(part.ends_with("scheduler") && field == "num_train_timesteps")
            || part == "super_res_first" && field == "attention_head_dim"
    };
    accepted.retain(|entry| !understood(entry));
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn an_index_of_another_pipeline_or_network_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    let sound: Value =
        serde_json::from_slice(&fs::read(golden("deep").join("model_index.json")).unwrap())
            .unwrap();
    let read = |field: &str, value: Value| {
        let mut index = sound.clone();
        index[field] = value;
        fs::write(place.path().join("model_index.json"), index.to_string()).unwrap();
        families::read_model_defaults(&folder, &families::karlo())
            .map_err(|error| error.to_string())
    };
    for (field, value) in [
        ("feature_extractor", json!(["transformers", "CLIPFeatureExtractor"])),
        ("prior", json!([null, null])),
        ("prior", json!(null)),
        ("_class_name", json!("UnCLIPImageVariationPipeline")),
        ("safety_checker", json!(["diffusers", "SafetyChecker"])),
    ] {
        assert_eq!(read(field, value).unwrap(), None);
    }
    for (field, value) in [
        ("_class_name", json!("StableDiffusionPipeline")),
        ("_class_name", json!(3)),
        ("prior", json!(["diffusers", "UNet2DModel"])),
        ("prior_scheduler", json!(["diffusers", "DDIMScheduler"])),
        ("text_encoder", json!(["transformers", "T5EncoderModel"])),
        ("decoder", json!("UNet2DModel")),
        ("decoder", json!(7)),
    ] {
        let message = read(field, value.clone()).expect_err(&format!("{field} {value}"));
        let found = value.get(1).unwrap_or(&value);
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert!(message.contains("model_index.json") && message.contains(&found), "{message}");
    }
}
