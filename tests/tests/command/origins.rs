//! Numbers in files: what is wrong with one names the file and the field, and never a flag that nobody gave.

use std::fs;

use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::{CAPTION, Ran, Workplace};

/// The record of a picture, with one thing replaced.
fn record(replaced: (&str, &str)) -> String {
    let settings = json!({
        "prior_steps": 2, "decoder_steps": 2, "upsampler_steps": 2, "candidates": 1,
        "prior_guidance_scale": 4.0, "decoder_guidance_scale": 8.0, "solver": "ddpm",
    });
    let record = json!({
        "version": "0", "command": "generate", "caption": "a red house", "seed": 3, "settings": settings,
        "dtype": "f32", "device": "cpu", "model": "0123456789abcdef",
    });
    let text = record.to_string();
    assert!(text.contains(replaced.0), "{} is not in {text}", replaced.0);
    text.replacen(replaced.0, replaced.1, 1)
}

impl Workplace {
    /// Writes the picture x.png, which says this of itself.
    fn picture_that_says(&self, text: &str) {
        let file = fs::File::create(self.path("x.png")).unwrap();
        let mut encoder = png::Encoder::new(file, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_itxt_chunk("unclip".to_owned(), text.to_owned()).unwrap();
        encoder.write_header().unwrap().write_image_data(&[0; 3]).unwrap();
    }

    fn again(&self, arguments: &[&str]) -> Ran {
        let again = ["generate", "--model=model", "--from=x.png", "--out=y.png"];
        self.run(&[&again[..], arguments].concat())
    }
}

/// Refuses with these words, and blames no flag.
fn blames(ran: Ran, words: &[&str]) {
    assert!(!ran.stderr.contains("--"), "{}", ran.stderr);
    ran.refuses(words);
}

#[test]
fn what_a_picture_says_is_blamed_on_the_picture() {
    let place = Workplace::new();
    let steps = ("\"decoder_steps\":2", "\"decoder_steps\":2000");
    for (replaced, said) in [
        (steps, "x.png: decoder_steps is 2000: it must lie between 1 and"),
        (("\"candidates\":1", "\"candidates\":1000000000"), "x.png: candidates is 1000000000"),
        (("a red house", " "), "x.png: the caption is empty"),
        (("\"seed\":3", "\"seed\":18446744073709551616"), "seed: "),
        (("\"ddpm\"", "\"euler\""), "settings.solver: unknown variant `euler`"),
        (("8.0", "1e400"), "settings.decoder_guidance_scale: number out of range"),
        (
            ("8.0", "1e30"),
            "x.png: decoder_guidance_scale is 1e30: it must lie between -1000 and 1000",
        ),
    ] {
        place.picture_that_says(&record(replaced));
        blames(place.again(&[]), &["x.png: ", said]);
    }
    // Flags win, and are blamed for what they say.
    place.picture_that_says(&record(steps));
    place.again(&["--decoder-steps=3000"]).refuses(&["unclip: --decoder-steps is 3000"]);
    place.again(&["--decoder-steps=2"]).succeeds();
    let last = format!("\"seed\":{}", u64::MAX);
    place.picture_that_says(&record(("\"seed\":3", &last)));
    blames(place.again(&["-n2"]), &["x.png: its seed is 18446744073709551615", "2 pictures"]);
}

#[test]
fn steps_of_an_inversion_are_blamed_on_its_file() {
    let place = Workplace::new();
    let tensors = [
        ("image_embedding", Tensor::zeros([1, 24], (Kind::Float, tch::Device::Cpu))),
        ("noise", Tensor::zeros([1, 3, 12, 12], (Kind::Float, tch::Device::Cpu))),
        ("steps", Tensor::from(2000i64)),
    ];
    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
    ::weights::save_safetensors(place.path("x.safetensors"), &tensors, Kind::Float).unwrap();
    blames(
        place.run(&["decode", "x.safetensors", "--model=model"]),
        &["x.safetensors: steps is 2000: it must lie between 1 and 980"],
    );
}

#[test]
fn a_models_own_settings_are_blamed_on_its_index() {
    let place = Workplace::new();
    let path = place.path("model/model_index.json");
    let index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let own = |field: &str, value: Value| {
        let mut settings = json!({
            "prior_steps": 2, "decoder_steps": 2, "upsampler_steps": 2,
            "prior_guidance_scale": 4.0, "decoder_guidance_scale": 8.0,
        });
        settings[field] = value;
        let mut index = index.clone();
        index["unclip_defaults"] = settings;
        fs::write(&path, index.to_string()).unwrap();
    };
    let draw = ["generate", "--model=model", CAPTION];
    own("decoder_steps", 4000.into());
    let named = ["model_index.json of model: decoder_steps is 4000"];
    blames(place.run(&draw), &named);
    place
        .run(&[&draw[..], &["--preset=fast"]].concat())
        .refuses(&["unclip: --preset: decoder_steps is 1280"]);
    own("candidates", 0.into());
    blames(place.run(&draw), &["model_index.json of model: unclip_defaults: candidates is 0"]);
    own("prior_steps", "many".into());
    blames(
        place.run(&draw),
        &["model_index.json of model: unclip_defaults: prior_steps: invalid type"],
    );
}

#[test]
fn what_a_line_of_prompts_says_is_blamed_on_the_line() {
    let place = Workplace::new();
    for (line, said) in [
        (r#"{"caption": "a", "decoder_steps": 2000}"#, "p.jsonl, line 2: decoder_steps is 2000"),
        (
            r#"{"caption": "a", "solver": "euler"}"#,
            "p.jsonl, line 2: column 34: solver: unknown variant",
        ),
        (
            r#"{"caption": "a", "seed": 18446744073709551615, "num_images": 2}"#,
            "p.jsonl, line 2: seed 18446744073709551615",
        ),
    ] {
        fs::write(place.path("p.jsonl"), format!("{{\"caption\": \"b\"}}\n{line}\n")).unwrap();
        blames(place.run(&["generate", "--model=model", "--prompts=p.jsonl"]), &[said]);
    }
}
