//! CLIP in one folder or one file, as its publishers lay it out: transformers' `CLIPModel`, OpenAI's archives, and open_clip's
//! folders.
//!
//! Modules in reading order: `layout` tells the layouts apart, `names` has OpenAI's names of the tensors, which open_clip has
//! too, `inference` reads the shapes off the tensors and `open_clip` reads them in a configuration. `open` makes the components
//! of these two layouts, and `save` writes them as transformers lays them out, whose folders are opened as the components of a
//! family are.

mod inference;
mod layout;
mod names;
mod open;
mod open_clip;
mod save;

pub(crate) use layout::{ClipLayout, clip_layout, is_clip_file, only_clip_file, own_layout};
pub use names::openai_clip;
pub(crate) use open::{
    check_clip_file, clip_checkpoint, clip_image_config, clip_text_config, has_tokenizer,
    ignored_prefixes, no_tokenizer, open_clip_image_encoder, open_clip_image_processor,
    open_clip_logit_scale, open_clip_text_encoder, open_clip_tokenizer,
};
pub(crate) use open_clip::{OPEN_CLIP_CONFIG, open_clip_weights};
pub(crate) use save::{
    tokenizer_sources, write_image_encoder, write_text_encoder, write_tokenizer,
};
