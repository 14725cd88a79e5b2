//! Checkpoints: reads what publishers wrote, strictly, and writes our own in the same layout.
//!
//! Only this crate knows what a publisher called things. Modules in reading order: [`checkpoint`] gives a model its
//! tensors and reports everything that does not fit in one error; [`safetensors`] and [`pickle`] are the two formats
//! it reads; [`folder`] finds a component's files (`weight_files` says which are weights, `locate` which folder a user means,
//! `describe` what another holds); [`configs`] translates its configuration; [`open`] puts these
//! together, [`shapes`] reads configurations alone, and [`save`] and [`index`] are the way back. `embeddings`
//! reads those of others, [`npy`] as numpy stores them. `numbers` says which are not finite.

#![forbid(unsafe_code)]

mod budget;
pub mod checkpoint;
mod complete;
pub mod configs;
mod describe;
mod embeddings;
pub mod error;
pub mod files;
mod fingerprint;
pub mod folder;
pub mod index;
mod lazy_tensor;
mod locate;
pub mod npy;
mod numbers;
pub mod open;
pub mod pickle;
pub mod safetensors;
pub mod save;
pub mod shapes;
mod weight_files;

pub use checkpoint::Checkpoint;
pub use complete::complete_model;
pub use configs::ConfigError;
pub use embeddings::load_embeddings;
pub use error::{Error, Problems};
pub use files::write_atomically;
pub use folder::Folder;
pub use index::{read_logit_scale, read_model_defaults, save_model_defaults, save_model_index};
pub use npy::{NpyError, npy, read_npy};
pub use numbers::{damaged_row, describe_numbers};
pub use open::{
    is_autoregressive_prior, open_autoregressive_prior, open_conditioning, open_decoder,
    open_image_encoder, open_image_processor, open_logit_scale, open_pca, open_prior,
    open_scheduler, open_text_encoder, open_tokenizer, open_upsampler,
};
pub use safetensors::{load_safetensors, save_safetensors};
pub use save::{
    save_autoregressive_prior, save_conditioning, save_decoder, save_image_encoder, save_pca,
    save_prior, save_text_encoder, save_upsampler, write_conditioning_config,
    write_image_encoder_config, write_image_processor, write_prior_config, write_scheduler_config,
    write_text_encoder_config, write_unet_config,
};
pub use shapes::Shapes;
