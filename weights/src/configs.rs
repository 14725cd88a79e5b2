//! Publishers' configurations, as diffusers and transformers write them, to and from our own structs.
//!
//! Every field that says something about a network is understood or refused with its value; a field that nobody here
//! knows is refused too, unless it is null or false, which is how later versions of a library say "as before". Fields
//! that begin with an underscore, and transformers' many bookkeeping fields, are ignored. Where a field is absent, the
//! publisher's class has a default, which applies: files of 2022 lack what was added since.

mod clip;
mod fields;
mod prior;
mod scheduler;
mod text_proj;
mod unet;

pub(crate) use clip::{Half, text_config, text_json, vision_config, vision_json};
pub use fields::ConfigError;
pub(crate) use prior::{prior_config, prior_json};
pub(crate) use scheduler::{scheduler_config, scheduler_json};
pub(crate) use text_proj::{conditioning_config, conditioning_json};
pub(crate) use unet::{decoder_config, unet_json, upsampler_config};

/// The version of diffusers whose classes open what is written here.
const DIFFUSERS: &str = "0.42.1";
/// The version of transformers whose classes do.
const TRANSFORMERS: &str = "5.23.0";
