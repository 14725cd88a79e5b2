//! Safetensors files and the strict source that they are.

use std::path::Path;

use ::weights::{Checkpoint, Error, Folder, load_safetensors, save_safetensors, write_atomically};
use layers::{Init, Source};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

pub(crate) fn numbers(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.25 - 3.0).reshape(shape)
}

pub(crate) fn named(name: &str, tensor: Tensor) -> (String, Tensor) {
    (name.to_owned(), tensor)
}

/// A safetensors file from the text of its header.
fn file_of(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn open(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes("a.safetensors", bytes, "the prior", Device::Cpu, Kind::Float)
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_is_saved_is_loaded_in_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [Kind::Float, Kind::Half, Kind::BFloat16] {
        let path = folder.path().join(format!("{kind:?}.safetensors"));
        let tensors = vec![
            named("b", numbers(&[3, 5])),
            named("a", numbers(&[2, 2, 2]).transpose(0, 2)),
            named("steps", Tensor::from_slice(&[1i64 << 40])),
            named("mask", Tensor::from_slice(&[true, false, true])),
            named("none", Tensor::zeros([0, 4], (Kind::Float, Device::Cpu))),
            named("one", Tensor::from(1.5f32)),
        ];
        save_safetensors(&path, &tensors, kind).unwrap();
        let loaded = load_safetensors(&path).unwrap();
        assert_eq!(loaded.len(), tensors.len());
        for (name, tensor) in &tensors {
            let (_, found) = loaded.iter().find(|(other, _)| other == name).unwrap();
            let wanted = if tensor.is_floating_point() { kind } else { tensor.kind() };
            assert_eq!(found.kind(), wanted, "{name}");
            assert_eq!(found.size(), tensor.size(), "{name}");
            assert!(found.equal(&tensor.to_kind(wanted)), "{name}");
        }
    }
}

#[test]
fn another_reader_opens_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors =
        [named("a", numbers(&[3])), named("c", numbers(&[2, 4])), named("b", numbers(&[]))];
    save_safetensors(&path, &tensors, Kind::Float).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, tensor) in &tensors {
        let view = file.tensor(name).unwrap();
        assert_eq!(view.shape().iter().map(|&side| side as i64).collect::<Vec<_>>(), tensor.size());
        let values: Vec<u8> = Vec::try_from(tensor.reshape([-1]).view_dtype(Kind::Uint8)).unwrap();
        assert_eq!(view.data(), values);
    }
}

#[test]
fn a_mapped_tensor_outlives_its_checkpoint_and_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_safetensors(&path, &[named("w", numbers(&[64, 64]))], Kind::Float).unwrap();
    let checkpoint = Checkpoint::open(&path, "the prior", Device::Cpu, Kind::Float).unwrap();
    let mut mapped = checkpoint.take("w", &[64, 64], Init::Zeros);
    checkpoint.finish().unwrap();
    // In place: the same file gives the tensor's own bytes, not a copy at another alignment.
    assert_eq!(mapped.data_ptr() as usize % 64, 0);
    save_safetensors(&path, &[named("w", numbers(&[1]))], Kind::Float).unwrap();
    folder.close().unwrap();
    assert!(mapped.equal(&numbers(&[64, 64])));
    // The mapping is private, so a write is this process's own affair.
    let _ = mapped.fill_(7.0);
    assert_eq!(mapped.double_value(&[63, 63]), 7.0);
}

#[test]
fn writing_to_a_mapped_tensor_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_safetensors(&path, &[named("w", numbers(&[8]))], Kind::Float).unwrap();
    let checkpoint = Checkpoint::open(&path, "the prior", Device::Cpu, Kind::Float).unwrap();
    let _ = checkpoint.take("w", &[8], Init::Zeros).fill_(9.0);
    assert!(load_safetensors(&path).unwrap()[0].1.equal(&numbers(&[8])));
}

#[test]
fn half_precision_files_open_in_f32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for stored in [Kind::Half, Kind::BFloat16] {
        save_safetensors(&path, &[named("w", numbers(&[4, 4]))], stored).unwrap();
        let checkpoint = Checkpoint::open(&path, "the prior", Device::Cpu, Kind::Float).unwrap();
        let tensor = checkpoint.take("w", &[4, 4], Init::Zeros);
        assert_eq!(tensor.kind(), Kind::Float);
        assert!(tensor.equal(&numbers(&[4, 4])));
    }
}

