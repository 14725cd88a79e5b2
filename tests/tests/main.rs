//! One binary for every test, so that libtorch is linked once.

mod bound;
mod clip;
mod diffusion;
mod models;
mod noise;
mod scenes;
