//! A seeded mutator: what transfers, disks and enemies do to files.

use std::ops::Range;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers that readers trip over, as integers of a file.
const INTEGERS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Words that readers of texts trip over.
const WORDS: [&str; 26] = [
    "",
    "0",
    "-1",
    "1e400",
    "-1e400",
    "NaN",
    "3.5",
    "1e18",
    "9223372036854775808",
    "18446744073709551616",
    "null",
    "true",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":",
    "\u{feff}",
    "\u{202e}",
    "\r\n",
    "\t",
    ",",
    "'",
    "# ",
];

/// The random numbers of one case.
pub(crate) fn generator(case: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(case)
}

/// Damages `bytes` in one to four places. `others` are further files of the format, of which parts are spliced in.
pub(crate) fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    for _ in 0..[1, 1, 1, 2, 2, 3, 4].choose(rng).copied().unwrap_or(1) {
        mutate_once(bytes, others, rng);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    let at = place(bytes.len(), rng);
    match rng.random_range(0..12) {
        0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => bytes[at] = rng.random(),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(part(bytes.len(), rng))),
        5 => {
            let part = bytes[part(bytes.len(), rng)].to_vec();
            bytes.splice(at..at, part);
        }
        6 => {
            let noise: Vec<u8> = (0..rng.random_range(1..20)).map(|_| rng.random()).collect();
            bytes.splice(at..at, noise);
        }
        7 | 8 => overwrite(&mut bytes[at..], rng),
        9 => {
            let part = part(bytes.len(), rng);
            bytes[part].fill([0, 0xff][rng.random_range(0..2)]);
        }
        10 => {
            let other = others.choose(rng).filter(|other| !other.is_empty());
            let other = other.map(|other| other[part(other.len(), rng)].to_vec());
            bytes.splice(part(bytes.len(), rng), other.unwrap_or_default());
        }
        _ => {
            let noise = (0..rng.random_range(1..600)).map(|_| b'x');
            bytes.extend(noise);
        }
    }
}

/// Damages a text: one of its words becomes another, or its bytes suffer as those of other files do.
pub(crate) fn mutate_text(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    let words = words(bytes);
    if words.is_empty() || rng.random_range(0..3) == 0 {
        return mutate(bytes, others, rng);
    }
    for _ in 0..rng.random_range(1..3) {
        let words = self::words(bytes);
        let Some(word) = words.choose(rng).cloned() else {
            return;
        };
        match rng.random_range(0..4) {
            0 | 1 => {
                let new = WORDS[rng.random_range(0..WORDS.len())];
                bytes.splice(word, new.bytes());
            }
            2 => drop(bytes.drain(word)),
            _ => {
                let other = words[rng.random_range(0..words.len())].clone();
                let other = bytes[other].to_vec();
                bytes.splice(word, other);
            }
        }
    }
}

/// A place, of the first hundred bytes as often as of all.
fn place(length: usize, rng: &mut ChaCha8Rng) -> usize {
    let most = match rng.random() {
        true => length,
        false => length.min(100),
    };
    rng.random_range(0..most)
}

/// A part, short as a rule.
fn part(length: usize, rng: &mut ChaCha8Rng) -> Range<usize> {
    let start = place(length, rng);
    let longest = match rng.random_range(0..4) {
        0 => length,
        _ => 16,
    };
    start..length.min(start + rng.random_range(1..=longest))
}

/// Writes an integer of 2, 4 or 8 bytes over the first ones.
fn overwrite(bytes: &mut [u8], rng: &mut ChaCha8Rng) {
    let integer = INTEGERS[rng.random_range(0..INTEGERS.len())];
    let width = [2, 4, 8][rng.random_range(0..3)];
    let mut written = integer.to_le_bytes();
    let written = &mut written[..width];
    if rng.random() {
        written.reverse();
    }
    let width = width.min(bytes.len());
    bytes[..width].copy_from_slice(&written[..width]);
}

/// The words of a text: runs of what stands in names and numbers, and quoted strings.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-\"".contains(&byte);
    let mut words = Vec::new();
    let mut start = None;
    for (at, &byte) in text.iter().chain(b" ").enumerate() {
        match (start, is_word(byte)) {
            (None, true) => start = Some(at),
            (Some(begin), false) => {
                words.push(begin..at);
                start = None;
            }
            _ => (),
        }
    }
    words
}
