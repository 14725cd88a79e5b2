//! Samplers, the loop that all of them share, and the three hooks into its steps.

use crate::{
    AnalyticDpm, Ddim, Ddpm, DenoisingErrors, DenoisingErrorsError, Deviation, DpmSolver,
    NoiseLevel, Output, Posterior, Schedule, SchedulerConfig, Step, StepsError, TimestepRespacing,
};
use std::fmt;
use std::ops::ControlFlow;
use tch::{Tensor, with_grad};

/// A sampler of a checkpoint's diffusion.
#[derive(Clone, Debug)]
pub enum Sampler {
    /// The published unCLIP sampler: DDPM with the coefficients of its f32 tables, whose roundings are part of a seed's
    /// image.
    Unclip(Ddpm<f32>),
    /// DDPM (2006.11239) with coefficients in f64, as GLIDE's and guided-diffusion's are.
    Ddpm(Ddpm),
    /// DDIM (2010.02502).
    Ddim(Ddim),
    /// DPM-Solver++(2M) (2211.01095).
    DpmSolver(DpmSolver),
    /// Analytic-DPM (2201.06503).
    Analytic(AnalyticDpm),
}

impl Sampler {
    /// The published unCLIP sampler of a checkpoint's scheduler.
    pub fn unclip(config: &SchedulerConfig) -> Self {
        let schedule = Schedule::published(config);
        Self::Unclip(Ddpm { config: config.clone(), schedule })
    }

    /// DDPM in f64 for a checkpoint's scheduler.
    pub fn ddpm(config: &SchedulerConfig) -> Self {
        Self::Ddpm(Ddpm { config: config.clone(), schedule: Schedule::of(config) })
    }

    /// DDIM for a checkpoint's scheduler; see [`Ddim::eta`].
    pub fn ddim(config: &SchedulerConfig, eta: f64) -> Self {
        Self::Ddim(Ddim::new(config, eta))
    }

    /// DPM-Solver++(2M) for a checkpoint's scheduler.
    pub fn dpm_solver(config: &SchedulerConfig) -> Self {
        Self::DpmSolver(DpmSolver::new(config))
    }

    /// Analytic-DPM for a checkpoint's scheduler and its network's errors. An error for those of another schedule.
    pub fn analytic(
        config: &SchedulerConfig,
        errors: DenoisingErrors,
    ) -> Result<Self, DenoisingErrorsError> {
        AnalyticDpm::new(config, errors).map(Self::Analytic)
    }

    /// The settings of the checkpoint's scheduler.
    pub fn config(&self) -> &SchedulerConfig {
        match self {
            Self::Unclip(ddpm) => &ddpm.config,
            Self::Ddpm(ddpm) => &ddpm.config,
            Self::Ddim(ddim) => &ddim.config,
            Self::DpmSolver(solver) => &solver.config,
            Self::Analytic(analytic) => &analytic.config,
        }
    }

    /// The steps in the order they are taken. DPM-Solver++ takes a count alone, in its own spacing. An error where there is no
    /// step, more than timesteps, or no such spacing.
    pub fn steps(&self, respacing: &TimestepRespacing) -> Result<Vec<Step>, StepsError> {
        match (self, respacing) {
            (Self::DpmSolver(solver), TimestepRespacing::Count(steps)) => solver.steps(*steps),
            (Self::DpmSolver(_), _) => Err(StepsError::Solver(respacing.clone())),
            (_, TimestepRespacing::Count(steps)) => {
                let config = self.config();
                config.timestep_spacing.steps(*steps, config.train_timesteps)
            }
            _ => respacing.steps(self.config().train_timesteps),
        }
    }

    /// The mix of x_0 and eps at a timestep of the sampler's tables; `None` is the clean image.
    pub fn level(&self, timestep: Option<i64>) -> NoiseLevel {
        match self {
            Self::Unclip(ddpm) => ddpm.schedule.level(timestep),
            Self::Ddpm(ddpm) => ddpm.schedule.level(timestep),
            Self::Ddim(ddim) => ddim.schedule.level(timestep),
            Self::DpmSolver(solver) => solver.schedule.level(timestep),
            Self::Analytic(analytic) => analytic.schedule.level(timestep),
        }
    }
}

