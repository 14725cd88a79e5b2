//! CLIP: a tokenizer, a text transformer and a vision transformer with one embedding space.
//!
//! Modules in reading order: [`transformer`] is what both encoders stack, [`text`] and [`vision`] are the encoders,
//! in the names and with the arithmetic of transformers' `CLIPTextModelWithProjection` and
//! `CLIPVisionModelWithProjection`.

pub mod text;
pub mod transformer;
pub mod vision;

pub use text::{TextConfig, TextEncoder, TextEncoding};
pub use vision::{VisionConfig, VisionEncoder};
