//! Formats by files' first bytes, whatever their names promise.

use std::fmt;

/// How many first bytes tell: a POSIX tar's mark ends at byte 262.
pub const ENOUGH: usize = 512;

/// Files that often lie where another was meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// No byte at all.
    Empty,
    /// The text that Git keeps in the place of a large file.
    LfsPointer,
    /// A page, such as servers send in the place of a file that they refuse.
    Html,
    /// A JSON text, such as servers report errors in.
    Json,
    /// A zip archive, as torch.save writes since PyTorch 1.6.
    Zip,
    /// A pickle without an archive, as torch.save wrote before.
    Pickle,
    /// A safetensors file.
    Safetensors,
    /// Something packed by gzip.
    Gzip,
    /// Something packed by Zstandard.
    Zstd,
    /// A 7-Zip archive.
    SevenZip,
    /// A tar.
    Tar,
    /// An HDF5 file, as Keras writes.
    Hdf5,
    /// A GGUF file, as llama.cpp and stable-diffusion.cpp read.
    Gguf,
    /// An array that numpy wrote.
    Npy,
    /// A PDF.
    Pdf,
    /// An image that is read here: PNG, JPEG, WebP or GIF.
    Image,
    /// A text of words and no more.
    Text,
}

impl Contents {
    /// The contents that begin with these [`ENOUGH`] bytes, or are all of a shorter file; `None` where they are nothing known.
    pub fn of(first: &[u8]) -> Option<Self> {
        if first.is_empty() {
            return Some(Self::Empty);
        }
        let begins = |mark: &[u8]| first.starts_with(mark);
        let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
        let text = text.trim_ascii_start();
        let tag = |mark: &str| {
            let head = text.get(..mark.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(mark.as_bytes()))
        };
        Some(match () {
            () if begins(b"version https://git-lfs.github.com/spec/") => Self::LfsPointer,
            () if tag("<!doctype html") || tag("<html") || tag("<head") => Self::Html,
            () if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") => Self::Zip,
            () if begins(b"\x1f\x8b") => Self::Gzip,
            () if begins(b"\x28\xb5\x2f\xfd") => Self::Zstd,
            () if begins(b"7z\xbc\xaf\x27\x1c") => Self::SevenZip,
            () if begins(b"\x89HDF\r\n\x1a\n") => Self::Hdf5,
            () if begins(b"GGUF") => Self::Gguf,
            () if begins(b"\x93NUMPY") => Self::Npy,
            () if begins(b"%PDF-") => Self::Pdf,
            () if first.get(257..262) == Some(b"ustar") => Self::Tar,
            () if begins(b"\x89PNG\r\n\x1a\n") || begins(b"\xff\xd8\xff") || begins(b"GIF8") => {
                Self::Image
            }
            () if begins(b"RIFF") && first.get(8..12) == Some(b"WEBP") => Self::Image,
            // A header's length in eight bytes, and the JSON that it is the length of.
            () if first.get(8) == Some(&b'{') && first[..8].last() == Some(&0) => Self::Safetensors,
            // The protocol, and then the number, which is torch.save's mark, or the first value.
            () if matches!(first, [0x80, 2..=5, ..]) => Self::Pickle,
            () if text.starts_with(b"{") || text.starts_with(b"[") => Self::Json,
            () if is_text(first) => Self::Text,
            () => return None,
        })
    }

    /// Advice for whoever has such a file where another was meant to be; empty where there is none.
    pub fn advice(self) -> &'static str {
        match self {
            Self::LfsPointer => "`git lfs pull` fetches the file itself",
            Self::Empty | Self::Html | Self::Json => "please download it again",
            Self::Gzip => "please unpack it with gunzip",
            Self::Zstd => "please unpack it with unzstd",
            Self::SevenZip => "please unpack it",
            _ => "",
        }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::LfsPointer => "a Git LFS pointer, not the file that it points to",
            Self::Html => "an HTML page, as a failed download leaves it",
            Self::Json => "a JSON text",
            Self::Zip => "a zip archive",
            Self::Pickle => "a pickle",
            Self::Safetensors => "a safetensors file",
            Self::Gzip => "packed by gzip",
            Self::Zstd => "packed by Zstandard",
            Self::SevenZip => "a 7-Zip archive",
            Self::Tar => "a tar",
            Self::Hdf5 => "an HDF5 file",
            Self::Gguf => "a GGUF file",
            Self::Npy => "an array of numpy's",
            Self::Pdf => "a PDF",
            Self::Image => "a picture",
            Self::Text => "a text",
        })
    }
}

/// Whether bytes are UTF-8 without control characters, but for one that was cut at their end.
fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}
