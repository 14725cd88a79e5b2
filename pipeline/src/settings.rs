//! Steps, guidance and candidates of an image, apart from its caption and its seed.

use std::ops::RangeInclusive;

use diffusion::TimestepRespacing;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ar_sampling::CodeSampling;
use crate::image_to_image::Strength;
use crate::repaint::MOST_RESAMPLE;

/// The most embeddings that the prior samples for one image, and the most base images.
pub const MOST_CANDIDATES: usize = 1000;

/// The largest guidance scale: 1 to 20 are usual, and far beyond this one images are no longer finite.
const LARGEST_SCALE: f64 = 1000.0;

/// The largest temperature of the noise that a stage begins with: 1 is usual.
const LARGEST_TEMPERATURE: f64 = 10.0;

/// The longest caption, in bytes: a thousand times what a text encoder reads.
pub const LONGEST_CAPTION: usize = 1 << 16;

/// How many steps each stage takes and how strongly the caption pulls.
///
/// Serialised as one flat object in which a stage's settings bear its name: `decoder_steps`, `decoder_guidance_scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The prior, which samples the image embedding, in models that have one.
    pub prior: Option<PriorSettings>,
    /// The stages that sample images, in their order.
    pub stages: Vec<StageSettings>,
    /// Base images that are sampled, with an embedding each where the prior takes part, of which the reranker chooses the one
    /// that is upsampled (2102.12092, section 2.6).
    pub candidates: usize,
    /// The solver of the prior and of the stages that are guided. A stage that upsamples always takes the published
    /// sampler's steps, whose last network finishes what that one leaves.
    pub solver: Solver,
    /// How far the gradient of a CLIP of noised images moves each step of the base image towards the caption (2112.10741,
    /// section 2.4); `None` for no such guidance.
    pub clip_guidance_scale: Option<f64>,
    /// The part of the guided stages' timesteps that is guided, both ends included: 0 is the clean image and 1 is noise
    /// (2404.07724). Everywhere else their prediction for the caption and the embedding is taken as it is, at half the cost.
    pub guidance_interval: Option<[f64; 2]>,
    /// The quantile of |x_0| that dynamic thresholding clips the guided stages' predictions at (2205.11487, section 2.3);
    /// `None` clips at 1, as published.
    pub thresholding: Option<f64>,
    /// The width of the images in pixels; `None` for the model's own, which it always is where no latents are denoised.
    pub width: Option<u32>,
    /// Their height.
    pub height: Option<u32>,
    /// The share of the base stage's steps that an image to start from is noised and denoised by (2108.01073); `None`
    /// for [`STRENGTH`](crate::image_to_image::STRENGTH).
    pub strength: Option<f64>,
    /// How many times RePaint takes each step of the base image that is inpainted by a network which takes no mask (2201.09865,
    /// section 4.2); `None` for [`RESAMPLE`](crate::repaint::RESAMPLE) times.
    pub resample: Option<usize>,
}

/// The settings of a prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorSettings {
    /// Steps of the diffusion prior.
    pub steps: usize,
    /// How far its prediction moves from the unconditional one to the caption's and beyond.
    pub guidance_scale: f64,
    /// Embeddings that are sampled, of which the one most similar to the caption's is taken (section 2.2).
    pub candidates: usize,
    /// The share of its steps that an image embedding to start from is noised and denoised by; `None` for
    /// [`STRENGTH`](crate::image_to_image::STRENGTH).
    pub strength: Option<f64>,
    /// How the autoregressive prior samples, where it does; else the diffusion prior does.
    pub codes: Option<CodeSampling>,
}

/// The settings of a stage that samples images.
#[derive(Clone, Debug, PartialEq)]
pub struct StageSettings {
    /// The stage's name in its family.
    pub name: String,
    /// Its steps.
    pub steps: TimestepRespacing,
    /// How far its prediction moves from the unconditional one to the conditional one and beyond; `None` for a stage that
    /// upsamples, which is not guided.
    pub guidance_scale: Option<f64>,
    /// The standard deviation of the noise that it begins with; `None` for 1, in stages whose authors change it nowhere.
    pub temperature: Option<f64>,
}

