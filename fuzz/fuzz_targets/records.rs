//! How a picture was drawn, as its PNG says it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<serde_json::Value>(bytes);
});
