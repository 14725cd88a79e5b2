//! The settings of a distilled network, in a file of our own.

use diffusion::Distillation;
use serde_json::{Map, Value};

use super::fields::{ConfigError, wrong};

/// The most steps of a student: those of a schedule.
const MOST_STEPS: usize = 1000;

/// The field with the fingerprint of the teacher's folder.
pub(crate) const TEACHER: &str = "teacher";

/// Reads a `distillation.json`: the settings, and the fingerprint of the teacher's folder.
pub(crate) fn distillation(bytes: &[u8]) -> Result<(Distillation, String), ConfigError> {
    let mut fields: Map<String, Value> = files::json::parse(bytes, files::json::CONFIGURATION)
        .map_err(|error| ConfigError::Relation(error.to_string()))?;
    let teacher = fields.remove(TEACHER).unwrap_or_default();
    let Value::String(teacher) = teacher else {
        return Err(wrong(TEACHER, &teacher, "the fingerprint of a folder".to_owned()));
    };
    let distillation: Distillation = serde_json::from_value(fields.into())
        .map_err(|error| ConfigError::Relation(error.to_string()))?;
    let steps = distillation.steps;
    match (1..=MOST_STEPS).contains(&steps) {
        true => Ok((distillation, teacher)),
        false => Err(wrong("steps", &steps.into(), format!("1 to {MOST_STEPS}"))),
    }
}
