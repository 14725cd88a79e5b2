//! Configurations of diffusers' `UNet2DConditionModel` and `UNet2DModel`, with the blocks of Karlo.

use decoder::{AttentionConfig, ImageConditioningConfig, UNetConfig};
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields, divides, wrong};

const DOWN_TYPES: &str = "down_block_types";
const PLAIN_DOWN: &str = "ResnetDownsampleBlock2D";
const PLAIN_UP: &str = "ResnetUpsampleBlock2D";
const ATTENDING_DOWN: &str = "SimpleCrossAttnDownBlock2D";
const ATTENDING_UP: &str = "SimpleCrossAttnUpBlock2D";
const ATTENDING_MIDDLE: &str = "UNetMidBlock2DSimpleCrossAttn";

/// Tokens that an image embedding becomes, which the published class fixes.
const IMAGE_TOKENS: i64 = 32;

/// Translates the decoder's `config.json`.
pub(crate) fn decoder_config(bytes: &[u8]) -> Result<UNetConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("UNet2DConditionModel")?;
    fields.exactly("class_embed_type", &json!("identity"))?;
    fields.nulls(&["addition_embed_type", "encoder_hid_dim", "encoder_hid_dim_type"])?;
    conditional_config(fields)
}

/// Translates the `config.json` of a decoder that projects image embeddings itself, and takes nothing else but perhaps a
/// hint.
pub(crate) fn image_decoder_config(
    bytes: &[u8],
) -> Result<(UNetConfig, ImageConditioningConfig), ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("UNet2DConditionModel")?;
    let additions = [("image", false), ("image_hint", true)];
    let hint = fields.choice("addition_embed_type", None, &additions)?;
    fields.exactly("encoder_hid_dim_type", &json!("image_proj"))?;
    fields.nulls(&["class_embed_type"])?;
    let embedding = fields.size("encoder_hid_dim", None)?;
    let config = conditional_config(fields)?;
    let context_width = config.attention.as_ref().map_or(0, |attention| attention.context_width);
    let (time_width, tokens) = (config.time_width(), IMAGE_TOKENS);
    Ok((config, ImageConditioningConfig { embedding, time_width, context_width, tokens, hint }))
}

/// The network of a `UNet2DConditionModel`, of whose conditions the fields are taken.
fn conditional_config(mut fields: Fields) -> Result<UNetConfig, ConfigError> {
    let channels = fields.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
    let attention = AttentionConfig {
        head_width: fields.same_size("attention_head_dim", Some(8))?,
        context_width: fields.size("cross_attention_dim", Some(1280))?,
        finest_level: finest_level(&mut fields, channels.len())?,
    };
    fields.exactly("mid_block_type", &json!(ATTENDING_MIDDLE))?;
    fields.nulls(&[
        "addition_time_embed_dim",
        "cross_attention_norm",
        "num_attention_heads",
        "projection_class_embeddings_input_dim",
        "reverse_transformer_layers_per_block",
        "time_cond_proj_dim",
        "time_embedding_act_fn",
        "timestep_post_act",
    ])?;
    for field in ["conv_in_kernel", "conv_out_kernel"] {
        fields.only(field, &[json!(3)])?;
    }
    fields.only("resnet_out_scale_factor", &[json!(1)])?;
    fields.only("attention_type", &[json!("default")])?;
    for field in [
        "class_embeddings_concat",
        "dual_cross_attention",
        "mid_block_only_cross_attention",
        "only_cross_attention",
        "resnet_skip_time_act",
        "upcast_attention",
        "use_linear_projection",
    ] {
        fields.only(field, &[json!(false), Value::Null])?;
    }
    // These concern additions and blocks that are refused above.
    fields.ignore(&["addition_embed_type_num_heads", "transformer_layers_per_block"]);
    unet_config(fields, channels, (4, 4), Some(attention))
}

/// Translates a super-resolution network's `config.json`.
pub(crate) fn upsampler_config(bytes: &[u8]) -> Result<UNetConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("UNet2DModel")?;
    let channels = fields.sizes("block_out_channels", &[224, 448, 672, 896])?;
    fields.exactly("add_attention", &json!(false))?;
    fields.exactly(DOWN_TYPES, &blocks(channels.len(), None).0)?;
    fields.only("mid_block_type", &[json!("UNetMidBlock2D")])?;
    fields.nulls(&["class_embed_type"])?;
    // These concern attention and learned timesteps, which are refused, and blocks that do not resample by themselves.
    fields.ignore(&[
        "attention_head_dim",
        "attn_norm_num_groups",
        "downsample_type",
        "num_train_timesteps",
        "upsample_type",
    ]);
    unet_config(fields, channels, (3, 3), None)
}

