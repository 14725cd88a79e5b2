//! Variants of weights, by the names that diffusers and transformers give them.

use std::fs;
use std::path::Path;

use ::weights::{Folder, load_safetensors, save_safetensors};
use serde_json::json;
use tch::Kind;

use crate::components::{golden, open};
use crate::pipeline::copy_folder;

/// A prior's folder without weights, and those in two shards called by `name`.
fn shards(folder: &Path, name: impl Fn(usize) -> String) -> serde_json::Value {
    let tensors =
        load_safetensors(golden("deep").join("prior/diffusion_pytorch_model.safetensors")).unwrap();
    let (first, second) = tensors.split_at(7);
    let mut map = serde_json::Map::new();
    for (number, tensors) in [(1, first), (2, second)] {
        save_safetensors(folder.join(name(number)), tensors, Kind::Half).unwrap();
        let entries = tensors.iter();
        map.extend(entries.map(|(tensor, _)| (tensor.clone(), json!(name(number)))));
    }
    json!({ "metadata": { "total_size": 1 }, "weight_map": map })
}

fn prior() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&golden("deep").join("prior"), place.path());
    place
}

const PLAIN: &str = "diffusion_pytorch_model.safetensors";

#[test]
fn a_variant_is_read_where_nothing_else_is_there() {
    for (part, plain, variant) in [
        ("prior", PLAIN, "diffusion_pytorch_model.fp16.safetensors"),
        ("text_encoder", "model.safetensors", "model.fp16.safetensors"),
        ("text_encoder", "model.safetensors", "model.non_ema.safetensors"),
        ("text_encoder", "model.safetensors", "pytorch_model.fp16.bin"),
    ] {
        let place = tempfile::tempdir().unwrap();
        copy_folder(&golden("deep").join(part), place.path());
        fs::rename(place.path().join(plain), place.path().join(variant)).unwrap();
        let folder = Folder::open(place.path()).unwrap();
        open(part, &folder).unwrap_or_else(|error| panic!("{variant}: {error}"));
    }
}

#[test]
fn a_sharded_variant_is_read_by_either_name_of_its_index() {
    for index in [
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        "diffusion_pytorch_model.fp16.safetensors.index.json",
    ] {
        let place = prior();
        fs::remove_file(place.path().join(PLAIN)).unwrap();
        let named = |n| format!("diffusion_pytorch_model.fp16-0000{n}-of-00002.safetensors");
        let map = shards(place.path(), named);
        let folder = Folder::open(place.path()).unwrap();
        let error = open("prior", &folder).unwrap_err().to_string();
        assert!(error.contains(&named(2)), "{error}");
        fs::write(place.path().join(index), map.to_string()).unwrap();
        open("prior", &folder).unwrap();
    }
}

#[test]
fn the_variant_that_is_named_goes_before() {
    let place = prior();
    let variant = |name: &str| format!("diffusion_pytorch_model.{name}.safetensors");
    // Of another model, so that whoever reads it says so.
    let other = golden("odd").join("prior").join(PLAIN);
    fs::copy(other, place.path().join(variant("fp16"))).unwrap();
    let folder = Folder::open(place.path()).unwrap();
    open("prior", &folder).unwrap();
    let error = open("prior", &folder.clone().with_variant("fp16")).unwrap_err();
    assert!(error.to_string().contains(&variant("fp16")), "{error}");
    // A part without it is read plain.
    open("prior", &folder.clone().with_variant("bf16")).unwrap();

    // Of two and nothing plain, one must be named.
    fs::rename(place.path().join(PLAIN), place.path().join(variant("bf16"))).unwrap();
    let error = open("prior", &folder).unwrap_err().to_string();
    assert!(error.contains("bf16 and fp16"), "{error}");
    open("prior", &folder.clone().with_variant("bf16")).unwrap();
    // And a variant is never taken for another.
    fs::remove_file(place.path().join(variant("bf16"))).unwrap();
    let error = open("prior", &folder.with_variant("bf16")).unwrap_err().to_string();
    assert!(error.contains(&format!("only {}", "config.json")), "{error}");
    assert!(error.contains(&variant("fp16")), "{error}");
}

#[test]
fn files_of_other_programs_are_named_where_there_are_no_weights() {
    let place = prior();
    fs::remove_file(place.path().join(PLAIN)).unwrap();
    for name in ["flax_model.msgpack", "model.onnx", "openvino_model.xml"] {
        fs::write(place.path().join(name), "x").unwrap();
    }
    let error = open("prior", &Folder::open(place.path()).unwrap()).unwrap_err().to_string();
    let files = "only config.json, flax_model.msgpack, model.onnx, openvino_model.xml";
    assert!(error.contains(files), "{error}");
}
