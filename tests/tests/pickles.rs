//! PyTorch's state dicts: tensors are read, everything else is refused by name, and no damage panics.

use std::path::Path;

use ::weights::{Checkpoint, Error, save_safetensors};
use layers::{Init, Source};
use tch::{Device, Kind, Tensor};

use crate::weights::{named, numbers};

fn data(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("data/weights")
            .join(name),
    )
    .unwrap()
}

fn open_pickle(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes("a file.bin", bytes, "the prior", Device::Cpu, Kind::Float)
}

/// The file with one place of it changed.
fn patched(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = data(name);
    patch(&mut bytes, old, new);
    bytes
}

fn patch(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let at = bytes
        .windows(old.len())
        .position(|window| window == old)
        .expect("the place is there");
    bytes[at..at + new.len()].copy_from_slice(new);
}

#[test]
fn state_dicts_of_pytorch_are_read() {
    for name in ["nested.bin", "protocol4.bin"] {
        let checkpoint = open_pickle(&data(name)).unwrap();
        let take = |name: &str, shape: &[i64]| checkpoint.take(name, shape, Init::Zeros);
        let floats = |tensor: Tensor| Vec::<f32>::try_from(tensor.reshape([-1])).unwrap();
        let counted: Vec<f32> = (0..24).map(|n| n as f32).collect();
        assert_eq!(floats(take("whole", &[4, 6])), counted);
        assert_eq!(floats(take("part", &[6])), counted[6..12]);
        assert_eq!(
            floats(take("turned", &[3, 2])),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
        );
        assert_eq!(floats(take("half", &[3])), [1.5, -2.0, 0.25]);
        assert_eq!(floats(take("bf16", &[2])), [1.5, -2.0]);
        assert_eq!(floats(take("double", &[1])), [0.125]);
        assert!(floats(take("none", &[0, 4])).is_empty());
        assert_eq!(floats(take("scalar", &[])), [2.5]);
        assert_eq!(floats(take("parameter", &[2])), [4.0, 5.0]);
        for name in ["long", "int", "bool"] {
            let shape = checkpoint.shape(name).unwrap().to_vec();
            let _ = take(name, &shape);
        }
        let Err(Error::Tensors { mut problems, .. }) = checkpoint.finish() else {
            panic!("{name}")
        };
        let mistyped = [("long", "I64"), ("int", "I32"), ("bool", "BOOL")]
            .map(|(name, dtype)| (name.to_owned(), dtype));
        assert_eq!(std::mem::take(&mut problems.mistyped), mistyped);
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn a_pickle_that_is_more_than_tensors_is_refused_by_name() {
    // whole, [4, 6] with strides [6, 1] of 24 numbers, becomes [255, 6] with strides [0, 0].
    let mut repeated = patched("nested.bin", b"K\x04K\x06\x86", b"K\xffK\x06\x86");
    patch(&mut repeated, b"K\x06K\x01\x86", b"K\x00K\x00\x86");
    let cases = [
        (
            data("hostile.bin"),
            "it asks for posix.system, and only tensors are read",
        ),
        (
            data("module.bin"),
            "it asks for torch.nn.modules.linear.Linear, and only tensors are read",
        ),
        (data("script.pt"), "it is a TorchScript archive"),
        (
            data("legacy.bin"),
            "it is in PyTorch's format from before version 1.6",
        ),
        (
            data("epoch.bin"),
            "its entry epoch is an integer where a tensor is wanted",
        ),
        (
            data("list.bin"),
            "it holds a list where a dict of tensors is wanted",
        ),
        (
            patched("nested.bin", b"\x80\x02}", b"\x80\x02\x8f"),
            "it has the pickle instruction EMPTY_SET",
        ),
        (
            patched("nested.bin", b"\x80\x02}", b"\x80\x02i"),
            "it has the pickle instruction INST",
        ),
        (
            patched("nested.bin", b"\x80\x02}", b"\x80\x02\xfe"),
            "it has the pickle instruction number 254",
        ),
        (
            patched("nested.bin", b"K\x04K\x06\x86", b"K\x05K\x06\x86"),
            "tensor whole is damaged: [5, 6] with strides [6, 1]",
        ),
        (
            repeated,
            "tensor whole is damaged: it has more numbers than its storage",
        ),
        (
            patched("nested.bin", b"K\x06K\x01\x86", b"K\xffK\x01\x86"),
            "leaves its storage of 24 numbers",
        ),
        (
            patched("nested.bin", b"K\x18t", b"K\xfft"),
            "its storage of 255 numbers of 4 bytes is a file of 96 bytes",
        ),
        (
            patched("nested.bin", b"little", b"bigger"),
            "its numbers are not in little-endian order",
        ),
        (
            data("nested.bin")[..3000].to_vec(),
            "its zip archive is damaged",
        ),
        (b"garbage".to_vec(), "it is not a zip archive"),
        (vec![], "it is not a zip archive"),
    ];
    for (bytes, sentence) in cases {
        let error = open_pickle(&bytes)
            .err()
            .unwrap_or_else(|| panic!("accepted: {sentence}"));
        assert!(matches!(error, Error::Pickle { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.starts_with("a file.bin cannot be read as a PyTorch state dict: "),
            "{message}"
        );
        assert!(message.contains(sentence), "{message} / {sentence}");
    }
}

#[test]
fn no_damage_to_a_file_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = [
        named("w", numbers(&[2, 3])),
        named("steps", Tensor::from_slice(&[1i64])),
    ];
    save_safetensors(&path, &tensors, Kind::Half).unwrap();
    let files = [
        ("a.safetensors", std::fs::read(&path).unwrap()),
        ("a.bin", data("nested.bin")),
        ("a.bin", data("protocol4.bin")),
    ];
    let mut generator = noise::Generator::new(7);
    let mut refused = 0;
    for (name, whole) in &files {
        for round in 0..2500 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                let at = generator.below(bytes.len() as u64) as usize;
                match generator.below(4) {
                    0 => bytes[at] = generator.below(256) as u8,
                    1 => bytes[at] ^= 1 << generator.below(8),
                    2 => {
                        bytes[at] = [0, 0xff, b'(', b'.', b'{', b'"', 0x85, b'R']
                            [generator.below(8) as usize]
                    }
                    _ if round % 8 == 0 => bytes.truncate(at.max(1)),
                    _ => bytes[at] = bytes[at].wrapping_add(1),
                }
            }
            match Checkpoint::from_bytes(name, &bytes, "a model", Device::Cpu, Kind::Float) {
                Ok(checkpoint) => {
                    // Whatever was read can be used, up to the last number.
                    let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
                    for name in names {
                        let shape = checkpoint.shape(&name).unwrap().to_vec();
                        let _ = checkpoint
                            .take(&name, &shape, Init::Zeros)
                            .sum(Kind::Float)
                            .double_value(&[]);
                    }
                }
                Err(error) => {
                    assert!(error.to_string().starts_with(name), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(
        refused > 1000,
        "only {refused} of 7500 damaged files were refused"
    );
}
