//! `unclip info` of models and files of weights; of pictures it is tested in `records`, of the machine in `kernels`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{CAPTION, Workplace};
use crate::pipeline::copy_folder;

#[test]
fn a_model_is_described_by_lines() {
    let place = Workplace::new();
    let text = place.run(&["info", "model"]).succeeds().stdout;
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in: {text}")).to_owned()
    };
    assert_eq!(line("family"), "family    Karlo");
    assert_eq!(
        line("can"),
        "can       generate, variations, interpolate, mix, edit, invert, embed, classify, search, inpaint"
    );
    assert_eq!(line("cannot"), "cannot    reconstruct: there is no image_pca/");
    assert!(line("memory").contains(" in f32 (the largest part "), "{text}");
    assert!(line("memory").contains(" in bf16 and f16 "), "{text}");
    assert!(line("defaults").contains("prior_steps 25"), "{text}");
    assert!(!text.contains("problem"), "{text}");
    let decoder = text.lines().find(|line| line.trim_start().starts_with("decoder ")).unwrap();
    assert!(decoder.contains("f32") && decoder.ends_with("safetensors"), "{decoder}");
    for line in text.lines() {
        assert_eq!(line.trim_end(), line);
    }

    fs::remove_dir_all(place.path("model/prior")).unwrap();
    fs::write(place.path("model/decoder/diffusion_pytorch_model.safetensors"), "words").unwrap();
    let text = place.run(&["info", "model"]).succeeds().stdout;
    assert!(text.contains("cannot    generate: there is no prior/\n"), "{text}");
    assert!(text.contains("model/decoder/diffusion_pytorch_model.safetensors"), "{text}");
}

#[test]
fn a_model_is_described_as_json() {
    let place = Workplace::new();
    let read = |arguments: &[&str]| -> Value {
        let ran = place.run(&[&["info", "--json"], arguments].concat()).succeeds();
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let model = read(&["model"]);
    assert_eq!(model["family"], "Karlo");
    assert_eq!(model["defaults"]["decoder_steps"], 25);
    let parameters = |component: &Value| component["weights"]["parameters"].as_u64().unwrap_or(0);
    let components = model["components"].as_array().unwrap();
    let sum: u64 = components.iter().map(parameters).sum();
    assert!(sum > 10_000);
    assert_eq!(model["weights"]["parameters"], sum);
    assert_eq!(model["memory"][0]["all"], 4 * sum);
    let built_in = read(&["builtin:unclip"]);
    assert_eq!(built_in["weights"]["dtypes"], serde_json::json!(["f16", "f32"]));
    let lacks = built_in["abilities"].as_array().unwrap().iter();
    assert!(
        lacks.clone().count() > 5 && lacks.clone().all(|a| a["missing"] == serde_json::json!([]))
    );
    let file = read(&["model/prior/diffusion_pytorch_model.safetensors"]);
    let prior = components.iter().find(|component| component["component"] == "prior").unwrap();
    assert_eq!(file, prior["weights"]);
}

#[test]
fn what_is_no_whole_model_is_described_too() {
    let place = Workplace::with_pictures();
    let golden = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    copy_folder(&golden("zero_shot/model"), &place.path("clip"));
    copy_folder(&golden("glide/model"), &place.path("glide"));
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("cut.safetensors"), b"\x20\0\0\0\0\0\0\0{\"a\": ").unwrap();
    let info = |subject: &str| place.run(&["info", subject]);
    let told = |subject: &str, words: &[&str]| {
        let text = info(subject).succeeds().stdout;
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    };
    told("clip", &["family    CLIP\n", "draws none", "can       embed, classify, search\n"]);
    told("glide", &["family    GLIDE", "PyTorch", "generate, CLIP guidance, inpaint\n"]);
    told("model/prior", &["one part of the model in", "memory"]);
    told(
        "model/prior/diffusion_pytorch_model.safetensors",
        &["weights: safetensors, ", " in f32, "],
    );
    told("glide/base.pt", &["weights: PyTorch, "]);
    told("builtin:unclip", &["the built-in model", "f16", "reconstruct"]);
    info("empty").refuses(&["empty is no model: it holds no file"]);
    info("cut.safetensors").refuses(&["cut.safetensors", "not a sound safetensors file"]);
    info("builtin:other").refuses(&["no built-in model builtin:other", "builtin:unclip"]);
    info("gone").refuses(&["gone", "No such file"]);
    info("one.png").refuses(&["one.png does not say"]);
    place.run(&["info", "--json"]).refuses(&["FILE|MODEL"]);
    place.generate(&["--seed=1", "--out=drawn.png", CAPTION]).succeeds();
    let [plain, json] = [&["info", "drawn.png"][..], &["info", "drawn.png", "--json"]]
        .map(|arguments| place.run(arguments).succeeds().stdout);
    assert_eq!(plain, json);
}
