//! Models as people have them: CLIP alone, variants, another pipeline's folder, the Hub's cache.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{CAPTION, Workplace};
use crate::pipeline::copy_folder;

/// transformers' whole CLIP, in one folder.
fn clip() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/zero_shot/model")
}

impl Workplace {
    fn remove(&self, parts: &[&str]) {
        for part in parts {
            fs::remove_dir_all(self.path("model").join(part)).unwrap();
        }
    }

    /// Writes a JSON file, and the folders that it lies in.
    fn write_json(&self, name: &str, json: serde_json::Value) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    }
}

#[test]
fn embeddings_take_no_more_than_what_computes_them() {
    let place = Workplace::new();
    copy_folder(&clip(), &place.path("clip"));
    image::RgbImage::new(40, 30).save(place.path("one.png")).unwrap();
    let embed = |model: &str, inputs: &[&str], out: &str| {
        let arguments = ["embed", "--seed=1", "--prior-steps=2", "--model", model, "--out", out];
        place.run(&[&arguments[..], inputs].concat())
    };
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    embed("clip", &["a house", "a tree"], "captions.npy").succeeds();
    embed("clip", &["one.png"], "pictures.npy").succeeds();
    embed("clip", &["one.png", "a house"], "both.npy").succeeds();
    embed("clip", &["a house", "--drawn"], "drawn.npy")
        .refuses(&["clip has no prior/", "CLIP alone"]);
    let shards = ["embed", "--model=clip", "--data=pictures", "--shards=shards"];
    fs::create_dir(place.path("pictures")).unwrap();
    fs::copy(place.path("one.png"), place.path("pictures/one.png")).unwrap();
    fs::write(place.path("pictures/one.txt"), "a house").unwrap();
    place.run(&shards).succeeds();

    embed("model", &["a house"], "text.npy").succeeds();
    embed("model", &["a house", "--drawn"], "whole.npy").succeeds();
    place.remove(&["decoder", "text_proj", "super_res_first", "image_encoder"]);
    embed("model", &["a house", "--drawn"], "prior.npy").succeeds();
    assert!(bytes("whole.npy") == bytes("prior.npy"));
    place.remove(&["prior", "prior_scheduler", "decoder_scheduler"]);
    // Nor are settings asked for that nothing is drawn with.
    fs::write(place.path("model/model_index.json"), "{\"unclip_defaults\": 3}").unwrap();
    embed("model", &["a house"], "again.npy").succeeds();
    assert!(bytes("text.npy") == bytes("again.npy"));
}

#[test]
fn an_inversion_takes_no_upsampler() {
    let place = Workplace::new();
    image::RgbImage::new(40, 30).save(place.path("one.png")).unwrap();
    place.remove(&["super_res_first", "super_res_last", "super_res_scheduler", "prior"]);
    let invert = ["invert", "one.png", "--model=model", "--calls=8", "--out=one.safetensors"];
    place.run(&invert).succeeds();
    place
        .run(&["decode", "one.safetensors", "--model=model"])
        .refuses(&["model has no super_res_first/"]);
}

#[test]
fn a_variant_is_a_flag() {
    let place = Workplace::new();
    let draw = |out: &str, arguments: &[&str]| {
        place.generate(&[&["--seed=1", "--out", out, CAPTION], arguments].concat())
    };
    draw("plain.png", &[]).succeeds();
    draw("no.png", &["--variant=fp16"]).refuses(&["--variant", "model", "fp16", "plain"]);
    let decoder = place.path("model/decoder");
    let [plain, variant] = ["", ".fp16"].map(|v| format!("diffusion_pytorch_model{v}.safetensors"));
    fs::rename(decoder.join(&plain), decoder.join(&variant)).unwrap();
    let same = |name: &str| {
        let [one, other] = ["plain.png", name].map(|name| image::open(place.path(name)).unwrap());
        assert!(one == other, "{name}");
    };
    draw("only.png", &[]).succeeds();
    same("only.png");
    fs::write(decoder.join(&plain), "not this").unwrap();
    draw("no.png", &[]).refuses(&[&plain]);
    draw("named.png", &["--variant=fp16"]).succeeds();
    same("named.png");
    draw("no.png", &["--variant=bf16"]).refuses(&["--variant", "bf16", "there is fp16"]);
    let inside = ["generate", CAPTION, "--variant=fp16"];
    place.run(&inside).refuses(&["--model"]);
}

#[test]
fn another_pipelines_folder_is_named() {
    let place = Workplace::new();
    for (class, part) in [
        ("StableDiffusionPipeline", "unet"),
        ("StableDiffusionXLPipeline", "unet"),
        ("KandinskyPriorPipeline", "prior"),
        ("KandinskyPipeline", "unet"),
        ("StableUnCLIPImg2ImgPipeline", "unet"),
        ("IFPipeline", "unet"),
        ("FluxPipeline", "transformer"),
    ] {
        let index = format!("{class}/model_index.json");
        place.write_json(&index, json!({ "_class_name": class, part: ["diffusers", "X"] }));
        fs::create_dir_all(place.path(class).join(part)).unwrap();
        let words = [class, "UnCLIPPipeline draws here", "kakaobrain/karlo-v1-alpha"];
        place.run(&["generate", CAPTION, "--model", class]).refuses(&words);
        place.run(&["embed", CAPTION, "--out=a.npy", "--model", class]).refuses(&words);
        let train = ["train", "decoder", "--out=new", "--init", class];
        place.run(&train).refuses(&["--init", class, "UnCLIPPipeline"]);
    }
    assert!(!place.path("new").exists());
}

