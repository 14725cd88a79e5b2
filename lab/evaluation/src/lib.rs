//! Measurements of a model on scenes, by a judge and by CLIP, each a table.
//!
//! Modules in reading order: [`examples`] and [`world_examples`] (the captions), [`evaluator`] (a pipeline, its judge and
//! how it samples) with [`batches`], [`statistics`] (estimates with their intervals, entropies), [`accuracy`] with
//! [`diversity`] (whether images show their captions, and what varies), [`inversions`], [`variations`] and
//! [`manipulations`] of [`siblings`] (images that are worked on), [`edit_masks`], [`edit_examples`](mod@edit_examples)
//! and [`inpainting`] (images of which a part is painted anew), [`priors`] (diffusion beside autoregression), [`presets`]
//! (quality by time) with [`frechet`](mod@frechet), [`upsampling`] with [`image_metrics`], [`zero_shot`] with
//! [`bindings`] (CLIP alone), [`everyday`] (what people type, judged by people), and [`sheets`] (images for eyes).

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod batches;
pub mod bindings;
pub mod diversity;
pub mod edit_examples;
pub mod edit_masks;
pub mod error;
pub mod evaluator;
pub mod everyday;
pub mod examples;
pub mod frechet;
pub mod image_metrics;
pub mod inpainting;
pub mod inversions;
pub mod manipulations;
pub mod presets;
pub mod priors;
pub mod sheets;
pub mod siblings;
pub mod statistics;
pub mod upsampling;
pub mod variations;
pub mod world_examples;
pub mod zero_shot;

pub use accuracy::{AccuracyRow, Evaluation, ImageSource, evaluate_captions};
pub use batches::Batches;
pub use edit_examples::{EditExample, edit_examples};
pub use edit_masks::{EditMask, MaskShape};
pub use error::Error;
pub use evaluator::{EvaluationProgress, EvaluationSettings, Evaluator, Report};
pub use everyday::{EverydayReport, Verdicts, draw_everyday, everyday_captions, everyday_sheet};
pub use examples::{CaptionSet, CaptionedScene, Example, TableCaptions};
pub use frechet::frechet;
pub use inpainting::{InpaintingEvaluation, InpaintingReport, evaluate_inpainting};
pub use inversions::evaluate_inversions;
pub use manipulations::{evaluate_edits, evaluate_interpolations};
pub use presets::evaluate_presets;
pub use priors::evaluate_priors;
pub use upsampling::evaluate_upsampling;
pub use variations::evaluate_variations;
pub use world_examples::{WorldCaptionSet, WorldExample};
pub use zero_shot::evaluate_zero_shot;