#[test]
fn all_five_problems_are_in_one_error() {
    let header = r#"{
        "here": {"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "spare": {"dtype":"F32","shape":[1],"data_offsets":[8,12]},
        "wide": {"dtype":"F32","shape":[1,2],"data_offsets":[12,20]},
        "whole": {"dtype":"I64","shape":[1],"data_offsets":[20,28]},
        "twice": {"dtype":"F32","shape":[1],"data_offsets":[28,32]},
        "twice": {"dtype":"F32","shape":[1],"data_offsets":[32,36]},
        "text_model.embeddings.position_ids": {"dtype":"I64","shape":[1],"data_offsets":[36,44]}
    }"#;
    let checkpoint = open(&file_of(header, 44)).unwrap();
    let _ = checkpoint.take("here", &[2], Init::Zeros);
    let _ = checkpoint.take("twice", &[1], Init::Zeros);
    assert_eq!(checkpoint.take("wide", &[2, 1], Init::Zeros).size(), [2, 1]);
    assert_eq!(checkpoint.take("whole", &[1], Init::Zeros).kind(), Kind::Float);
    assert_eq!(
        checkpoint.take("absent", &[1 << 20, 1 << 20], Init::Zeros).size(),
        [1 << 20, 1 << 20]
    );
    let error = checkpoint.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.safetensors does not fit the prior: 1 tensor missing (absent); 1 tensor unused (spare); \
         1 tensor of another shape (wide is [1, 2] where [2, 1] is wanted); \
         1 tensor of another type (whole is I64 where a float is wanted); 1 tensor duplicate (twice)"
    );
    let Error::Tensors { problems, .. } = error else { panic!("{error}") };
    assert_eq!(problems.missing, ["absent"]);
}

