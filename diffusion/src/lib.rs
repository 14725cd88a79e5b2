//! Diffusion models without their networks: noise schedules, parameterisations, samplers, guidance and the variational bound.
//!
//! Read in this order: [`schedule`] (alpha_bar at each timestep), [`respacing`] (the timesteps that a sampler visits),
//! [`prediction`] (x_0 and eps of a network's output), [`config`] (the settings of a checkpoint's scheduler), [`guidance`]
//! (classifier-free guidance around a denoiser), [`sampler`] (the loop of all samplers, with its hooks), [`ddpm`], [`ddim`],
//! [`dpm_solver`] and [`analytic`] (one step of each), [`thresholding`] (a hook), [`process`] (noising, for training), [`loss`] (the
//! variational bound) and [`distillation`] (a teacher's steps as one of a student's).
//!
//! Legend: `x_0` a clean image or embedding, `x_t` the same with noise at timestep `t`,
//! `eps` the noise in it, `beta` the variance that one timestep adds, `alpha` = 1 - `beta`,
//! `alpha_bar` the product of the alphas up to `t`: x_t = sqrt(alpha_bar) x_0 +
//! sqrt(1 - alpha_bar) eps. `B` batch; all tensors are [B, ...] unless a function says more.
//!
//! Nothing here draws a random number, and no loop waits for the device: coefficients are
//! numbers on the host, noise comes in from outside.

#![forbid(unsafe_code)]

pub mod analytic;
pub mod config;
pub mod ddim;
pub mod ddpm;
pub mod distillation;
pub mod dpm_solver;
pub mod guidance;
pub mod loss;
pub mod posterior;
pub mod prediction;
pub mod process;
pub mod respacing;
pub mod sampler;
pub mod schedule;
pub mod thresholding;

pub use analytic::{AnalyticDpm, DenoisingErrors, DenoisingErrorsError, denoising_error};
pub use config::{SchedulerConfig, Variance};
pub use ddim::{Ddim, ddim_inverse};
pub use ddpm::Ddpm;
pub use distillation::{Distillation, DistillationProcess};
pub use dpm_solver::{DpmSolver, StepFactors};
pub use guidance::{Output, guide, guided};
pub use posterior::{Deviation, Posterior};
pub use prediction::{NoiseLevel, Prediction};
pub use process::Process;
pub use respacing::{RespacingError, Step, StepsError, TimestepRespacing, TimestepSpacing};
pub use sampler::{GradientGuidance, Hooks, Sampler, gradient, sample};
pub use schedule::{BetaSchedule, Schedule};
pub use thresholding::dynamic_threshold;
