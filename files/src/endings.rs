//! Endings of files' names, and what they promise.

use std::path::Path;

/// The endings of images that are read, in lower case.
pub const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif"];

/// The endings of images that are not read, in lower case: other formats, vectors, pages and cameras' raw files.
pub const OTHER_IMAGES: [&str; 69] = [
    "3fr", "ai", "arw", "avif", "avifs", "bmp", "cr2", "cr3", "crw", "dcr", "dds", "dib", "dng",
    "emf", "eps", "erf", "exr", "hdp", "hdr", "heic", "heics", "heif", "hif", "icb", "icns", "ico",
    "iiq", "j2c", "j2k", "jp2", "jpc", "jpf", "jpx", "jxl", "jxr", "kdc", "mef", "mos", "mrw",
    "nef", "nrw", "orf", "pam", "pbm", "pcx", "pdf", "pef", "pgm", "pnm", "ppm", "ps", "psb",
    "psd", "qoi", "raf", "rw2", "rwl", "srw", "svg", "svgz", "tga", "tif", "tiff", "wdp", "wmf",
    "x3f", "xbm", "xcf", "xpm",
];

/// A name's ending in lower case; empty where there is none.
pub fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

/// Whether a name ends as those of images that are read do.
pub fn is_image(path: impl AsRef<Path>) -> bool {
    IMAGES.contains(&&*ending(path.as_ref()))
}

/// Whether a name ends as those of images do that are not read.
pub fn is_unread_image(path: impl AsRef<Path>) -> bool {
    OTHER_IMAGES.contains(&&*ending(path.as_ref()))
}
