//! Configurations of diffusers' `UnCLIPScheduler`.

use diffusion::{BetaSchedule, Prediction, SchedulerConfig, Variance};
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields};

const PREDICTIONS: [(&str, Prediction); 3] = [
    ("epsilon", Prediction::Epsilon),
    ("sample", Prediction::Sample),
    ("v_prediction", Prediction::V),
];
const VARIANCES: [(&str, Variance); 2] =
    [("fixed_small_log", Variance::FixedSmallLog), ("learned_range", Variance::LearnedRange)];

/// Translates a `scheduler_config.json`.
pub(crate) fn scheduler_config(bytes: &[u8]) -> Result<SchedulerConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class("UnCLIPScheduler")?;
    let range = fields.number("clip_sample_range", 1.0, 1000.0)?;
    let clips = match fields.take("clip_sample") {
        None | Some(Value::Bool(true)) => true,
        Some(Value::Bool(false)) => false,
        Some(other) => {
            return Err(super::fields::wrong("clip_sample", &other, "true or false".to_owned()));
        }
    };
    let config = SchedulerConfig {
        train_timesteps: fields.size("num_train_timesteps", Some(1000))? as usize,
        beta_schedule: BetaSchedule::Cosine,
        prediction: fields.choice("prediction_type", Some("epsilon"), &PREDICTIONS)?,
        variance: fields.choice("variance_type", Some("fixed_small_log"), &VARIANCES)?,
        clip_range: clips.then_some(range),
    };
    fields.only("beta_schedule", &[json!("squaredcos_cap_v2")])?;
    fields.finish()?;
    Ok(config)
}

/// The `scheduler_config.json` that [`scheduler_config`] reads as `config`.
pub(crate) fn scheduler_json(config: &SchedulerConfig) -> Value {
    json!({
        "_class_name": "UnCLIPScheduler",
        "_diffusers_version": super::DIFFUSERS,
        "beta_schedule": "squaredcos_cap_v2",
        "clip_sample": config.clip_range.is_some(),
        "clip_sample_range": config.clip_range.unwrap_or(1.0),
        "num_train_timesteps": config.train_timesteps,
        "prediction_type": match config.prediction {
            Prediction::Epsilon => "epsilon",
            Prediction::Sample => "sample",
            Prediction::V => "v_prediction",
        },
        "variance_type": match config.variance {
            Variance::FixedSmallLog => "fixed_small_log",
            Variance::LearnedRange => "learned_range",
        },
    })
}
