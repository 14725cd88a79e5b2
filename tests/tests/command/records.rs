//! What pictures say of how they were drawn: they are drawn again from it.

use std::fs;

use super::{CAPTION, Workplace};

#[test]
fn a_picture_says_how_it_was_drawn_and_is_drawn_again() {
    let place = Workplace::with_pictures();
    let few = [
        "--prior-steps=2",
        "--decoder-steps=2",
        "--upsampler-steps=2",
    ];
    let draw =
        |arguments: &[&str]| place.run(&[&["generate", "--model", "model"], arguments].concat());
    let first = [
        &few[..],
        &["--seed=8", "--out=first.png", "été: a red house"],
    ]
    .concat();
    draw(&first).succeeds();
    let info = place.run(&["info", "first.png"]).succeeds();
    let told: serde_json::Value = serde_json::from_str(&info.stdout).unwrap();
    assert_eq!(told["seed"], 8);
    assert_eq!(told["caption"], "été: a red house");
    assert_eq!(told["settings"]["decoder_steps"], 2);
    assert!(!info.stdout.contains(place.path("").to_str().unwrap()));

    draw(&["--from", "first.png", "--out=again.png"]).succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("again.png") == read("first.png"));
    draw(&["--from", "first.png", "--seed=9", "--out=other.png"]).succeeds();
    assert!(read("other.png") != read("first.png"));
    draw(&["--from", "one.png"]).refuses(&["one.png does not say"]);
    place
        .run(&["info", "one.png"])
        .refuses(&["one.png does not say"]);

    // A text that other tools read, and none at all.
    let file = fs::File::open(place.path("first.png")).unwrap();
    let reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let texts = &reader.info().utf8_text;
    let parameters = texts
        .iter()
        .find(|text| text.keyword == "parameters")
        .unwrap();
    let parameters = parameters.get_text().unwrap();
    let settings = parameters.lines().last().unwrap();
    assert!(settings.starts_with("Steps: 2, Sampler: ") && settings.contains("Seed: 8, Size: "));
    let bare = [
        &few[..],
        &["--seed=8", "--no-metadata", "--out=bare.png", "a house"],
    ]
    .concat();
    draw(&bare).succeeds();
    place
        .run(&["info", "bare.png"])
        .refuses(&["bare.png does not say"]);

    let many = [
        &few[..],
        &["--seed=8", "-n3", "--json", "--grid=grid.png", "a house"],
    ]
    .concat();
    let ran = draw(&many).succeeds();
    let lines: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[2]["seed"], &lines[2]["index"]),
        (&10.into(), &2.into())
    );
    assert!(place.path(lines[2]["path"].as_str().unwrap()).is_file());
    let grid = image::open(place.path("grid.png")).unwrap();
    assert!(grid.width() > 2 * 24 && grid.height() > 2 * 24);
    draw(&many).refuses(&["grid.png exists"]);
}

#[test]
fn metadata_that_inflates_without_end_is_refused() {
    let place = Workplace::with_pictures();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    let mut text = png::text_metadata::ITXtChunk::new("unclip", "0".repeat(40 << 20));
    text.compressed = true;
    text.compress_text().unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_text_chunk(&text).unwrap();
    writer.write_image_data(&[0; 3]).unwrap();
    writer.finish().unwrap();
    assert!(bytes.len() < 1 << 20, "the file itself is small");
    fs::write(place.path("bomb.png"), bytes).unwrap();
    place
        .run(&["info", "bomb.png"])
        .refuses(&["bomb.png", "damaged"]);
}

#[test]
fn a_preset_is_told_as_its_settings_and_other_flags_win() {
    let place = Workplace::new();
    let draw = |arguments: &[&str]| {
        let ran = place
            .run(&[&["generate", "--model=model", "--json"], arguments].concat())
            .succeeds();
        let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        told["settings"].clone()
    };
    let makers = draw(&["--seed=8", "--out=makers.png", "a house"]);
    assert!(makers.get("solver").is_none() && makers.get("guidance_interval").is_none());
    let quality = draw(&[
        "--preset=quality",
        "--seed=8",
        "--out=quality.png",
        "a house",
    ]);
    assert_eq!(quality, makers);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("quality.png") == read("makers.png"));

    let fast = draw(&["--preset=fast", "--seed=8", "--out=fast.png", "a house"]);
    assert_eq!(fast["solver"], "dpm-solver++");
    assert!(fast["decoder_steps"].as_u64() < makers["decoder_steps"].as_u64());
    assert!(fast["guidance_interval"].is_array());
    assert!(read("fast.png") != read("makers.png"));
    draw(&["--from=fast.png", "--out=again.png"]);
    assert!(read("again.png") == read("fast.png"));

    let more = [
        "--preset=fast",
        "--solver=ddpm",
        "--decoder-steps=4",
        "--guidance-interval=0.25,1",
        "--seed=8",
        "--out=mine.png",
        "a house",
    ];
    let mine = draw(&more);
    assert!(mine.get("solver").is_none(), "{mine}");
    assert_eq!(mine["decoder_steps"], 4);
    assert_eq!(mine["guidance_interval"], serde_json::json!([0.25, 1.0]));
    assert_eq!(mine["upsampler_steps"], fast["upsampler_steps"]);
}

#[test]
fn one_of_several_candidates_is_enlarged() {
    let place = Workplace::new();
    let draw = |more: &[&str]| {
        let wanted = ["--seed=1", "--candidates=2", CAPTION];
        place.generate(&[&wanted[..], more].concat())
    };
    draw(&["--out=one.png"]).succeeds();
    let again = ["generate", "--from=one.png", "--model=model"];
    place
        .run(&[&again[..], &["--out=again.png"]].concat())
        .succeeds();
    let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(read("one.png") == read("again.png"));
    let told = place.run(&["info", "again.png"]).succeeds().stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["settings"]["candidates"], 2);
    // A model that cannot see is completed, or refused.
    fs::create_dir(place.path("eyes")).unwrap();
    for part in ["image_encoder", "feature_extractor"] {
        let away = place.path("eyes").join(part);
        fs::rename(place.path("model").join(part), away).unwrap();
    }
    draw(&["--out=no.png"]).refuses(&["image_encoder"]);
    draw(&["--out=eyes.png", "--image-encoder=eyes"]).succeeds();
    assert!(read("one.png") == read("eyes.png"));
    draw(&["--candidates=1", "--out=no.png"]).refuses(&["--candidates"]);
    place
        .generate(&["--candidates=0", CAPTION])
        .refuses(&["--candidates", "1 to 1000"]);
}
