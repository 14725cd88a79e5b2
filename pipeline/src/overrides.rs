//! Settings that a user changes, on top of the model's own.

use diffusion::TimestepRespacing;
use serde::{Deserialize, Serialize};

use crate::ar_sampling::CodeSampling;
use crate::{Error, Settings, Solver};

/// A preset leaves a stage this many steps, or all where it has fewer.
const LEAST_STEPS: usize = 5;

/// The steps of a model's distilled networks, by the names of their stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Students(pub(crate) Vec<(String, usize)>);

impl Students {
    /// The steps of a stage's distilled network.
    pub fn steps(&self, stage: &str) -> Option<usize> {
        let found = self.0.iter().find(|(name, _)| name == stage);
        found.map(|(_, steps)| *steps)
    }
}

/// How much time an image may take: shares of the steps that the model's authors sample with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The distilled networks of a model that has any, else a third of the authors' steps: for first looks.
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
    /// The fast one takes the `students` of a model instead, where it has any, with fewer steps of the prior.
    pub fn apply(
        self,
        mut settings: Settings,
        defaults: &Settings,
        students: &Students,
    ) -> Settings {
        if self == Self::Fast && !students.0.is_empty() {
            return distilled(settings, defaults, students);
        }
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
        if let (Some(prior), Some(default)) = (&mut settings.prior, &defaults.prior) {
            prior.steps = steps(guided, default.steps);
        }
        for stage in &mut settings.stages {
            if let Some(default) = defaults.stage(&stage.name) {
                let share = if default.guidance_scale.is_some() { guided } else { upsampled };
                stage.steps = match share == 1.0 {
                    true => default.steps.clone(),
                    false => TimestepRespacing::Count(steps(share, default.steps.count())),
                };
            }
        }
        settings
    }
}

/// `settings` with a model's distilled networks, in their steps and without guidance.
fn distilled(mut settings: Settings, defaults: &Settings, students: &Students) -> Settings {
    settings.solver = Solver::Distilled;
    settings.guidance_interval = defaults.guidance_interval;
    if let (Some(prior), Some(default)) = (&mut settings.prior, &defaults.prior) {
        prior.steps = LEAST_STEPS.min(default.steps);
    }
    for stage in &mut settings.stages {
        match (students.steps(&stage.name), defaults.stage(&stage.name)) {
            (Some(steps), _) => {
                stage.steps = TimestepRespacing::Count(steps);
                stage.guidance_scale = stage.guidance_scale.map(|_| 1.0);
            }
            (None, Some(default)) => stage.steps = default.steps.clone(),
            (None, None) => {}
        }
    }
    settings
}

/// Settings that differ from those of the model; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsOverrides {
    /// [`Settings::solver`]
    pub solver: Option<Solver>,
    /// [`Settings::candidates`]
    pub candidates: Option<usize>,
    /// [`Settings::clip_guidance_scale`]
    pub clip_guidance_scale: Option<f64>,
    /// [`Settings::guidance_interval`]
    pub guidance_interval: Option<[f64; 2]>,
    /// [`Settings::thresholding`]
    pub thresholding: Option<f64>,
    /// [`Settings::width`]
    pub width: Option<u32>,
    /// [`Settings::height`]
    pub height: Option<u32>,
    /// [`Settings::strength`]
    pub strength: Option<f64>,
    /// [`Settings::resample`]
    pub resample: Option<usize>,
    /// Steps of the diffusion prior.
    pub prior_steps: Option<usize>,
    /// Embeddings that the prior samples.
    pub prior_candidates: Option<usize>,
    /// The prior's guidance scale.
    pub prior_guidance_scale: Option<f64>,
    /// [`PriorSettings::strength`](crate::settings::PriorSettings::strength)
    pub prior_strength: Option<f64>,
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
    pub steps: Option<TimestepRespacing>,
    /// Its guidance scale.
    pub guidance_scale: Option<f64>,
    /// The temperature of the noise that it begins with.
    pub temperature: Option<f64>,
}

impl SettingsOverrides {
    /// The steps of a stage.
    pub fn with_steps(self, name: &str, steps: Option<TimestepRespacing>) -> Self {
        self.with(StageOverrides { name: name.to_owned(), steps, ..StageOverrides::default() })
    }

    /// The guidance scale of a stage.
    pub fn with_guidance_scale(self, name: &str, guidance_scale: Option<f64>) -> Self {
        let name = name.to_owned();
        self.with(StageOverrides { name, guidance_scale, ..StageOverrides::default() })
    }

