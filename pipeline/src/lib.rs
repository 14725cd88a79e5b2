//! From a caption to a picture: tokenise, encode, draw the embedding, decode, upsample.
//!
//! Modules in reading order: [`pipeline`] is the chain and `stages` are its stages, [`parts`] opens what a stage needs when
//! it is first needed ([`tasks`] say what that is, [`folders`] where it lies, `relations` checks that they fit each other), [`settings`] is what a
//! user wishes, [`codes`] is the autoregressive prior at work and [`coded`] measures it, [`text`] is a caption after the
//! text encoder, [`zero_shot`] is what CLIP alone can do, `nearest` chooses among candidates by it, `noise_streams` is one
//! stream of noise a picture, [`picture`] goes between tensors and 8-bit pictures, [`threads`] counts
//! the processors, [`finite`] looks at what the networks compute, `memory` makes an error of an allocation that failed, [`error`] is
//! everything that can go wrong.
//!
//! The arithmetic and the order in which noise is drawn are those of diffusers' `UnCLIPPipeline`, so that a seed means
//! the same picture in both.

#![forbid(unsafe_code)]

pub mod coded;
pub mod codes;
pub mod error;
pub mod finite;
pub mod folders;
pub mod inversion;
pub mod manipulation;
mod memory;
mod nearest;
mod noise_streams;
pub mod parts;
pub mod picture;
pub mod pipeline;
pub mod record;
mod relations;
pub mod settings;
mod stages;
pub mod tasks;
pub mod text;
pub mod threads;
pub mod zero_shot;

pub use coded::Coded;
pub use codes::CodeSampling;
pub use error::{Error, ErrorKind};
pub use finite::Quantity;
pub use folders::ModelFolders;
pub use images::{DecodeError, DecodedImage, read_image};
pub use inversion::Inversion;
pub use picture::{contact_sheet, cut_sheet, to_pictures};
pub use pipeline::{Pipeline, Progress};
pub use record::Record;
pub use settings::{Preset, Settings, Solver, Stage, check_caption};
pub use tasks::Use;
pub use text::Text;
pub use zero_shot::{LOGIT_FACTOR, Template};
