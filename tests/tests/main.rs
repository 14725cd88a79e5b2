//! One binary for every test, so that libtorch is linked once.

mod architecture;
mod autoregressive;
mod autoregressive_models;
mod bound;
mod clip;
mod command;
mod components;
mod configurations;
mod diffusion;
mod evaluation;
mod frechet;
mod golden;
mod graphs;
mod images;
mod kernels;
mod manipulation;
mod models;
mod noise;
mod pickles;
mod pipeline;
mod scenes;
mod solver;
mod training;
mod weights;
mod zero_shot;