/// The method that takes the steps of a diffusion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Solver {
    /// The published sampler, which draws noise in every step but the last (2006.11239).
    #[default]
    #[serde(rename = "ddpm")]
    Ddpm,
    /// DDIM with eta 0, which adds no noise (2010.02502).
    #[serde(rename = "ddim")]
    Ddim,
    /// DPM-Solver++(2M), which needs fewer steps and draws none (2211.01095).
    #[serde(rename = "dpm-solver++")]
    DpmSolver,
    /// Analytic-DPM for the diffusion prior, as the paper samples it (2201.06503; 2204.06125, table 3): the published sampler
    /// with the optimal variance, which needs the prior's measured errors. The stages take the published sampler, whose
    /// variance is learned.
    #[serde(rename = "analytic")]
    Analytic,
    /// The model's distilled networks, each in the steps that it was trained for and without guidance (2202.00512); where a
    /// stage has none, and in the prior, the published sampler.
    #[serde(rename = "distilled")]
    Distilled,
}

impl Solver {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ddpm, Self::Ddim, Self::DpmSolver, Self::Analytic, Self::Distilled];

    /// The solver's name, as settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::Ddim => "ddim",
            Self::DpmSolver => "dpm-solver++",
            Self::Analytic => "analytic",
            Self::Distilled => "distilled",
        }
    }
}

impl Settings {
    /// The settings of the family's authors.
    pub fn of_family(family: &families::Family) -> Self {
        let defaults = &family.defaults;
        let stages = family.stages.iter().zip(&defaults.stages);
        Self {
            prior: defaults.prior.map(|prior| PriorSettings {
                steps: prior.steps,
                guidance_scale: prior.guidance_scale,
                candidates: 1,
                strength: None,
                codes: None,
            }),
            stages: stages
                .map(|(stage, defaults)| StageSettings {
                    name: stage.name.to_owned(),
                    steps: defaults.steps.clone(),
                    guidance_scale: defaults.guidance_scale,
                    temperature: defaults.temperature,
                })
                .collect(),
            candidates: 1,
            solver: Solver::Ddpm,
            clip_guidance_scale: None,
            guidance_interval: None,
            thresholding: None,
            width: None,
            height: None,
            strength: None,
            resample: None,
        }
    }

    /// The same for a task in which the prior takes no part, and the stages alone say whether they are guided.
    pub fn without_prior(mut self) -> Self {
        if let Some(prior) = &mut self.prior {
            (prior.guidance_scale, prior.codes) = (1.0, None);
        }
        self
    }

    /// The same without guidance, for images of which nothing is said.
    pub(crate) fn without_guidance(mut self) -> Self {
        self.stages.iter_mut().for_each(|stage| stage.guidance_scale = None);
        self
    }

    /// The same by the autoregressive prior, or by the diffusion prior.
    pub fn with_codes(mut self, codes: Option<CodeSampling>) -> Self {
        if let Some(prior) = &mut self.prior {
            prior.codes = codes;
        }
        self
    }

    /// How the autoregressive prior samples, where it does.
    pub fn codes(&self) -> Option<CodeSampling> {
        self.prior.as_ref()?.codes
    }

    /// The settings of a stage, by its name.
    pub fn stage(&self, name: &str) -> Option<&StageSettings> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The same, to change them.
    pub fn stage_mut(&mut self, name: &str) -> Option<&mut StageSettings> {
        self.stages.iter_mut().find(|stage| stage.name == name)
    }

    /// The stage that samples the base image.
    pub fn base(&self) -> Option<&StageSettings> {
        self.stages.first()
    }

    /// The guidance scale of the prior; `None` where it runs on the caption alone.
    pub fn prior_guidance(&self) -> Option<f64> {
        self.guidance(self.prior.as_ref()?.guidance_scale)
    }

    /// The guidance scale of a stage; `None` where it runs on its conditions alone.
    pub fn stage_guidance(&self, stage: &StageSettings) -> Option<f64> {
        self.guidance(stage.guidance_scale?)
    }

