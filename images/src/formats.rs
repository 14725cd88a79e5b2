//! Formats that the decoders do not read: images of other kinds, with their converters, and files that are no images.

use std::fmt;
use std::path::Path;

use files::contents::{Contents, ENOUGH};
use files::extensions::extension;
use image::ImageFormat;

/// A kind of file that is not read as an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// An image of another format.
    Image {
        /// The format's name, with an article.
        format: &'static str,
        /// The command that makes a PNG of it.
        converter: &'static str,
    },
    /// No image, but something that is known.
    Other(Contents),
    /// Nothing that is known.
    Unknown,
}

impl FileKind {
    /// The kind of a file of this name that begins with these bytes; `None` for an image that is read. The bytes decide, and the
    /// name where they say too little.
    pub fn of(first: &[u8], name: &Path) -> Option<Self> {
        let first = &first[..first.len().min(ENOUGH)];
        let contents = Contents::of(first);
        if contents == Some(Contents::Image) {
            return None;
        }
        let extension = extension(name);
        let by_ending = || FORMATS.iter().find(|f| f.endings.contains(&&*extension));
        let by_bytes = FORMATS.iter().find(|format| (format.begins)(first));
        let format = match contents {
            Some(Contents::Empty | Contents::LfsPointer | Contents::Html) => None,
            Some(Contents::Gzip) => by_ending().filter(|_| extension == "svgz"),
            Some(_) => by_bytes,
            // Most cameras' files are TIFFs.
            None if is_tiff(first) => by_ending().filter(|f| f.name == RAW).or(by_bytes),
            None => by_bytes.or_else(by_ending),
        };
        Some(match (format, contents) {
            (Some(format), _) => Self::Image { format: format.name, converter: format.converter },
            (None, Some(contents)) => Self::Other(contents),
            (None, None) => Self::Unknown,
        })
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Image { format, converter } => {
                write!(f, "{format}, which is not read: `{converter}` makes a PNG of it")
            }
            Self::Other(contents) => match contents.advice() {
                "" => write!(f, "no picture but {contents}"),
                advice => write!(f, "no picture but {contents}: {advice}"),
            },
            Self::Unknown => f.write_str("no picture: PNG, JPEG, WebP and GIF are read"),
        }
    }
}

/// The name of the format that an image's bytes begin as, of those that are read.
pub fn format_name(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => "PNG",
        Ok(ImageFormat::Jpeg) => "JPEG",
        Ok(ImageFormat::WebP) => "WebP",
        Ok(ImageFormat::Gif) => "GIF",
        _ => "picture of another format",
    }
}

/// An image format that is not read.
struct Format {
    name: &'static str,
    converter: &'static str,
    /// The endings of its files' names, in lower case.
    endings: &'static [&'static str],
    /// Whether the first bytes are those of the format.
    begins: fn(&[u8]) -> bool,
}

const fn format(
    name: &'static str,
    converter: &'static str,
    endings: &'static [&'static str],
    begins: fn(&[u8]) -> bool,
) -> Format {
    Format { name, converter, endings, begins }
}

/// The endings of cameras' files, of whatever maker.
const RAW: &str = "a camera's raw file";

/// The endings of cameras' raw files.
const RAW_ENDINGS: &[&str] = &[
    "3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mos", "mrw",
    "nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "srw", "x3f",
];

