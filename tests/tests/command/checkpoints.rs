//! A training that is stopped, killed, or out of room, and the checkpoints that it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use noise::Generator;
use sha2::{Digest, Sha256};

use super::interrupts::limit_files;
use super::{Ran, Workplace, binary};

/// The tiny recipe with more steps than anybody waits for, and a checkpoint every third of them.
fn long_recipe() -> String {
    let tiny = include_str!("../../../training/presets/tiny.toml");
    let clip = tiny.find("[clip.run]").expect("a leg");
    let (before, leg) = tiny.split_at(clip);
    let leg = leg.replacen("steps = 4", "steps = 1000000", 1).replacen(
        "checkpoint_every = 1",
        "checkpoint_every = 3",
        1,
    );
    format!("{before}{leg}")
}

impl Workplace {
    /// A place with a tokenizer and the long recipe.
    fn for_training() -> Self {
        let place = Self::new();
        fs::write(place.path("long.toml"), long_recipe()).unwrap();
        let tokenizer = ["train", "tokenizer", "--config=long.toml", "--out=mine"];
        place.run(&tokenizer).succeeds();
        place
    }

    fn train(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .args(["train", "clip", "--config=long.toml", "--out=mine"])
            .current_dir(self.folder.path())
            .env("UNCLIP_THREADS", "1")
            .env("UNCLIP_DETERMINISTIC", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn leg(&self) -> PathBuf {
        self.path("runs/clip")
    }
}

/// The steps of the checkpoints in a folder, whose files are all as their manifests say.
pub(super) fn whole_checkpoints(folder: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<u64> = names
        .filter_map(|name| {
            let step = name.strip_prefix("step-")?.parse().unwrap();
            let folder = folder.join(&name);
            let manifest = fs::read(folder.join("manifest.json")).unwrap();
            let manifest: std::collections::BTreeMap<String, String> =
                serde_json::from_slice(&manifest).unwrap();
            assert!(manifest.len() >= 2, "the state and tensors");
            for (file, hash) in manifest {
                let bytes = fs::read(folder.join(&file)).unwrap();
                let found: String =
                    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(found, hash, "{name}/{file}");
            }
            Some(step)
        })
        .collect();
    steps.sort();
    steps
}

pub(crate) fn wait_for(what: &str, mut come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no {what} came");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_training_is_stopped_and_goes_on() {
    let place = Workplace::for_training();
    let mut last = 0;
    for name in ["-TERM", "-INT"] {
        let child = place.train().spawn().unwrap();
        wait_for("checkpoint", || checkpoint_steps(&place.leg()).last().copied() > Some(last));
        signal(&child, name);
        let ran = Ran::new(child.wait_with_output().unwrap()).succeeds();
        assert!(ran.stderr.contains("stopped"), "{}", ran.stderr);
        let steps = whole_checkpoints(&place.leg());
        assert!(steps.last().copied() > Some(last), "{steps:?}");
        last = *steps.last().unwrap();
        // The log ends where the checkpoint is, or up to nine steps before it: every tenth step has a line.
        let log = fs::read_to_string(place.leg().join("metrics.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        let logged = line["step"].as_u64().unwrap();
        assert!(logged < last && logged + 10 >= last, "{logged} and {last}");
    }
    assert!(place.path("mine/text_encoder/model.safetensors").is_file());
}

#[test]
fn two_trainings_do_not_share_a_folder() {
    let place = Workplace::for_training();
    fs::create_dir_all(place.leg()).unwrap();
    let held = fs::File::open(place.leg()).unwrap();
    held.lock().unwrap();
    let ran = Ran::new(place.train().output().unwrap());
    let holder = format!("process {} writes to this folder", std::process::id());
    ran.refuses(&["runs/clip", &holder]);
    assert_eq!(fs::read_dir(place.leg()).unwrap().count(), 0);
    drop(held);
    let once = place.train().arg("--stop-at=3").output().unwrap();
    Ran::new(once).succeeds();
}

#[test]
fn no_kill_takes_more_than_the_steps_since_the_last_checkpoint() {
    let place = Workplace::for_training();
    let mut generator = Generator::new(1);
    let (mut inside, mut last) = (0, 0);
    for kill in 0..60 {
        let mut child = place.train().spawn().unwrap();
        let partial = || {
            let entries = fs::read_dir(place.leg()).into_iter().flatten();
            entries.flatten().any(|entry| {
                let name = entry.file_name().into_string().unwrap();
                name.starts_with(".step-") && name.ends_with(".partial")
            })
        };
        // A third of the kills come while a checkpoint is written, the others at any time after the start.
        if kill % 3 == 0 {
            let skipped = generator.below(4);
            let newest = || checkpoint_steps(&place.leg()).last().copied();
            wait_for("progress", || newest() >= Some(last + 3 * skipped));
            wait_for("save", partial);
        } else {
            std::thread::sleep(Duration::from_millis(generator.below(700)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        inside += u32::from(partial());
        let steps = whole_checkpoints(&place.leg());
        let newest = steps.last().copied().unwrap_or(0);
        assert!(newest >= last, "kill {kill}: {newest} after {last}");
        assert!(steps.len() <= 3, "kill {kill}: {steps:?}");
        last = newest;
    }
    assert!(inside >= 12, "only {inside} kills came inside a save");
    assert!(last > 36, "the training got to step {last} only");
    // What is left of a torn save is in nobody's way, of a checkpoint or of the log.
    fs::write(place.leg().join(".metrics.jsonl.1-0.partial"), "{").unwrap();
    let child = place.train().spawn().unwrap();
    wait_for("checkpoint", || checkpoint_steps(&place.leg()).last().copied() > Some(last));
    signal(&child, "-TERM");
    Ran::new(child.wait_with_output().unwrap()).succeeds();
    assert!(whole_checkpoints(&place.leg()).len() <= 2);
    let names = fs::read_dir(place.leg()).unwrap().flatten();
    let hidden = names.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

/// The steps of the checkpoints in a folder, by their names.
pub(super) fn checkpoint_steps(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut steps: Vec<u64> =
        names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
    steps.sort();
    steps
}

#[test]
fn a_disk_without_room_leaves_the_checkpoint_before() {
    let place = Workplace::for_training();
    let child = place.train().spawn().unwrap();
    wait_for("checkpoint", || !checkpoint_steps(&place.leg()).is_empty());
    signal(&child, "-TERM");
    Ran::new(child.wait_with_output().unwrap()).succeeds();
    let before = whole_checkpoints(&place.leg());
    let child = place.train().spawn().unwrap();
    let newest = || checkpoint_steps(&place.leg()).last().copied();
    wait_for("checkpoint", || newest() > before.last().copied());
    limit_files(&child, 8192);
    Ran::new(child.wait_with_output().unwrap()).refuses(&["runs/clip/step-", "too large"]);
    let kept = whole_checkpoints(&place.leg());
    assert!(kept.last() > before.last(), "{kept:?} after {before:?}");
    let child = place.train().spawn().unwrap();
    wait_for("checkpoint", || checkpoint_steps(&place.leg()).last() > kept.last());
    signal(&child, "-TERM");
    Ran::new(child.wait_with_output().unwrap()).succeeds();
}