fn unet_config(
    mut fields: Fields,
    channels: Vec<i64>,
    (inputs, outputs): (i64, i64),
    attention: Option<AttentionConfig>,
) -> Result<UNetConfig, ConfigError> {
    let (_, up) = blocks(channels.len(), attention.as_ref());
    fields.exactly("up_block_types", &up)?;
    let config = UNetConfig {
        sample_size: fields.side("sample_size", None)?,
        in_channels: fields.size("in_channels", Some(inputs))?,
        out_channels: fields.size("out_channels", Some(outputs))?,
        layers_per_block: fields.same_count("layers_per_block", 2)?,
        scale_shift: fields.choice(
            "resnet_time_scale_shift",
            Some("default"),
            &[("scale_shift", true), ("default", false)],
        )?,
        norm_groups: fields.size("norm_num_groups", Some(32))?,
        norm_eps: fields.number("norm_eps", 1e-5, 1.0)?,
        block_out_channels: channels,
        attention,
    };
    fields.only("act_fn", &[json!("silu"), json!("swish")])?;
    fields.only("center_input_sample", &[json!(false)])?;
    fields.only("flip_sin_to_cos", &[json!(true)])?;
    fields.only("freq_shift", &[json!(0)])?;
    fields.only("mid_block_scale_factor", &[json!(1)])?;
    fields.nulls(&["num_class_embeds"])?;
    fields.only("time_embedding_type", &[json!("positional")])?;
    fields.only("time_embedding_dim", &[Value::Null, json!(config.time_width())])?;
    // The padding is that of convolutions that these blocks do not have.
    fields.ignore(&["downsample_padding", "dropout"]);
    fields.finish()?;
    check(&config)?;
    Ok(config)
}

/// The finest level that attends, by the types of the blocks on the way down.
fn finest_level(fields: &mut Fields, levels: usize) -> Result<usize, ConfigError> {
    let types = fields.take(DOWN_TYPES).ok_or(ConfigError::Missing(DOWN_TYPES))?;
    let list = types.as_array().map(Vec::as_slice).unwrap_or_default();
    let finest = list.iter().take_while(|block| **block == PLAIN_DOWN).count();
    let attend = list[finest..].iter().all(|block| block == ATTENDING_DOWN);
    if attend && list.len() == levels {
        return Ok(finest);
    }
    let expected = format!(
        "a list of {levels}, first \"{PLAIN_DOWN}\" and then, from some level on, \"{ATTENDING_DOWN}\","
    );
    Err(wrong(DOWN_TYPES, &types, expected))
}

/// The types of the blocks on the way down and up.
fn blocks(levels: usize, attention: Option<&AttentionConfig>) -> (Value, Value) {
    let (mut down, mut up) = (vec![PLAIN_DOWN; levels], vec![PLAIN_UP; levels]);
    if let Some(attention) = attention {
        down.iter_mut().skip(attention.finest_level).for_each(|block| *block = ATTENDING_DOWN);
        up.iter_mut().rev().skip(attention.finest_level).for_each(|block| *block = ATTENDING_UP);
    }
    (json!(down), json!(up))
}

fn check(config: &UNetConfig) -> Result<(), ConfigError> {
    let channels = &config.block_out_channels;
    divides(("timestep wave pair", 2), ("block_out_channels", channels[0]))?;
    for &channels in channels {
        divides(("norm_num_groups", config.norm_groups), ("block_out_channels", channels))?;
    }
    if let Some(attention) = &config.attention {
        // The middle attends too, at the coarsest level, be it the only one.
        for &channels in channels.iter().skip(attention.finest_level).chain(channels.last()) {
            divides(
                ("attention_head_dim", attention.head_width),
                ("block_out_channels", channels),
            )?;
        }
    }
    let halvings = 1 << (channels.len() - 1);
    divides(
        ("resolution of its coarsest level, 1 /", halvings),
        ("sample_size", config.sample_size),
    )
}

/// The `config.json` that reads as `config`: the decoder's with attention, a super-resolution network's without.
pub(crate) fn unet_json(config: &UNetConfig) -> Value {
    let (down, up) = blocks(config.block_out_channels.len(), config.attention.as_ref());
    let mut json = json!({
        "_diffusers_version": super::DIFFUSERS,
        "act_fn": "silu",
        "block_out_channels": config.block_out_channels,
        "center_input_sample": false,
        DOWN_TYPES: down,
        "flip_sin_to_cos": true,
        "freq_shift": 0,
        "in_channels": config.in_channels,
        "layers_per_block": config.layers_per_block,
        "norm_eps": config.norm_eps,
        "norm_num_groups": config.norm_groups,
        "out_channels": config.out_channels,
        "resnet_time_scale_shift": if config.scale_shift { "scale_shift" } else { "default" },
        "sample_size": config.sample_size,
        "up_block_types": up,
    });
    match &config.attention {
        Some(attention) => {
            json["_class_name"] = json!("UNet2DConditionModel");
            json["attention_head_dim"] = json!(attention.head_width);
            json["class_embed_type"] = json!("identity");
            json["cross_attention_dim"] = json!(attention.context_width);
            json["mid_block_type"] = json!(ATTENDING_MIDDLE);
        }
        None => {
            json["_class_name"] = json!("UNet2DModel");
            json["add_attention"] = json!(false);
        }
    }
    json
}
