//! A diffusion over a batch: its sampler with guidance, thresholding, an observer, and a look at what is not finite.

use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};

use diffusion::{
    Distillation, Hooks, Output, Sampler, Step as DiffusionStep, TimestepRespacing, guided, sample,
};
use families::PublishedSampler;
use layers::finite::norm;
use tch::{Tensor, no_grad};

use crate::inpainting::KnownPixels;
use crate::noise_streams::Streams;
use crate::observer::LatentDecoder;
use crate::overrides::Students;
use crate::repaint::next_x;
use crate::settings::Solver;
use crate::{Error, Observer, Pipeline, Quantity, Settings, StageSettings, Step};

/// From x_t at a step to a network's output.
type Denoiser<'a> = dyn FnMut(&Tensor, DiffusionStep) -> Output + 'a;

/// The steps of a stage's diffusion, or some of them.
pub(crate) struct Diffusion<'a> {
    pub(crate) stage: ObservedStage<'a>,
    pub(crate) sampler: &'a Sampler,
    /// The steps to take.
    pub(crate) steps: &'a [DiffusionStep],
    /// Steps of the stage that were taken before.
    pub(crate) first: usize,
    /// The guidance scale of each image, where they are guided.
    pub(crate) scales: Option<Vec<f64>>,
    /// The timesteps at which they are.
    pub(crate) guided_timesteps: RangeInclusive<i64>,
    /// Whether every step draws noise, also one that adds none.
    pub(crate) draws_always: bool,
    /// Functions that change what a step computes.
    pub(crate) hooks: Hooks<'a>,
    /// The way in which known pixels keep their places where steps arrive.
    pub(crate) arrival: Option<Arrival<'a>>,
    pub(crate) quantity: Quantity,
}

/// The way in which known pixels, or latents, keep their places in the x that each step arrives at.
#[derive(Clone, Copy)]
pub(crate) enum Arrival<'a> {
    /// As RePaint keeps them (2201.09865).
    Repaint(&'a KnownPixels),
    /// By the noise `[B, C, h, w]` that the first step starts from, at the level of each arrival.
    SameNoise(&'a KnownPixels, &'a Tensor),
}

impl<'a> Arrival<'a> {
    /// The known pixels or latents.
    pub(crate) fn known(self) -> &'a KnownPixels {
        match self {
            Self::Repaint(known) | Self::SameNoise(known, _) => known,
        }
    }

    /// The x `[B, C, h, w]` that the `next` step starts from, of the one that `step` arrived at. RePaint draws `noise`.
    pub(crate) fn next_x(
        self,
        sampler: &Sampler,
        x: &Tensor,
        step: DiffusionStep,
        next: Option<DiffusionStep>,
        noise: impl FnMut() -> Tensor,
    ) -> Tensor {
        match self {
            Self::Repaint(known) => next_x(sampler, x, step, next, known, noise),
            Self::SameNoise(known, first) => {
                known.impose_noised(x, &sampler.level(step.previous), first)
            }
        }
    }
}

/// A stage as an observer sees it.
#[derive(Clone, Copy)]
pub(crate) struct ObservedStage<'a> {
    pub(crate) name: &'a str,
    pub(crate) index: usize,
    pub(crate) steps: usize,
    /// Whether it samples images, and not embeddings.
    pub(crate) is_image: bool,
    /// From predicted latents to images, where it denoises latents.
    pub(crate) decode: Option<&'a LatentDecoder<'a>>,
}

impl ObservedStage<'_> {
    /// Shows a step to the observer.
    pub(crate) fn observe(
        &self,
        observer: &mut dyn Observer,
        done: usize,
        x_0: &Tensor,
    ) -> std::ops::ControlFlow<()> {
        let Self { name, index, steps, is_image, decode } = *self;
        let batch = x_0.size()[0] as usize;
        let x_0 = is_image.then_some(x_0);
        observer.step(Step { stage: name, index, done, steps, batch, x_0, decode })
    }
}

impl Pipeline {
    /// Takes steps of a diffusion from `x [B, ..]` on, with one stream of noise an image. An error where a network's output
    /// or the result is not finite: where x_0 is clamped, infinity looks like white or black.
    pub(crate) fn diffuse(
        &self,
        diffusion: Diffusion,
        x: Tensor,
        streams: &mut Streams,
        denoise: impl FnMut(&Tensor, DiffusionStep) -> Output,
        observer: &mut dyn Observer,
    ) -> Result<Tensor, Error> {
        let Diffusion { stage, sampler, steps, first, scales, hooks, arrival, .. } = diffusion;
        let mut denoise: Box<Denoiser> = match &scales {
            Some(scales) => Box::new(guided(scales.clone(), diffusion.guided_timesteps, denoise)),
            None => Box::new(denoise),
        };
        let mut norms = Vec::new();
        let denoise = |x: &Tensor, step: DiffusionStep| {
            let output = denoise(x, step);
            norms.push(norm(&output.prediction));
            output
        };
        let shape = x.size();
        let (streams, has_drawn) = (RefCell::new(streams), Cell::new(false));
        let noise = || {
            has_drawn.set(true);
            streams.borrow_mut().normal(&shape[1..])
        };
        let mut hooks: Hooks = hooks;
        if let Some(arrival) = arrival {
            hooks.arrival =
                Some(Box::new(move |x, step, next| arrival.next_x(sampler, &x, step, next, noise)));
        }
        let observe = |done, x_0: &Tensor| {
            if !has_drawn.take() && diffusion.draws_always {
                streams.borrow_mut().skip(&shape[1..]);
            }
            match arrival {
                Some(arrival) => {
                    stage.observe(observer, first + done, &arrival.known().impose(x_0))
                }
                None => stage.observe(observer, first + done, x_0),
            }
        };
        let x = no_grad(|| sample(sampler, steps, x, denoise, noise, hooks, observe));
        let x = x.ok_or(Error::Stopped)?;
        norms.push(norm(&x));
        self.finite_norms(&norms, diffusion.quantity, scales.as_deref())?;
        Ok(x)
    }

