//! Recipes of progressive distillation (2202.00512).

use serde::{Deserialize, Serialize};

use super::checks::{FINITE, POSITIVE, check_count, check_number};
use crate::noising::TIMESTEPS;
use crate::{Error, RunSettings};

/// A student of few steps, which begins with its teacher's weights, and its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationRecipe {
    /// The student's steps.
    pub steps: usize,
    /// The teacher's steps in each of the student's.
    pub teacher_steps: usize,
    /// The lambda, log(alpha / sigma), of the timestep that the student begins at. The smaller it is, the more a predicted
    /// noise's error counts in the first x_0.
    pub min_lambda: f64,
    /// The guidance scale of the teacher, which the student learns (2210.03142); none where the teacher is not guided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
    /// The loss of x_0 is weighted by max(alpha_bar / (1 - alpha_bar), 1), but no more than this.
    pub weight_limit: f64,
    /// As the decoder's.
    pub gradient_checkpointing: bool,
    /// Beginnings of the names of tensors that stay the teacher's, and are not stored with the student.
    pub frozen: Vec<String>,
    /// Its run.
    pub run: RunSettings,
}

impl DistillationRecipe {
    /// Refuses a student that cannot be trained.
    pub(super) fn check(&self, part: &str, guided: bool) -> Result<(), Error> {
        check_count(&format!("{part}.steps"), self.steps, 1..=TIMESTEPS)?;
        check_count(&format!("{part}.teacher_steps"), self.teacher_steps, 1..=TIMESTEPS)?;
        check_number(&format!("{part}.min_lambda"), self.min_lambda, FINITE)?;
        check_number(&format!("{part}.weight_limit"), self.weight_limit, POSITIVE)?;
        if let Some(scale) = self.guidance_scale {
            check_number(&format!("{part}.guidance_scale"), scale, FINITE)?;
            if !guided {
                return Err(Error::Recipe(format!(
                    "{part}.guidance_scale is {scale}, and an upsampler is not guided: leave it out"
                )));
            }
        }
        self.run.check(part)
    }

    /// Whether a tensor is trained.
    pub(crate) fn trains(&self, name: &str) -> bool {
        !self.frozen.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}
