//! The maths of diffusion: schedules, samplers and guidance over any denoiser; no weights.
