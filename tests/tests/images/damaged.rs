//! PNGs, WebPs and GIFs, whole and damaged, held to what Pillow reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use images::decode_image;
use serde::Deserialize;

use super::bytes_of;

/// The decisions that tests/images/record_damaged.py wrote.
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

fn table() -> Table {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("images/damaged.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Damage that is refused although Pillow passes over it: it looks at few of the pixels' checksums and lengths, fills up what
/// is missing, takes a second header for the first, and makes room for a canvas that has none.
const REFUSED: &[(&str, &str)] = &[
    ("png", "no IEND"),
    ("png", "cut by 8"),
    ("png", "cut by 11"),
    ("png", "cut by 12"),
    ("png", "cut by 13"),
    ("png", "cut by 14"),
    ("png", "cut by 16"),
    ("png", "cut by 17"),
    ("png", "cut by 20"),
    ("png", "IDAT checksum"),
    ("png", "two IDATs, first checksum"),
    ("png", "IDAT length beyond"),
    ("png", "IDAT length of 2^31 - 1"),
    ("png", "bit 5 of byte 36"), // of the length of IDAT
    ("png", "a row less"),
    ("png", "second IHDR"),
    ("png", "IHDR too long"),
    ("png", "unknown critical chunk"),
    ("png", "unknown compression"),
    ("png", "PLTE of 31 bytes"),
    ("png", "PLTE empty"),
    ("png", "PLTE twice"),
    ("webp", "VP8L length -1"),
    ("webp", "ANIM length -1"),
    ("webp", "ANMF length -1"),
    ("webp", "ANMF length +1"),
    ("webp", "ANMF length +2"),
    ("webp", "ANMF length +10"),
    ("gif", "empty canvas"),
];

/// Damage that Pillow refuses and that costs no pixel here: lengths of what is not used, and the end of a GIF's codes.
const READ: &[(&str, &str)] = &[
    ("png", "gAMA too short"),
    ("png", "tRNS too short"),
    ("png", "tRNS too long"),
    ("gif", "cut by 3"),
];

#[test]
fn damaged_images_are_read_where_pillow_reads_them() {
    let table = table();
    assert!(table.cases.len() > 500);
    let mut wrong = Vec::new();
    for Case { file, case, from, to, hex, pillow_reads } in &table.cases {
        let whole = bytes_of(&table.files[file].hex);
        let damaged = [&whole[..*from], &bytes_of(hex), &whole[*to..]].concat();
        let name = format!("{file}: {case}");
        let known = |kinds: &[(&str, &str)]| {
            let fits = |(ending, kind): &(&str, &str)| file.ends_with(ending) && case == kind;
            kinds.iter().any(fits)
        };
        let expected = (*pillow_reads || known(READ)) && !known(REFUSED);
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
        let ours = decode_image(&bytes_of(&whole.hex), &name).unwrap();
        let pillows = bytes_of(&whole.levels);
        assert_eq!((ours.image.width(), ours.animated), (whole.width, whole.animated), "{name}");
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
