//! The maths of diffusion: schedules, samplers and guidance over any denoiser; no weights.
//!
//! Read in this order: [`schedule`] (how much of a picture is left at each timestep),
//! [`guidance`] (what a denoiser answers, and how two answers become one), [`sampler`] (the
//! published unCLIP sampler), [`dpm_solver`] (one for few steps), [`ddim`] (a deterministic one,
//! and its inversion), [`process`] (noising, for training) and [`loss`] (the variational bound).
//!
//! Legend: `x_0` a clean picture or embedding, `x_t` the same with noise at timestep `t`,
//! `eps` the noise in it, `beta` the variance that one timestep adds, `alpha` = 1 - `beta`,
//! `alpha_bar` the product of the alphas up to `t`: x_t = sqrt(alpha_bar) x_0 +
//! sqrt(1 - alpha_bar) eps. `B` batch; all tensors are [B, ...] unless a function says more.
//!
//! Nothing here draws a random number, and no loop waits for the device: coefficients are
//! numbers on the host, noise comes in from outside.

#![forbid(unsafe_code)]

pub mod ddim;
pub mod dpm_solver;
pub mod guidance;
pub mod loss;
pub mod process;
pub mod sampler;
pub mod schedule;

pub use ddim::DdimSampler;
pub use dpm_solver::DpmSolver;
pub use guidance::{Output, guide, guided, guided_within};
pub use process::Process;
pub use sampler::{SchedulerConfig, UnclipSampler, Variance};
pub use schedule::{Prediction, ReferenceTables, Schedule, Step, StepsError, published_steps};
