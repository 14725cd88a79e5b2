//! The command as its users run it: the real binary, on a copy of a tiny model.

use pipeline::{Request, Silent};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::pipeline::{copy_folder, model};

mod analytic;
mod bench;
mod bounds;
mod built_in;
mod checkpoints;
mod claims;
mod classify;
mod clip_files;
mod convert;
mod data;
mod destinations;
mod glide;
mod info;
mod inpaint;
pub(crate) mod interrupts;
mod kandinsky;
mod kernels;
mod locks;
mod messages;
mod mix;
mod models;
mod names;
mod not_finite;
mod origins;
mod outputs;
mod pictures;
mod pipes;
mod processes;
mod prompts;
mod pull;
mod pull_completions;
mod records;
mod refusals;
mod search;
mod signals;
mod train_glide;
mod training;
mod wait_policy;

pub(crate) const CAPTION: &str = "a red house under a blue sky";

/// The binary beside this test's: `target/release/unclip` for `target/release/deps/unclip-...`.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let binary = test.parent().and_then(Path::parent).expect("tests lie in deps/").join("unclip");
    assert!(
        binary.is_file(),
        "{} is not built: run bin/test, or cargo build --release --package unclip-cli",
        binary.display()
    );
    binary
}

/// A folder with a tiny model in it, which a command runs in.
pub(crate) struct Workplace {
    folder: TempDir,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&model("deep"), &folder.path().join("model"));
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `unclip` with these arguments, as from a shell in the workplace.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("UNCLIP_THREADS", "1")
            .env("UNCLIP_DETERMINISTIC", "1")
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.folder.path().join("huggingface"))
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_ENDPOINT");
        command
    }

    /// What became of it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output();
        Ran::new(output.expect("the binary starts"))
    }

    /// Runs it with these bytes on standard input, through a pipe.
    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        // A command that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::new(child.wait_with_output().unwrap())
    }

    /// `unclip generate` with the tiny model and few steps, and with more arguments.
    pub(crate) fn generate(&self, arguments: &[&str]) -> Ran {
        let few = [
            "generate",
            "--model",
            "model",
            "--prior-steps=2",
            "--decoder-steps=2",
            "--upsampler-steps=2",
        ];
        self.run(&[&few, arguments].concat())
    }

    /// What lies in the workplace beside the model, hidden files too.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "model")
            .collect();
        names.sort();
        names
    }
}

pub(crate) struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Exit code 2, one line on standard error that has all of `words`, and nothing on standard output.
    pub(crate) fn refuses(self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "the exit code; standard error: {}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "one line, not: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.contains("defect"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
        assert_eq!(self.stdout, "");
    }
}

