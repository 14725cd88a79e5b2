//! A classifier of scenes, the judge: it answers questions about what an image shows.
//!
//! Modules in reading order: [`questions`] with [`world_labels`] (the classes), [`network`] (a residual network), [`judge`]
//! (inference), [`judge_scene`] (scenes of either renderer), [`float_image`] and [`dataset`] (clean and corrupted scenes with
//! their targets), [`train`](mod@train), [`validate`](mod@validate), and [`proportion`] with [`markdown`] (how its results are
//! written).

#![forbid(unsafe_code)]

pub mod dataset;
pub mod error;
pub mod float_image;
pub mod judge;
pub mod judge_scene;
pub mod markdown;
pub mod network;
pub mod proportion;
pub mod questions;
pub mod train;
pub mod validate;
pub mod world_labels;

pub use dataset::{Corruption, FIRST_TEST_SEED, Sample};
pub use error::Error;
pub use float_image::{FloatImage, Warp};
pub use judge::{Judge, Prediction, SHIPPED_PAIRS_SHA256, SHIPPED_SHA256, SHIPPED_WORLD_SHA256};
pub use judge_scene::JudgeScene;
pub use proportion::Proportion;
pub use questions::{Answers, Question, Subject, Target, Targets};
pub use train::{JudgeRecipe, train};
pub use validate::{Validation, validate};
pub use world_labels::RelationView;
