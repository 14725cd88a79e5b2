//! Pictures a child's book might have, drawn from a seed, with captions and labels.
//!
//! Reading order: [`labels`] (what can be in a picture), [`scene`] (a picture drawn from a seed),
//! `layout` (where things go), `things` and `backdrop` (what they look like), `style`
//! (how ink meets paper), [`caption`] (what is said of them), [`export`] (a folder of them), `resume` (one
//! that was stopped).
//! Lengths are fractions of the picture's side, so a scene looks the same at each size.

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

pub use caption::{Aspect, Caption, Mentioned, MentionedSecond};
pub use export::{Export, ExportError, Exporter, export};
pub use labels::{
    Colour, Ground, HELD_OUT, Labels, Place, Relation, Second, Size, Sky, Style, Thing, held_out,
};
pub use scene::{Pairs, Scene, Split};
