//! The memory that pictures take, measured in a process of its own.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use images::{DecodeError, MAX_MEMORY, decode_image, read_image};
use png::{BitDepth, ColorType, Compression, Encoder};

use crate::manipulation::crc32;

/// The folder of pictures that [`reader`] reads.
const FOLDER: &str = "UNCLIP_TEST_PICTURES";

/// A picture that was read, or not, and the bytes of memory that it took.
struct Reading {
    name: String,
    read: bool,
    memory: u64,
}

/// Reads the pictures in a folder in another process, one after the other.
fn read_apart(folder: &Path) -> Vec<Reading> {
    let tests = std::env::current_exe().unwrap();
    let child = Command::new(tests)
        .args(["--exact", "images::memory::reader", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    let reading = |line: &str| {
        let [name, read, memory] =
            line.strip_prefix("picture\t")?.split('\t').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        Some(Reading {
            name: name.to_owned(),
            read: read == "true",
            memory: memory.parse().unwrap(),
        })
    };
    said.lines().filter_map(reading).collect()
}

/// The most memory that the process took since it was last asked to forget it, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    1024 * kilobytes.trim().parse::<u64>().unwrap()
}

#[test]
#[ignore = "it is the other process of the tests beside it"]
fn reader() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
    files.sort_by_key(|file| file.path());
    println!();
    for file in files {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let read = read_image(&file.path()).is_ok();
        let name = file.file_name().into_string().unwrap();
        println!("picture\t{name}\t{read}\t{}", peak() - before);
    }
}

/// Writes a PNG of zeros, row by row.
fn write_zeros(path: &Path, width: u32, height: u32, kind: (ColorType, BitDepth)) {
    let mut encoder = Encoder::new(BufWriter::new(File::create(path).unwrap()), width, height);
    encoder.set_color(kind.0);
    encoder.set_depth(kind.1);
    encoder.set_compression(Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![0; kind.0.samples() * kind.1 as usize / 8 * width as usize];
    for _ in 0..height {
        std::io::Write::write_all(&mut stream, &row).unwrap();
    }
    stream.finish().unwrap();
}

/// The chunks of a PNG, each with its name.
fn chunks(png: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut chunks = Vec::new();
    let mut rest = &png[8..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        chunks.push((&behind[..4], &behind[4..4 + length]));
        rest = &behind[8 + length..];
    }
    chunks
}

fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend([name, data].concat());
    let sum = crc32(&bytes[4..]);
    bytes.extend(sum.to_be_bytes());
    bytes
}

/// A JPEG's or WebP's profile is not packed; a PNG's profile and texts are, and 200 MB of zeros become 200 kB.
#[test]
fn what_is_packed_beside_the_pixels_stays_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (folder.path().join("a.png"), folder.path().join("large"));
    write_zeros(&small, 16, 16, (ColorType::Rgb, BitDepth::Eight));
    write_zeros(&large, 50_000, 4000, (ColorType::Grayscale, BitDepth::Eight));
    let (small, large) = (fs::read(small).unwrap(), fs::read(large).unwrap());
    let packed = chunks(&large).into_iter().filter(|(name, _)| *name == b"IDAT");
    let zeros: Vec<u8> = packed.flat_map(|(_, data)| data).copied().collect();
    fs::remove_file(folder.path().join("large")).unwrap();
    let text = [b"a\0\x01\0\0\0", &zeros[..]].concat();
    let profile = [b"a\0\0", &zeros[..]].concat();
    for (name, data) in [("iCCP", &profile), ("zTXt", &profile), ("iTXt", &text)] {
        let bomb = chunk(name.as_bytes(), data);
        // Behind the header, and behind the pixels.
        for place in [33, small.len() - 12] {
            let file = [&small[..place], &bomb, &small[place..]].concat();
            fs::write(folder.path().join(format!("{name}-{place}.png")), file).unwrap();
        }
    }
    let readings = read_apart(folder.path());
    assert_eq!(readings.len(), 7);
    for Reading { name, read, memory } in readings {
        assert!(read, "{name}");
        assert!(memory < 16_000_000, "{name} took {memory} bytes");
    }
}

/// A GIF of 35 bytes that declares 8000 x 8000 pixels, and has a few.
fn small_gif() -> Vec<u8> {
    let mut gif = b"GIF89a\x40\x1f\x40\x1f\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b"\x2c\0\0\0\0\x40\x1f\x40\x1f\0\x02\x02\x4c\x01\0\x3b");
    gif
}

#[test]
fn pixels_take_no_more_than_they_are_promised_to() {
    let folder = tempfile::tempdir().unwrap();
    let sixteen = (ColorType::Rgba, BitDepth::Sixteen);
    write_zeros(&folder.path().join("a-rgba16.png"), 4000, 4000, sixteen);
    let whole = fs::read(folder.path().join("a-rgba16.png")).unwrap();
    let mut wide = whole.clone();
    wide[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let header = chunk(b"IHDR", &wide[16..29]);
    wide[8..33].copy_from_slice(&header);
    fs::write(folder.path().join("b-16384.png"), &wide).unwrap();
    assert_eq!(small_gif().len(), 35);
    fs::write(folder.path().join("c-small.gif"), small_gif()).unwrap();
    let readings = read_apart(folder.path());
    let bounds = [(true, 60_000_000), (false, 8_000_000), (false, 80_000_000)];
    assert_eq!(readings.len(), bounds.len());
    for (Reading { name, read, memory }, (expected, most)) in readings.into_iter().zip(bounds) {
        assert_eq!(read, expected, "{name}");
        assert!(memory < most, "{name} took {memory} bytes");
    }
    let error = decode_image(&wide, "wide.png").unwrap_err();
    let DecodeError::TooLarge { needed, .. } = &error else {
        panic!("{error}");
    };
    assert!(*needed > MAX_MEMORY);
    let message = error.to_string();
    for word in ["wide.png", "16384 x 16384", "would take 1612 MB", "at most 700"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}
