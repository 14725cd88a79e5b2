//! Trainings from a folder of pictures to a picture, of a published model, and of the other prior.

use std::fs;
use std::path::{Path, PathBuf};

use decoder::Conditions;
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use super::{Workplace, claims};
use crate::pipeline::copy_folder;

#[test]
fn a_folder_of_pictures_becomes_a_model_that_draws() {
    let place = Workplace::new();
    let scenes = ["scenes", "--count=12", "--seed=3", "--size=32", "--out=mine"];
    place.run(&scenes).succeeds();
    fs::write(place.path("mine/00007.png"), "no picture").unwrap();
    let train = ["train", "all", "--preset=tiny", "--out=trained"];
    let ran = place.run(&[&train[..], &["--data=mine"]].concat()).succeeds();
    assert!(ran.stderr.contains("00007.png"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 12 pictures and captions"), "{}", ran.stderr);
    let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    let draw = ["generate", "--model=trained", "--out=new.png", "a red cat"];
    place.run(&[&draw[..], &few].concat()).succeeds();
    assert!(place.path("new.png").is_file());
    let parts = ["reconstruct", "mine/00001.png", "--model=trained", "--pca=1,3"];
    let few = ["--out=parts", "--decoder-steps=2", "--upsampler-steps=2"];
    place.run(&[&parts[..], &few].concat()).succeeds();
    place.run(&[&train[..], &["--data=gone"]].concat()).refuses(&["gone"]);
    place.run(&[&train[..], &["--flip"]].concat()).refuses(&["--data"]);
}

/// The folder of a model in Karlo's layout, with Karlo's kinds of files: tiny, random.
const KARLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/data/karlo/model");

#[test]
fn a_published_model_is_trained_on_and_draws_at_once() {
    let place = Workplace::new();
    let init = format!("--init={KARLO}");
    let train = [
        "train",
        "decoder",
        &init,
        "--out=mine",
        "--set=decoder.run.steps=2",
        "--set=decoder.run.batch=2",
        "--set=decoder.run.warmup=0",
    ];
    place.run(&train).succeeds();
    for part in ["prior", "tokenizer", "super_res_last", "image_encoder"] {
        for entry in fs::read_dir(Path::new(KARLO).join(part)).unwrap() {
            let theirs = entry.unwrap();
            let ours = place.path("mine").join(part).join(theirs.file_name());
            assert_eq!(fs::read(ours).unwrap(), fs::read(theirs.path()).unwrap());
        }
    }
    let generate = ["generate", "a red boat", "--model=mine", "--seed=1", "--out=boat.png"];
    place.run(&generate).succeeds();
    assert!(place.path("boat.png").is_file());

    // The decoder learned: with no step at all, it stays as it is published.
    let again = |steps: &str, out: &str| {
        let steps = format!("--set=decoder.run.steps={steps}");
        let (out, runs) = (format!("--out={out}"), format!("--runs={out}-runs"));
        place
            .run(&["train", "decoder", &init, &out, &runs, &steps, "--set=decoder.run.batch=2"])
            .succeeds();
    };
    again("0", "same");
    let decoder = |model: PathBuf| {
        let folder = Folder::open(model).unwrap().component("decoder");
        let decoder = families::open_decoder(&folder, Device::Cpu, Kind::Float).unwrap();
        let x = Tensor::ones([1, 3, 16, 16], (Kind::Float, Device::Cpu));
        let conditions = Conditions {
            added: Tensor::ones([1, 32], (Kind::Float, Device::Cpu)),
            context: Tensor::ones([1, 5, 12], (Kind::Float, Device::Cpu)),
            mask: Some(Tensor::from_slice(&[true; 5]).view([1, 5])),
        };
        let timesteps = Tensor::from_slice(&[500i64]);
        no_grad(|| decoder.forward(&x, &timesteps, Some(&conditions)))
    };
    let apart = |model: &str| {
        let theirs = decoder(PathBuf::from(KARLO));
        (decoder(place.path(model)) - theirs).abs().max().double_value(&[])
    };
    // What is saved is rounded to f16.
    let (same, trained) = (apart("same"), apart("mine"));
    assert!(same < 0.02 && trained > 2.0 * same, "{same} and {trained}");
}

#[test]
fn a_dry_run_tells_what_a_training_takes_and_writes_nothing() {
    let place = Workplace::new();
    let files = || fs::read_dir(place.folder.path()).unwrap().count();
    let before = files();
    let ran = place.run(&["train", "decoder", "--preset=karlo", "--dry-run"]).succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(lines[1].starts_with("decoder") && lines[1].contains("893 M"), "{}", lines[1]);
    assert_eq!(files(), before);

    let shaped = format!("--init={KARLO}");
    let ran = place.run(&["train", "all", &shaped, "--dry-run"]).succeeds();
    assert_eq!(ran.stdout.lines().count(), 5);

    place.run(&["train", "clip", "--dry-run", "--set=clip.run.bach=2"]).refuses(&["bach", "batch"]);
    place.run(&["train", "clip", "--dry-run", "--init=nowhere"]).refuses(&["nowhere"]);
}

#[test]
fn the_other_prior_is_trained_and_draws() {
    let place = Workplace::new();
    let init = format!("--init={KARLO}");
    let train = [
        "train",
        "prior",
        "--kind=autoregressive",
        &init,
        "--out=mine",
        "--set=autoregressive.run.steps=2",
        "--set=autoregressive.run.batch=2",
        "--set=autoregressive.statistics_scenes=64",
        "--set=autoregressive.model.buckets=16",
    ];
    place.run(&train).succeeds();
    let draw = |out: &str, more: &[&str]| {
        let out = format!("--out={out}");
        let mut generate = vec!["generate", "a red boat", "--model=mine", "--seed=1", &out];
        generate.extend(more);
        place.run(&generate)
    };
    let same = |a: &str, b: &str| {
        let [a, b] = [a, b].map(|name| image::open(place.path(name)).unwrap().to_rgb8());
        a == b
    };
    let codes = "--prior=autoregressive";
    draw("codes.png", &[codes]).succeeds();
    draw("diffusion.png", &["--prior=diffusion"]).succeeds();
    draw("default.png", &[]).succeeds();
    draw("hot.png", &[codes, "--prior-temperature=3", "--prior-candidates=2"]).succeeds();
    assert!(same("diffusion.png", "default.png") && !same("codes.png", "default.png"));
    assert!(!same("codes.png", "hot.png"));

    // The picture says how it was drawn, and is drawn again from that; in a batch it is the same.
    let told = place.run(&["info", "hot.png"]).succeeds().stdout;
    assert!(told.contains("\"temperature\": 3.0"), "{told}");
    place.run(&["generate", "--from=hot.png", "--model=mine", "--out=again.png"]).succeeds();
    assert!(same("hot.png", "again.png"));
    draw("batch-{index}.png", &[codes, "-n3"]).succeeds();
    place
        .run(&["generate", "a red boat", "--model=mine", "--seed=3", "--out=third.png", codes])
        .succeeds();
    assert!(same("batch-0.png", "codes.png") && same("batch-2.png", "third.png"));
    // Another prior than the recorded one may be wished.
    let other = ["generate", "--from=codes.png", "--model=mine", "--out=other.png"];
    place.run(&[&other[..], &["--prior=diffusion"]].concat()).succeeds();
    assert!(same("other.png", "diffusion.png"));
    let own = format!("--prior={}", place.path("mine/prior_autoregressive").display());
    draw("own.png", &[&own]).succeeds();
    assert!(same("own.png", "codes.png"));

    let few = ["--scenes=2", "--decoder-steps=1", "--upsampler-steps=1", "--prior-steps=1"];
    let evaluate = ["evaluate", "prior", "--model=mine", "--json=table.json"];
    let ran = place.run(&[&evaluate[..], &few].concat()).succeeds();
    for row in ["| seen | 2 | ", "| 4.00 |", "diffusion prior", "upper half"] {
        assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
    }
    let table = fs::read_to_string(place.path("table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["prior"]["embeddings"].as_array().unwrap().len(), 5);
    let tables = ["evaluate", "styles", "pairs", "upsampling", "--model=mine"];
    let ran = place.run(&[&tables[..], &["--captions=2"], &few].concat());
    let ran = ran.succeeds();
    for row in [
        "| with a style | true pictures | 100.0%",
        "| two things | whole chain, from captions |",
        "| bicubic |",
        "| drawn from captions |",
    ] {
        assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
    }

    claims::are_tested_and_a_cut_off_run_goes_on(&place);

    // A prior's folder, or a model that has this prior alone, is named as well.
    fs::create_dir(place.path("alone")).unwrap();
    fs::rename(place.path("mine/prior_autoregressive"), place.path("alone/prior_autoregressive"))
        .unwrap();
    draw("elsewhere.png", &["--prior=alone"]).succeeds();
    assert!(same("elsewhere.png", "codes.png"));

    fs::rename(place.path("mine/prior"), place.path("alone/other")).unwrap();
    copy_folder(
        &place.path("alone/prior_autoregressive"),
        &place.path("mine/prior_autoregressive"),
    );
    draw("only.png", &[]).succeeds();
    assert!(same("only.png", "codes.png"));
    fs::remove_dir_all(place.path("mine/prior_autoregressive")).unwrap();
    fs::rename(place.path("alone/other"), place.path("mine/prior")).unwrap();

    draw("no.png", &[codes]).refuses(&["prior_autoregressive"]);
    place.run(&["evaluate", "prior", "--model=mine"]).refuses(&["prior_autoregressive"]);
    draw("no.png", &["--prior-temperature=2"]).refuses(&["--prior-temperature", "diffusion"]);
    draw("no.png", &["--prior=alone", "--prior-steps=2"])
        .refuses(&["--prior-steps", "autoregressive"]);
    draw("no.png", &["--prior=alone", "--prior-top-p=0"]).refuses(&["--prior-top-p", "0"]);
    place
        .run(&["train", "clip", "--kind=autoregressive", "--out=mine"])
        .refuses(&["--kind", "clip"]);
}
