//! The types of zip 0.6 that tch and torch-sys name, from zip 6, which the workspace builds anyway.
//!
//! Both ask for zip 0.6 with its default features: every compression there is, two builds of zstd in C among them, of
//! which nothing here uses any. `[patch.crates-io]` puts this crate in its place. It reads and writes what is stored
//! without compression, as npz files are.

pub use zip6::{CompressionMethod, ZipArchive, ZipWriter, result};

/// The options of one file of an archive.
pub mod write {
    pub use zip6::write::SimpleFileOptions as FileOptions;
}
