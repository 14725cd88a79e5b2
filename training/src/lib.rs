//! Trains CLIP, the priors, the decoder and the upsampler, each its own leg that resumes where it stopped.
//!
//! Read in this order: [`recipe`] (what is trained, as data), [`run`] (the loop that every leg shares), [`optimizer`] and
//! [`checkpoint`] (its state), [`data`] (the stream of pictures, which [`scene_data`] draws or [`samples`] orders), what a
//! user may bring ([`data_source`]: [`folder`]s and [`shards`], laid out in any [`layout`], which become [`pictures`] or
//! [`embedded`]), the objectives, and what a leg tells of itself ([`metrics`], [`events`], [`sheet`], [`plots`]).

#![forbid(unsafe_code)]

mod ahead;
pub mod autoregressive_leg;
mod begin;
pub mod checkpoint;
pub mod clip_leg;
pub mod data;
mod data_source;
pub mod decoder_leg;
pub mod embed;
pub mod embedded;
pub mod embedding_cache;
pub mod encoders;
pub mod error;
pub mod estimate;
pub mod events;
mod folder;
mod layout;
pub mod legs;
mod metadata;
pub mod metrics;
pub mod noising;
pub mod optimizer;
mod other_formats;
mod patterns;
pub mod pictures;
pub mod plots;
pub mod prior_leg;
pub mod recipe;
mod rejects;
pub mod run;
pub mod samples;
pub mod scene_data;
mod shard_members;
mod shards;
mod sheet;
mod table_reader;
mod tar_index;
pub mod tokenizer;
pub mod upsampler_leg;
mod values;

pub use checkpoint::{Checkpoints, State};
pub use data::Data;
pub use embed::Embed;
pub use error::Error;
pub use estimate::{Estimate, estimate};
pub use legs::Trainer;
pub use optimizer::{AdamW, AdamWSettings};
pub use recipe::Recipe;
pub use run::{Figures, Leg, Progress, Run, RunSettings, Samples, Stopped, Told, train};
pub use values::LARGEST_VALUE;
