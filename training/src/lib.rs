//! Training: trains CLIP, the priors, the decoder and the upsampler from a recipe, each by a run that can be resumed.
//!
//! Read in this order: [`recipe`] (the models' shapes and their runs, as data), [`run`] (the training loop that every model
//! shares, its objective and its observer), [`optimizer`] and [`checkpoint`] (its state), [`data`] (the stream of images, which
//! a [`SyntheticDataset`] generates or a [`dataset`] of files orders), the files of a user (`data_source`: `folder`s and
//! `shards`, laid out in any `layout`, which become an [`image_dataset`] or an [`embedding_dataset`]), [`trainer`] with each
//! model's objective, [`calibration`] of a prior that is trained, and the logs of a run ([`metrics`], [`events`], `sheet`, [`plots`]).

#![forbid(unsafe_code)]

pub mod calibration;
pub mod checkpoint;
pub mod contrastive;
pub mod data;
mod data_source;
pub mod dataset;
mod distill_decoder;
mod distill_upsampler;
pub mod distillation;
pub mod embed;
pub mod embedding_cache;
pub mod embedding_dataset;
pub mod encoders;
pub mod error;
pub mod estimate;
pub mod events;
mod folder;
pub mod image_dataset;
mod init_from;
mod layout;
mod metadata;
pub mod metrics;
pub mod noising;
pub mod optimizer;
mod other_formats;
mod patterns;
pub mod plots;
mod prefetch;
pub mod recipe;
pub mod regions;
mod rejects;
pub mod run;
pub mod sample_generators;
mod shard_members;
mod shards;
mod sheet;
mod table_reader;
mod tar_index;
pub mod tokenizer;
mod train_autoregressive_prior;
pub mod train_clip;
mod train_decoder;
mod train_glide;
mod train_noised_clip;
mod train_prior;
pub mod train_upsampler;
pub mod trainer;
mod values;

pub use checkpoint::Checkpoints;
pub use collectives::Group;
pub use data::{
    BatchPlan, CaptionedImages, Data, NEGATIVE_CAPTIONS, SampleRequest, SyntheticDataset,
};
pub use embed::Embed;
pub use error::Error;
pub use estimate::{Estimate, estimate};
pub use optimizer::{AdamW, AdamWSettings};
pub use recipe::Recipe;
pub use run::{Loss, Objective, Observer, RunSettings, TrainingRun, TrainingStep};
pub use sample_generators::SampleGenerators;
pub use trainer::Trainer;
pub use values::LARGEST_VALUE;