    /// The sampler of the prior.
    pub(crate) fn prior_sampler(&self, settings: &Settings) -> Result<Sampler, Error> {
        let config = self.components.prior_scheduler()?;
        Ok(match settings.solver {
            Solver::Ddpm | Solver::Distilled => Sampler::unclip(&config),
            Solver::Ddim => Sampler::ddim(&config, 0.0),
            Solver::DpmSolver => Sampler::dpm_solver(&config),
            Solver::Analytic => self.analytic_sampler(&config)?,
        })
    }

    /// The steps that the prior's sampler takes.
    pub(crate) fn prior_steps(
        &self,
        sampler: &Sampler,
        settings: &Settings,
    ) -> Result<Vec<DiffusionStep>, Error> {
        let steps = settings.prior.as_ref().map(|prior| TimestepRespacing::Count(prior.steps));
        let steps = steps.ok_or(Error::NoSetting { setting: "prior_steps".to_owned() })?;
        sampler.steps(&steps).map_err(|error| Error::steps("prior_steps", &steps, &error))
    }

    /// The sampler of a stage that samples images; one that upsamples takes the published steps.
    pub(crate) fn stage_sampler(
        &self,
        index: usize,
        settings: &Settings,
    ) -> Result<Sampler, Error> {
        let stage = self.components.stage(index);
        let config = self.components.scheduler(stage.scheduler)?;
        if let Some(distillation) = self.distillation(index, settings)? {
            return Ok(distillation.sampler(&config));
        }
        Ok(match (settings.solver, stage.sampler) {
            (Solver::DpmSolver, _) if stage.upsampling.is_none() => Sampler::dpm_solver(&config),
            (Solver::Ddim, _) if stage.upsampling.is_none() => Sampler::ddim(&config, 0.0),
            (_, PublishedSampler::Unclip | PublishedSampler::LeadingDdpm) => {
                Sampler::unclip(&config)
            }
            (_, PublishedSampler::Ddpm) => Sampler::ddpm(&config),
            (_, PublishedSampler::Ddim) => Sampler::ddim(&config, 0.0),
        })
    }

    /// The settings that a stage's distilled network samples with, where it is the one that samples.
    pub(crate) fn distillation(
        &self,
        index: usize,
        settings: &Settings,
    ) -> Result<Option<Distillation>, Error> {
        match settings.solver {
            Solver::Distilled => self.components.distillation(index),
            _ => Ok(None),
        }
    }

    /// The steps of the model's distilled networks, by their stages' names; empty where it has none.
    pub fn students(&self) -> Result<Students, Error> {
        let stages = self.components.family().stages.iter().enumerate();
        let student = |(index, stage): (usize, &families::Stage)| {
            let distillation = self.components.distillation(index).transpose()?;
            Some(distillation.map(|distillation| (stage.name.to_owned(), distillation.steps)))
        };
        stages.filter_map(student).collect::<Result<_, _>>().map(Students)
    }

    /// Opens the distilled networks that sample in the stages `indices`. An error where there is none, or one that is guided.
    pub(crate) fn prepare_students(
        &self,
        indices: Range<usize>,
        settings: &Settings,
    ) -> Result<(), Error> {
        if settings.solver != Solver::Distilled {
            return Ok(());
        }
        if self.students()?.0.is_empty() {
            let must = "this model has no distilled network, which `train --distill` makes";
            return Err(Error::setting("solver", settings.solver.name(), must));
        }
        for index in indices {
            let Some(distillation) = self.components.distillation(index)? else { continue };
            let name = self.components.stage(index).name;
            let guidance = settings.stage(name).and_then(|stage| settings.stage_guidance(stage));
            if let Some(scale) = guidance {
                let learned = distillation.guidance_scale.unwrap_or(1.0);
                let must = format!(
                    "the distilled network learned a scale of {learned} and is not guided again: it must be 1"
                );
                let setting = format!("{name}_guidance_scale");
                return Err(Error::setting(setting, format!("{scale:?}"), &must));
            }
            self.components.student(index)?;
        }
        Ok(())
    }

    /// The steps that the sampler of a stage takes.
    pub(crate) fn stage_steps(
        &self,
        index: usize,
        sampler: &Sampler,
        settings: &Settings,
    ) -> Result<Vec<DiffusionStep>, Error> {
        let stage = self.components.stage(index);
        let setting = format!("{}_steps", stage.name);
        let Some(StageSettings { steps, .. }) = settings.stage(stage.name) else {
            return Err(Error::NoSetting { setting });
        };
        if let Some(Distillation { steps: trained, .. }) = self.distillation(index, settings)?
            && *steps != TimestepRespacing::Count(trained)
        {
            let must = format!("the distilled network draws in {trained}, and in no other number");
            return Err(Error::setting(setting, steps, &must));
        }
        let visited = match (steps, sampler, stage.sampler) {
            // guided-diffusion adds strides up, also those of a single number.
            (TimestepRespacing::Count(count), Sampler::Ddpm(_) | Sampler::Ddim(_), published)
                if published.is_guided_diffusions() =>
            {
                let spaced = || sampler.steps(&TimestepRespacing::Sections(vec![*count]));
                sampler.steps(steps).and_then(|_| spaced())
            }
            _ => sampler.steps(steps),
        };
        visited.map_err(|error| Error::steps(setting, steps, &error))
    }
}
