//! Many captions from a file.

use std::fs;

use super::{Ran, Workplace};

const FEW: [&str; 5] =
    ["generate", "--model=model", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];

impl Workplace {
    /// Draws the captions of a file that holds `text`.
    fn draw_file(&self, name: &str, text: &str, arguments: &[&str]) -> Ran {
        fs::write(self.path(name), text).unwrap();
        self.generate(&[&["--prompts", name], arguments].concat())
    }

    /// Draws the captions on standard input.
    fn draw_input(&self, text: &[u8], arguments: &[&str]) -> Ran {
        let arguments = [&FEW[..], &["--prompts", "-"], arguments].concat();
        self.run_with_input(&arguments, text)
    }
}

#[test]
fn each_line_of_a_text_is_drawn_as_it_is_alone() {
    let place = Workplace::new();
    let text = "\u{feff}a red house\r\n\n  # a fish  \n";
    let ran = place.draw_file("captions.txt", text, &[]).succeeds();
    assert_eq!(ran.stdout, "a-red-house-0.png\na-fish-0.png\n");
    place.generate(&["--seed=0", "--out=alone.png", "# a fish"]).succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("a-fish-0.png") == read("alone.png"));
    assert!(read("a-red-house-0.png") != read("alone.png"));

    let ran = place.draw_input(b"a red house\na fish", &["--seed=4", "-n2", "--out=all.png"]);
    assert_eq!(ran.succeeds().stdout, "all-0.png\nall-1.png\nall-2.png\nall-3.png\n");
}

#[test]
fn a_line_of_json_wins_over_the_command_line() {
    let place = Workplace::new();
    let text = r#"
{"caption": "a red house", "seed": 7, "num_images": 2, "decoder_steps": 3, "prior_guidance_scale": 2}
{"prompt": "a fish", "out": "fish.png", "upsampler_steps": 1, "prior_candidates": 2, "candidates": 3, "solver": "dpm-solver++", "guidance_interval": [0.2, 1]}
"#;
    let ran = place.draw_input(text.as_bytes(), &["--json", "--seed=9"]).succeeds();
    let told: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = |field: &str| -> Vec<serde_json::Value> {
        told.iter().map(|picture| picture[field].clone()).collect()
    };
    assert_eq!(all("index"), [0, 1, 2]);
    assert_eq!(all("seed"), [7, 8, 9]);
    assert_eq!(all("path"), ["a-red-house-7.png", "a-red-house-8.png", "fish.png"]);
    assert_eq!(all("caption"), ["a red house", "a red house", "a fish"]);
    let settings = |i: usize, field: &str| told[i]["settings"][field].as_f64().unwrap();
    assert_eq!(settings(1, "decoder_steps"), 3.0);
    assert_eq!(settings(1, "prior_guidance_scale"), 2.0);
    assert_eq!(settings(2, "decoder_steps"), 2.0);
    assert_eq!(settings(2, "upsampler_steps"), 1.0);
    assert_eq!(settings(2, "prior_candidates"), 2.0);
    assert_eq!(settings(2, "candidates"), 3.0);
    assert_eq!(told[2]["settings"]["solver"], "dpm-solver++");
    assert_eq!(told[2]["settings"]["guidance_interval"], serde_json::json!([0.2, 1.0]));
    place
        .run(&["generate", "--model=model", "--from=a-red-house-8.png", "--out=again.png"])
        .succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("again.png") == read("a-red-house-8.png"));
}

#[test]
fn a_second_run_draws_what_is_missing() {
    let place = Workplace::new();
    let text = "a red house\na fish\na boat\n";
    let draw = |arguments: &[&str]| place.draw_file("captions.txt", text, arguments).succeeds();
    draw(&["--grid=grid.png"]);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    let (fish, grid) = (read("a-fish-0.png"), read("grid.png"));

    let ran = draw(&["--grid=grid.png"]);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr, "unclip: 3 of 3 pictures are there already and stay as they are\n");
    // The sheet has those of the first run too.
    fs::remove_file(place.path("a-fish-0.png")).unwrap();
    fs::remove_file(place.path("grid.png")).unwrap();
    let ran = draw(&["--grid=grid.png"]);
    assert_eq!(ran.stdout, "a-fish-0.png\ngrid.png\n");
    assert!(ran.stderr.contains("2 of 3"), "{}", ran.stderr);
    assert!(read("a-fish-0.png") == fish && read("grid.png") == grid);

    fs::write(place.path("a-boat-0.png"), "mine").unwrap();
    assert_eq!(draw(&[]).stdout, "");
    assert_eq!(read("a-boat-0.png"), b"mine");
    assert_eq!(draw(&["--force"]).stdout.lines().count(), 3);
    assert!(read("a-boat-0.png") != b"mine");
}

