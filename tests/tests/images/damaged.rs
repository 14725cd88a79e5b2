//! PNGs, WebPs and GIFs, whole and damaged, held to what Pillow reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use images::decode_image;
use serde::Deserialize;

/// What tests/images/record_damaged.py wrote.
#[derive(Deserialize)]
struct Table {
    files: BTreeMap<String, Whole>,
    cases: Vec<Case>,
}

/// A file that Pillow reads, and its pixels on white.
#[derive(Deserialize)]
struct Whole {
    hex: String,
    width: u32,
    levels: String,
    animated: bool,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    case: String,
    from: usize,
    to: usize,
    hex: String,
    pillow_reads: bool,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn table() -> Table {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("images/damaged.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Damage that is refused although Pillow passes over it: it checks no pixels' checksum, fills up what is missing, ignores a
/// second header, and skips frames.
const REFUSED: &[&str] = &[
    // PNG
    "IDAT checksum",
];

/// Damage that loses nothing here, and that Pillow refuses.
const READ: &[&str] = &["gAMA too short"];

#[test]
fn damaged_images_are_read_where_pillow_reads_them() {
    let table = table();
    assert!(table.cases.len() > 500);
    let mut wrong = Vec::new();
    for Case {
        file,
        case,
        from,
        to,
        hex,
        pillow_reads,
    } in &table.cases
    {
        let whole = bytes(&table.files[file].hex);
        let damaged = [&whole[..*from], &bytes(hex), &whole[*to..]].concat();
        let (name, is) = (format!("{file}: {case}"), |known: &&str| case == known);
        let expected = match () {
            () if REFUSED.iter().any(is) => false,
            () if READ.iter().any(is) => true,
            () => *pillow_reads,
        };
        let read = decode_image(&damaged, file);
        if read.is_ok() != expected {
            wrong.push(format!("{name}: {:?}", read.err()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lossy ones may be rounded otherwise: by no more than 4 of 255 levels.
#[test]
fn pixels_are_pillows() {
    let table = table();
    assert!(table.files.len() > 40);
    for (name, whole) in table.files {
        let ours = decode_image(&bytes(&whole.hex), &name).unwrap();
        let pillows = bytes(&whole.levels);
        assert_eq!(
            (ours.image.width(), ours.animated),
            (whole.width, whole.animated),
            "{name}"
        );
        assert_eq!(ours.image.len(), pillows.len(), "{name}");
        let tolerance = match name.ends_with("webp") && !name.contains("lossless") {
            true => 4,
            false => 0,
        };
        let levels = ours.image.iter().zip(&pillows);
        let far = levels.map(|(one, other)| one.abs_diff(*other)).max();
        assert!(far.unwrap() <= tolerance, "{name}: {far:?}");
    }
}
