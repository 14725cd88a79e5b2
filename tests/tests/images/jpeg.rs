//! JPEGs, whole and damaged, held to what Pillow reads.

use std::fs;
use std::path::PathBuf;

use images::{DecodeError, decode_image};
use serde::Deserialize;

use super::bytes_of;

/// The decisions that tests/images/record_jpeg.py wrote.
#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    pieces: Vec<Piece>,
    pillow_reads: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    File { file: String, from: usize, to: usize },
    Hex { hex: String },
    Zeros { zeros: usize },
}

/// Cases that are refused whatever Pillow does. It notices a missing end mark only where its decoder still looks for bits,
/// and reads two kinds that no decoder here does.
const REFUSED: [&str; 4] = [
    "without end mark",
    "zeros for the end mark",
    "arithmetic coding",
    "number of lines behind the scan",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("images")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join("jpeg").join(name)).unwrap()
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let piece = |piece: &Piece| match piece {
        Piece::File { file: name, from, to } => file(&format!("{name}.jpg"))[*from..*to].to_vec(),
        Piece::Hex { hex } => bytes_of(hex),
        Piece::Zeros { zeros } => vec![0; *zeros],
    };
    pieces.iter().flat_map(piece).collect()
}

#[test]
fn jpegs_are_read_where_pillow_reads_them() {
    let table = fs::read_to_string(folder().join("jpeg.json")).unwrap();
    let table: Table = serde_json::from_str(&table).unwrap();
    assert!(table.cases.len() > 100);
    let mut wrong = Vec::new();
    for Case { case, pieces, pillow_reads } in &table.cases {
        let expected = *pillow_reads && !REFUSED.iter().any(|kind| case.ends_with(kind));
        let read = decode_image(&bytes(pieces), "case.jpg");
        if read.is_ok() != expected {
            wrong.push(format!("{case}: {:?}", read.err()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Decoders may round each step otherwise: Pillow's and ours differ by no more than 4 of 255 levels.
#[test]
fn pixels_of_jpegs_are_pillows() {
    let mut count = 0;
    for entry in fs::read_dir(folder().join("jpeg")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() != "jpg" {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let ours = decode_image(&file(name), name).unwrap().image;
        let pillows = image::open(path.with_extension("png")).unwrap().to_rgb8();
        assert_eq!(ours.dimensions(), pillows.dimensions(), "{name}");
        let levels = ours.iter().zip(pillows.iter());
        let far = levels.map(|(one, other)| one.abs_diff(*other)).max();
        assert!(far.unwrap() <= 4, "{name}: {far:?}");
        count += 1;
    }
    assert_eq!(count, 13);
}

#[test]
fn a_jpeg_that_is_cut_short_is_refused_in_words() {
    let whole = file("baseline.jpg");
    let cut = &whole[..whole.len() - 200];
    let error = decode_image(cut, "cut.jpg").unwrap_err();
    assert!(matches!(error, DecodeError::Damaged { .. }));
    let (error, length) = (error.to_string(), cut.len().to_string());
    for word in ["cut.jpg", "cut short", &length, "EOI"] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut arithmetic = whole.clone();
    arithmetic[frame + 1] = 0xc9;
    let error = decode_image(&arithmetic, "a.jpg").unwrap_err().to_string();
    assert!(error.contains("arithmetic") && error.contains("magick"), "{error}");
}
