//! An array of numpy's.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = weights::read_npy(bytes, bytes.len() as u64);
});
