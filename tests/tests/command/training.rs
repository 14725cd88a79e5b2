//! A training that is stopped, killed, or out of room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use decoder::Conditions;
use noise::Generator;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use super::{Ran, Workplace, binary, claims};
use crate::pipeline::copy_folder;

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
            .env("OMP_NUM_THREADS", "1")
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
fn whole_checkpoints(folder: &Path) -> Vec<u64> {
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
            assert_eq!(manifest.len(), 2);
            for (file, hash) in manifest {
                let bytes = fs::read(folder.join(&file)).unwrap();
                let found: String = Sha256::digest(&bytes)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(found, hash, "{name}/{file}");
            }
            Some(step)
        })
        .collect();
    steps.sort();
    steps
}

fn wait_for(what: &str, mut come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no {what} came");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_training_is_stopped_and_goes_on() {
    let place = Workplace::for_training();
    let mut last = 0;
    for name in ["-TERM", "-INT"] {
        let child = place.train().spawn().unwrap();
        wait_for("checkpoint", || {
            checkpoint_steps(&place.leg()).last().copied() > Some(last)
        });
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
fn no_kill_takes_more_than_the_steps_since_the_last_checkpoint() {
    let place = Workplace::for_training();
    let mut generator = Generator::new(1);
    let (mut inside, mut last) = (0, 0);
    for kill in 0..100 {
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
    assert!(inside >= 20, "only {inside} kills came inside a save");
    assert!(last > 60, "the training got to step {last} only");
    // What is left of a torn save is in nobody's way, of a checkpoint or of the log.
    fs::write(place.leg().join(".metrics.jsonl.1-0.partial"), "{").unwrap();
    let child = place.train().spawn().unwrap();
    wait_for("checkpoint", || {
        checkpoint_steps(&place.leg()).last().copied() > Some(last)
    });
    signal(&child, "-TERM");
    Ran::new(child.wait_with_output().unwrap()).succeeds();
    assert!(whole_checkpoints(&place.leg()).len() <= 2);
    let names = fs::read_dir(place.leg()).unwrap().flatten();
    let hidden = names.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

/// The steps of the checkpoints in a folder, by their names.
fn checkpoint_steps(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut steps: Vec<u64> = names
        .filter_map(|name| name.strip_prefix("step-")?.parse().ok())
        .collect();
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
    // No file may be larger than 16 blocks of 512 bytes: writing fails as on a full disk.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["train", "clip", "--config=long.toml", "--out=mine"])
        .current_dir(place.folder.path())
        .env("OMP_NUM_THREADS", "1")
        .env("UNCLIP_DETERMINISTIC", "1")
        .output()
        .unwrap();
    Ran::new(limited).refuses(&["runs/clip/.step-", "File too large"]);
    assert_eq!(whole_checkpoints(&place.leg()), before);
    let child = place.train().spawn().unwrap();
    wait_for("checkpoint", || {
        checkpoint_steps(&place.leg()).last() > before.last()
    });
    signal(&child, "-TERM");
    Ran::new(child.wait_with_output().unwrap()).succeeds();
}

#[test]
fn a_folder_of_pictures_becomes_a_model_that_draws() {
    let place = Workplace::new();
    let scenes = [
        "scenes",
        "--count=12",
        "--seed=3",
        "--size=32",
        "--out=mine",
    ];
    place.run(&scenes).succeeds();
    fs::write(place.path("mine/00007.png"), "no picture").unwrap();
    let train = ["train", "all", "--preset=tiny", "--out=trained"];
    let ran = place
        .run(&[&train[..], &["--data=mine"]].concat())
        .succeeds();
    assert!(ran.stderr.contains("00007.png"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1 of 12 pictures and captions"),
        "{}",
        ran.stderr
    );
    let few = [
        "--prior-steps=2",
        "--decoder-steps=2",
        "--upsampler-steps=2",
    ];
    let draw = ["generate", "--model=trained", "--out=new.png", "a red cat"];
    place.run(&[&draw[..], &few].concat()).succeeds();
    assert!(place.path("new.png").is_file());
    let parts = [
        "reconstruct",
        "mine/00001.png",
        "--model=trained",
        "--pca=1,3",
    ];
    let few = ["--out=parts", "--decoder-steps=2", "--upsampler-steps=2"];
    place.run(&[&parts[..], &few].concat()).succeeds();
    place
        .run(&[&train[..], &["--data=gone"]].concat())
        .refuses(&["gone"]);
    place
        .run(&[&train[..], &["--flip"]].concat())
        .refuses(&["--data"]);
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
    let generate = [
        "generate",
        "a red boat",
        "--model=mine",
        "--seed=1",
        "--out=boat.png",
    ];
    place.run(&generate).succeeds();
    assert!(place.path("boat.png").is_file());

    // The decoder learned: with no step at all, it stays as it is published.
    let again = |steps: &str, out: &str| {
        let steps = format!("--set=decoder.run.steps={steps}");
        let (out, runs) = (format!("--out={out}"), format!("--runs={out}-runs"));
        place
            .run(&[
                "train",
                "decoder",
                &init,
                &out,
                &runs,
                &steps,
                "--set=decoder.run.batch=2",
            ])
            .succeeds();
    };
    again("0", "same");
    let decoder = |model: PathBuf| {
        let folder = Folder::open(model).unwrap().component("decoder");
        let decoder = weights::open_decoder(&folder, Device::Cpu, Kind::Float).unwrap();
        let x = Tensor::ones([1, 3, 16, 16], (Kind::Float, Device::Cpu));
        let conditions = Conditions {
            added: Tensor::ones([1, 32], (Kind::Float, Device::Cpu)),
            context: Tensor::ones([1, 5, 12], (Kind::Float, Device::Cpu)),
        };
        let mask = Tensor::from_slice(&[true; 5]).view([1, 5]);
        let timesteps = Tensor::from_slice(&[500i64]);
        no_grad(|| decoder.forward(&x, &timesteps, Some((&conditions, &mask))))
    };
    let apart = |model: &str| {
        let theirs = decoder(PathBuf::from(KARLO));
        (decoder(place.path(model)) - theirs)
            .abs()
            .max()
            .double_value(&[])
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
    let ran = place
        .run(&["train", "decoder", "--preset=karlo", "--dry-run"])
        .succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(
        lines[1].starts_with("decoder") && lines[1].contains("893 M"),
        "{}",
        lines[1]
    );
    assert_eq!(files(), before);

    let shaped = format!("--init={KARLO}");
    let ran = place
        .run(&["train", "all", &shaped, "--dry-run"])
        .succeeds();
    assert_eq!(ran.stdout.lines().count(), 5);

    place
        .run(&["train", "clip", "--dry-run", "--set=clip.run.bach=2"])
        .refuses(&["bach", "batch"]);
    place
        .run(&["train", "clip", "--dry-run", "--init=nowhere"])
        .refuses(&["nowhere"]);
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
    draw(
        "hot.png",
        &[codes, "--prior-temperature=3", "--prior-candidates=2"],
    )
    .succeeds();
    assert!(same("diffusion.png", "default.png") && !same("codes.png", "default.png"));
    assert!(!same("codes.png", "hot.png"));

    // The picture says how it was drawn, and is drawn again from that; in a batch it is the same.
    let told = place.run(&["info", "hot.png"]).succeeds().stdout;
    assert!(told.contains("\"temperature\": 3.0"), "{told}");
    place
        .run(&[
            "generate",
            "--from=hot.png",
            "--model=mine",
            "--out=again.png",
        ])
        .succeeds();
    assert!(same("hot.png", "again.png"));
    draw("batch-{index}.png", &[codes, "-n3"]).succeeds();
    place
        .run(&[
            "generate",
            "a red boat",
            "--model=mine",
            "--seed=3",
            "--out=third.png",
            codes,
        ])
        .succeeds();
    assert!(same("batch-0.png", "codes.png") && same("batch-2.png", "third.png"));
    // Another prior than the recorded one may be wished.
    let other = [
        "generate",
        "--from=codes.png",
        "--model=mine",
        "--out=other.png",
    ];
    place
        .run(&[&other[..], &["--prior=diffusion"]].concat())
        .succeeds();
    assert!(same("other.png", "diffusion.png"));
    let own = format!(
        "--prior={}",
        place.path("mine/prior_autoregressive").display()
    );
    draw("own.png", &[&own]).succeeds();
    assert!(same("own.png", "codes.png"));

    let few = [
        "--scenes=2",
        "--decoder-steps=1",
        "--upsampler-steps=1",
        "--prior-steps=1",
    ];
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
    fs::rename(
        place.path("mine/prior_autoregressive"),
        place.path("alone/prior_autoregressive"),
    )
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
    place
        .run(&["evaluate", "prior", "--model=mine"])
        .refuses(&["prior_autoregressive"]);
    draw("no.png", &["--prior-temperature=2"]).refuses(&["--prior-temperature", "diffusion"]);
    draw("no.png", &["--prior=alone", "--prior-steps=2"])
        .refuses(&["--prior-steps", "autoregressive"]);
    draw("no.png", &["--prior=alone", "--prior-top-p=0"]).refuses(&["--prior-top-p", "0"]);
    place
        .run(&["train", "clip", "--kind=autoregressive", "--out=mine"])
        .refuses(&["--kind", "clip"]);
}
