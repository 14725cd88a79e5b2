//! A synthetic data set: images a child's book might have, drawn from a seed, with captions and labels.
//!
//! Modules in reading order: [`labels`], [`scene`] (an image by its seed), `layout` (positions), `things` and `backdrop`
//! (shapes), `style` (rasterisation), [`caption`], [`export`] (a folder of images with their metadata), `resume` (of an export
//! that was stopped), [`dataset`] (for training).
//! Lengths are fractions of the image's side, so a scene looks the same at each size.

#![forbid(unsafe_code)]

pub mod labels;

pub mod scene;

mod backdrop;
mod chance;
mod layout;
mod palette;
mod shapes;
mod style;
mod things;

pub mod caption;
mod words;

pub mod export;
mod resume;

pub mod dataset;

pub use caption::{Aspect, Caption, Mentions, SecondMention};
pub use dataset::SceneDataset;
pub use export::{Export, ExportError, Exporter};
pub use labels::{
    Colour, Ground, HELD_OUT, Labels, Place, Relation, Second, Size, Sky, Style, Thing, held_out,
};
pub use scene::{Pairs, Scene, Split};