    /// `scale`, or `None` where it leaves the conditional prediction as it is. As in diffusers, a prior and its decoder are
    /// guided as soon as one scale is greater than 1.
    fn guidance(&self, scale: f64) -> Option<f64> {
        let mut scales = self.stages.iter().filter_map(|stage| stage.guidance_scale);
        let guided = match &self.prior {
            Some(prior) => prior.guidance_scale > 1.0 || scales.any(|scale| scale > 1.0),
            None => true,
        };
        (guided && scale != 1.0).then_some(scale)
    }

    /// The timesteps at which a stage is guided where it is, of a schedule that has so many.
    pub(crate) fn guided_timesteps(&self, timesteps: usize) -> RangeInclusive<i64> {
        let last = timesteps.saturating_sub(1) as f64;
        match self.guidance_interval {
            Some([low, high]) => (low * last).ceil() as i64..=(high * last).floor() as i64,
            None => 0..=last as i64,
        }
    }

    /// The same settings with every guidance scale replaced by whether there is guidance: requests of equal keys can be
    /// sampled in one batch.
    pub(crate) fn batch_key(&self) -> Self {
        let mut key = self.clone();
        let marked = |scale: Option<f64>| if scale.is_some() { 2.0 } else { 1.0 };
        if let Some(prior) = &mut key.prior {
            prior.guidance_scale = marked(self.prior_guidance());
        }
        for (stage, own) in key.stages.iter_mut().zip(&self.stages) {
            stage.guidance_scale = own.guidance_scale.map(|_| marked(self.stage_guidance(own)));
        }
        key
    }

    /// Refuses scales that are no finite numbers, an interval without ends, and a choice among no candidates.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let prior_candidates = self.prior.as_ref().map_or(1, |prior| prior.candidates);
        for (setting, count) in
            [("prior_candidates", prior_candidates), ("candidates", self.candidates)]
        {
            if !(1..=MOST_CANDIDATES).contains(&count) {
                let must = format!("one is chosen among 1 to {MOST_CANDIDATES}");
                return Err(Error::setting(setting, count, &must));
            }
        }
        if let Some(sampling) = self.codes() {
            sampling.check()?;
        }
        if let Some([low, high]) = self.guidance_interval
            && !(0.0 <= low && low < high && high <= 1.0)
        {
            let must =
                "both lie between 0, the clean picture, and 1, noise, the first below the second";
            return Err(Error::setting("guidance_interval", format!("{low},{high}"), must));
        }
        if let Some(quantile) = self.thresholding
            && !(quantile > 0.0 && quantile <= 1.0)
        {
            let must = "it must lie above 0 and be 1 at most: a share of a picture's values";
            return Err(Error::setting("thresholding", format!("{quantile:?}"), must));
        }
        Strength::of_stage(self).check()?;
        Strength::of_prior(self).check()?;
        if let Some(resample) = self.resample
            && !(1..=MOST_RESAMPLE).contains(&resample)
        {
            let must = format!("each step is taken 1 to {MOST_RESAMPLE} times");
            return Err(Error::setting("resample", resample, &must));
        }
        for stage in &self.stages {
            if let Some(temperature) = stage.temperature
                && !(temperature > 0.0 && temperature <= LARGEST_TEMPERATURE)
            {
                let must = format!("it must lie above 0 and be {LARGEST_TEMPERATURE} at most");
                let setting = format!("{}_temperature", stage.name);
                return Err(Error::setting(setting, format!("{temperature:?}"), &must));
            }
        }
        let stages = self.stages.iter().filter_map(|stage| {
            Some((format!("{}_guidance_scale", stage.name), stage.guidance_scale?))
        });
        let prior = self.prior.as_ref().map(|prior| prior.guidance_scale);
        let others =
            [("prior_guidance_scale", prior), ("clip_guidance_scale", self.clip_guidance_scale)];
        let others = others.into_iter().filter_map(|(name, scale)| Some((name.to_owned(), scale?)));
        let unusable = |(_, value): &(String, f64)| value.is_nan() || value.abs() > LARGEST_SCALE;
        match others.chain(stages).find(unusable) {
            Some((setting, value)) => {
                let must = format!("it must lie between -{LARGEST_SCALE} and {LARGEST_SCALE}");
                Err(Error::setting(setting, format!("{value:?}"), &must))
            }
            None => Ok(()),
        }
    }
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
