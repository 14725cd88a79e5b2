//! A classifier of scenes, the judge: it answers questions about what an image shows.
//!
//! Modules in reading order: [`questions`] (the classes), [`network`] (a residual network), [`judge`] (inference),
//! [`float_image`] and [`dataset`] (clean and corrupted scenes with their targets), [`train`](mod@train),
//! [`validate`](mod@validate), and [`proportion`] with [`markdown`] (how its results are written).

#![forbid(unsafe_code)]

pub mod dataset;
pub mod error;
pub mod float_image;
pub mod judge;
pub mod markdown;
pub mod network;
pub mod proportion;
pub mod questions;
pub mod train;
pub mod validate;

pub use dataset::{Corruption, FIRST_TEST_SEED, Sample};
pub use error::Error;
pub use float_image::{FloatImage, Warp};
pub use judge::{Judge, Prediction, SHIPPED_PAIRS_SHA256, SHIPPED_SHA256};
pub use proportion::Proportion;
pub use questions::{Question, Subject, Target, Targets};
pub use train::{JudgeRecipe, train};
pub use validate::{Validation, validate};
