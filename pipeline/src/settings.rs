//! What a user wishes of a picture, apart from its caption and its seed.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::codes::CodeSampling;

/// The three diffusions of a picture, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Draws the image embedding.
    Prior,
    /// Draws the small picture.
    Decoder,
    /// Draws the large picture.
    Upsampler,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Prior, Self::Decoder, Self::Upsampler];

    /// The setting that says how many steps the stage takes.
    pub(crate) fn steps_setting(self) -> &'static str {
        match self {
            Self::Prior => "prior_steps",
            Self::Decoder => "decoder_steps",
            Self::Upsampler => "upsampler_steps",
        }
    }

    /// The stage's name, as in the settings' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prior => "prior",
            Self::Decoder => "decoder",
            Self::Upsampler => "upsampler",
        }
    }
}

/// Presets leave a stage this many steps, or all where it has fewer.
const LEAST_STEPS: usize = 5;

/// The most embeddings that the prior draws for one picture, and the most small pictures.
pub const MOST_CANDIDATES: usize = 1000;

/// The largest guidance scale: 1 to 20 are usual, and far beyond this one pictures are no longer finite.
const LARGEST_SCALE: f64 = 1000.0;

/// The longest caption, in bytes: a thousand times what a text encoder reads.
pub const LONGEST_CAPTION: usize = 1 << 16;

/// How many steps each stage takes and how strongly the caption pulls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Steps of the prior.
    pub prior_steps: usize,
    /// Embeddings that the prior draws, of which the one closest to the caption's is kept (section 2.2).
    #[serde(default = "one")]
    pub prior_candidates: usize,
    /// Small pictures that are drawn, with an embedding each where the prior takes part, of which the one whose CLIP embedding
    /// is the closest to what was asked for is enlarged: to the caption's, or to the image embedding that was given
    /// (2102.12092, section 2.6).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub candidates: usize,
    /// Steps of the decoder.
    pub decoder_steps: usize,
    /// Steps of the upsampler, of which the last runs a network of its own.
    pub upsampler_steps: usize,
    /// How far the prior's prediction is carried from the unconditional one to the caption's and beyond.
    pub prior_guidance_scale: f64,
    /// The same for the decoder.
    pub decoder_guidance_scale: f64,
    /// How the autoregressive prior draws, where it does; else the diffusion prior draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_codes: Option<CodeSampling>,
    /// What takes the prior's and the decoder's steps. The upsampler's are always the published sampler's, whose last
    /// network finishes what that one leaves.
    #[serde(default, skip_serializing_if = "Solver::is_published")]
    pub solver: Solver,
    /// The part of the decoder's timesteps that is guided, both ends included: 0 is the clean picture and 1 is noise
    /// (2404.07724). Everywhere else its answer to the caption and the embedding is taken as it is, at half the cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_interval: Option<[f64; 2]>,
}

/// What takes the steps of a diffusion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Solver {
    /// The published sampler, which draws noise in every step but the last (2006.11239).
    #[default]
    #[serde(rename = "ddpm")]
    Ddpm,
    /// DPM-Solver++(2M), which needs fewer steps and draws none (2211.01095).
    #[serde(rename = "dpm-solver++")]
    DpmSolver,
}

impl Solver {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Ddpm, Self::DpmSolver];

    /// The solver's name, as settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::DpmSolver => "dpm-solver++",
        }
    }

    fn is_published(&self) -> bool {
        *self == Self::Ddpm
    }
}

/// How much time a picture may take: shares of the steps that the model's makers draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A third of their steps, for first looks.
    Fast,
    /// Half of their prior's and decoder's steps.
    Balanced,
    /// What they draw with.
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

    /// `settings` with the preset's steps, which are shares of the makers', its solver and its guidance interval; all
    /// else as it was. The upsampler keeps more of its steps: with fewer, its last network leaves noise.
    pub fn over(self, settings: Settings, makers: &Settings) -> Settings {
        let (embedding_and_decoder, upsampler) = match self {
            Self::Fast => (0.32, 0.7),
            Self::Balanced => (0.5, 1.0),
            Self::Quality => (1.0, 1.0),
        };
        let (solver, guidance_interval) = match self {
            Self::Fast => (Solver::DpmSolver, Some([0.3, 0.9])),
            Self::Balanced => (Solver::DpmSolver, None),
            Self::Quality => (makers.solver, makers.guidance_interval),
        };
        let of = |share: f64, steps: usize| {
            let steps_of_share = (share * steps as f64).round() as usize;
            steps_of_share.max(LEAST_STEPS.min(steps))
        };
        Settings {
            prior_steps: of(embedding_and_decoder, makers.prior_steps),
            decoder_steps: of(embedding_and_decoder, makers.decoder_steps),
            upsampler_steps: of(upsampler, makers.upsampler_steps),
            solver,
            guidance_interval,
            ..settings
        }
    }
}

