//! The third paper's system by its published files: settings of its own, and what it has no parts for.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CAPTION, Ran, Workplace};
use crate::pipeline::copy_folder;

/// A folder with the tiny model as published.
fn workplace() -> Workplace {
    let place = Workplace::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide/model");
    copy_folder(&model, &place.path("glide"));
    place
}

fn golden_images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data/images")
}

const FEW: [&str; 4] = ["generate", CAPTION, "--model=glide", "--seed=3"];

fn draw(place: &Workplace, out: &str, more: &[&str]) -> Ran {
    let out = format!("--out={out}");
    let steps: &[&str] = match more.iter().any(|flag| flag.starts_with("--decoder-steps")) {
        true => &[],
        false => &["--decoder-steps=4", "--upsampler-steps=3"],
    };
    place.run(&[&FEW[..], steps, more, &[&out]].concat())
}

#[test]
fn a_record_with_respaced_steps_draws_the_same_picture_again() {
    let place = workplace();
    let respaced = ["--decoder-steps=ddim5", "--upsampler-steps=fast27", "--solver=ddim"];
    draw(&place, "one.png", &[&respaced[..], &["--upsampler-temperature=0.9"]].concat()).succeeds();
    let record = place.run(&["info", "one.png"]).succeeds().stdout;
    for field in
        [r#""decoder_steps": "ddim5""#, r#""upsampler_steps": "fast27""#, r#""solver": "ddim""#]
    {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    assert!(!record.contains("prior"), "{record}");
    place.run(&["generate", "--model=glide", "--from=one.png", "--out=two.png"]).succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("one.png") == read("two.png"));
    draw(&place, "three.png", &respaced).succeeds();
    assert!(read("one.png") != read("three.png"), "the temperature changes nothing");
}

#[test]
fn prompts_may_respace_their_steps() {
    let place = workplace();
    let line = r#"{"caption": "a boat", "decoder_steps": "2,2", "upsampler_steps": 3, "seed": 3}"#;
    fs::write(place.path("captions.jsonl"), line).unwrap();
    place
        .run(&["generate", "--model=glide", "--prompts=captions.jsonl", "--out=one.png"])
        .succeeds();
    let flags = ["generate", "a boat", "--model=glide", "--seed=3", "--decoder-steps=2,2"];
    place.run(&[&flags[..], &["--upsampler-steps=3", "--out=two.png"]].concat()).succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("one.png") == read("two.png"));
    fs::write(place.path("captions.jsonl"), line.replace("2,2", "2;2")).unwrap();
    place
        .run(&["generate", "--model=glide", "--prompts=captions.jsonl", "--out=three.png"])
        .refuses(&["captions.jsonl, line 1", "decoder_steps 2;2", "fast27"]);
}

#[test]
fn guidance_by_clip_takes_the_place_of_the_other_unless_both_scales_are_given() {
    let place = workplace();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    draw(&place, "alone.png", &["--clip-guidance-scale=3"]).succeeds();
    draw(&place, "one.png", &["--clip-guidance-scale=3", "--decoder-guidance-scale=1"]).succeeds();
    assert!(read("alone.png") == read("one.png"));
    draw(&place, "both.png", &["--clip-guidance-scale=3", "--decoder-guidance-scale=3"]).succeeds();
    draw(&place, "free.png", &[]).succeeds();
    for other in ["both.png", "free.png"] {
        assert!(read("alone.png") != read(other), "{other}");
    }
    draw(&place, "no.png", &["--clip-guidance-scale=3", "--guidance-interval=0.2,0.8"])
        .refuses(&["--guidance-interval is 0.2,0.8", "classifier-free guidance"]);
    let from = ["generate", "--model=glide", "--from=free.png", "--clip-guidance-scale=3"];
    place.run(&[&from[..], &["--out=no.png"]].concat()).refuses(&["--decoder-guidance-scale too"]);
    let both = ["--decoder-guidance-scale=1", "--out=again.png"];
    place.run(&[&from[..], &both].concat()).succeeds();
    assert!(read("again.png") == read("one.png"));

    place
        .generate(&[CAPTION, "--clip-guidance-scale=3"])
        .refuses(&["--clip-guidance-scale", "no CLIP of noised pictures"]);
    fs::remove_file(place.path("glide/clip_image_enc.pt")).unwrap();
    draw(&place, "no.png", &["--clip-guidance-scale=3"])
        .refuses(&["glide/clip_image_enc.pt is missing", "the noised CLIP's image encoder"]);
    assert!(!place.path("no.png").exists());
}

#[test]
fn a_model_that_draws_from_captions_alone_says_so() {
    let place = workplace();
    for (arguments, words) in [
        (&["--prior-steps=3"][..], &["--prior-steps", "has no prior"][..]),
        (&["--prior=autoregressive"], &["--prior", "GLIDE draws from captions alone"]),
        (&["--image-encoder=model"], &["--image-encoder", "GLIDE draws from captions alone"]),
        (&["--candidates=2"], &["GLIDE", "no CLIP"]),
    ] {
        draw(&place, "no.png", arguments).refuses(words);
    }
    let image = golden_images().join("0.png");
    let image = image.to_str().unwrap();
    for (command, out) in [("variations", "no.png"), ("invert", "no.npy"), ("embed", "no.npy")] {
        place.run(&[command, image, "--model=glide", "--out", out]).refuses(&["GLIDE"]);
    }
}

#[test]
fn an_upsampler_that_makes_images_smaller_is_refused() {
    let place = workplace();
    let options = fs::read_to_string(place.path("glide/glide.json")).unwrap();
    let options = options.replacen("16,", "64,", 1);
    fs::write(place.path("glide/glide.json"), options).unwrap();
    draw(&place, "no.png", &[]).refuses(&["the size of a picture is 64 in the first and 32"]);
}

