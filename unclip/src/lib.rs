//! unCLIP (2204.06125) for programs: images from captions, variations of images, interpolations, text diffs and inversions.
//!
//! ```no_run
#![doc = include_str!("../examples/generate.rs")]
//! ```
//!
//! [`OpenOptions`] open a [`Pipeline`] over a model's folder, over one of [`built_in_models`]: the small model of the
//! project's own, or over a repository of the Hugging Face Hub, which a [`Locator`] brings. A [`Request`] is an image to
//! sample, with [`Settings`] of the model's own that [`SettingsOverrides`] and a [`Preset`] change; [`Pipeline::sample`]
//! samples several in one batch. An [`Observer`] sees each [`Step`], may ask for a preview, and can stop the request. What
//! can be done with an image (section 3 of the paper) are [`Pipeline::vary`], [`Pipeline::inpaint`],
//! [`Pipeline::interpolate`], [`Pipeline::mix`], [`Pipeline::text_diff`], [`Pipeline::reconstruct`] and
//! [`Pipeline::invert`]; CLIP alone classifies and compares ([`Pipeline::class_embeddings`]). A [`Record`] goes into a PNG
//! and says how it was drawn.
//!
//! A [`Pipeline`] is `Send`, not `Sync`: one thread works with it at a time. An [`Error`] has a [`kind`](Error::kind): the
//! user's, the model's or the machine's.

#![forbid(unsafe_code)]

#[cfg(feature = "hub")]
mod download;
mod locate;
mod model_files;
mod open;

#[cfg(feature = "hub")]
pub use download::repository;
pub use families::{Family, ModelFolders, PriorKind};
#[cfg(feature = "hub")]
pub use hub::Progress;
pub use images::{Margins, PaintMask, Rect, RgbImage, read_image};
pub use locate::{Locator, built_in_folder, built_in_models, locate_model};
pub use open::OpenOptions;
pub use pipeline::{
    CodeSampling, Decoding, Edit, EditError, Error, ErrorKind, Inpainting, Interpolation,
    InterpolationEnd, Inversion, Latent, Mask, MixCondition, Observer, Pipeline, Preset,
    PriorSettings, Record, Request, Settings, SettingsOverrides, Silent, Solver, StageOverrides,
    StageSettings, Stages, Step, Task, Template, TextDiff, check_caption, zero_shot,
};
pub use tch::{Device, Kind, Tensor};