#[test]
fn a_picture_is_drawn_and_its_path_printed() {
    let place = Workplace::new();
    let ran = place.generate(&["--seed", "3", CAPTION]).succeeds();
    assert_eq!(ran.stdout, "a-red-house-under-a-blue-sky-3.png\n");
    assert_eq!(place.files(), ["a-red-house-under-a-blue-sky-3.png"]);
    let picture = image::open(place.path("a-red-house-under-a-blue-sky-3.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (24, 24));
}

#[test]
fn the_binary_draws_what_the_library_draws() {
    let place = Workplace::new();
    place.generate(&["--seed", "7", "--out", "one.png", CAPTION]).succeeds();
    let drawn = image::open(place.path("one.png")).unwrap().to_rgb8();
    let pipeline = crate::pipeline::open("deep");
    let settings = crate::pipeline::few_steps();
    let request = Request::new(CAPTION, 7, settings);
    let expected = pipeline.sample(&[request], &mut Silent).unwrap().remove(0);
    let far =
        drawn.iter().zip(expected.iter()).filter(|(one, other)| one.abs_diff(**other) > 4).count();
    assert!(far * 100 < drawn.len(), "{far} of {} values differ", drawn.len());
}

#[test]
fn a_picture_does_not_depend_on_those_beside_it() {
    let place = Workplace::new();
    place
        .generate(&["--seed", "5", "-n", "2", "--out", "both-{index}-{seed}.png", CAPTION])
        .succeeds();
    place.generate(&["--seed", "6", "--out", "alone.png", CAPTION]).succeeds();
    assert_eq!(place.files(), ["alone.png", "both-0-5.png", "both-1-6.png"]);
    assert!(
        fs::read(place.path("alone.png")).unwrap() == fs::read(place.path("both-1-6.png")).unwrap()
    );
}

#[test]
fn a_batch_draws_what_its_pictures_are_alone() {
    let place = Workplace::new();
    let draw = |out: &str, more: &[&str]| {
        let flags = ["--seed=5", "-n3", "--out", out, CAPTION];
        place.generate(&[&flags[..], more].concat()).succeeds().stdout
    };
    draw("one-{index}.png", &[]);
    let printed = draw("same-{index}.png", &["--batch=1"]);
    assert_eq!(printed, "same-0.png\nsame-1.png\nsame-2.png\n");
    draw("two-{index}.png", &["--batch=2"]);
    draw("many-{index}.png", &["--batch=9"]);
    for n in 0..3 {
        let read = |name: &str| fs::read(place.path(&format!("{name}-{n}.png"))).unwrap();
        assert!(read("one") == read("same"), "{n}");
        let image = |name: &str| image::load_from_memory(&read(name)).unwrap().to_rgb8();
        let alone = image("one");
        for name in ["two", "many"] {
            let batch = image(name);
            let far = alone.iter().zip(batch.iter()).filter(|(a, b)| a.abs_diff(**b) > 4).count();
            assert!(far * 1000 <= alone.len(), "{name} {n}: {far} values are far off");
        }
    }
    place.generate(&["--batch=0", CAPTION]).refuses(&["--batch", "1 to 1000"]);
    place.generate(&["--thresholding=0", CAPTION]).refuses(&["--thresholding", "quantile"]);
    draw("clipped-{index}.png", &["--thresholding=0.5", "--decoder-guidance-scale=20"]);
    let record = place.run(&["info", "clipped-0.png"]).succeeds().stdout;
    assert!(record.contains("\"thresholding\": 0.5"), "{record}");
}

#[test]
fn several_pictures_of_a_plain_name_are_numbered() {
    let place = Workplace::new();
    let ran = place.generate(&["--seed=1", "-n2", "--out=house.webp", CAPTION]).succeeds();
    assert_eq!(ran.stdout, "house-0.webp\nhouse-1.webp\n");
    assert_eq!(place.files(), ["house-0.webp", "house-1.webp"]);
}

#[test]
fn a_random_seed_is_told_and_draws_the_same_picture_again() {
    let place = Workplace::new();
    let ran = place.generate(&["--out", "first.png", CAPTION]).succeeds();
    let seed = ran.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    place.generate(&["--seed", &seed, "--out", "second.png", CAPTION]).succeeds();
    assert!(
        fs::read(place.path("first.png")).unwrap() == fs::read(place.path("second.png")).unwrap()
    );
}

#[test]
fn an_existing_picture_is_overwritten_only_by_force() {
    let place = Workplace::new();
    fs::write(place.path("mine.png"), "mine").unwrap();
    place.generate(&["--out", "mine.png", CAPTION]).refuses(&["mine.png exists", "--force"]);
    assert_eq!(fs::read(place.path("mine.png")).unwrap(), b"mine");
    place.generate(&["--seed=1", "--out", "mine.png", "--force", CAPTION]).succeeds();
    assert!(image::open(place.path("mine.png")).is_ok());
    assert_eq!(place.files(), ["mine.png"]);
}

#[test]
fn pictures_go_into_a_folder() {
    let place = Workplace::new();
    fs::create_dir(place.path("pictures")).unwrap();
    let ran = place.generate(&["--seed=1", "--out", "pictures", "A fish!"]).succeeds();
    assert_eq!(ran.stdout, "pictures/a-fish-1.png\n");
}

#[test]
fn one_step_a_stage_is_enough() {
    let place = Workplace::new();
    let one = [
        "--prior-steps=1",
        "--decoder-steps=1",
        "--upsampler-steps=1",
        "--seed=1",
        "--out=one.png",
        CAPTION,
    ];
    place.run(&[&["generate", "--model", "model"], &one[..]].concat()).succeeds();
    assert_eq!(place.files(), ["one.png"]);
}

#[test]
fn words_beyond_the_context_are_named_in_a_warning() {
    let place = Workplace::new();
    let long = format!("{} and a zeppelin", "a red house ".repeat(10));
    let ran = place.generate(&["--seed=1", "--out=long.png", &long]).succeeds();
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("zeppelin"), "{}", ran.stderr);
}

#[test]
fn help_shows_every_flag_on_one_line_and_examples() {
    let ran = Workplace::new().run(&["generate", "--help"]).succeeds();
    for flag in [
        "--model",
        "--num-images",
        "--seed",
        "--dtype",
        "--device",
        "--force",
        "Examples:",
        "[default: f32]",
    ] {
        assert!(ran.stdout.contains(flag), "{flag} is not in: {}", ran.stdout);
    }
    let wrapped = ran.stdout.lines().find(|line| line.starts_with("            "));
    assert_eq!(wrapped, None, "a flag takes two lines");
    assert_eq!(ran.stderr, "");
}

#[test]
fn scenes_are_exported_with_their_captions() {
    let place = Workplace::new();
    place.run(&["scenes", "--count=2", "--size=32", "--out=scenes"]).succeeds();
    let metadata = fs::read_to_string(place.path("scenes/metadata.jsonl")).unwrap();
    assert_eq!(metadata.lines().count(), 2);
    for line in metadata.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["text"].as_str().is_some_and(|text| !text.is_empty()));
        let picture =
            image::open(place.path("scenes").join(line["file_name"].as_str().unwrap())).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }
    place.run(&["scenes", "--count=2", "--size=32", "--out=scenes"]).refuses(&["--out", "scenes"]);
    place.run(&["scenes", "--count=0", "--out=none"]).refuses(&["--count", "0"]);
}

