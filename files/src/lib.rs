//! Files as people have them. Knows nothing of models and images.
//!
//! Modules in reading order: [`endings`] says what a name promises, [`contents`] what the first bytes say, [`bounded`] reads
//! whole files, [`text`] decodes text in any Unicode encoding, [`json`] reads our own types, [`names`] compares names,
//! [`walk`] goes over folders, [`atomic`] writes files that are whole or not there, and [`lock`] keeps a folder to one
//! process.

#![forbid(unsafe_code)]

pub mod atomic;
pub mod bounded;
pub mod contents;
pub mod endings;
pub mod json;
pub mod lock;
pub mod names;
pub mod text;
pub mod walk;
