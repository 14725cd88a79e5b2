//! What pictures say of how they were drawn: they are drawn again from it.

use std::fs;

use super::{CAPTION, Workplace};

#[test]
fn a_picture_says_how_it_was_drawn_and_is_drawn_again() {
    let place = Workplace::with_pictures();
    let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    let draw =
        |arguments: &[&str]| place.run(&[&["generate", "--model", "model"], arguments].concat());
    let first = [&few[..], &["--seed=8", "--out=first.png", "été: a red house"]].concat();
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
    place.run(&["info", "one.png"]).refuses(&["one.png does not say"]);

    // A text that other tools read, and none at all.
    let file = fs::File::open(place.path("first.png")).unwrap();
    let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let texts = &reader.info().utf8_text;
    let parameters = texts.iter().find(|text| text.keyword == "parameters").unwrap();
    let parameters = parameters.get_text().unwrap();
    let settings = parameters.lines().last().unwrap();
    assert!(settings.starts_with("Steps: 2, Sampler: ") && settings.contains("Seed: 8, Size: "));
    let bare = [&few[..], &["--seed=8", "--no-metadata", "--out=bare.png", "a house"]].concat();
    draw(&bare).succeeds();
    place.run(&["info", "bare.png"]).refuses(&["bare.png does not say"]);

    let many = [&few[..], &["--seed=8", "-n3", "--json", "--grid=grid.png", "a house"]].concat();
    let ran = draw(&many).succeeds();
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[2]["seed"], &lines[2]["index"]), (&10.into(), &2.into()));
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
    place.run(&["info", "bomb.png"]).refuses(&["bomb.png", "damaged"]);
}

#[test]
fn a_preset_is_told_as_its_settings_and_other_flags_win() {
    let place = Workplace::new();
    let draw = |arguments: &[&str]| {
        let ran =
            place.run(&[&["generate", "--model=model", "--json"], arguments].concat()).succeeds();
        let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        told["settings"].clone()
    };
    let makers = draw(&["--seed=8", "--out=makers.png", "a house"]);
    assert!(makers.get("solver").is_none() && makers.get("guidance_interval").is_none());
    let quality = draw(&["--preset=quality", "--seed=8", "--out=quality.png", "a house"]);
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
    place.run(&[&again[..], &["--out=again.png"]].concat()).succeeds();
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
    place.generate(&["--candidates=0", CAPTION]).refuses(&["--candidates", "1 to 1000"]);
}

/// A PNG of one pixel and these chunks, some of them behind the pixel.
fn png_with(before: &[(&[u8; 4], Vec<u8>)], behind: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let write = |writer: &mut png::Writer<_>, chunks: &[(&[u8; 4], Vec<u8>)]| {
        for (kind, data) in chunks {
            let kind = png::chunk::ChunkType(**kind);
            writer.write_chunk(kind, data).unwrap();
        }
    };
    write(&mut writer, before);
    writer.write_image_data(&[0; 3]).unwrap();
    write(&mut writer, behind);
    writer.finish().unwrap();
    bytes
}

#[test]
fn a_record_is_found_in_texts_of_other_programs() {
    let place = Workplace::new();
    place.generate(&["--seed=8", "--out=first.png", "été"]).succeeds();
    let info = place.run(&["info", "first.png"]).succeeds().stdout;
    let record: serde_json::Value = serde_json::from_str(&info).unwrap();
    let record = record.to_string();
    let latin1: Vec<u8> = record.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let text = |words: &[u8]| [b"unclip\0", words].concat();
    let others = (b"tEXt", b"Software\0other".to_vec());
    let files = [
        // As Pillow's PngInfo.add_text writes it, and as programs do that know UTF-8 alone.
        png_with(&[others.clone(), (b"tEXt", text(&latin1))], &[]),
        png_with(&[(b"tEXt", text(record.as_bytes()))], &[]),
        png_with(&[others], &[(b"tEXt", text(&latin1))]),
    ];
    let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    for file in files {
        fs::write(place.path("saved.png"), &file).unwrap();
        let again = place.run(&["info", "saved.png"]).succeeds().stdout;
        assert_eq!(again, info);
    }
    place.run(&["generate", "--model=model", "--from=saved.png", "--out=again.png"]).succeeds();
    assert!(read("again.png") == read("first.png"));

    // The same through pipes.
    let first = fs::read(place.path("first.png")).unwrap();
    for name in ["-", "/dev/stdin"] {
        let again = place.run_with_input(&["info", name], &first).succeeds();
        assert_eq!(again.stdout, info);
    }
    let from = ["generate", "--model=model", "--from=-", "--out=piped.png"];
    place.run_with_input(&from, &first).succeeds();
    assert!(read("piped.png") == read("first.png"));
    place.run_with_input(&["info", "-"], b"words").refuses(&["standard input", "a text"]);
}

