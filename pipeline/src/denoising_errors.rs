//! The errors of the diffusion prior at its timesteps, by which Analytic-DPM (2201.06503) sets the noise of a step.

use diffusion::{Output, Sampler, Schedule, SchedulerConfig, denoising_error};
use layers::embedding::timesteps;
use tch::{Kind, Tensor, no_grad};
use weights::Folder;

use crate::memory::within_memory;
use crate::{Error, Pipeline, Quantity, Settings, Solver, Text};

impl Pipeline {
    /// The mean squared error of the x_0 that the diffusion prior predicts, at each of `at`, a value of the whitened
    /// embedding: over the image embeddings `[B, E]` of captions, with the noise `eps [B, E]`, and without guidance. x_0 is
    /// clipped as a sampler clips it.
    pub fn denoising_errors(
        &self,
        text: &Text,
        embeddings: &Tensor,
        eps: &Tensor,
        at: &[i64],
    ) -> Result<Vec<f64>, Error> {
        within_memory(|| {
            let config = self.components.prior_scheduler()?;
            let schedule = Schedule::of(&config);
            let prior = self.components.prior()?;
            let cache = self.prefill(&prior, text, None)?;
            let embeddings = embeddings.to_device(self.device).to_kind(self.kind);
            let x_0 = no_grad(|| prior.whiten(&embeddings)).to_kind(Kind::Float); // [B, E]
            let eps = eps.to_device(self.device);
            let error = |&timestep: &i64| {
                let t = timesteps(timestep, x_0.size()[0], self.device);
                let denoise = |x_t: &Tensor| {
                    let predicted = prior.predict(&cache, &x_t.to_kind(self.kind), &t);
                    Output::plain(predicted.to_kind(Kind::Float))
                };
                let level = schedule.level(Some(timestep));
                let error = no_grad(|| denoising_error(&config, &level, &x_0, &eps, denoise));
                self.finite(error.to_kind(Kind::Float), Quantity::PriorEmbedding, None)
            };
            let errors: Vec<Tensor> = at.iter().map(error).collect::<Result<_, _>>()?;
            Ok(errors.iter().map(|error| error.double_value(&[])).collect())
        })
    }

    /// The settings of the scheduler that the diffusion prior was trained with.
    pub fn prior_scheduler(&self) -> Result<SchedulerConfig, Error> {
        self.components.prior_scheduler()
    }

    /// The folder of the diffusion prior: in the model, or in what completes it. Its errors lie there.
    pub fn prior_folder(&self) -> Result<Folder, Error> {
        self.components.folder(self.components.diffusion_prior()?.network)
    }

    /// Whether the errors of the diffusion prior were measured.
    pub fn has_denoising_errors(&self) -> Result<bool, Error> {
        Ok(self.components.denoising_errors()?.is_some())
    }

    /// Analytic-DPM for the diffusion prior, which needs its errors.
    pub(crate) fn analytic_sampler(&self, config: &SchedulerConfig) -> Result<Sampler, Error> {
        let errors = self.components.denoising_errors()?.ok_or_else(|| {
            refusal("the errors of this model's prior were not measured, as unclip calibrate does")
        })?;
        let sampler = Sampler::analytic(config, errors);
        sampler.map_err(|error| refusal(&error.to_string()))
    }

    /// Refuses Analytic-DPM where no diffusion prior can take part, or the other prior does.
    pub(crate) fn check_solver(&self, settings: &Settings) -> Result<(), Error> {
        let family = self.components.family();
        match (settings.solver, family.prior) {
            (Solver::Analytic, None) => Err(refusal(&format!(
                "it samples the prior's embedding, and {} has no prior",
                family.name
            ))),
            (Solver::Analytic, _) if settings.codes().is_some() => Err(refusal(
                "the autoregressive prior draws, which has no steps: it draws code by code",
            )),
            _ => Ok(()),
        }
    }
}

fn refusal(reason: &str) -> Error {
    Error::setting("solver", Solver::Analytic.name(), reason)
}
