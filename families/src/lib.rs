//! Model families as data: the components that a publisher's folder has, their names, and how they agree.
//!
//! Modules in reading order: [`family`] is a layout as a value, [`mod@karlo`] the published one as diffusers lays it out, and
//! `karlo_files` as its publisher does, `clip_files` CLIP in the one folder or file of its publishers, [`mod@glide`] the third
//! paper's system, [`mod@compact_glide`] the same idea in models of our own, [`mod@kandinsky`] a family in two repositories, of
//! which `companion` knows, and [`fn@recognise`] tells them apart. [`configs`] translates configurations, `open` makes components
//! and `save` writes them, `student` does both for a distilled network, `index` reads and writes the list of them. `guided_diffusion` has what GLIDE's U-Nets and Karlo's have
//! in common, `network` is one in a publisher's file, and `options` reads what such a file lacks. [`shapes`] reads
//! configurations alone, and [`compatibility`] compares them. `folders` finds the components that a task needs, `locate` the
//! folder that a user means, `describe` describes folders that are no model, `complete` copies components from another model.
//! `components` lists those that a folder holds, whatever its layout, `convert` writes them in ours, and `summary` counts them.
//! [`repository_files`] chooses the files of a repository that a model needs, [`known_models`] are repositories that open here,
//! and `licence` reads a model's card.

#![forbid(unsafe_code)]

mod clip_files;
pub mod compact_glide;
mod companion;
pub mod compatibility;
mod complete;
mod components;
pub mod configs;
mod convert;
mod describe;
mod error;
pub mod family;
mod folders;
pub mod glide;
mod guided_diffusion;
mod index;
pub mod kandinsky;
pub mod karlo;
mod karlo_files;
pub mod known_models;
mod licence;
mod locate;
mod network;
mod open;
mod options;
mod recognise;
pub mod repository_files;
mod save;
pub mod shapes;
mod student;
mod summary;

pub use clip_files::openai_clip;
pub use compact_glide::compact_glide;
pub use companion::Companion;
pub use compatibility::Mismatch;
pub use complete::{complete_compact_glide, complete_model, copy_component};
pub use configs::ConfigError;
pub use convert::{ConversionStep, convert_model};
pub use describe::{describe, may_be_clip};
pub use error::{Completion, Error};
pub use family::{
    Class, Clip, Condition, Defaults, DiffusionPrior, Family, NoisedClip, PriorDefaults, PriorKind,
    PublishedSampler, Requirement, Stage, StageDefaults, Upsampling,
};
pub use folders::{LazyFolder, ModelFolders};
pub use glide::glide;
pub use index::{read_logit_scale, read_model_defaults, save_model_defaults, save_model_index};
pub use kandinsky::kandinsky;
pub use karlo::karlo;
pub use known_models::{KNOWN_MODELS, KnownModel, known_model};
pub use licence::licence;
pub use locate::locate;
pub use open::{
    DENOISING_ERRORS, open_autoregressive_prior, open_conditioning, open_decoder,
    open_denoising_errors, open_image_conditioning, open_image_decoder, open_image_encoder,
    open_image_processor, open_leading_scheduler, open_logit_scale, open_movq, open_pca,
    open_prior, open_scheduler, open_text_encoder, open_tokenizer, open_upsampler,
};
pub use recognise::{all_families, recognise};
pub use repository_files::{RepositoryError, description_file, model_files};
pub use save::{
    save_autoregressive_prior, save_conditioning, save_decoder, save_denoising_errors,
    save_image_encoder, save_pca, save_prior, save_text_encoder, save_upsampler,
    write_conditioning_config, write_image_encoder_config, write_image_processor,
    write_prior_config, write_scheduler_config, write_text_encoder_config, write_unet_config,
};
pub use shapes::{ImageSize, Shapes, StageShapes, TokenizerShape};
pub use student::{open_student, read_distillation, save_student};
pub use summary::{
    Ability, AbilitySummary, ComponentSummary, MemorySummary, ModelSummary,
    summarize_completed_model, summarize_model,
};