#[test]
fn a_model_is_trained_drawn_with_and_evaluated() {
    let place = Workplace::new();
    let train = |arguments: &[&str]| {
        let tiny = ["train", "--preset", "tiny", "--out", "new"];
        place.run(&[&tiny, arguments].concat())
    };
    train(&[]).succeeds();
    let drawn = ["generate", "--model", "new", "--decoder-steps=2", "--seed=1"];
    let ran = place.run(&[&drawn[..], &["--out=one.png", "a red zeppelin"]].concat()).succeeds();
    assert!(ran.stderr.contains("zeppelin"), "{}", ran.stderr);

    let before = fs::read(place.path("new/decoder/diffusion_pytorch_model.safetensors")).unwrap();
    let again = train(&["decoder"]).succeeds();
    assert!(
        again.stderr.contains("decoder") && again.stderr.contains("4 of 4"),
        "{}",
        again.stderr
    );
    let after = fs::read(place.path("new/decoder/diffusion_pytorch_model.safetensors")).unwrap();
    assert!(before == after, "a finished leg changed its model");
    train(&["clip", "--runs", "other", "--stop-at", "2"]).succeeds();
    let refused = train(&["prior"]);
    refused.refuses(&["runs/prior", "encoders"]);

    let few = ["--captions=3", "--held-out-captions=2", "--diversity-captions=1"];
    let written = ["--json", "table.json", "--sheet", "sheet.png", "--nearest-among=50"];
    let nearest = ["--nearest", "nearest.png", "--verdicts", "verdicts.md"];
    let steps = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=1"];
    let evaluate = ["evaluate", "--model", "new"];
    let ran = place.run(&[&evaluate[..], &few, &written, &nearest, &steps].concat()).succeeds();
    assert!(ran.stdout.contains("whole chain"), "{}", ran.stdout);
    for file in ["table.json", "sheet.png", "sheet.md", "nearest.png", "verdicts.md"] {
        assert!(place.path(file).is_file(), "{file}");
    }
}

#[test]
fn the_model_inside_draws_what_its_folder_draws() {
    let place = Workplace::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    let folder = folder.to_str().unwrap();
    let few = ["--seed=4", "--decoder-steps=2", "--upsampler-steps=1"];
    let drawn = |arguments: &[&str]| {
        let arguments = [&["generate", "a yellow fish at sea"], &few[..], arguments].concat();
        let ran = place.run(&arguments).succeeds();
        assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
        image::open(place.path(ran.stdout.trim())).unwrap().to_rgb8()
    };
    let inside = drawn(&["--out=inside.png"]);
    assert!(inside == drawn(&["--out=folder.png", "--model", folder]));
    assert!(inside.width() >= 128 && inside.height() >= 128);
}
