//! One binary for every test, so that libtorch is linked once.

#![allow(clippy::print_stdout, clippy::print_stderr)] // cargo shows what tests print

#[macro_use]
mod settings;

mod adapter;
mod architecture;
mod archives;
mod atomic;
mod autoregressive;
mod autoregressive_models;
mod bound;
mod clip;
mod clip_files;
mod command;
mod compact_glide;
mod components;
mod configurations;
mod convert;
mod diffusion;
mod editing;
mod evaluation;
mod families;
mod files;
mod frechet;
mod glide;
mod glide_files;
mod glide_networks;
mod golden;
mod graphs;
mod hooks;
mod hostile;
mod hub;
mod hub_server;
mod images;
mod inpainting;
mod kandinsky;
mod karlo_files;
mod kernels;
mod manipulation;
mod memory_bounds;
mod misnamed;
mod models;
mod noise;
mod not_finite;
mod out_of_memory;
mod paper_to_code;
mod parameterizations;
mod pickles;
mod pipeline;
mod repaint;
mod repository_files;
mod requests;
mod respacing;
mod scenes;
mod server;
mod solver;
mod text_cleaning;
mod threads;
mod tidy;
mod tokenizers;
mod training;
mod variants;
mod weights;
mod zero_shot;
