//! A model's components: each opens from its own folder only, from nothing that must be guessed, and ours come back.

use std::fs;
use std::path::{Path, PathBuf};

use ::clip::{ImageEncoderConfig, TextConfig, TextEncoder, VisionConfig, VisionEncoder};
use ::decoder::{AttentionConfig, Conditioning, ConditioningConfig, UNet, UNetConfig};
use ::diffusion::{BetaSchedule, Prediction, SchedulerConfig, TimestepSpacing, Variance};
use ::prior::{Prior, PriorConfig};
use ::weights::Folder;
use families::Error;
use layers::{Activation, Initialiser, Params};
use serde_json::{Value, json};
use tch::{Device, Kind};

const HERE: (Device, Kind) = (Device::Cpu, Kind::Float);

pub(crate) fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data").join(model).join("model")
}

/// Opens a component as what it should be, for its error only.
pub(crate) fn open(part: &str, folder: &Folder) -> Result<(), Error> {
    let (device, kind) = HERE;
    match part {
        "text_encoder" => families::open_text_encoder(folder, device, kind).map(drop),
        "image_encoder" => families::open_image_encoder(folder, device, kind).map(drop),
        "prior" => families::open_prior(folder, device, kind).map(drop),
        "text_proj" => families::open_conditioning(folder, device, kind).map(drop),
        "decoder" => families::open_decoder(folder, device, kind).map(drop),
        "super_res_first" | "super_res_last" => {
            families::open_upsampler(folder, device, kind).map(drop)
        }
        "tokenizer" => families::open_tokenizer(folder).map(drop),
        "feature_extractor" => families::open_image_processor(folder).map(drop),
        _ => families::open_scheduler(folder).map(drop),
    }
}

const PARTS: [&str; 12] = [
    "text_encoder",
    "image_encoder",
    "prior",
    "text_proj",
    "decoder",
    "super_res_first",
    "super_res_last",
    "tokenizer",
    "feature_extractor",
    "prior_scheduler",
    "decoder_scheduler",
    "super_res_scheduler",
];

/// Writes a tiny model of our own with weights from a seed.
pub(crate) fn write_tiny_model(folder: &Path) {
    let made = |seed: u64, make: &dyn Fn(&Params)| {
        let initialiser = Initialiser::new(seed, HERE.0, HERE.1);
        make(&Params::root(&initialiser));
        initialiser.into_parameters()
    };
    let text = TextConfig {
        vocab_size: 604,
        context_length: 12,
        width: 16,
        layers: 2,
        heads: 2,
        intermediate: 40,
        embedding: 16,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 603,
    };
    let tensors = made(1, &|p| drop(TextEncoder::new(p, &text)));
    families::save_text_encoder(&folder.join("text_encoder"), &tensors, &text).unwrap();
    let vision = VisionConfig {
        image_size: 32,
        patch_size: 8,
        width: 24,
        layers: 1,
        heads: 3,
        intermediate: 40,
        embedding: 16,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-6,
    };
    let tensors = made(2, &|p| drop(VisionEncoder::new(p, &vision)));
    families::save_image_encoder(&folder.join("image_encoder"), &tensors, &vision).unwrap();
    families::write_image_processor(&folder.join("feature_extractor"), 32).unwrap();
    let prior = PriorConfig {
        embedding: 16,
        text_width: 16,
        context_length: 12,
        heads: 3,
        head_width: 4,
        layers: 2,
    };
    let tensors = made(3, &|p| drop(Prior::new(p, &prior)));
    families::save_prior(&folder.join("prior"), &tensors, &prior).unwrap();
    let conditioning = ConditioningConfig {
        embedding: 16,
        text_width: 16,
        time_width: 32,
        context_width: 20,
        extra_tokens: 4,
    };
    let tensors = made(4, &|p| drop(Conditioning::new(p, &conditioning)));
    families::save_conditioning(&folder.join("text_proj"), &tensors, &conditioning).unwrap();
    let mut unet = UNetConfig {
        sample_size: 16,
        in_channels: 3,
        out_channels: 6,
        block_out_channels: vec![8, 12, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 4, context_width: 20, finest_level: 1 }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    };
    let tensors = made(5, &|p| drop(UNet::new(p, &unet)));
    families::save_decoder(&folder.join("decoder"), &tensors, &unet).unwrap();
    unet = UNetConfig {
        sample_size: 32,
        in_channels: 6,
        out_channels: 3,
        attention: None,
        scale_shift: false,
        ..unet
    };
    let tensors = made(6, &|p| drop(UNet::new(p, &unet)));
    for name in ["super_res_first", "super_res_last"] {
        families::save_upsampler(&folder.join(name), &tensors, &unet, Prediction::Epsilon).unwrap();
    }
    let tokenizer = folder.join("tokenizer");
    fs::create_dir_all(&tokenizer).unwrap();
    for file in fs::read_dir(golden("karlo").join("tokenizer")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), tokenizer.join(file.file_name())).unwrap();
    }
    families::save_model_index(folder, &families::karlo(), Some(2.75)).unwrap();
}