/// The first hook: a step's predicted x_0 [B, ...], before it is clipped, to another.
pub type X0Hook<'a> = Box<dyn FnMut(Tensor, Step) -> Tensor + 'a>;

/// The second hook: the mean [B, ...] of an ancestral step, or the eps [B, ...] of another, to another.
pub type GuidanceHook<'a> = Box<dyn FnMut(Tensor, &GradientGuidance) -> Tensor + 'a>;

/// The third hook: the x [B, ...] that a step arrived at, to the one that the next step, if there is one, starts from.
pub type ArrivalHook<'a> = Box<dyn FnMut(Tensor, Step, Option<Step>) -> Tensor + 'a>;

/// Functions that change what a step computes. Without them no tensor is computed for their sake.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Changes the predicted x_0, as inpainting and [thresholding](crate::dynamic_threshold) do.
    pub x_0: Option<X0Hook<'a>>,
    /// Changes the mean or eps, as guidance by a classifier or by CLIP does.
    pub guidance: Option<GuidanceHook<'a>>,
    /// Changes the x that a step arrived at, as RePaint does (2201.09865, algorithm 1).
    pub arrival: Option<ArrivalHook<'a>>,
}

impl Hooks<'_> {
    /// Guides a mean; `last_deviation` is that of a step that adds no noise.
    fn guide_mean(
        &mut self,
        posterior: Posterior,
        step: Step,
        x_t: &Tensor,
        last_deviation: impl FnOnce() -> Option<Deviation>,
    ) -> Posterior {
        let Some(hook) = &mut self.guidance else { return posterior };
        let Posterior { mean, deviation } = posterior;
        let last = if step.is_last() { last_deviation() } else { None };
        let quantity = Quantity::Mean(deviation.as_ref().or(last.as_ref()));
        let mean = hook(mean, &GradientGuidance { x_t, step, quantity });
        Posterior { mean, deviation }
    }

    fn guide_eps(&mut self, eps: Tensor, step: Step, x_t: &Tensor, level: &NoiseLevel) -> Tensor {
        let Some(hook) = &mut self.guidance else { return eps };
        let quantity = Quantity::Eps(level.sqrt_one_minus_alpha_bar);
        hook(eps, &GradientGuidance { x_t, step, quantity })
    }
}

impl fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("x_0", &self.x_0.is_some())
            .field("guidance", &self.guidance.is_some())
            .field("arrival", &self.arrival.is_some())
            .finish()
    }
}

/// The circumstances in which a step is guided by a gradient.
#[derive(Debug)]
pub struct GradientGuidance<'a> {
    /// The x_t [B, ...] that the step starts from.
    pub x_t: &'a Tensor,
    /// The step.
    pub step: Step,
    /// The quantity that is guided.
    pub quantity: Quantity<'a>,
}

/// A quantity that a gradient guides.
#[derive(Debug)]
pub enum Quantity<'a> {
    /// The mean of an ancestral step, which moves by the variance of this deviation, that of the step's noise. The last step
    /// adds none: it has a deviation where [`Sampler::Ddpm`] has a learned variance and took a step before, whose posterior's
    /// variance then stands in, as in GLIDE's code, and none where not.
    Mean(Option<&'a Deviation>),
    /// The eps of a step of DDIM or DPM-Solver++, from which x_0 is then computed anew. The number is sqrt(1 - alpha_bar).
    Eps(f64),
}

impl GradientGuidance<'_> {
    /// The quantity's `value` [B, ...] moved along a `gradient` [B, ...] of log p(y | x_t) with respect to x_t: mean +
    /// variance * gradient (2105.05233, algorithm 1; 2112.10741, section 2.2), or eps - sqrt(1 - alpha_bar) * gradient
    /// (2105.05233, algorithm 2). A mean without a deviation stays as it is.
    pub fn along(&self, value: Tensor, gradient: &Tensor) -> Tensor {
        match self.quantity {
            Quantity::Mean(None) => value,
            Quantity::Mean(Some(deviation)) => value + deviation.variance_times(gradient),
            Quantity::Eps(sigma) => value - gradient * sigma,
        }
    }
}

