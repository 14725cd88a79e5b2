//! Logs of a training: metrics, TensorBoard's events, samples and plots.

use std::fs;
use std::path::Path;

use families::ModelFolders;
use image::RgbImage;
use pipeline::{Pipeline, Silent};
use serde_json::Value;
use tch::{Device, Kind};
use training::events::Events;
use weights::Folder;

use super::trainer;

/// The metrics in a run's file, a line each.
fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

#[test]
fn events_are_what_tensorboard_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = Events::create(folder.path(), 7, 1000.5).unwrap();
    let metrics = [("loss", 0.5), ("gradient_norm", 2.0)];
    events.scalars(10, 1001.25, &metrics).unwrap();
    let png = b"not looked at".to_vec();
    events.image((20, 1002.0), "samples", (3, 2), png).unwrap();
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events/events.bin");
    assert!(fs::read(file.path()).unwrap() == fs::read(golden).unwrap());
}

#[test]
fn a_resumed_training_logs_every_step_once() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let trainer = |stop_at| {
        let mut trainer = trainer(folder.path(), "runs", Kind::Float, stop_at);
        trainer.recipe.clip.run.steps = 45;
        trainer.recipe.clip.run.checkpoint_every = 20;
        trainer
    };
    trainer(None).train_tokenizer().unwrap();
    trainer(Some(31)).train_clip(&mut ()).unwrap();
    let run = folder.path().join("runs/clip");
    let before = lines(&run);
    // A crash after the checkpoint at 20, in the middle of a line.
    fs::remove_dir_all(run.join("step-000000031")).unwrap();
    let mut text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.push_str("{\"step\": 40, \"lo");
    fs::write(run.join("metrics.jsonl"), text).unwrap();

    trainer(None).train_clip(&mut ()).unwrap();
    let after = lines(&run);
    let steps: Vec<u64> = after.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 10, 20, 30, 40, 44]);
    assert_eq!(after[..2], before[..2], "what was logged stays as it was");
    for (line, again) in before[2..4].iter().zip(&after[2..4]) {
        assert_eq!(line["loss"], again["loss"]);
        assert!(line["time"].as_f64() < again["time"].as_f64());
    }
    for metric in ["gradient_norm", "learning_rate", "pictures_per_second", "accuracy"] {
        assert!(after.iter().all(|line| line[metric].is_f64()), "{metric}");
    }
    let events = fs::read_dir(&run).unwrap().flatten();
    let events = events.filter(|file| file.file_name().to_string_lossy().contains("tfevents"));
    assert_eq!(events.count(), 2);
}

#[test]
fn samples_are_what_the_model_draws_and_the_page_has_a_plot_a_figure() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(folder.path(), "runs", Kind::Float, None);
    trainer.samples_every = 3;
    assert_eq!(trainer.plot().unwrap(), None);
    trainer.train_tokenizer().unwrap();
    trainer.train_clip(&mut ()).unwrap();
    trainer.train_prior(&mut ()).unwrap();
    trainer.train_decoder(&mut ()).unwrap();
    trainer.train_upsampler(&mut ()).unwrap();
    let samples = |model: &str| {
        let files = fs::read_dir(folder.path().join("runs").join(model).join("samples"));
        let mut names: Vec<String> = files
            .into_iter()
            .flatten()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let both = ["step-000000003.png", "step-000000004.png"];
    assert_eq!(samples("decoder"), both);
    assert_eq!(samples("upsampler"), both);
    // CLIP draws nothing, and when the prior was trained there was no decoder.
    assert!(samples("clip").is_empty() && samples("prior").is_empty());
    let leftover = folder.path().join("runs/upsampler/.samples.partial");
    assert!(!leftover.exists());

    // The last sheet is of the weights that became the model.
    let sheet = |model: &str, side: u32, n: u32| -> RgbImage {
        let path = folder.path().join("runs").join(model).join("samples").join(both[1]);
        let sheet = image::open(path).unwrap().into_rgb8();
        assert_eq!(sheet.dimensions(), (4 + 4 * (side + 4), 4 + 3 * (side + 4)));
        let at = |n: u32| 4 + n * (side + 4);
        image::imageops::crop_imm(&sheet, at(n % 4), at(n / 4), side, side).to_image()
    };
    let folders = ModelFolders::new(Folder::open(folder.path().join("model")).unwrap());
    let pipeline = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let settings = pipeline.defaults().unwrap();
    let captions = trainer.data.captions(12);
    for n in [0, 7] {
        let drawn = pipeline.generate(&captions[n], &[n as u64], &settings, &mut Silent).unwrap();
        assert!(drawn[0] == sheet("upsampler", 32, n as u32), "picture {n}");
    }
    assert!(sheet("decoder", 8, 0) != sheet("decoder", 8, 1));

    let page = trainer.plot().unwrap().expect("a page");
    let page = fs::read_to_string(page).unwrap();
    // Each model has the four metrics that all have, CLIP two more, the decoder two, the upsampler one.
    assert_eq!(page.matches("stroke=\"#1F64AA\"").count(), 21);
    for word in ["upsampler", "pictures per second", "noise error", "logit scale"] {
        assert!(page.contains(word), "{word}");
    }
}
