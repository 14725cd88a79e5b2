//! Extensions of files' names, and the formats that they promise.

use std::path::Path;

/// The extensions of images that are read, in lower case.
pub const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif"];

/// The extensions of images that are not read, in lower case: other formats, vectors, pages and cameras' raw files.
pub const UNSUPPORTED_IMAGES: [&str; 69] = [
    "3fr", "ai", "arw", "avif", "avifs", "bmp", "cr2", "cr3", "crw", "dcr", "dds", "dib", "dng",
    "emf", "eps", "erf", "exr", "hdp", "hdr", "heic", "heics", "heif", "hif", "icb", "icns", "ico",
    "iiq", "j2c", "j2k", "jp2", "jpc", "jpf", "jpx", "jxl", "jxr", "kdc", "mef", "mos", "mrw",
    "nef", "nrw", "orf", "pam", "pbm", "pcx", "pdf", "pef", "pgm", "pnm", "ppm", "ps", "psb",
    "psd", "qoi", "raf", "rw2", "rwl", "srw", "svg", "svgz", "tga", "tif", "tiff", "wdp", "wmf",
    "x3f", "xbm", "xcf", "xpm",
];

/// A name's extension in lower case; empty where there is none.
pub fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_ascii_lowercase()
}

/// Whether a name has the extension of an image that is read.
pub fn is_image(path: impl AsRef<Path>) -> bool {
    IMAGES.contains(&&*extension(path.as_ref()))
}

/// Whether a name has the extension of an image that is not read.
pub fn is_unsupported_image(path: impl AsRef<Path>) -> bool {
    UNSUPPORTED_IMAGES.contains(&&*extension(path.as_ref()))
}
