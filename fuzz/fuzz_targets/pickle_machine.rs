//! A state dict's pickle, as the program of an archive that is sound otherwise; or the whole file where it is none.

#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use tch::{Device, Kind};
use weights::Checkpoint;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fuzz_target!(|program: &[u8]| {
    let archive = archive(program);
    for bytes in [&archive, program] {
        let opened = Checkpoint::from_bytes("file.bin", bytes, "a model", Device::Cpu, Kind::Float);
        let _ = opened.map(Checkpoint::finish);
    }
});

/// An archive as torch.save writes it, with one storage of 30 numbers.
fn archive(program: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in
        [("a/data.pkl", program), ("a/byteorder", b"little"), ("a/data/0", &[1; 120])]
    {
        writer.start_file(name, stored).expect("memory takes it");
        writer.write_all(bytes).expect("memory takes it");
    }
    writer.finish().expect("memory takes it").into_inner()
}
