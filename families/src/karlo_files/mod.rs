//! Karlo as Kakao Brain publishes it: its state dicts, the statistics of its prior's embeddings and OpenAI's CLIP, all in one
//! folder.
//!
//! Modules in reading order: `release` finds the published files, by their names or by their tensors, and has what is in no file,
//! the schedulers; `options` is a file of ours beside them, `inference` reads a network's shape off its tensors, and `names` has
//! their names. `open` makes the components, `shapes` reads what they have in common, and `save` writes them in our layout.

mod inference;
mod names;
mod open;
mod options;
mod release;
mod save;
mod shapes;

pub(crate) use open::{
    checkpoint, conditioning, decoder, image_processor, prior, scheduler, upsampler,
};
pub(crate) use release::{component_in, is_published, missing, missing_file};
pub(crate) use save::{source_files, write_component};
pub(crate) use shapes::shapes;
