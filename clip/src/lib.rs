//! CLIP: a tokenizer, a text transformer and a vision transformer with one embedding space.
//!
//! Modules in reading order: [`tokenizer`] makes tokens of captions; [`transformer`] is what both encoders stack;
//! [`text`] and [`vision`] are the encoders, in the names and with the arithmetic of transformers' CLIP; [`image_processor`] prepares images;
//! [`bpe_training`] makes a new vocabulary.

pub mod bpe_training;
mod bytes;
pub mod image_processor;
pub mod text;
pub mod tokenizer;
mod tokenizer_files;
pub mod transformer;
mod unwinding;
pub mod vision;
mod vocabulary;
mod words;

pub use image_processor::{CLIP_MEAN, CLIP_STD, ImageProcessor, ImageProcessorError};
pub use text::{TextConfig, TextEncoder, TextEncoding};
pub use tokenizer::{Tokenizer, TokenizerError, TokenizerFiles, Tokens};
pub use vision::{VisionConfig, VisionEncoder};
pub use words::words;
