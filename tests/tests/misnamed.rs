//! Files that are not what their names say.

use std::fs;
use std::path::Path;

use ::weights::{Checkpoint, Error, Folder, load_embeddings, load_safetensors, save_safetensors};
use layers::{Init, Source};
use tch::{Device, Kind};

use crate::components::{golden, open};
use crate::pickles::data;
use crate::pipeline::copy_folder;
use crate::weights::{named, numbers};

const POINTER: &str =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3538000000\n";
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>401</title></head></html>\n";

/// Contents that lie where another file should, with the words of what is said of them.
fn others() -> [(Vec<u8>, &'static [&'static str]); 5] {
    [
        (POINTER.into(), &["a Git LFS pointer", "`git lfs pull` fetches"]),
        (PAGE.into(), &["an HTML page", "download it again"]),
        (Vec::new(), &["an empty file", "download it again"]),
        (b"\x1f\x8b\x08\x00aaaaaaaa".to_vec(), &["packed by gzip", "gunzip"]),
        (b"GGUF\x03\x00\x00\x00aaaa".to_vec(), &["a GGUF file"]),
    ]
}

fn says(error: &Error, file: &str, words: &[&str]) {
    let message = error.to_string();
    assert!(matches!(error, Error::Contents { .. }), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in [file].iter().chain(words) {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// The error of a file in that of a component.
fn of_file(error: families::Error) -> Error {
    match error {
        families::Error::Weights(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn another_file_in_the_place_of_weights_is_named() {
    let place = tempfile::tempdir().unwrap();
    for (bytes, words) in others() {
        for name in ["a.safetensors", "a.bin", "a.ckpt"] {
            let path = place.path().join(name);
            fs::write(&path, &bytes).unwrap();
            let opened = Checkpoint::open(&path, "the prior", Device::Cpu, Kind::Float);
            says(&opened.err().expect("refused"), name, words);
            says(&load_safetensors(&path).unwrap_err(), name, words);
            says(&load_embeddings(&path).unwrap_err(), name, words);
        }
    }
}

#[test]
fn another_file_in_the_place_of_a_text_is_named() {
    let place = tempfile::tempdir().unwrap();
    let texts = [
        ("prior", "config.json"),
        ("prior_scheduler", "scheduler_config.json"),
        ("feature_extractor", "preprocessor_config.json"),
        ("tokenizer", "tokenizer.json"),
        ("tokenizer", "tokenizer_config.json"),
    ];
    for (part, name) in texts {
        let folder = place.path().join(part);
        copy_folder(&golden("deep").join(part), &folder);
        for (bytes, words) in others() {
            fs::write(folder.join(name), &bytes).unwrap();
            let folder = Folder::open(&folder).unwrap();
            says(&of_file(open(part, &folder).unwrap_err()), name, words);
        }
        fs::copy(golden("deep").join(part).join(name), folder.join(name)).unwrap();
    }
    fs::write(place.path().join("model_index.json"), POINTER).unwrap();
    let index = families::read_logit_scale(&Folder::open(place.path()).unwrap());
    says(&of_file(index.unwrap_err()), "model_index.json", others()[0].1);
}

#[test]
fn weights_are_read_by_what_they_are() {
    let place = tempfile::tempdir().unwrap();
    let good = place.path().join("good.safetensors");
    save_safetensors(&good, &[named("weight", numbers(&[2]))], Kind::Float).unwrap();
    let names = ["a.safetensors", "a.bin", "a.ckpt", "a"];
    for name in names {
        let path = place.path().join(name);
        for bytes in [fs::read(&good).unwrap(), data("epoch.bin"), data("legacy.bin")] {
            fs::write(&path, bytes).unwrap();
            let checkpoint = Checkpoint::open(&path, "the prior", Device::Cpu, Kind::Float);
            let checkpoint = checkpoint.unwrap_or_else(|error| panic!("{name}: {error}"));
            let parameter = checkpoint.shape("parameter").is_some();
            let name = if parameter { "parameter" } else { "weight" };
            assert_eq!(checkpoint.take(name, &[2], Init::Zeros).size(), [2]);
        }
    }
}

#[test]
fn embeddings_are_read_by_what_they_are() {
    let place = tempfile::tempdir().unwrap();
    let [array, tensor] = ["array.safetensors", "tensor.npy"].map(|name| place.path().join(name));
    fs::write(&array, ::weights::npy(&numbers(&[3]))).unwrap();
    save_safetensors(&tensor, &[named("embedding", numbers(&[3]))], Kind::Float).unwrap();
    for path in [array, tensor] {
        assert!(load_embeddings(&path).unwrap().equal(&numbers(&[3])), "{}", path.display());
    }
}

#[test]
fn configurations_may_have_a_byte_order_mark() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&golden("deep").join("prior"), place.path());
    let path = place.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let folder = Folder::open(Path::new(place.path())).unwrap();
    fs::write(&path, format!("\u{feff}{text}")).unwrap();
    open("prior", &folder).unwrap();
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    fs::write(&path, units.flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    open("prior", &folder).unwrap();
}
