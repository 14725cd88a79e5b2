//! unCLIP sampling: requests, the prior and the stages that sample images, observers, records, and the paper's section 3.
//!
//! Modules in reading order: [`request`] is an image to sample and the chain of stages, `prior_stage` and [`ar_sampling`]
//! sample its embedding, `stages` the image, or `latents` of it, from noise or [an image](image_to_image), by `conditions`,
//! perhaps [hints], and a `denoiser`, each by `diffuse`, which an [`observer`] watches; [`settings`] say how,
//! `settings_object` is their JSON, and [`overrides`] change them;
//! `components` opens what [`pipeline`] requires and lends it (`lease`), [`text`] is a caption after the text encoder,
//! `reranker` chooses among candidates. [`variations`], [`interpolation`], [`text_diff`] and [`inversion`] are section 3
//! over the geometry of [`manipulation`], and [`mix`] weighs embeddings; [`zero_shot`] is CLIP alone, [`inpainting`] and
//! `clip_guidance` are GLIDE's (2112.10741, sections 2.4 and 4.3), and [`repaint`] inpaints by networks that were not
//! trained for it; [`editing`] inpaints images of any size. `noise_streams` is one stream of noise an image,
//! [`image_tensors`] makes images of tensors, [`record`] says how an image was sampled, [`threads`] counts the processors,
//! [`finite`] finds numbers that are not, `memory` makes an error of an allocation that failed, [`error`] is everything
//! that can go wrong.
//!
//! The arithmetic and the order in which noise is drawn are those of diffusers' pipeline of Karlo, so that a seed means
//! the same image in both.

#![forbid(unsafe_code)]

pub mod ar_sampling;
mod clip_guidance;
mod components;
mod conditions;
mod denoiser;
mod denoising_errors;
mod diffuse;
pub mod editing;
pub mod error;
pub mod finite;
pub mod hints;
pub mod image_tensors;
pub mod image_to_image;
pub mod inpainting;
pub mod interpolation;
pub mod inversion;
mod latents;
mod lease;
pub mod manipulation;
mod memory;
pub mod mix;
mod noise_streams;
pub mod observer;
pub mod overrides;
pub mod pipeline;
mod prior_stage;
pub mod record;
pub mod repaint;
pub mod request;
mod reranker;
pub mod settings;
mod settings_object;
mod stages;
pub mod text;
pub mod text_diff;
pub mod threads;
pub mod variations;
pub mod zero_shot;

pub use ::clip::KnownWords;
pub use ::diffusion::TimestepRespacing;
pub use ar_sampling::{CodeSampling, EmbeddingCodes};
pub use editing::{Edit, EditError};
pub use error::{Error, ErrorKind};
pub use finite::Quantity;
pub use image_tensors::to_images;
pub use inpainting::{Inpainting, Mask};
pub use interpolation::{Interpolation, InterpolationEnd, Latent};
pub use inversion::{Decoding, Inversion};
pub use mix::MixCondition;
pub use observer::{Observer, Silent, Step};
pub use overrides::{Preset, SettingsOverrides, StageOverrides, Students};
pub use pipeline::{Pipeline, Stages, Task};
pub use record::Record;
pub use request::Request;
pub use settings::{PriorSettings, Settings, Solver, StageSettings, check_caption};
pub use text::Text;
pub use text_diff::TextDiff;
pub use zero_shot::{LOGIT_FACTOR, Template};
