//! Configurations of diffusers' `UnCLIPScheduler`, `DDPMScheduler` and `DDIMScheduler`.

use diffusion::{
    BetaSchedule, DenoisingErrors, Prediction, SchedulerConfig, TimestepSpacing, Variance,
};
use files::text::excerpt;
use serde_json::{Value, json};

use super::fields::{ConfigError, Fields};

const PREDICTIONS: [(&str, Prediction); 3] = [
    ("epsilon", Prediction::Epsilon),
    ("sample", Prediction::Sample),
    ("v_prediction", Prediction::V),
];
const VARIANCES: [(&str, Variance); 2] =
    [("fixed_small_log", Variance::FixedSmallLog), ("learned_range", Variance::LearnedRange)];

const UNCLIP: &str = "UnCLIPScheduler";
/// The scheduler of ancestral sampling (2006.11239).
pub(crate) const DDPM: &str = "DDPMScheduler";
/// The scheduler of DDIM (2010.02502).
pub(crate) const DDIM: &str = "DDIMScheduler";

/// Translates the `scheduler_config.json` of an `UnCLIPScheduler`.
pub(crate) fn scheduler_config(bytes: &[u8]) -> Result<SchedulerConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(UNCLIP)?;
    fields.only("beta_schedule", &[json!("squaredcos_cap_v2")])?;
    config_of(fields, BetaSchedule::Cosine, Some("fixed_small_log"), &VARIANCES)
}

/// Translates that of a [`DDPM`] or a [`DDIM`].
pub(crate) fn respaced_scheduler_config(bytes: &[u8]) -> Result<SchedulerConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(DDIM).or_else(|_| fields.class(DDPM))?;
    let beta_schedule = respaced_betas(&mut fields)?;
    // The classes have other defaults of the variance, or none.
    config_of(fields, beta_schedule, None, &VARIANCES)
}

/// Translates that of a [`DDPM`] that visits whole strides from an offset on.
pub(crate) fn leading_scheduler_config(bytes: &[u8]) -> Result<SchedulerConfig, ConfigError> {
    let mut fields = Fields::parse(bytes)?;
    fields.class(DDPM)?;
    let train_timesteps = fields.size("num_train_timesteps", Some(1000))?;
    fields.only("timestep_spacing", &[json!("leading")])?;
    let offset = fields.take("steps_offset").unwrap_or_else(|| json!(0));
    let offset = offset
        .as_i64()
        .filter(|offset| (0..train_timesteps).contains(offset))
        .ok_or_else(|| {
            let expected = format!("a whole number from 0 to {}", train_timesteps - 1);
            super::fields::wrong("steps_offset", &offset, expected)
        })?;
    let beta_schedule = betas(&mut fields)?;
    let variances =
        [("fixed_small", Variance::FixedSmall), ("learned_range", Variance::LearnedRange)];
    Ok(SchedulerConfig {
        train_timesteps: train_timesteps as usize,
        timestep_spacing: TimestepSpacing::Leading { offset },
        ..config_of(fields, beta_schedule, Some("fixed_small"), &variances)?
    })
}

/// The configuration of the fields that all classes have; `variance` is the default of the `variances`.
fn config_of(
    mut fields: Fields,
    beta_schedule: BetaSchedule,
    variance: Option<&'static str>,
    variances: &[(&str, Variance)],
) -> Result<SchedulerConfig, ConfigError> {
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
        beta_schedule,
        timestep_spacing: TimestepSpacing::Linspace,
        prediction: fields.choice("prediction_type", Some("epsilon"), &PREDICTIONS)?,
        variance: fields.choice("variance_type", variance, variances)?,
        clip_range: clips.then_some(range),
    };
    fields.finish()?;
    Ok(config)
}

/// The betas of a [`DDPM`] or [`DDIM`], of whose timesteps a sampler visits even strides from the first to the last.
fn respaced_betas(fields: &mut Fields) -> Result<BetaSchedule, ConfigError> {
    fields.exactly("timestep_spacing", &json!("linspace"))?;
    fields.only("set_alpha_to_one", &[json!(true)])?;
    fields.only("steps_offset", &[json!(0)])?;
    betas(fields)
}

/// The betas of a [`DDPM`] or [`DDIM`].
fn betas(fields: &mut Fields) -> Result<BetaSchedule, ConfigError> {
    // This concerns dynamic thresholding, which is refused as any other unknown field that is true.
    fields.ignore(&["dynamic_thresholding_ratio", "sample_max_value"]);
    let start = fields.number("beta_start", 1e-4, 1.0)?;
    let end = fields.number("beta_end", 0.02, 1.0)?;
    let schedules = [
        ("squaredcos_cap_v2", BetaSchedule::Cosine),
        ("linear", BetaSchedule::Linear { start, end }),
    ];
    fields.choice("beta_schedule", Some("linear"), &schedules)
}

/// The `scheduler_config.json` of an `UnCLIPScheduler` that [`scheduler_config`] reads as `config`.
pub(crate) fn scheduler_json(config: &SchedulerConfig) -> Value {
    let mut json = scheduler_fields(config);
    json["_class_name"] = json!(UNCLIP);
    json
}

/// The same of a `class` that is [`DDPM`] or [`DDIM`]. DDIM's has no field for the variance, and passes over ours, which says
/// whether the network has an output for it.
pub(crate) fn respaced_scheduler_json(config: &SchedulerConfig, class: &'static str) -> Value {
    let mut json = scheduler_fields(config);
    json["_class_name"] = json!(class);
    json["timestep_spacing"] = json!("linspace");
    if let BetaSchedule::Linear { start, end } = config.beta_schedule {
        json["beta_schedule"] = json!("linear");
        json["beta_start"] = json!(start);
        json["beta_end"] = json!(end);
    }
    json
}

/// Translates the `denoising_errors.json` of a network that was trained with so many timesteps.
pub(crate) fn denoising_errors(
    bytes: &[u8],
    train_timesteps: usize,
) -> Result<DenoisingErrors, ConfigError> {
    let fields = Fields::parse(bytes)?.into_object();
    let errors: DenoisingErrors = serde_json::from_value(Value::Object(fields))
        .map_err(|error| ConfigError::Relation(excerpt(&error.to_string())))?;
    let checked = errors.check(train_timesteps);
    checked.map_err(|error| ConfigError::Relation(error.to_string()))?;
    Ok(errors)
}

fn scheduler_fields(config: &SchedulerConfig) -> Value {
    json!({
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
            Variance::FixedSmall => "fixed_small",
            Variance::LearnedRange => "learned_range",
        },
    })
}
