//! A judge that reads pictures, and the tables it fills.
//!
//! Read in this order: [`questions`] (what is asked), [`judge`] (who answers) over its [`network`], [`lessons`] and
//! [`damage`] (what it learns from), [`learning`] (how); then [`examples`] (what is drawn), [`evaluate`](mod@evaluate)
//! and [`diversity`] (what is counted), [`manipulations`] with [`inversions`] and [`variations`] (the same for pictures
//! that are worked on), [`priors`] (one beside the other), [`presets`] (what less time costs) with [`frechet`](mod@frechet)
//! (how far sets of pictures lie apart), [`upsampling`] (how sharp pictures are), [`zero_shot`] (what CLIP knows alone), [`claims`]
//! (what the papers say), [`statistics`] (shares, intervals,
//! entropies), [`report`] (tables) and [`sheets`] (pictures for eyes).

pub mod claims;
pub mod damage;
pub mod diversity;
pub mod error;
pub mod evaluate;
pub mod examples;
pub mod frechet;
pub mod inversions;
pub mod judge;
pub mod learning;
pub mod lessons;
pub mod manipulations;
pub mod network;
pub mod presets;
pub mod priors;
pub mod questions;
pub mod report;
pub mod sheets;
pub mod statistics;
pub mod upsampling;
pub mod variations;
pub mod zero_shot;

pub use claims::report::ClaimsReport;
pub use claims::{Counts, evaluate_claims};
pub use error::Error;
pub use evaluate::{Evaluation, EvaluationSettings, evaluate, evaluate_asked};
pub use examples::{Asked, Example};
pub use frechet::frechet;
pub use judge::{Judge, Reading, SHIPPED_PAIRS_SHA256, SHIPPED_SHA256};
pub use learning::{Examination, JudgeRecipe, examine, train_judge};
pub use manipulations::{
    Manipulation, ManipulationReport, ManipulationSettings, evaluate_manipulations,
};
pub use presets::{PresetReport, evaluate_presets};
pub use priors::{PriorReport, evaluate_priors};
pub use questions::{Question, Subject};
pub use report::{Report, Row, Source};
pub use upsampling::{UpsamplingReport, evaluate_upsampling};
pub use zero_shot::{ZeroShotReport, evaluate_zero_shot};