/// The gradient [B, ...] of a scalar function's value at `x` [B, ...], also under [`tch::no_grad`].
pub fn gradient(x: &Tensor, f: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    with_grad(|| {
        let x = x.detach().set_requires_grad(true);
        let value = f(&x).sum(x.kind());
        let [gradient] = Tensor::run_backward(&[value], &[&x], false, false)
            .try_into()
            .expect("one gradient of one tensor");
        gradient
    })
}

/// Draws x_0 [B, ...] from noise; `None` where `observe` stopped it.
///
/// `x_t` [B, ...] is standard noise, or what another call's steps arrived at. `denoise` gives a network's output for the
/// x_t of a step. `noise` gives standard noise in the shape of x_t: it is called once for every step that adds noise,
/// after the denoiser, which is the order that the published pipelines draw in. `hooks` may change a step. Steps may go
/// over the same timesteps again, where a hook adds the noise between; DPM-Solver++'s step after such a jump is of first
/// order. `observe` hears after each step how many are done, and the x_0 [B, ...] that was predicted in it, and says whether to go on.
pub fn sample(
    sampler: &Sampler,
    steps: &[Step],
    mut x_t: Tensor,
    mut denoise: impl FnMut(&Tensor, Step) -> Output,
    mut noise: impl FnMut() -> Tensor,
    mut hooks: Hooks,
    mut observe: impl FnMut(usize, &Tensor) -> ControlFlow<()>,
) -> Option<Tensor> {
    let (config, mut before) = (sampler.config(), None);
    let is_changed = hooks.x_0.is_some() || config.clip_range.is_some();
    for (done, &step) in steps.iter().enumerate() {
        let output = denoise(&x_t, step);
        let level = sampler.level(Some(step.timestep));
        let mut x_0 = config.prediction.x_0(&output.prediction, &x_t, &level);
        if let Some(hook) = &mut hooks.x_0 {
            x_0 = hook(x_0, step);
        }
        x_0 = config.clip(x_0);
        let changed = is_changed.then_some(&x_0);
        let variance = output.variance.as_ref();
        x_t = match sampler {
            Sampler::Unclip(ddpm) => {
                let posterior = ddpm.posterior(&x_0, variance, step, &x_t);
                hooks.guide_mean(posterior, step, &x_t, || None).draw(&mut noise)
            }
            Sampler::Ddpm(ddpm) => {
                let posterior = ddpm.posterior(&x_0, variance, step, &x_t);
                let last = || ddpm.last_deviation(variance, step, steps[..done].last());
                hooks.guide_mean(posterior, step, &x_t, last).draw(&mut noise)
            }
            Sampler::Analytic(analytic) => {
                let posterior = analytic.posterior(&x_0, step, &x_t);
                hooks.guide_mean(posterior, step, &x_t, || None).draw(&mut noise)
            }
            Sampler::Ddim(ddim) => {
                let mut eps = config.eps(&output, &x_t, &level, changed);
                if hooks.guidance.is_some() {
                    eps = hooks.guide_eps(eps, step, &x_t, &level);
                    x_0 = level.x_0(&x_t, &eps);
                }
                ddim.posterior(&x_0, &eps, step).draw(&mut noise)
            }
            Sampler::DpmSolver(solver) => {
                if hooks.guidance.is_some() {
                    let eps = config.eps(&output, &x_t, &level, changed);
                    x_0 = level.x_0(&x_t, &hooks.guide_eps(eps, step, &x_t, &level));
                }
                let follows = steps[..done].last().and_then(|s| s.previous) == Some(step.timestep);
                let history = before.as_ref().filter(|_| follows);
                let previous = solver.step(&x_0, history, step, &x_t);
                before = Some((step.timestep, x_0.shallow_clone()));
                previous
            }
        };
        if let Some(hook) = &mut hooks.arrival {
            x_t = hook(x_t, step, steps.get(done + 1).copied());
        }
        if observe(done + 1, &x_0).is_break() {
            return None;
        }
    }
    Some(x_t)
}
