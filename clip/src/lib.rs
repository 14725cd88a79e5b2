//! CLIP: a tokenizer, a text transformer and a vision transformer with one embedding space.
//!
//! Modules in reading order: [`tokenizer`] makes tokens of captions, which [`text_cleaning`] repairs first where the model's
//! publisher does; [`text`] and [`vision`] are the encoders, in the names and with the arithmetic of transformers' CLIP,
//! [`resnet`] is the image encoder that OpenAI published beside, [`image_encoder`] either of the two, and [`noised_encoders`]
//! those of a CLIP for noised images; [`gpt2`] is GPT-2's tokenizer, which GLIDE has beside CLIP's, and [`caption_tokenizer`]
//! is either of them; [`bpe_training`] learns a new vocabulary, and [`known_words`] are those of its captions. The crate `images` preprocesses images.

#![forbid(unsafe_code)]

pub mod bpe_training;
mod byte_level;
pub mod caption_tokenizer;
pub mod gpt2;
pub mod image_encoder;
pub mod known_words;
pub mod noised_encoders;
mod pre_tokenizer;
pub mod resnet;
pub mod text;
pub mod text_cleaning;
pub mod tokenizer;
mod tokenizer_config;
pub mod vision;
mod vocabulary;

pub use bpe_training::tokenizer_files;
pub use caption_tokenizer::CaptionTokenizer;
pub use gpt2::{Gpt2Files, Gpt2Tokenizer};
pub use image_encoder::{ImageEncoder, ImageEncoderConfig};
pub use known_words::{KnownWords, nearest_spelling};
pub use noised_encoders::{
    NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder,
};
pub use pre_tokenizer::words;
pub use resnet::{ModifiedResNet, ModifiedResNetConfig};
pub use text::{TextConfig, TextEncoder, TextEncoding};
pub use tokenizer::{Tokenizer, TokenizerError, TokenizerFiles, Tokens};
pub use vision::{VisionConfig, VisionEncoder};
pub use vocabulary::FileProblem;