    /// The temperature of a stage.
    pub fn with_temperature(self, name: &str, temperature: Option<f64>) -> Self {
        self.with(StageOverrides {
            name: name.to_owned(),
            temperature,
            ..StageOverrides::default()
        })
    }

    fn with(mut self, stage: StageOverrides) -> Self {
        if stage != (StageOverrides { name: stage.name.clone(), ..StageOverrides::default() }) {
            self.stages.push(stage);
        }
        self
    }

    /// Whether they say a guidance scale of a stage.
    pub fn has_guidance_scale(&self) -> bool {
        self.stages.iter().any(|stage| stage.guidance_scale.is_some())
    }

    /// The settings with all overrides. Guidance by CLIP takes the place of classifier-free guidance, as in GLIDE's notebook,
    /// unless the scales of both are among the overrides. An error for a setting of the prior that does not sample, and for a
    /// stage that the model does not have.
    pub fn apply(&self, mut settings: Settings) -> Result<Settings, Error> {
        self.check_prior(&settings)?;
        if self.clip_guidance_scale.is_some() {
            settings.clip_guidance_scale = self.clip_guidance_scale;
            let interval = self.guidance_interval.filter(|_| !self.has_guidance_scale());
            if let Some([low, high]) = interval {
                let must = "it is the interval of classifier-free guidance, in whose place clip_guidance_scale guides unless \
                            decoder_guidance_scale is given too";
                return Err(Error::setting("guidance_interval", format!("{low},{high}"), must));
            }
            for stage in &mut settings.stages {
                stage.guidance_scale = stage.guidance_scale.map(|_| 1.0);
            }
        }
        settings.solver = self.solver.unwrap_or(settings.solver);
        settings.candidates = self.candidates.unwrap_or(settings.candidates);
        settings.guidance_interval = self.guidance_interval.or(settings.guidance_interval);
        settings.thresholding = self.thresholding.or(settings.thresholding);
        settings.width = self.width.or(settings.width);
        settings.height = self.height.or(settings.height);
        settings.strength = self.strength.or(settings.strength);
        settings.resample = self.resample.or(settings.resample);
        if let Some(prior) = &mut settings.prior {
            prior.steps = self.prior_steps.unwrap_or(prior.steps);
            prior.candidates = self.prior_candidates.unwrap_or(prior.candidates);
            prior.guidance_scale = self.prior_guidance_scale.unwrap_or(prior.guidance_scale);
            prior.strength = self.prior_strength.or(prior.strength);
            prior.codes = prior.codes.map(|codes| CodeSampling {
                temperature: self.prior_temperature.unwrap_or(codes.temperature),
                top_p: self.prior_top_p.unwrap_or(codes.top_p),
                ..codes
            });
        }
        for StageOverrides { name, steps, guidance_scale, temperature } in &self.stages {
            let Some(stage) = settings.stage_mut(name) else {
                let setting = match (steps, guidance_scale) {
                    (Some(_), _) => format!("{name}_steps"),
                    (None, Some(_)) => format!("{name}_guidance_scale"),
                    (None, None) => format!("{name}_temperature"),
                };
                return Err(Error::NoStage { setting, stage: name.clone() });
            };
            if let Some(steps) = steps {
                stage.steps = steps.clone();
            }
            stage.guidance_scale = guidance_scale.or(stage.guidance_scale);
            stage.temperature = temperature.or(stage.temperature);
        }
        Ok(settings)
    }

    /// Refuses settings of a prior that does not sample.
    fn check_prior(&self, settings: &Settings) -> Result<(), Error> {
        if settings.prior.is_none() {
            let settings = [
                ("prior_steps", self.prior_steps.is_some()),
                ("prior_candidates", self.prior_candidates.is_some()),
                ("prior_guidance_scale", self.prior_guidance_scale.is_some()),
                ("prior_strength", self.prior_strength.is_some()),
                ("prior_temperature", self.prior_temperature.is_some()),
                ("prior_top_p", self.prior_top_p.is_some()),
            ];
            let stage = crate::observer::PRIOR.to_owned();
            return match settings.into_iter().find(|(_, is_set)| *is_set) {
                Some((setting, _)) => Err(Error::NoStage { setting: setting.to_owned(), stage }),
                None => Ok(()),
            };
        }
        let autoregressive = settings.codes().is_some();
        let others: &[_] = match autoregressive {
            true => &[
                ("prior_steps", self.prior_steps.is_some()),
                ("prior_strength", self.prior_strength.is_some()),
            ],
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