/// All formats. Those that are of a more general one come before it.
static FORMATS: [Format; 24] = [
    format(RAW, "darktable-cli", RAW_ENDINGS, is_raw),
    format("a TIFF", "magick", &["tif", "tiff"], is_tiff),
    format("an AVIF", "heif-convert", &["avif", "avifs"], |b| {
        brands(b).any(|brand| brand == b"avif" || brand == b"avis")
    }),
    format("a HEIC picture", "heif-convert", &["heic", "heics", "heif", "hif"], |b| {
        brands(b).any(|brand| matches!(brand, b"mif1" | b"msf1" | [b'h', b'e', b'i' | b'v', _]))
    }),
    format("a video", "ffmpeg -frames:v 1", &[], |b| {
        brands(b).next().is_some() || b.starts_with(b"\x1a\x45\xdf\xa3")
    }),
    format("a JPEG XL", "djxl", &["jxl"], |b| {
        b.starts_with(b"\xff\x0a") || b.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
    }),
    format("a JPEG 2000", "opj_decompress", &["jp2", "j2k", "j2c", "jpc", "jpf", "jpx"], |b| {
        b.starts_with(b"\xff\x4f\xff\x51") || b.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n")
    }),
    format("a JPEG XR", "JxrDecApp", &["jxr", "hdp", "wdp"], |b| b.starts_with(b"II\xbc")),
    format("a BMP", "magick", &["bmp", "dib"], is_bmp),
    format("an SVG", "rsvg-convert", &["svg", "svgz"], is_svg),
    format("a PDF", "pdftoppm -png", &["pdf", "ai"], |b| b.starts_with(b"%PDF-")),
    format("a PostScript file", "gs -sDEVICE=png16m", &["eps", "ps"], |b| {
        b.starts_with(b"%!PS") || b.starts_with(b"\xc5\xd0\xd3\xc6")
    }),
    format("a Photoshop file", "magick", &["psd", "psb"], |b| b.starts_with(b"8BPS")),
    format("a GIMP file", "magick", &["xcf"], |b| b.starts_with(b"gimp xcf")),
    format("an icon", "magick", &["ico", "icns", "cur"], |b| {
        b.starts_with(b"\0\0\x01\0") || b.starts_with(b"\0\0\x02\0") || b.starts_with(b"icns")
    }),
    format("an OpenEXR picture", "magick", &["exr"], |b| b.starts_with(b"\x76\x2f\x31\x01")),
    format("a Radiance HDR picture", "magick", &["hdr"], |b| {
        b.starts_with(b"#?RADIANCE") || b.starts_with(b"#?RGBE")
    }),
    format("a QOI picture", "magick", &["qoi"], |b| b.starts_with(b"qoif")),
    format("a Netpbm picture", "magick", &["pbm", "pgm", "ppm", "pnm", "pam"], |b| {
        matches!(
            b,
            [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', b'0'..=b'9' | b'#' | b'W', ..]
        )
    }),
    format("a DDS texture", "magick", &["dds"], |b| b.starts_with(b"DDS ")),
    // No first bytes tell the rest.
    format("a TGA", "magick", &["tga", "icb"], |_| false),
    format("a PCX", "magick", &["pcx"], |_| false),
    format("a Windows metafile", "inkscape", &["emf", "wmf"], |_| false),
    format("an X11 bitmap", "magick", &["xbm", "xpm"], |b| {
        b.starts_with(b"/* XPM */") || b.starts_with(b"#define ")
    }),
];

/// TIFF and BigTIFF, of either byte order.
fn is_tiff(b: &[u8]) -> bool {
    let marks = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    marks.iter().any(|&mark| b.starts_with(mark))
}

/// The raw files that their first bytes tell: Canon's, and those that are TIFFs with a mark of their maker's.
fn is_raw(b: &[u8]) -> bool {
    let marks: [&[u8]; 8] = [
        b"FUJIFILMCCD-RAW",
        b"IIRO",
        b"IIRS",
        b"MMOR",
        b"IIU\0",
        b"FOVb",
        b"\0MRM",
        b"II\x1a\0\0\0HEAPCCDR",
    ];
    let canon =
        is_tiff(b) && b.get(8..10) == Some(b"CR") || brands(b).any(|brand| brand == b"crx ");
    canon || marks.iter().any(|mark| b.starts_with(mark))
}

/// Two letters could begin a word: a second header follows, after its length.
fn is_bmp(b: &[u8]) -> bool {
    let length = b.get(14..18).and_then(<[u8]>::first_chunk);
    let length = length.map(|&length| u32::from_le_bytes(length));
    b.starts_with(b"BM") && length.is_some_and(|length| (12..=124).contains(&length))
}

/// `<svg`, which a declaration, a document type and a comment may precede.
fn is_svg(b: &[u8]) -> bool {
    let text = String::from_utf8_lossy(b);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let before = ["<?xml", "<!--", "<!DOCTYPE svg", "<svg"];
    before.iter().any(|tag| text.starts_with(tag)) && text.contains("<svg")
}

/// The brands of an ISO base media file, the major one first; none of any other file.
fn brands(b: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    let (boxes, _) = b.as_chunks::<4>();
    let brands = match boxes {
        [length, [b'f', b't', b'y', b'p'], brands @ ..] => {
            let count = (u32::from_be_bytes(*length) / 4).saturating_sub(2) as usize;
            &brands[..count.min(brands.len())]
        }
        _ => &[],
    };
    brands.iter()
}
