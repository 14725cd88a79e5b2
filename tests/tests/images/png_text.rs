//! Texts in PNGs.

use images::png_text::find_text;
use png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};

const WORDS: &str = "été, a red house";

/// A PNG of one pixel with a chunk that `write` writes, before the pixel or behind it.
fn png(before: bool, write: impl Fn(&mut png::Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    if before {
        write(&mut writer);
    }
    writer.write_image_data(&[0; 3]).unwrap();
    if !before {
        write(&mut writer);
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn texts_of_every_kind_are_found_before_and_behind_the_pixels() {
    for before in [true, false] {
        let text = ITXtChunk::new("words", WORDS);
        let mut packed = text.clone();
        packed.compressed = true;
        let files = [
            png(before, |w| w.write_text_chunk(&text).unwrap()),
            png(before, |w| w.write_text_chunk(&packed).unwrap()),
            png(before, |w| w.write_text_chunk(&TEXtChunk::new("words", WORDS)).unwrap()),
            png(before, |w| w.write_text_chunk(&ZTXtChunk::new("words", WORDS)).unwrap()),
            // UTF-8 where Latin-1 is meant to be, as some write it.
            png(before, |w| {
                let bytes = [b"words\0", WORDS.as_bytes()].concat();
                w.write_chunk(png::chunk::tEXt, &bytes).unwrap();
            }),
        ];
        for (index, file) in files.iter().enumerate() {
            let found = find_text(file, "words").unwrap();
            assert_eq!(found.as_deref(), Some(WORDS), "{index}, before: {before}");
            assert_eq!(find_text(file, "others").unwrap(), None);
        }
    }
}

#[test]
fn texts_that_unpack_without_end_are_refused() {
    let long = "0".repeat(40 << 20);
    let mut international = ITXtChunk::new("words", long.as_str());
    international.compressed = true;
    for before in [true, false] {
        let files = [
            png(before, |w| w.write_text_chunk(&international).unwrap()),
            png(before, |w| w.write_text_chunk(&ZTXtChunk::new("words", long.as_str())).unwrap()),
        ];
        for file in files {
            assert!(file.len() < 1 << 20, "the file itself is small");
            let error = find_text(&file, "words").unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
    }
}

#[test]
fn a_text_before_damaged_pixels_is_found_and_one_behind_them_is_not() {
    let text = ITXtChunk::new("words", WORDS);
    let write = |before| png(before, |w| w.write_text_chunk(&text).unwrap());
    let file = write(true);
    assert!(find_text(&file[..file.len() - 20], "words").unwrap().is_some());
    let file = write(false);
    let error = find_text(&file[..file.len() - 40], "words").unwrap_err();
    assert!(error.to_string().contains("PNG"), "{error}");
    assert!(find_text(b"GIF89a", "words").is_err());
}
