//! Trains CLIP, the priors, the decoder and the upsampler, each its own leg that resumes where it stopped.
//!
//! Read in this order: [`recipe`] (what is trained, as data), [`run`] (the loop that every leg shares), [`optimizer`] and
//! [`checkpoint`] (its state), [`data`] (the stream of pictures, which [`scene_data`] draws or [`folder`] reads), then the
//! objectives.

pub mod autoregressive_leg;
mod begin;
pub mod checkpoint;
pub mod clip_leg;
pub mod data;
pub mod decoder_leg;
pub mod error;
pub mod estimate;
pub mod folder;
pub mod legs;
pub mod noising;
pub mod optimizer;
pub mod prior_leg;
pub mod recipe;
pub mod run;
pub mod scene_data;
pub mod tokenizer;
pub mod upsampler_leg;

pub use checkpoint::{Checkpoints, State};
pub use data::Data;
pub use error::Error;
pub use estimate::{Estimate, estimate};
pub use folder::PictureFolder;
pub use legs::Trainer;
pub use optimizer::{AdamW, AdamWSettings};
pub use recipe::Recipe;
pub use run::{Figures, Leg, Progress, Run, RunSettings, Stopped, Told, train};