#[test]
fn a_hostile_safetensors_header_is_a_typed_error() {
    let tensor = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one = |dtype, shape, offsets| format!("{{{}}}", tensor("w", dtype, shape, offsets));
    let two = |first, second| {
        format!("{{{},{}}}", tensor("v", "U8", "[4]", first), tensor("w", "U8", "[4]", second))
    };
    let cases = [
        (file_of("{", 0), "its header is damaged"),
        (file_of("[]", 0), "its header is damaged"),
        (file_of(r#"{"w":3}"#, 0), "its header is damaged"),
        (file_of(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "two __metadata__"),
        (file_of(&one("F32", "[-1]", "[0,4]"), 4), "its header is damaged"),
        (
            file_of(r#"{"\u001b[2J":{"dtype":"Q4","shape":[],"data_offsets":[0,0]}}"#, 0),
            "tensor \u{fffd}[2J is of",
        ),
        (file_of(&one("Q4", "[1]", "[0,4]"), 4), "tensor w is of the unknown type Q4"),
        (file_of(&one("F32", "[4294967296,4294967296]", "[0,4]"), 4), "impossible shape"),
        (file_of(&one("F32", "[18446744073709551615]", "[0,4]"), 4), "impossible shape"),
        (file_of(&one("F4", "[3]", "[0,1]"), 1), "impossible shape"),
        (file_of(&one("F32", "[2]", "[0,4]"), 4), "which takes 8 bytes, and lies at 0..4"),
        (file_of(&one("F32", "[1]", "[4,0]"), 4), "tensor w begins at byte 4 where 0 is next"),
        (
            file_of(&one("F32", "[1000]", "[0,4000]"), 4),
            "end at byte 4000 of its data, which has 4 bytes",
        ),
        (file_of(&one("F32", "[1]", "[0,4]"), 5), "end at byte 4 of its data, which has 5 bytes"),
        (file_of(&two("[0,4]", "[2,6]"), 6), "tensor w begins at byte 2 where 4 is next"),
        (file_of(&two("[0,4]", "[5,9]"), 9), "tensor w begins at byte 5 where 4 is next"),
        (vec![1, 2, 3], "it has 3 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "claims 18446744073709551615 bytes"),
        (99u64.to_le_bytes().to_vec(), "claims 99 bytes and the file has 8"),
    ];
    for (bytes, sentence) in cases {
        let error = open(&bytes).err().unwrap_or_else(|| panic!("accepted: {sentence}"));
        assert!(matches!(error, Error::Safetensors { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.starts_with("a.safetensors is not a sound safetensors file: "),
            "{message}"
        );
        assert!(message.contains(sentence), "{message} / {sentence}");
    }
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let good = [named("w", numbers(&[4]))];
    save_safetensors(&path, &good, Kind::Float).unwrap();
    let before = std::fs::read(&path).unwrap();

    let cut = write_atomically(&path, |file| {
        file.write_all(b"half of it").unwrap();
        Err(Error::Save { file: String::new(), tensor: String::new(), reason: String::new() })
    });
    assert!(cut.is_err());
    // The second tensor fails when the first is written already.
    let large = [named("v", numbers(&[4])), named("w", numbers(&[2]) * 1e6)];
    let error = save_safetensors(&path, &large, Kind::Half).unwrap_err().to_string();
    assert!(error.contains("tensor w") && error.contains("65504"), "{error}");
    let twice = [named("w", numbers(&[4])), named("w", numbers(&[4]))];
    let error = save_safetensors(&path, &twice, Kind::Float).unwrap_err().to_string();
    assert!(error.contains("the name is taken already"), "{error}");

    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(entries(folder.path()), 1);
    let nowhere = folder.path().join("absent/model.safetensors");
    let error = save_safetensors(&nowhere, &good, Kind::Float).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}", nowhere.display())), "{error}");
}

#[test]
fn an_index_that_puts_a_tensor_elsewhere_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: &[(String, Tensor)]| {
        save_safetensors(place.path().join(name), tensors, Kind::Float).unwrap();
    };
    write("one.safetensors", &[named("a", numbers(&[2])), named("b", numbers(&[2]))]);
    write("two.safetensors", &[named("c", numbers(&[2]))]);
    let folder = Folder::open(place.path()).unwrap();
    let open = |map: &str| {
        let index = place.path().join("model.safetensors.index.json");
        std::fs::write(index, format!("{{\"weight_map\": {{{map}}}}}")).unwrap();
        folder.checkpoint("the prior", Device::Cpu, Kind::Float)
    };
    let (one, two) = ("one.safetensors", "two.safetensors");
    assert_eq!(
        open(&format!(r#""a": "{one}", "b": "{one}", "c": "{two}""#)).unwrap().names().count(),
        3
    );
    for (map, sentence) in [
        (format!(r#""a": "{one}", "b": "{two}", "c": "{two}""#), "tensor b is in "),
        (format!(r#""a": "{one}", "c": "{two}""#), "tensor b is in no file, and it is in "),
        (
            format!(r#""a": "{one}", "b": "{one}", "c": "{two}", "d": "{one}""#),
            "tensor d is in one.safetensors, and it is not",
        ),
        (
            format!(r#""a": "{one}", "b": "{one}", "c": "{two}", "a": "{one}""#),
            "\"a\" is there twice",
        ),
        (r#""a": "../one.safetensors""#.to_owned(), "is not the name of a file beside it"),
        (r#""a": "/etc/passwd""#.to_owned(), "is not the name of a file beside it"),
        (r#""a": "..""#.to_owned(), "is not the name of a file beside it"),
        (r#""a": 3"#.to_owned(), "cannot be read"),
    ] {
        let message = open(&map).err().unwrap_or_else(|| panic!("accepted: {map}")).to_string();
        assert!(
            message.contains("model.safetensors.index.json") && message.contains(sentence),
            "{message} / {sentence}"
        );
    }
}

#[test]
fn an_array_whose_header_nests_or_whose_length_is_another_is_refused() {
    let array = |header: &str, data: usize| {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        ::weights::read_npy(&bytes[..], bytes.len() as u64).map_err(|error| error.to_string())
    };
    let floats = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    assert_eq!(array(floats, 24).unwrap().size(), [2, 3]);
    assert_eq!(
        array(floats, 28).unwrap_err(),
        "its shape is [2, 3], which takes 24 bytes, and 28 follow its header"
    );
    assert_eq!(
        array(floats, 20).unwrap_err(),
        "its shape is [2, 3], which takes 24 bytes, and 20 follow its header"
    );
    // Each bracket would be a call within a call.
    for bracket in ["(", "[", "{"] {
        let error = array(&bracket.repeat(60000), 0).unwrap_err();
        assert_eq!(error, "its header has 60000 brackets, and an array of floats has two");
    }
}
