//! The index of a shard.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use training::Data;

/// A folder in memory, as /dev/shm is; gone when the system is.
static SHARD: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    folder.keep().join("shard.tar")
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*SHARD, bytes).expect("memory takes it");
    if let Ok(data) = Data::open(&[&*SHARD], false) {
        data.captions(10);
    }
});
