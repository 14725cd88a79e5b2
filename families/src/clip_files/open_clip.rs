//! `open_clip_config.json`: the shape of an open_clip model, and its preprocessing.

use clip::text::LEGACY_EOS;
use clip::{ImageEncoderConfig, ModifiedResNetConfig, TextConfig, VisionConfig};
use files::text::excerpt;
use images::preprocess::{CropRounding, Size};
use images::resize::Filter;
use images::{CLIP_MEAN, CLIP_STD, ImageProcessor};
use layers::Activation;
use serde_json::{Map, Value, json};

use super::inference::check_resnet;
use crate::configs::{Fields, divides, wrong};
use crate::{ConfigError, configs};

/// The file of the configuration.
pub(crate) const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";

/// The files of the weights, the best first.
pub(crate) fn open_clip_weights() -> [&'static str; 2] {
    ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
}

/// The shapes of both towers, and the preprocessing.
pub(crate) struct OpenClipConfig {
    pub text: TextConfig,
    pub image: ImageEncoderConfig,
    pub processor: ImageProcessor,
}

/// Translates the configuration. What is not computed here is refused by its name.
pub(crate) fn open_clip_config(bytes: &[u8]) -> Result<OpenClipConfig, ConfigError> {
    let mut whole = Fields::parse(bytes)?;
    let mut model = Fields::of(object(whole.take("model_cfg"), "model_cfg")?);
    let preprocessing = match whole.take("preprocess_cfg") {
        None | Some(Value::Null) => Map::new(),
        value => object(value, "preprocess_cfg")?,
    };
    let (mut text, mut vision) = (
        Fields::of(object(model.take("text_cfg"), "text_cfg")?),
        Fields::of(object(model.take("vision_cfg"), "vision_cfg")?),
    );
    check_kind(&mut model, &mut text, &mut vision)?;
    let embedding = model.size("embed_dim", None)?;
    let activation = match model.take("quick_gelu") {
        Some(Value::Bool(true)) => Activation::QuickGelu,
        None | Some(Value::Null | Value::Bool(false)) => Activation::Gelu,
        Some(other) => return Err(wrong("quick_gelu", &other, "true or false".to_owned())),
    };
    // They say how training begins, and which class holds the towers.
    model.ignore(&["custom_text", "init_logit_scale", "nonscalar_logit_scale", "output_dict"]);
    model.finish()?;
    let text = text_config(text, embedding, activation)?;
    let image = image_config(vision, embedding, activation)?;
    let processor = image_processor(Fields::of(preprocessing), image.image_size())?;
    Ok(OpenClipConfig { text, image, processor })
}

/// Refuses the models of open_clip that are no CLIP of two towers of its own.
fn check_kind(
    model: &mut Fields,
    text: &mut Fields,
    vision: &mut Fields,
) -> Result<(), ConfigError> {
    let refuse = |what: String| Err(ConfigError::Relation(what));
    if model.take("multimodal_cfg").is_some_and(|value| !value.is_null()) {
        return refuse(
            "it describes a CoCa (multimodal_cfg), which also writes captions, and a CLIP is read"
                .to_owned(),
        );
    }
    if model.take("init_logit_bias").is_some_and(|value| !value.is_null()) {
        return refuse(
            "it describes a SigLIP (init_logit_bias), which compares by a sigmoid, and a CLIP is read".to_owned(),
        );
    }
    for (part, field, whose) in [
        ("image tower", "timm_model_name", "timm's"),
        ("text tower", "hf_model_name", "transformers'"),
        ("tokenizer", "hf_tokenizer_name", "transformers'"),
    ] {
        match vision.take(field).or_else(|| text.take(field)) {
            None | Some(Value::Null) => {}
            Some(name) => {
                let name = name.as_str().map_or_else(|| excerpt(&name.to_string()), excerpt);
                return refuse(format!(
                    "its {part} is {whose} {name} ({field}), and CLIP's own is read"
                ));
            }
        }
    }
    if text.take("embed_cls").is_some_and(|value| value == true) {
        return refuse(
            "its text tower pools an embedded class (embed_cls), and the end of the caption is pooled here".to_owned(),
        );
    }
    Ok(())
}

fn text_config(
    mut fields: Fields,
    embedding: i64,
    activation: Activation,
) -> Result<TextConfig, ConfigError> {
    let width = fields.size("width", Some(512))?;
    let pools_eos =
        fields.choice("pool_type", Some("argmax"), &[("argmax", false), ("eos", true)])?;
    let eos = fields.size("eos_id", Some(LEGACY_EOS))?;
    let config = TextConfig {
        vocab_size: fields.size("vocab_size", Some(49408))?,
        context_length: fields.size("context_length", Some(77))?,
        width,
        layers: fields.count("layers", 12)?,
        heads: fields.count("heads", 8)?,
        intermediate: intermediate(&mut fields, width)?,
        embedding,
        activation,
        layer_norm_eps: 1e-5,
        eos_token_id: if pools_eos { eos } else { LEGACY_EOS },
    };
    if pools_eos && eos == LEGACY_EOS {
        return Err(ConfigError::Relation(format!(
            "its pool_type is eos, and its eos_id {eos} is no end of a caption"
        )));
    }
    fields.only("proj_type", &[json!("linear")])?;
    // Padding is not masked, and its token is the tokenizer's.
    fields.ignore(&[
        "pad_id",
        "output_tokens",
        "hf_model_pretrained",
        "hf_proj_type",
        "hf_pooler_type",
    ]);
    finish_tower(fields)?;
    configs::check_text(&config)?;
    Ok(config)
}

