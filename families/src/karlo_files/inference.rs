//! The shapes of published networks, read off their tensors.

use decoder::ConditioningConfig;
use prior::PriorConfig;
use weights::Checkpoint;

use super::names::{MEAN, STD};
use super::options::OPTIONS;
use crate::guided_diffusion::{HEAD_WIDTH, count, shape};
use crate::{ConfigError, configs};

/// A tensor of the prior's, and one of the decoder's, by which their files are recognised.
pub(super) const PRIOR_QUERY: &str = "prd_emb";
pub(super) const UNCONDITIONAL: &str = "cf_param";

/// The beginnings of the names of the upsampler's networks' tensors.
pub(super) const FIRST_STEPS: &str = "model_first_steps.";
pub(super) const LAST_STEP: &str = "model_last_step.";

/// The shape of the prior.
pub(super) fn prior(
    checkpoint: &Checkpoint,
    heads: Option<i64>,
) -> Result<PriorConfig, ConfigError> {
    let [width, embedding] = shape(checkpoint, "clip_img_proj.weight")?;
    let [_, text_width] = shape(checkpoint, "text_enc_proj.weight")?;
    let [_, tokens, _] = shape(checkpoint, "positional_embedding")?;
    let heads = match heads {
        Some(heads) => heads,
        None if width % HEAD_WIDTH == 0 => width / HEAD_WIDTH,
        None => {
            return Err(ConfigError::Relation(format!(
                "its width {width} is not a multiple of {HEAD_WIDTH}, a head's: how many heads there are, {OPTIONS} beside it must \
                 say as xf_heads"
            )));
        }
    };
    if heads < 1 || heads > width || width % heads != 0 {
        return Err(ConfigError::Relation(format!(
            "its width {width} is not a multiple of its {heads} heads"
        )));
    }
    let config = PriorConfig {
        embedding,
        text_width,
        context_length: tokens - configs::ADDITIONAL_EMBEDDINGS,
        heads,
        head_width: width / heads,
        layers: count(checkpoint, |n| format!("transformer.resblocks.{n}.ln_1.weight")),
    };
    configs::check_prior(&config)?;
    Ok(config)
}

/// Refuses statistics, those in `file`, of embeddings of another width.
pub(super) fn check_statistics(
    statistics: &Checkpoint,
    file: &str,
    embedding: i64,
) -> Result<(), ConfigError> {
    for (name, noun) in [(MEAN, "mean"), (STD, "deviation")] {
        let found = statistics.shape(name).unwrap_or_default();
        if found != [embedding] {
            return Err(ConfigError::Relation(format!(
                "the {noun} in {file} beside it is {found:?}, and its embeddings have {embedding} numbers"
            )));
        }
    }
    Ok(())
}

/// The shape of the decoder's conditioning.
pub(super) fn conditioning(checkpoint: &Checkpoint) -> Result<ConditioningConfig, ConfigError> {
    let [time_width, embedding] = shape(checkpoint, "clip_emb.weight")?;
    let [context_width, text_width] = shape(checkpoint, "text_seq_proj.0.weight")?;
    let [numbers, _] = shape(checkpoint, "clip_tok_proj.weight")?;
    if context_width < 1 || numbers % context_width != 0 {
        return Err(ConfigError::Relation(format!(
            "its clip_tok_proj has {numbers} outputs, which are no tokens of {context_width} numbers"
        )));
    }
    let extra_tokens = numbers / context_width;
    let config =
        ConditioningConfig { embedding, text_width, time_width, context_width, extra_tokens };
    configs::check_conditioning(&config)?;
    Ok(config)
}
