//! Settings that a user changes, on top of the model's own.

use serde::{Deserialize, Serialize};

use crate::ar_sampling::CodeSampling;
use crate::{Error, Settings, Solver};

/// A preset leaves a stage this many steps, or all where it has fewer.
const LEAST_STEPS: usize = 5;

/// How much time an image may take: shares of the steps that the model's authors sample with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A third of their steps, for first looks.
    Fast,
    /// Half of their prior's and decoder's steps.
    Balanced,
    /// Their own settings.
    Quality,
}

impl Preset {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Balanced, Self::Quality];

    /// The preset's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Quality => "quality",
        }
    }

    /// `settings` with the preset's steps, which are shares of `defaults`', its solver and its guidance interval; all else as
    /// it was. A stage that upsamples, which is not guided, keeps more of its steps: with fewer, its last network leaves noise.
    pub fn apply(self, mut settings: Settings, defaults: &Settings) -> Settings {
        let (guided, upsampled) = match self {
            Self::Fast => (0.32, 0.7),
            Self::Balanced => (0.5, 1.0),
            Self::Quality => (1.0, 1.0),
        };
        (settings.solver, settings.guidance_interval) = match self {
            Self::Fast => (Solver::DpmSolver, Some([0.3, 0.9])),
            Self::Balanced => (Solver::DpmSolver, None),
            Self::Quality => (defaults.solver, defaults.guidance_interval),
        };
        let steps = |share: f64, steps: usize| {
            let share_of_steps = (share * steps as f64).round() as usize;
            share_of_steps.max(LEAST_STEPS.min(steps))
        };
        settings.prior.steps = steps(guided, defaults.prior.steps);
        for stage in &mut settings.stages {
            if let Some(default) = defaults.stage(&stage.name) {
                let share = if default.guidance_scale.is_some() { guided } else { upsampled };
                stage.steps = steps(share, default.steps);
            }
        }
        settings
    }
}

/// Settings that differ from those of the model; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsOverrides {
    /// [`Settings::solver`]
    pub solver: Option<Solver>,
    /// [`Settings::candidates`]
    pub candidates: Option<usize>,
    /// [`Settings::guidance_interval`]
    pub guidance_interval: Option<[f64; 2]>,
    /// [`Settings::thresholding`]
    pub thresholding: Option<f64>,
    /// Steps of the diffusion prior.
    pub prior_steps: Option<usize>,
    /// Embeddings that the prior samples.
    pub prior_candidates: Option<usize>,
    /// The prior's guidance scale.
    pub prior_guidance_scale: Option<f64>,
    /// [`CodeSampling::temperature`]
    pub prior_temperature: Option<f64>,
    /// [`CodeSampling::top_p`]
    pub prior_top_p: Option<f64>,
    /// Those of the stages.
    pub stages: Vec<StageOverrides>,
}

/// Settings of a stage that differ from those of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageOverrides {
    /// The stage's name in its family.
    pub name: String,
    /// Its steps.
    pub steps: Option<usize>,
    /// Its guidance scale.
    pub guidance_scale: Option<f64>,
}

impl SettingsOverrides {
    /// The steps of a stage.
    pub fn with_steps(self, name: &str, steps: Option<usize>) -> Self {
        self.with(StageOverrides { name: name.to_owned(), steps, guidance_scale: None })
    }

    /// The guidance scale of a stage.
    pub fn with_guidance_scale(self, name: &str, guidance_scale: Option<f64>) -> Self {
        self.with(StageOverrides { name: name.to_owned(), steps: None, guidance_scale })
    }

    fn with(mut self, stage: StageOverrides) -> Self {
        if stage.steps.is_some() || stage.guidance_scale.is_some() {
            self.stages.push(stage);
        }
        self
    }

    /// The settings with all overrides. An error for a setting of the prior that does not sample, and for a stage that the
    /// model does not have.
    pub fn apply(&self, mut settings: Settings) -> Result<Settings, Error> {
        self.check_prior(settings.prior.codes.is_some())?;
        settings.solver = self.solver.unwrap_or(settings.solver);
        settings.candidates = self.candidates.unwrap_or(settings.candidates);
        settings.guidance_interval = self.guidance_interval.or(settings.guidance_interval);
        settings.thresholding = self.thresholding.or(settings.thresholding);
        let prior = &mut settings.prior;
        prior.steps = self.prior_steps.unwrap_or(prior.steps);
        prior.candidates = self.prior_candidates.unwrap_or(prior.candidates);
        prior.guidance_scale = self.prior_guidance_scale.unwrap_or(prior.guidance_scale);
        prior.codes = prior.codes.map(|codes| CodeSampling {
            temperature: self.prior_temperature.unwrap_or(codes.temperature),
            top_p: self.prior_top_p.unwrap_or(codes.top_p),
            ..codes
        });
        for StageOverrides { name, steps, guidance_scale } in &self.stages {
            let Some(stage) = settings.stage_mut(name) else {
                let setting = match steps {
                    Some(_) => format!("{name}_steps"),
                    None => format!("{name}_guidance_scale"),
                };
                return Err(Error::NoStage { setting, stage: name.clone() });
            };
            stage.steps = steps.unwrap_or(stage.steps);
            stage.guidance_scale = guidance_scale.or(stage.guidance_scale);
        }
        Ok(settings)
    }

    /// Refuses settings of the prior that does not sample.
    fn check_prior(&self, autoregressive: bool) -> Result<(), Error> {
        let others: &[_] = match autoregressive {
            true => &[("prior_steps", self.prior_steps.is_some())],
            false => &[
                ("prior_temperature", self.prior_temperature.is_some()),
                ("prior_top_p", self.prior_top_p.is_some()),
            ],
        };
        match others.iter().find(|(_, is_set)| *is_set) {
            Some((setting, _)) => Err(Error::OtherPrior { setting, autoregressive }),
            None => Ok(()),
        }
    }
}
