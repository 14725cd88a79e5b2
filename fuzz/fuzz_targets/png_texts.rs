//! The texts of a PNG, and the picture itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = images::png_text::find_text(bytes, "unclip");
    let _ = images::decode_image(bytes, "file.png");
});