#[test]
fn every_component_of_the_reference_opens() {
    for model in ["karlo", "deep", "odd"] {
        let folder = Folder::open(golden(model)).unwrap();
        for part in PARTS {
            open(part, &folder.component(part)).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn our_own_model_comes_back() {
    let place = tempfile::tempdir().unwrap();
    write_tiny_model(place.path());
    let folder = Folder::open(place.path()).unwrap();
    for part in PARTS {
        open(part, &folder.component(part)).unwrap_or_else(|error| panic!("{error}"));
    }
    let scheduler = |name: &str| families::open_scheduler(&folder.component(name)).unwrap();
    let wanted = |prediction, variance, range| SchedulerConfig {
        train_timesteps: 1000,
        timestep_spacing: TimestepSpacing::Linspace,
        beta_schedule: BetaSchedule::Cosine,
        prediction,
        variance,
        clip_range: Some(range),
    };
    assert_eq!(
        scheduler("prior_scheduler"),
        wanted(Prediction::Sample, Variance::FixedSmallLog, 5.0)
    );
    assert_eq!(
        scheduler("decoder_scheduler"),
        wanted(Prediction::Epsilon, Variance::LearnedRange, 1.0)
    );
    assert_eq!(
        scheduler("super_res_scheduler"),
        wanted(Prediction::Epsilon, Variance::FixedSmallLog, 1.0)
    );
    let text =
        families::open_text_encoder(&folder.component("text_encoder"), HERE.0, HERE.1).unwrap();
    assert_eq!(
        (text.config().eos_token_id, text.config().activation),
        (603, Activation::QuickGelu)
    );
    let image =
        families::open_image_encoder(&folder.component("image_encoder"), HERE.0, HERE.1).unwrap();
    let ImageEncoderConfig::VisionTransformer(image) = image.config() else { panic!("a ResNet") };
    assert_eq!((image.layer_norm_eps, image.activation), (1e-6, Activation::Gelu));
}

#[test]
fn the_index_keeps_what_it_says() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    assert_eq!(families::read_logit_scale(&folder).unwrap(), None);
    families::save_model_index(place.path(), &families::karlo(), Some(2.75)).unwrap();
    families::save_model_defaults(place.path(), &families::karlo(), &json!({ "prior_steps": 9 }))
        .unwrap();
    fs::create_dir(place.path().join("prior")).unwrap();
    families::save_model_index(place.path(), &families::karlo(), None).unwrap();
    assert_eq!(families::read_logit_scale(&folder).unwrap(), Some(2.75));
    let index: Value =
        serde_json::from_slice(&folder.read("model_index.json").unwrap().unwrap()).unwrap();
    assert_eq!(index["unclip_defaults"]["prior_steps"], 9);
    assert_eq!(index["prior"], json!(["diffusers", "PriorTransformer"]));
    assert!(index.get("decoder").is_none());
}

#[test]
fn a_component_in_anothers_place_is_named() {
    let folder = Folder::open(golden("karlo")).unwrap();
    let cases = [
        ("prior", "decoder", "describes a UNet2DConditionModel where a PriorTransformer is wanted"),
        (
            "decoder",
            "super_res_first",
            "describes a UNet2DModel where a UNet2DConditionModel is wanted",
        ),
        (
            "super_res_last",
            "decoder",
            "describes a UNet2DConditionModel where a UNet2DModel is wanted",
        ),
        (
            "text_proj",
            "prior",
            "describes a PriorTransformer where a UnCLIPTextProjModel is wanted",
        ),
        (
            "text_encoder",
            "image_encoder",
            "describes a CLIPVisionModelWithProjection where a CLIPTextModelWithProjection",
        ),
        (
            "image_encoder",
            "text_encoder",
            "describes a CLIPTextModelWithProjection where a CLIPVisionModelWithProjection",
        ),
        ("prior", "prior_scheduler", "prior_scheduler/config.json is missing"),
        ("prior_scheduler", "prior", "prior/scheduler_config.json is missing"),
        ("feature_extractor", "tokenizer", "tokenizer/preprocessor_config.json is missing"),
        ("tokenizer", "prior", "the tokenizer has neither"),
        ("prior", "nowhere", "nowhere/config.json is missing"),
    ];
    for (slot, part, sentence) in cases {
        let error = open(slot, &folder.component(part)).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error} / {sentence}");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn shards_are_one_checkpoint() {
    let part = golden("deep").join("prior");
    let place = tempfile::tempdir().unwrap();
    fs::copy(part.join("config.json"), place.path().join("config.json")).unwrap();
    let tensors =
        ::weights::load_safetensors(part.join("diffusion_pytorch_model.safetensors")).unwrap();
    let (first, second) = tensors.split_at(7);
    let mut map = serde_json::Map::new();
    for (name, tensors) in [("one.safetensors", first), ("two.safetensors", second)] {
        ::weights::save_safetensors(place.path().join(name), tensors, Kind::Float).unwrap();
        map.extend(tensors.iter().map(|(tensor, _)| (tensor.clone(), json!(name))));
    }
    let index = place.path().join("diffusion_pytorch_model.safetensors.index.json");
    fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    let folder = Folder::open(place.path()).unwrap();
    open("prior", &folder).unwrap();

    // A tensor in two shards is one too many.
    ::weights::save_safetensors(place.path().join("two.safetensors"), &tensors[6..], Kind::Float)
        .unwrap();
    let error = open("prior", &folder).unwrap_err().to_string();
    assert!(error.contains(&format!("1 tensor duplicate ({})", tensors[6].0)), "{error}");
    // An index must not lead elsewhere.
    fs::write(&index, json!({ "weight_map": { "w": "../../secret.safetensors" } }).to_string())
        .unwrap();
    let error = open("prior", &folder).unwrap_err().to_string();
    assert!(error.contains("is not the name of a file beside it"), "{error}");
}

#[test]
fn files_inside_the_program_are_a_folder() {
    static FILES: &[(&str, &[u8])] = &[
        ("text_proj/config.json", include_bytes!("../golden/data/odd/model/text_proj/config.json")),
        (
            "text_proj/diffusion_pytorch_model.safetensors",
            include_bytes!(
                "../golden/data/odd/model/text_proj/diffusion_pytorch_model.safetensors"
            ),
        ),
    ];
    let folder = Folder::embedded(FILES);
    open("text_proj", &folder.component("text_proj")).unwrap();
    assert!(folder.component("text_proj").exists() && !folder.component("prior").exists());
    assert!(!folder.has("config.json"));
    let error = open("prior", &folder.component("prior")).unwrap_err().to_string();
    assert_eq!(error, "the built-in model's prior/config.json is missing");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Folder::open("/nowhere/at/all").err().unwrap().to_string();
    assert!(error.starts_with("cannot open the folder /nowhere/at/all: "), "{error}");
    let file = golden("karlo").join("model_index.json");
    let error = Folder::open(file).err().unwrap().to_string();
    assert!(error.ends_with("model_index.json: it is a file"), "{error}");
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("config.json"), "{\"num_layers\": ").unwrap();
    let error = open("prior", &Folder::open(place.path()).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("config.json cannot be used for the prior: it is not a JSON object"),
        "{error}"
    );
    fs::copy(golden("karlo").join("prior/config.json"), place.path().join("config.json")).unwrap();
    let error = open("prior", &Folder::open(place.path()).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("has no weights for the prior: none of diffusion_pytorch_model.safetensors"),
        "{error}"
    );
}
