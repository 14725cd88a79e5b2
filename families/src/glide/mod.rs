//! GLIDE (2112.10741) as OpenAI publishes it, and its components in our own layout, which has a folder for each as diffusers'
//! pipelines do.
//!
//! Modules in reading order: `family` is the layout as a value, `release` lists the published files, `options` is a file of
//! ours beside them, `inference` reads a network's shape off its tensors, and `names` has their names. `open` and `tokenizers`
//! make components of either layout, and `components` reads and writes whole ones. `shapes` reads configurations alone.

mod components;
mod family;
mod inference;
mod names;
mod open;
mod options;
mod release;
mod shapes;
mod tokenizers;

pub use components::{NetworkConfig, read_network, save_network, write_scheduler};
pub use family::glide;
pub(crate) use open::checkpoint;
pub use open::{
    open_noised_image_encoder, open_noised_text_encoder, open_scheduler, open_text_transformer,
    open_unet,
};
pub(crate) use options::OPTIONS;
pub(crate) use release::missing_file;
pub use release::{is_published, published_component, published_file};
pub(crate) use shapes::{noised_image_shape, noised_text_shape, stage_shapes};
pub(crate) use tokenizers::{CLIP_MERGES, tokenizer_files};
pub use tokenizers::{open_caption_tokenizer, open_noised_clip_tokenizer};

/// The folder of the captions' tokenizer, GPT-2's byte-level BPE.
pub const TOKENIZER: &str = "tokenizer";
/// The text transformer of the base network.
pub const DECODER_TEXT_ENCODER: &str = "decoder_text_encoder";
/// The base network, a U-Net from a caption to a small image.
pub const DECODER: &str = "decoder";
/// The base network's scheduler, which the inpainting one shares.
pub const DECODER_SCHEDULER: &str = "decoder_scheduler";
/// The text transformer of the upsampler.
pub const UPSAMPLER_TEXT_ENCODER: &str = "upsampler_text_encoder";
/// The upsampler, a U-Net from a caption and a small image to a large one.
pub const UPSAMPLER: &str = "upsampler";
/// The upsampler's scheduler, which the inpainting one shares.
pub const UPSAMPLER_SCHEDULER: &str = "upsampler_scheduler";
/// The text transformer of the inpainting base network.
pub const INPAINT_DECODER_TEXT_ENCODER: &str = "inpaint_decoder_text_encoder";
/// The inpainting base network.
pub const INPAINT_DECODER: &str = "inpaint_decoder";
/// The text transformer of the inpainting upsampler.
pub const INPAINT_UPSAMPLER_TEXT_ENCODER: &str = "inpaint_upsampler_text_encoder";
/// The inpainting upsampler.
pub const INPAINT_UPSAMPLER: &str = "inpaint_upsampler";
/// The tokenizer of the noised CLIP.
pub const CLIP_TOKENIZER: &str = "clip_tokenizer";
/// The text encoder of the noised CLIP (section 4.4).
pub const CLIP_TEXT_ENCODER: &str = "clip_text_encoder";
/// The image encoder of the noised CLIP.
pub const CLIP_IMAGE_ENCODER: &str = "clip_image_encoder";
