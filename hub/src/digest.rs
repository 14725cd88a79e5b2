//! Digests of files, by which the Hub and its cache name their contents.

use std::fmt;

use files::digest::hex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The name of a file's contents: that of its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// The SHA-256 of a large file (Git LFS), 64 hexadecimal digits.
    Sha256(String),
    /// Git's SHA-1 of a small one: of `blob LENGTH`, a zero byte and the contents, 40 hexadecimal digits.
    Git(String),
}

impl Digest {
    /// By the number of its digits, which must be hexadecimal ones in lower case.
    pub fn parse(digits: &str) -> Option<Self> {
        let plain = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match digits.len() {
            64 if plain => Some(Self::Sha256(digits.to_owned())),
            40 if plain => Some(Self::Git(digits.to_owned())),
            _ => None,
        }
    }

    /// Its digits.
    pub fn digits(&self) -> &str {
        let (Self::Sha256(digits) | Self::Git(digits)) = self;
        digits
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let kind = match self {
            Self::Sha256(_) => "SHA-256",
            Self::Git(_) => "Git's SHA-1",
        };
        write!(to, "{kind} {}", self.digits())
    }
}

/// The digest of bytes that come one after the other.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    /// Of the kind of `digest`, for so many bytes.
    pub(crate) fn new(digest: &Digest, size: u64) -> Self {
        match digest {
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
            Digest::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hex(&hasher.finalize())),
            Self::Git(hasher) => Digest::Git(hex(&hasher.finalize())),
        }
    }
}
