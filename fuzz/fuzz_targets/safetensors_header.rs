//! A safetensors file: what is accepted can be taken as its header says.

#![no_main]

use layers::{Init, Source};
use libfuzzer_sys::fuzz_target;
use tch::{Device, Kind};
use weights::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let opened =
        Checkpoint::from_bytes("file.safetensors", bytes, "a model", Device::Cpu, Kind::Float);
    let Ok(checkpoint) = opened else { return };
    if let Some(shape) = checkpoint.shape("weight") {
        let _ = checkpoint.take("weight", &shape, Init::Zeros);
    }
    let _ = checkpoint.finish();
});
