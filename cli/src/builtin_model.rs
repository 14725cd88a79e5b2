//! The project's own model, inside the binary.

use anyhow::{Result, ensure};
use weights::Folder;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The model as a folder; refuses where this build was made without one.
pub fn folder() -> Result<Folder> {
    ensure!(
        !FILES.is_empty(),
        "this build of unclip carries no model: please name one with --model DIR"
    );
    Ok(Folder::embedded(FILES))
}