impl Settings {
    /// What Karlo's authors draw with.
    pub fn karlo() -> Self {
        Self {
            prior_steps: 25,
            prior_candidates: 1,
            candidates: 1,
            decoder_steps: 25,
            upsampler_steps: 7,
            prior_guidance_scale: 4.0,
            decoder_guidance_scale: 8.0,
            prior_codes: None,
            solver: Solver::Ddpm,
            guidance_interval: None,
        }
    }

    /// The same for a task in which the prior takes no part, and the decoder alone says whether it is guided.
    pub fn without_prior(&self) -> Self {
        Self { prior_guidance_scale: 1.0, prior_codes: None, ..*self }
    }

    /// The steps of one stage.
    pub fn steps(&self, stage: Stage) -> usize {
        match stage {
            Stage::Prior => self.prior_steps,
            Stage::Decoder => self.decoder_steps,
            Stage::Upsampler => self.upsampler_steps,
        }
    }

    /// What takes a stage's steps.
    pub fn solver(&self, stage: Stage) -> Solver {
        match stage {
            Stage::Prior | Stage::Decoder => self.solver,
            Stage::Upsampler => Solver::Ddpm,
        }
    }

    /// The guidance scale of a stage, or `None` where the stage runs on the caption alone: with a scale of 1, of which the
    /// caption's answer alone is left.
    ///
    /// As in the reference, both stages are guided as soon as either scale is greater than 1.
    pub fn guidance(&self, stage: Stage) -> Option<f64> {
        let guided = self.prior_guidance_scale > 1.0 || self.decoder_guidance_scale > 1.0;
        let scale = match stage {
            Stage::Prior => self.prior_guidance_scale,
            Stage::Decoder => self.decoder_guidance_scale,
            Stage::Upsampler => return None,
        };
        (guided && scale != 1.0).then_some(scale)
    }

    /// The timesteps at which a stage is guided where it is, of a schedule that has so many.
    pub(crate) fn guided_timesteps(&self, stage: Stage, timesteps: usize) -> RangeInclusive<i64> {
        let last = timesteps.saturating_sub(1) as f64;
        match (stage, self.guidance_interval) {
            (Stage::Decoder, Some([low, high])) => {
                (low * last).ceil() as i64..=(high * last).floor() as i64
            }
            _ => 0..=last as i64,
        }
    }

    /// Refuses scales that are no finite numbers, an interval without ends, and a choice among no candidates.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (setting, count) in
            [("prior_candidates", self.prior_candidates), ("candidates", self.candidates)]
        {
            if !(1..=MOST_CANDIDATES).contains(&count) {
                let must = format!("one is chosen among 1 to {MOST_CANDIDATES}");
                return Err(Error::number(setting, count, &must));
            }
        }
        if let Some(sampling) = self.prior_codes {
            sampling.check()?;
        }
        if let Some([low, high]) = self.guidance_interval
            && !(0.0 <= low && low < high && high <= 1.0)
        {
            let must =
                "both lie between 0, the clean picture, and 1, noise, the first below the second";
            let interval = format!("{low},{high}");
            return Err(Error::number("guidance_interval", interval, must));
        }
        let scales = [
            ("prior_guidance_scale", self.prior_guidance_scale),
            ("decoder_guidance_scale", self.decoder_guidance_scale),
        ];
        let is_usable = |value: f64| value.abs() <= LARGEST_SCALE;
        match scales.into_iter().find(|(_, value)| !is_usable(*value)) {
            Some((setting, value)) => {
                let must = format!("it must lie between -{LARGEST_SCALE} and {LARGEST_SCALE}");
                Err(Error::number(setting, format!("{value:?}"), &must))
            }
            None => Ok(()),
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

/// Refuses captions that say nothing or hold a NUL character, which no caption means to.
pub fn check_caption(caption: &str) -> Result<(), Error> {
    if caption.trim().is_empty() {
        return Err(Error::EmptyCaption);
    }
    if caption.len() > LONGEST_CAPTION {
        return Err(Error::LongCaption { length: caption.len() });
    }
    match caption.find('\0') {
        Some(position) => Err(Error::NulInCaption { position }),
        None => Ok(()),
    }
}
