//! What a file's name promises.

use std::path::Path;

/// The endings of images that are read, in lower case.
pub const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif"];

/// A name's ending in lower case; empty where there is none.
pub fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

/// Whether a name ends as those of images that are read do.
pub fn is_image(path: impl AsRef<Path>) -> bool {
    IMAGES.contains(&&*ending(path.as_ref()))
}
