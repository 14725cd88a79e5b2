//! Files as people have them. Knows nothing of models and images.
//!
//! Modules in reading order: [`endings`] says what a name promises, [`contents`] what the first bytes say, [`bounded`] reads
//! whole files, [`text`] decodes text in any Unicode encoding, [`json`] parses JSON, [`names`] compares names, and [`walk`] goes
//! over folders.

#![forbid(unsafe_code)]

pub mod bounded;
pub mod contents;
pub mod endings;
pub mod json;
pub mod names;
pub mod text;
pub mod walk;
