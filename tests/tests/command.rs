//! The command as its users run it: the real binary, on a copy of a tiny model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::pipeline::{copy_folder, model};

const CAPTION: &str = "a red house under a blue sky";

/// The binary beside this test's: `target/release/unclip` for `target/release/deps/unclip-...`.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let binary = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in deps/")
        .join("unclip");
    assert!(
        binary.is_file(),
        "{} is not built: run bin/test, or cargo build --release --package unclip",
        binary.display()
    );
    binary
}

/// A folder with a tiny model in it, which a command runs in.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&model("deep"), &folder.path().join("model"));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `unclip` with these arguments, as from a shell in the workplace.
    fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(binary())
            .args(arguments)
            .current_dir(self.folder.path())
            .env("OMP_NUM_THREADS", "1")
            .output()
            .expect("the binary starts");
        Ran::new(output)
    }

    /// `unclip generate` with the tiny model and few steps, and with more arguments.
    fn generate(&self, arguments: &[&str]) -> Ran {
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
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "model")
            .collect();
        names.sort();
        names
    }
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Exit code 2, one line on standard error that has all of `words`, and nothing on standard output.
    fn refuses(self, words: &[&str]) {
        assert_eq!(
            self.code,
            Some(2),
            "the exit code; standard error: {}",
            self.stderr
        );
        assert_eq!(
            self.stderr.lines().count(),
            1,
            "one line, not: {}",
            self.stderr
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.contains("defect"), "{}", self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in: {}",
                self.stderr
            );
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
    place
        .generate(&["--seed", "7", "--out", "one.png", CAPTION])
        .succeeds();
    let drawn = image::open(place.path("one.png")).unwrap().to_rgb8();
    let pipeline = crate::pipeline::open("deep");
    let settings = crate::pipeline::few_steps();
    let text = pipeline.encode_text(&[CAPTION]).unwrap();
    let expected = pipeline
        .draw(&text, 7, &settings, &mut |_, _, _| ())
        .unwrap();
    let far = drawn
        .iter()
        .zip(expected.iter())
        .filter(|(one, other)| one.abs_diff(**other) > 4)
        .count();
    assert!(
        far * 100 < drawn.len(),
        "{far} of {} values differ",
        drawn.len()
    );
}

#[test]
fn a_picture_does_not_depend_on_those_beside_it() {
    let place = Workplace::new();
    place
        .generate(&[
            "--seed",
            "5",
            "-n",
            "2",
            "--out",
            "both-{index}-{seed}.png",
            CAPTION,
        ])
        .succeeds();
    place
        .generate(&["--seed", "6", "--out", "alone.png", CAPTION])
        .succeeds();
    assert_eq!(place.files(), ["alone.png", "both-0-5.png", "both-1-6.png"]);
    assert!(
        fs::read(place.path("alone.png")).unwrap() == fs::read(place.path("both-1-6.png")).unwrap()
    );
}

#[test]
fn several_pictures_of_a_plain_name_are_numbered() {
    let place = Workplace::new();
    let ran = place
        .generate(&["--seed=1", "-n2", "--out=house.webp", CAPTION])
        .succeeds();
    assert_eq!(ran.stdout, "house-0.webp\nhouse-1.webp\n");
    assert_eq!(place.files(), ["house-0.webp", "house-1.webp"]);
}

#[test]
fn a_random_seed_is_told_and_draws_the_same_picture_again() {
    let place = Workplace::new();
    let ran = place.generate(&["--out", "first.png", CAPTION]).succeeds();
    let seed = ran.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    place
        .generate(&["--seed", &seed, "--out", "second.png", CAPTION])
        .succeeds();
    assert!(
        fs::read(place.path("first.png")).unwrap() == fs::read(place.path("second.png")).unwrap()
    );
}

#[test]
fn an_existing_picture_is_overwritten_only_by_force() {
    let place = Workplace::new();
    fs::write(place.path("mine.png"), "mine").unwrap();
    place
        .generate(&["--out", "mine.png", CAPTION])
        .refuses(&["mine.png exists", "--force"]);
    assert_eq!(fs::read(place.path("mine.png")).unwrap(), b"mine");
    place
        .generate(&["--seed=1", "--out", "mine.png", "--force", CAPTION])
        .succeeds();
    assert!(image::open(place.path("mine.png")).is_ok());
    assert_eq!(place.files(), ["mine.png"]);
}