#[test]
fn words_beyond_the_context_are_named() {
    let place = workplace();
    let caption = format!("{} and a tall green tree", "a painting of a red house, ".repeat(4));
    let arguments = ["generate", &caption, "--model=glide", "--seed=1", "--decoder-steps=2"];
    let ran = place.run(&[&arguments[..], &["--upsampler-steps=2", "--out=long.png"]].concat());
    let ran = ran.succeeds();
    assert!(ran.stderr.contains("this is cut off: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("tall green tree"), "{}", ran.stderr);
}

#[test]
fn missing_files_are_named_with_what_they_hold() {
    for (file, words) in [
        ("upsample.pt", &["glide/upsample.pt is missing", "the upsampler"][..]),
        ("base.pt", &["glide/base.pt is missing", "the base network"]),
        ("vocab.bpe", &["has no vocab.bpe", "openai/glide-text2im"]),
    ] {
        let place = workplace();
        fs::remove_file(place.path("glide").join(file)).unwrap();
        draw(&place, "no.png", &[]).refuses(words);
        if file.ends_with(".pt") {
            let summary = place.run(&["info", "glide"]).succeeds().stdout;
            let lack = format!("cannot    generate: there is no {file}");
            assert!(summary.contains(&lack), "{summary}");
        }
    }
}

#[test]
fn its_captions_are_evaluated_without_embeddings() {
    let place = workplace();
    let few = ["--captions=2", "--held-out-captions=1", "--diversity-captions=0"];
    let steps = ["--decoder-steps=2", "--upsampler-steps=2"];
    let evaluate = |arguments: &[&str]| {
        place.run(&[&["evaluate", "--model=glide"], arguments, &few, &steps].concat())
    };
    let ran = evaluate(&["captions", "styles", "pairs", "--sheet=sheet.png"]).succeeds();
    for row in ["| seen | whole chain, from captions |", "| two things | true pictures |"] {
        assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("embeddings"), "{}", ran.stdout);
    assert!(place.path("sheet.png").is_file());
    for table in ["inversion", "variations", "interpolation", "edits", "prior", "zero-shot"] {
        evaluate(&[table, "--scenes=2"]).refuses(&["GLIDE draws from captions alone"]);
    }
}

#[test]
fn inpainting_is_evaluated() {
    let place = workplace();
    let steps = ["--decoder-steps=2", "--upsampler-steps=2", "--scenes=3", "--batch=2"];
    for model in ["glide", "model"] {
        let model = format!("--model={model}");
        let arguments = ["evaluate", "inpainting", &model, "--json=table.json", "--force"];
        let sheet = ["--sheet=sheet.png"];
        let ran = place.run(&[&arguments[..], &steps, &sheet].concat()).succeeds();
        for part in [
            "| 10 to 18% painted anew |",
            "| rectangles |",
            "| free shapes |",
            "| another thing |",
            "| fresh pictures pasted in |",
            "| without a caption | pictures |",
        ] {
            assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
        }
        let json = fs::read_to_string(place.path("table.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let rows = json["inpainting"]["rows"].as_array().unwrap();
        let all = rows.iter().find(|row| row["name"] == "all").unwrap();
        assert_eq!(all["unchanged"]["right"], 3);
        assert_eq!(all["unchanged"]["asked"], 3);
        // Three examples of three pictures each.
        let sheet = image::open(place.path("sheet.png")).unwrap();
        let side = (sheet.width() - 4) / 6;
        assert_eq!(sheet.height(), 2 * side + 4);
        let captions = fs::read_to_string(place.path("sheet.md")).unwrap();
        assert_eq!(captions.lines().count(), 4, "{captions}");
    }
    place
        .run(&["evaluate", "inpainting", "--model=glide", "--verdicts=verdicts.md"])
        .refuses(&["--verdicts"]);
}

#[test]
fn an_evaluation_goes_on_from_its_samples() {
    let place = workplace();
    let arguments = ["--decoder-steps=2", "--upsampler-steps=2", "--scenes=2", "--samples=samples"];
    let evaluate = |others: &[&str]| {
        let model = ["evaluate", "inpainting", "--model=glide"];
        place.run(&[&model[..], &arguments, others].concat())
    };
    let first = evaluate(&[]).succeeds().stdout;
    assert_eq!(evaluate(&[]).succeeds().stdout, first);
    let runs = || fs::read_dir(place.path("samples")).unwrap().map(|run| run.unwrap().path());
    let run = runs().next().unwrap();
    for label in ["empty-captions", "fresh-pictures"] {
        assert!(run.join(label).join("00000-00002.png").is_file(), "{label}");
    }
    // Its samples are those of the table: white ones change what no mask covers.
    let sheet = run.join("inpainting/00000-00002.png");
    let image = image::open(&sheet).unwrap();
    image::RgbImage::from_pixel(image.width(), image.height(), image::Rgb([255; 3]))
        .save(&sheet)
        .unwrap();
    let changed = evaluate(&["--json=white.json"]).succeeds().stdout;
    assert_ne!(changed, first);
    let json = fs::read_to_string(place.path("white.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = json["inpainting"]["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["unchanged"]["right"] == 0), "{json}");
    // Another seed's are others, and a sheet of another size is none.
    image::RgbImage::new(8, 8).save(&sheet).unwrap();
    assert_eq!(evaluate(&[]).succeeds().stdout, first);
    evaluate(&["--seed=1"]).succeeds();
    assert_eq!(runs().count(), 2);
    place
        .run(&["evaluate", "zero-shot", "--model=glide", "--samples=samples"])
        .refuses(&["--samples", "`inpainting`"]);
}