#[test]
fn whatever_is_wrong_in_a_file_is_refused_before_a_picture_is_drawn() {
    let place = Workplace::new();
    let first = r#"{"caption": "a house"}"#;
    for (line, words) in [
        (r#"{"caption": "a", "sede": 1}"#, &["line 2", "column 23", "sede"][..]),
        (r#"{"seed": 1}"#, &["line 2", "caption"]),
        (r#"{"caption": "a", "prompt": "b"}"#, &["line 2", "duplicate", "caption"]),
        (r#"{"caption": " "}"#, &["line 2", "caption is empty"]),
        (r#"{"caption": "a\u0000"}"#, &["line 2", "caption"]),
        (r#"{"caption": "a", "seed": -1}"#, &["line 2", "seed -1"]),
        (r#"{"caption": "a", "seed": 18446744073709551615, "num_images": 2}"#, &["line 2", "seed"]),
        (r#"{"caption": "a", "num_images": 0}"#, &["line 2", "num_images 0"]),
        (r#"{"caption": "a", "decoder_steps": 0}"#, &["line 2", "steps"]),
        (r#"{"caption": "a", "prior_steps": 5000}"#, &["line 2", "5000"]),
        (r#"{"caption": "a", "upsampler_steps": 1.5}"#, &["line 2", "upsampler_steps 1.5"]),
        (r#"{"caption": "a", "prior_candidates": 1001}"#, &["line 2", "prior_candidates 1001"]),
        (r#"{"caption": "a", "candidates": 0}"#, &["line 2", "candidates 0"]),
        (r#"{"caption": "a", "decoder_guidance_scale": 1e999}"#, &["line 2", "number"]),
        (r#"{"caption": "a", "out": "a.bmp"}"#, &["line 2", "a.bmp"]),
        (r#"{"caption": "a", "out": ""}"#, &["line 2", "--out is empty"]),
        (r#"{"caption": "a", "out": "{name}.png"}"#, &["line 2", "{name}"]),
        (r#"{"caption": "a", "out": "no/a.png"}"#, &["line 2", "no/a.png"]),
        (
            r#"{"caption": "a", "out": "model/../a-house-0.png"}"#,
            &["line 2", "line 1", "a-house-0.png"],
        ),
        (r#"["caption"]"#, &["line 2"]),
        ("a plain caption", &["line 2"]),
    ] {
        place
            .draw_file("captions.jsonl", &format!("{first}\n{line}\n"), &[])
            .refuses(&[&["captions.jsonl"], words].concat());
        assert_eq!(place.files(), ["captions.jsonl"], "{line}");
    }
    place.draw_file("captions.jsonl", "\n \n", &[]).refuses(&["captions.jsonl", "no caption"]);
    place.draw_input(b"a house\n\xff\n", &[]).refuses(&["standard input", "line 2", "UTF-8"]);
    place.draw_input(b"a house", &["--grid=a-house-0.png"]).refuses(&["--grid a-house-0.png"]);
    place.draw_input(&b"a house\n".repeat(11), &["-n10000"]).refuses(&["110000", "100000"]);
    place.generate(&["--prompts", "nowhere.txt"]).refuses(&["--prompts", "nowhere.txt"]);
    for other in [&["a house"][..], &["--from=a.png"], &["--image-embedding=a.npy"]] {
        place.generate(&[&["--prompts", "captions.jsonl"], other].concat()).refuses(&["--prompts"]);
    }
    assert_eq!(place.files(), ["captions.jsonl"]);
}

#[test]
fn a_warning_names_its_line() {
    let place = Workplace::new();
    let text = format!("a fish\n{} and a zeppelin", "a red house ".repeat(10));
    let ran = place.draw_file("captions.txt", &text, &[]).succeeds();
    assert!(
        ran.stderr.contains("captions.txt, line 2: ") && ran.stderr.contains("zeppelin"),
        "{}",
        ran.stderr
    );
}