#[test]
fn other_folders_are_named_by_what_they_hold() {
    let place = Workplace::new();
    place.write_json("open/open_clip_config.json", json!({ "model_cfg": {} }));
    fs::write(place.path("open/open_clip_pytorch_model.bin"), "x").unwrap();
    place.write_json("bert/config.json", json!({ "architectures": ["BertModel"] }));
    place.write_json("lora/adapter_config.json", json!({}));
    place.write_json("up/one/model_index.json", json!({ "_class_name": "UnCLIPPipeline" }));
    fs::create_dir_all(place.path("empty")).unwrap();
    fs::create_dir_all(place.path("single")).unwrap();
    fs::write(place.path("single/v1-5-pruned.ckpt"), "x").unwrap();
    for (folder, words) in [
        ("open", "open_clip's layout"),
        ("bert", "it holds a BertModel"),
        ("lora", "a LoRA adapter"),
        ("up", "the model is in up/one"),
        ("empty", "it holds no file, and a model has a folder for each part"),
        ("single", "v1-5-pruned.ckpt"),
        ("model/decoder", "one part of the model in"),
        ("model/tokenizer", "one part of the model in"),
    ] {
        let refused = |arguments: &[&str]| {
            place.run(&[&["generate", CAPTION], arguments].concat()).refuses(&[folder, words]);
        };
        refused(&["--model", folder]);
        if !folder.contains('/') && folder != "bert" {
            refused(&["--model=model", "--prior", folder]);
            let train = ["train", "decoder", "--out=new", "--init", folder];
            place.run(&train).refuses(&["--init", folder, words]);
        }
    }
    let classify = ["classify", "--labels=a,b", "--model=model", "--image-encoder=open", "one.png"];
    image::RgbImage::new(9, 9).save(place.path("one.png")).unwrap();
    place.run(&classify).refuses(&["open/open_clip_config.json", "its field text_cfg is missing"]);
    assert!(!place.path("new").exists());
}

#[test]
fn files_are_no_models() {
    let place = Workplace::new();
    fs::write(place.path("karlo.zip"), b"PK\x03\x04aaaa").unwrap();
    fs::copy(
        place.path("model/decoder/diffusion_pytorch_model.safetensors"),
        place.path("sd.safetensors"),
    )
    .unwrap();
    for (file, words) in [
        ("karlo.zip", "a zip archive: please unpack it"),
        ("sd.safetensors", "a safetensors file: a model is a folder"),
        ("model/model_index.json", "a JSON text: the model is in model"),
    ] {
        let words = ["--model", file, words];
        place.run(&["generate", CAPTION, "--model", file]).refuses(&words);
    }
}

#[test]
fn the_hubs_cache_is_gone_into() {
    let place = Workplace::new();
    let repository = "hub/models--owner--name";
    let snapshot = |commit: &str| format!("{repository}/snapshots/{commit}");
    fs::create_dir_all(place.path(repository).join("snapshots")).unwrap();
    let draw = |model: &str| {
        let mut command =
            place.command(&["embed", CAPTION, "--force", "--out=a.npy", "--model", model]);
        command.env("HF_HUB_CACHE", place.path("hub"));
        super::Ran::new(command.output().unwrap())
    };
    draw(repository).refuses(&[repository, "without a snapshot"]);
    draw("owner/name").refuses(&["owner/name is not in the Hub's cache", "HF_HUB_OFFLINE"]);
    let [one, other] = ["a", "b"].map(|digit| digit.repeat(40));
    copy_folder(&place.path("model"), &place.path(&snapshot(&one)));
    draw(repository).succeeds();
    draw("owner/name").succeeds();
    fs::create_dir(place.path(&snapshot(&other))).unwrap();
    draw(repository).refuses(&["2 snapshots", &one, &other]);
    draw("owner/name").refuses(&["2 snapshots", &one, &other]);
    draw(&format!("owner/name@{one}")).succeeds();
    fs::create_dir(place.path(repository).join("refs")).unwrap();
    fs::write(place.path(repository).join("refs/main"), &one).unwrap();
    draw(repository).succeeds();
    draw("hf://owner/name").succeeds();
    draw(&format!("owner/name@{other}"))
        .refuses(&["in the Hugging Face Hub's cache", "it holds no file, and a model has"]);
    fs::remove_dir_all(place.path(&snapshot(&one)).join("decoder")).unwrap();
    draw("owner/name").refuses(&["owner/name in the Hugging Face Hub's cache: it has no decoder/"]);
    draw("hub").refuses(&["hub has no tokenizer/", "the model is in hub/models--owner--name"]);
    draw("owner/other").refuses(&["owner/other is not in the Hub's cache"]);
    draw("hf://owner").refuses(&["hf://owner names no repository of the Hub"]);
    draw("nowhere/at/all").refuses(&["cannot open the folder nowhere/at/all"]);
}
