//! The project's own model, inside the binary.

use anyhow::{Result, ensure};
use weights::Folder;

/// Puts a file where the numbers in it can be used in place.
#[repr(C, align(64))]
#[allow(dead_code, reason = "a build without a model has no files")]
struct Aligned<B: ?Sized>(B);

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The model as a folder; refuses where this build was made without one.
pub fn folder() -> Result<Folder> {
    ensure!(
        !FILES.is_empty(),
        "this build of unclip carries no model: please name one with --model DIR"
    );
    Ok(Folder::embedded(FILES))
}
