//! A synthetic data set: everyday things and places, drawn from a seed, with captions and labels.
//!
//! Modules in reading order: [`labels`], [`things`] (the table of all), [`splits`] (and what is held out), `draw` (random
//! labels), [`scene`] (an image by its seed), `layout` (positions), `drawings` and `backdrop` (shapes), `canvas`
//! (rasterisation), `siblings` (scenes that differ in one label), [`caption`], [`dataset`] (for training).
//! Lengths are fractions of the image's side, so a scene looks the same at each size.

#![forbid(unsafe_code)]

pub mod labels;
pub mod scene;
pub mod splits;
pub mod things;

pub mod caption;

pub mod dataset;

mod backdrop;
mod canvas;
mod chance;
mod draw;
mod drawings;
mod inflection;
mod layout;
mod palette;
mod siblings;

pub use caption::{
    Aspect, Caption, Count, FigureMention, Mentions, RelationMention, nearest_word, words,
};
pub use dataset::{MixedDataset, WorldDataset};
pub use labels::{
    Action, Colour, Figure, Labels, Place, Relation, Season, Size, Texture, Time, Weather,
};
pub use scene::Scene;
pub use splits::{Novelty, Split, held_out, held_out_at, held_out_colour, held_out_together};
pub use things::{Home, Thing};