#[test]
fn only_a_png_says_how_it_was_drawn() {
    let place = Workplace::with_pictures();
    let warnings = |arguments: &[&str]| {
        let ran = place.generate(&[arguments, &["--seed=1", CAPTION]].concat()).succeeds();
        ran.stderr.matches("only a PNG").count()
    };
    assert_eq!(warnings(&["--out=one.jpg"]), 1);
    assert_eq!(warnings(&["--out=two.webp", "-n2"]), 1);
    assert_eq!(warnings(&["--out=three.JFIF", "--no-metadata"]), 0);
    let three = fs::read(place.path("three.JFIF")).unwrap();
    assert!(three.starts_with(b"\xff\xd8\xff"));
    assert_eq!(warnings(&["--out=four.png"]), 0);
    let picture = image::open(place.path("one.png")).unwrap();
    picture.save(place.path("one.gif")).unwrap();
    for (name, format) in
        [("one.jpg", "is a JPEG"), ("two-0.webp", "is a WebP"), ("one.gif", "is a GIF")]
    {
        place.run(&["info", name]).refuses(&[name, format, "PNG"]);
        place.generate(&["--from", name]).refuses(&[name, format, "PNG"]);
    }
    fs::rename(place.path("one.jpg"), place.path("lies.png")).unwrap();
    place.run(&["info", "lies.png"]).refuses(&["lies.png is a JPEG"]);
}

#[test]
fn frames_say_how_they_were_drawn() {
    let place = Workplace::with_pictures();
    let few = ["--model=model", "--seed=7", "--upsampler-steps=2"];
    let run = |arguments: &[&str]| place.run(&[arguments, &few].concat());
    let told = |name: &str| -> serde_json::Value {
        let ran = place.run(&["info", name]).succeeds();
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let steps = ["--decoder-steps=2", "--prior-steps=2", "--calls=8"];
    let way = |to: &str, out: &str, more: &[&str]| {
        let ends = ["interpolate", "one.png", to, "--frames=3", "--out", out];
        run(&[&ends[..], &steps, more].concat()).succeeds();
    };
    way("a red boat", "mixed", &[]);
    let frame = told("mixed/frame-01.png");
    assert_eq!(frame["command"], "interpolate");
    assert_eq!((&frame["seed"], &frame["told"]["t"]), (&7.into(), &0.5.into()));
    assert_eq!(frame["told"]["from"], "one.png");
    assert_eq!(frame["told"]["to"], "a red boat");
    assert_eq!(frame["settings"]["prior_steps"], 2);
    way("two.png", "inverted", &[]);
    let frame = told("inverted/frame-02.png");
    assert_eq!((&frame["told"]["t"], &frame["told"]["to"]), (&1.0.into(), &"two.png".into()));
    assert_eq!(frame["settings"]["decoder_steps"], 4);
    assert_eq!(frame["settings"]["decoder_guidance_scale"], 1.0);
    place
        .run(&["generate", "--from=mixed/frame-01.png", "--model=model"])
        .refuses(&["--from mixed/frame-01.png", "interpolate"]);
    way("two.png", "bare", &["--no-metadata"]);
    let bare = ["bare/frame-00.png", "bare/frame-00.png does not say"];
    place.run(&["info", bare[0]]).refuses(&bare[1..]);

    let edit = ["edit", "one.png", "--from=a house", "--to=a boat", "--calls=4", "--frames=2"];
    run(&[&edit[..], &["--out=e.png"]].concat()).succeeds();
    let frame = told("e-way/frame-00.png");
    assert_eq!((&frame["command"], &frame["seed"]), (&"edit".into(), &7.into()));
    assert_eq!((&frame["told"]["t"], &frame["caption"]), (&0.0.into(), &"a boat".into()));
    run(&[&edit[..], &["--out=f.png", "--no-metadata"]].concat()).succeeds();
    place.run(&["info", "f-way/frame-00.png"]).refuses(&["does not say"]);

    let embed = ["embed", "--model=model", "one.png", "two.png", CAPTION, "--out=three.npy"];
    place.run(&embed).succeeds();
    let components = ["reconstruct", "one.png", "--pca=1,2", "--embeddings=three.npy"];
    let reconstruct = [&components[..], &["--decoder-steps=2"]].concat();
    run(&[&reconstruct[..], &["--out=parts"]].concat()).succeeds();
    let part = told("parts/pca-002.png");
    assert_eq!((&part["command"], &part["seed"]), (&"reconstruct".into(), &7.into()));
    assert_eq!((&part["told"]["pca"], &part["told"]["image"]), (&2.into(), &"one.png".into()));
    assert_eq!(part["told"]["embeddings"], "three.npy");
    run(&[&reconstruct[..], &["--out=plain", "--no-metadata"]].concat()).succeeds();
    place.run(&["info", "plain/pca-001.png"]).refuses(&["does not say"]);
}
