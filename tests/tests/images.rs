//! Images from bytes: what is read and what is refused, and preprocessing.

mod damaged;
mod formats;
mod jpeg;
mod masks;
mod memory;
mod png_text;
mod preprocess;
mod regions;

/// The bytes that hexadecimal digits stand for.
fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
