//! Names of files in JSON, which is Unicode: readable, and lossless beside it where that is not the name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value};

/// The bytes that are escaped: all but letters, digits and what is common in names.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Puts a file's name under `key`; where it is no UTF-8, with U+FFFD for what is not, and its bytes, percent-encoded, under
/// `key` and `_bytes`.
pub(crate) fn insert_path(object: &mut Map<String, Value>, key: &str, name: impl AsRef<OsStr>) {
    let name = name.as_ref();
    object.insert(key.to_owned(), name.to_string_lossy().into());
    if name.to_str().is_none() {
        let bytes = percent_encode(name.as_bytes(), ESCAPED).to_string();
        object.insert(format!("{key}_bytes"), bytes.into());
    }
}
