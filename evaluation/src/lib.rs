//! A judge that reads pictures, and the tables it fills.
//!
//! Read in this order: [`questions`] (what is asked), [`judge`] (who answers) over its [`network`], [`lessons`] and
//! [`damage`] (what it learns from), [`learning`] (how); then [`examples`] (what is drawn), [`evaluate`](mod@evaluate)
//! and [`diversity`] (what is counted), [`manipulations`] with [`inversions`] and [`variations`] (the same for pictures
//! that are worked on), [`priors`] (one beside the other), [`presets`] (what less time costs) with [`frechet`](mod@frechet)
//! (how far sets of pictures lie apart), [`zero_shot`] (what CLIP knows alone), [`statistics`] (shares, intervals,
//! entropies), [`report`] (tables) and [`sheets`] (pictures for eyes).

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
pub mod variations;
pub mod zero_shot;

pub use error::Error;
pub use evaluate::{Evaluation, EvaluationSettings, evaluate};
pub use examples::Example;
pub use frechet::frechet;
pub use judge::{Judge, Reading, SHIPPED_SHA256};
pub use learning::{Examination, JudgeRecipe, examine, train_judge};
pub use manipulations::{
    Manipulation, ManipulationReport, ManipulationSettings, evaluate_manipulations,
};
pub use presets::{PresetReport, evaluate_presets};
pub use priors::{PriorReport, evaluate_priors};
pub use questions::Question;
pub use report::{Report, Row, Source};
pub use zero_shot::{ZeroShotReport, evaluate_zero_shot};
