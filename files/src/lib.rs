//! Files as people have them. Knows nothing of models and images.
//!
//! Modules in reading order: [`extensions`] says what a name promises, [`contents`] what the first bytes say, [`whole_file`]
//! reads files of limited length, [`gzip`] unpacks them, [`text`] decodes text in any Unicode encoding, [`json`] reads our own types, [`digest`]
//! tells bytes apart, [`names`] compares names, [`walk`] goes over folders, [`atomic`] writes files that are whole or not
//! there, and [`lock`] keeps a folder to one process.

#![forbid(unsafe_code)]

pub mod atomic;
pub mod contents;
pub mod digest;
pub mod extensions;
pub mod gzip;
pub mod json;
pub mod lock;
pub mod names;
pub mod text;
pub mod walk;
pub mod whole_file;