fn image_config(
    mut fields: Fields,
    embedding: i64,
    activation: Activation,
) -> Result<ImageEncoderConfig, ConfigError> {
    let width = fields.size("width", Some(768))?;
    let head_width = fields.size("head_width", Some(64))?;
    let image_size = fields.side("image_size", Some(224))?;
    let layers = fields.take("layers").unwrap_or_else(|| json!(12));
    let config = match &layers {
        Value::Array(levels) => {
            let levels: Option<Vec<i64>> = levels.iter().map(Value::as_i64).collect();
            let levels = levels.and_then(|levels| <[i64; 4]>::try_from(levels).ok());
            let layers = levels
                .ok_or_else(|| wrong("layers", &layers, "a number or a list of four".to_owned()))?;
            fields.ignore(&["patch_size", "mlp_ratio"]);
            let mut config =
                ModifiedResNetConfig { image_size, layers, width, heads: 1, embedding };
            config.heads = heads(config.features(), head_width)?;
            check_resnet(&config)?;
            ImageEncoderConfig::ResNet(config)
        }
        _ => {
            let mut layers = Fields::of(Map::from_iter([("layers".to_owned(), layers)]));
            let config = VisionConfig {
                image_size,
                patch_size: fields.side("patch_size", Some(16))?,
                width,
                layers: layers.required_count("layers")?,
                heads: heads(width, head_width)?,
                intermediate: intermediate(&mut fields, width)?,
                embedding,
                activation,
                layer_norm_eps: 1e-5,
            };
            configs::check_vision(&config)?;
            ImageEncoderConfig::VisionTransformer(config)
        }
    };
    fields.only("pool_type", &[json!("tok")])?;
    fields.only("pos_embed_type", &[json!("learnable")])?;
    // They say how a network is trained, and the shapes of what it does not have.
    fields.ignore(&["patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads"]);
    fields.ignore(&["timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias"]);
    fields.ignore(&["timm_drop", "timm_drop_path"]);
    finish_tower(fields)?;
    Ok(config)
}

/// Refuses what a tower does otherwise than CLIP's: whatever is neither null nor false.
fn finish_tower(mut fields: Fields) -> Result<(), ConfigError> {
    fields.only("block_type", &[Value::Null, json!("default")])?;
    fields.only("act_kwargs", &[Value::Null, json!({})])?;
    fields.only("norm_kwargs", &[Value::Null, json!({})])?;
    fields.only("tokenizer_kwargs", &[Value::Null, json!({})])?;
    fields.finish()
}

fn heads(width: i64, head_width: i64) -> Result<i64, ConfigError> {
    divides(("head_width", head_width), ("image tower's width", width))?;
    Ok(width / head_width)
}

fn intermediate(fields: &mut Fields, width: i64) -> Result<i64, ConfigError> {
    Ok((width as f64 * fields.number("mlp_ratio", 4.0, 64.0)?) as i64)
}

/// The preprocessing, which torchvision does: it goes by the encoder's size, whatever size it names itself.
fn image_processor(mut fields: Fields, side: i64) -> Result<ImageProcessor, ConfigError> {
    let side = side as u32;
    let shortest =
        fields.choice("resize_mode", Some("shortest"), &[("shortest", true), ("squash", false)])?;
    let filter = fields.choice(
        "interpolation",
        Some("bicubic"),
        &[("bicubic", Filter::Bicubic), ("bilinear", Filter::Bilinear)],
    )?;
    let size = match shortest {
        true => Size::ShortestEdge(side),
        false => Size::Exact { width: side, height: side },
    };
    fields.only("mode", &[json!("RGB")])?;
    fields.ignore(&["size", "fill_color"]);
    let normalize =
        (triple(&mut fields, "mean", CLIP_MEAN)?, triple(&mut fields, "std", CLIP_STD)?);
    fields.finish()?;
    Ok(ImageProcessor {
        resize: Some((size, filter)),
        crop_rounding: CropRounding::HalfToEven,
        normalize: Some(normalize),
        ..ImageProcessor::clip(side)
    })
}

fn triple(
    fields: &mut Fields,
    field: &'static str,
    default: [f64; 3],
) -> Result<[f64; 3], ConfigError> {
    let Some(value) = fields.take(field).filter(|value| !value.is_null()) else {
        return Ok(default);
    };
    let lowest = if field == "std" { 1e-3 } else { -1e3 };
    let number = |value: &Value| value.as_f64().filter(|n| (lowest..=1e3).contains(n));
    let numbers: Option<Vec<f64>> =
        value.as_array().and_then(|list| list.iter().map(number).collect());
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| wrong(field, &value, format!("three numbers from {lowest} to 1000")))
}

fn object(value: Option<Value>, field: &'static str) -> Result<Map<String, Value>, ConfigError> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        None => Err(ConfigError::Missing(field)),
        Some(other) => Err(wrong(field, &other, "an object".to_owned())),
    }
}
