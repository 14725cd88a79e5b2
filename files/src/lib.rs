//! Files as people have them. Knows nothing of models and images.
//!
//! Modules in reading order: [`endings`] says what a name promises, [`contents`] what the first bytes say, [`text`] decodes
//! text in any Unicode encoding, [`names`] compares names, and [`walk`] goes over folders.

#![forbid(unsafe_code)]

pub mod contents;
pub mod endings;
pub mod names;
pub mod text;
pub mod walk;
