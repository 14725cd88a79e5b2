//! The settings of a distilled network, in a file of our own.

use diffusion::Distillation;

use super::fields::{ConfigError, wrong};

/// The most steps of a student: those of a schedule.
const MOST_STEPS: usize = 1000;

/// Reads a `distillation.json`.
pub(crate) fn distillation(bytes: &[u8]) -> Result<Distillation, ConfigError> {
    let distillation: Distillation = files::json::parse(bytes, files::json::CONFIGURATION)
        .map_err(|error| ConfigError::Relation(error.to_string()))?;
    let steps = distillation.steps;
    match (1..=MOST_STEPS).contains(&steps) {
        true => Ok(distillation),
        false => Err(wrong("steps", &steps.into(), format!("1 to {MOST_STEPS}"))),
    }
}