#[test]
fn pictures_go_into_a_folder() {
    let place = Workplace::new();
    fs::create_dir(place.path("pictures")).unwrap();
    let ran = place
        .generate(&["--seed=1", "--out", "pictures", "A fish!"])
        .succeeds();
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
    place
        .run(&[&["generate", "--model", "model"], &one[..]].concat())
        .succeeds();
    assert_eq!(place.files(), ["one.png"]);
}

#[test]
fn words_beyond_the_context_are_named_in_a_warning() {
    let place = Workplace::new();
    let long = format!("{} and a zeppelin", "a red house ".repeat(10));
    let ran = place
        .generate(&["--seed=1", "--out=long.png", &long])
        .succeeds();
    assert!(
        ran.stderr.contains("warning") && ran.stderr.contains("zeppelin"),
        "{}",
        ran.stderr
    );
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
        assert!(
            ran.stdout.contains(flag),
            "{flag} is not in: {}",
            ran.stdout
        );
    }
    let wrapped = ran
        .stdout
        .lines()
        .find(|line| line.starts_with("            "));
    assert_eq!(wrapped, None, "a flag takes two lines");
    assert_eq!(ran.stderr, "");
}

#[test]
fn scenes_are_exported_with_their_captions() {
    let place = Workplace::new();
    place
        .run(&["scenes", "--count=2", "--size=32", "--out=scenes"])
        .succeeds();
    let metadata = fs::read_to_string(place.path("scenes/metadata.jsonl")).unwrap();
    assert_eq!(metadata.lines().count(), 2);
    for line in metadata.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["text"].as_str().is_some_and(|text| !text.is_empty()));
        let picture = image::open(
            place
                .path("scenes")
                .join(line["file_name"].as_str().unwrap()),
        )
        .unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }
    place
        .run(&["scenes", "--count=2", "--size=32", "--out=scenes"])
        .refuses(&["--out", "scenes"]);
    place
        .run(&["scenes", "--count=0", "--out=none"])
        .refuses(&["--count", "0"]);
}

#[test]
fn empty_caption_is_refused() {
    Workplace::new()
        .generate(&[""])
        .refuses(&["the caption is empty"]);
    Workplace::new()
        .generate(&[" \t\n"])
        .refuses(&["the caption is empty"]);
}

#[test]
fn missing_caption_is_refused() {
    Workplace::new().generate(&[]).refuses(&["CAPTION"]);
}

#[test]
fn unknown_flag_is_refused() {
    Workplace::new()
        .generate(&["--sede=3", CAPTION])
        .refuses(&["--sede"]);
}

#[test]
fn missing_model_folder_is_refused() {
    Workplace::new()
        .run(&["generate", "--model", "no-such", CAPTION])
        .refuses(&["--model", "no-such"]);
}

#[test]
fn each_missing_component_is_named() {
    let place = Workplace::new();
    for part in [
        "tokenizer",
        "text_encoder",
        "text_proj",
        "decoder",
        "decoder_scheduler",
        "super_res_last",
    ] {
        fs::rename(place.path("model").join(part), place.path("away")).unwrap();
        place.generate(&[CAPTION]).refuses(&["model", part]);
        fs::rename(place.path("away"), place.path("model").join(part)).unwrap();
    }
}

#[test]
fn missing_prior_is_named_with_the_flag_that_completes_it() {
    let place = Workplace::new();
    fs::rename(place.path("model/prior"), place.path("prior")).unwrap();
    place.generate(&[CAPTION]).refuses(&["prior", "--prior"]);
    place
        .generate(&["--prior", "prior", "--seed=1", "--out=one.png", CAPTION])
        .succeeds();
    place
        .generate(&["--prior", "nowhere", CAPTION])
        .refuses(&["--prior", "nowhere"]);
    fs::create_dir(place.path("empty")).unwrap();
    place
        .generate(&["--prior", "empty", CAPTION])
        .refuses(&["--prior", "empty"]);
}

#[test]
fn truncated_weights_are_refused() {
    let place = Workplace::new();
    let file = place.path("model/decoder/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&file).unwrap();
    for length in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&file, &bytes[..length]).unwrap();
        place
            .generate(&[CAPTION])
            .refuses(&["decoder/diffusion_pytorch_model.safetensors"]);
    }
}

#[test]
fn garbage_weights_are_refused() {
    let place = Workplace::new();
    fs::write(
        place.path("model/prior/diffusion_pytorch_model.safetensors"),
        [0xA5; 4096],
    )
    .unwrap();
    place
        .generate(&[CAPTION])
        .refuses(&["prior/diffusion_pytorch_model.safetensors"]);
}

#[test]
fn a_component_in_anothers_place_is_refused() {
    let place = Workplace::new();
    let (decoder, upsampler) = (
        place.path("model/decoder"),
        place.path("model/super_res_first"),
    );
    fs::remove_dir_all(&decoder).unwrap();
    copy_folder(&upsampler, &decoder);
    place.generate(&[CAPTION]).refuses(&["decoder"]);
}

#[test]
fn a_component_of_another_model_is_refused() {
    let place = Workplace::new();
    fs::remove_dir_all(place.path("model/text_encoder")).unwrap();
    copy_folder(
        &model("odd").join("text_encoder"),
        &place.path("model/text_encoder"),
    );
    place
        .generate(&[CAPTION])
        .refuses(&["text_encoder", "24", "20"]);
}

#[test]
fn broken_tokenizer_is_refused() {
    let place = Workplace::new();
    let file = place.path("model/tokenizer/tokenizer.json");
    let whole = fs::read_to_string(&file).unwrap();
    for broken in ["", "{}", "[1, 2", &whole[..whole.len() / 2]] {
        fs::write(&file, broken).unwrap();
        place.generate(&[CAPTION]).refuses(&["tokenizer"]);
    }
}

#[test]
fn a_config_that_contradicts_its_weights_is_refused() {
    let place = Workplace::new();
    let file = place.path("model/prior/config.json");
    let config = fs::read_to_string(&file).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_layers"] = 7.into();
    fs::write(&file, config.to_string()).unwrap();
    place
        .generate(&[CAPTION])
        .refuses(&["prior", "transformer_blocks"]);
}

#[test]
fn a_broken_config_is_refused() {
    let place = Workplace::new();
    fs::write(
        place.path("model/decoder/config.json"),
        "{\"sample_size\": ",
    )
    .unwrap();
    place
        .generate(&[CAPTION])
        .refuses(&["decoder", "config.json"]);
}

#[test]
fn steps_outside_the_schedule_are_refused() {
    let place = Workplace::new();
    for flag in ["--prior-steps", "--decoder-steps", "--upsampler-steps"] {
        for steps in ["0", "1001", "-1", "many"] {
            place
                .run(&["generate", "--model", "model", flag, steps, CAPTION])
                .refuses(&[flag, steps]);
        }
    }
}

#[test]
fn numbers_of_pictures_outside_reason_are_refused() {
    let place = Workplace::new();
    for count in ["0", "10001", "-3", "18446744073709551616", "some"] {
        place.generate(&["--num-images", count, CAPTION]).refuses(&[
            "--num-images",
            count,
            "10000",
        ]);
    }
}

#[test]
fn guidance_that_is_not_finite_is_refused() {
    let place = Workplace::new();
    for flag in ["--prior-guidance-scale", "--decoder-guidance-scale"] {
        for scale in ["nan", "inf", "-inf", "1e999", "strong"] {
            place
                .generate(&[flag, scale, CAPTION])
                .refuses(&[flag, scale]);
        }
    }
}

#[test]
fn a_seed_that_is_no_number_is_refused() {
    let place = Workplace::new();
    for seed in ["lucky", "-1", "1.5", "18446744073709551616"] {
        place
            .generate(&["--seed", seed, CAPTION])
            .refuses(&["--seed", seed]);
    }
    let last = u64::MAX.to_string();
    place
        .generate(&["--seed", &last, "-n", "2", CAPTION])
        .refuses(&["--seed", &last]);
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    let place = Workplace::new();
    fs::create_dir(place.path("folder.png")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    for (out, word) in [
        ("no/such/folder/one.png", "no/such/folder"),
        ("file/one.png", "file"),
        ("/proc/one.png", "/proc"),
        ("", "--out"),
        ("one.bmp", ".png"),
        ("one", ".png"),
        ("{number}.png", "{number}"),
    ] {
        place
            .generate(&["--out", out, CAPTION])
            .refuses(&["--out", word]);
    }
    assert_eq!(place.files(), ["file", "folder.png"]);
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    Workplace::new()
        .generate(&["--device", "cuda:7", CAPTION])
        .refuses(&["--device cuda:7"]);
    Workplace::new()
        .generate(&["--device", "tpu", CAPTION])
        .refuses(&["--device", "tpu"]);
}

#[test]
fn half_precision_on_the_cpu_is_refused_with_advice() {
    Workplace::new()
        .generate(&["--dtype=f16", "--device=cpu", CAPTION])
        .refuses(&["f16", "f32"]);
}
