//! Kandinsky 2.2 by its two repositories: pictures of any size, negative captions, and what it has no parts for.

use std::fs;
use std::path::Path;

use super::{CAPTION, Ran, Workplace};
use crate::pipeline::copy_folder;

/// A folder with both repositories of the tiny model beside the other one.
fn workplace() -> Workplace {
    with_kandinsky(Workplace::new())
}

fn with_kandinsky(place: Workplace) -> Workplace {
    for name in ["prior", "decoder"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kandinsky/two");
        copy_folder(&golden.join(name), &place.path(&format!("kandinsky/{name}")));
    }
    place
}

const BOTH: [&str; 2] = ["--model=kandinsky/decoder", "--prior=kandinsky/prior"];
const FEW: [&str; 2] = ["--prior-steps=2", "--decoder-steps=3"];

fn draw(place: &Workplace, out: &str, more: &[&str]) -> Ran {
    let out = format!("--out={out}");
    let first = ["generate", CAPTION, "--seed=3", &out];
    place.run(&[&first[..], &BOTH, &FEW, more].concat())
}

fn read(place: &Workplace, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

fn size(place: &Workplace, name: &str) -> (u32, u32) {
    let picture = image::open(place.path(name)).unwrap();
    (picture.width(), picture.height())
}

#[test]
fn pictures_have_the_size_that_is_asked_for() {
    let place = workplace();
    draw(&place, "own.png", &[]).succeeds();
    assert_eq!(size(&place, "own.png"), (16, 16));
    draw(&place, "wide.png", &["--width=24", "--height=12"]).succeeds();
    assert_eq!(size(&place, "wide.png"), (24, 12));
    draw(&place, "no.png", &["--width=25"]).refuses(&["--width is 25", "a multiple of 4"]);
    draw(&place, "no.png", &["--height=0"]).refuses(&["--height", "from 1 on"]);
    place.generate(&["--width=64", CAPTION]).refuses(&["--width is 64", "squares of 24 pixels"]);
    assert!(!place.path("no.png").exists());
}

#[test]
fn a_record_draws_the_same_picture_again() {
    let place = workplace();
    draw(&place, "one.png", &["--negative=blue and dark", "--height=20"]).succeeds();
    let record = place.run(&["info", "one.png"]).succeeds().stdout;
    for field in [r#""negative": "blue and dark""#, r#""height": 20"#] {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    let again = ["generate", "--from=one.png", "--out=two.png"];
    place.run(&[&again[..], &BOTH].concat()).succeeds();
    assert!(read(&place, "one.png") == read(&place, "two.png"));
    draw(&place, "plain.png", &["--height=20"]).succeeds();
    assert!(read(&place, "one.png") != read(&place, "plain.png"), "it says nothing");
}

#[test]
fn negative_captions_are_refused_where_nothing_reads_them() {
    let place = workplace();
    place.generate(&["--negative=blue", CAPTION]).refuses(&["--negative: Karlo takes no caption"]);
    fs::write(place.path("lines.jsonl"), r#"{"caption": "a boat", "negative": "blue"}"#).unwrap();
    place.generate(&["--prompts=lines.jsonl"]).refuses(&["lines.jsonl, line 1", "Karlo takes no"]);
}

#[test]
fn prompts_have_sizes_and_negative_captions() {
    let place = workplace();
    let line = format!(
        r#"{{"caption": "{CAPTION}", "negative": "blue", "width": 20, "seed": 3, "out": "one.png"}}"#
    );
    fs::write(place.path("lines.jsonl"), line).unwrap();
    let prompts = ["generate", "--prompts=lines.jsonl", "--height=8"];
    place.run(&[&prompts[..], &BOTH, &FEW].concat()).succeeds();
    draw(&place, "two.png", &["--negative=blue", "--width=20", "--height=8"]).succeeds();
    assert_eq!(size(&place, "one.png"), (20, 8));
    let pixels = |name| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(pixels("one.png") == pixels("two.png"));
}

#[test]
fn each_repository_names_the_one_that_completes_it() {
    let place = workplace();
    let generate = |model: &str| place.run(&["generate", CAPTION, "--model", model]);
    generate("kandinsky/decoder").refuses(&[
        "kandinsky-community/kandinsky-2-2-prior has",
        "--prior",
        "kandinsky/decoder has no",
    ]);
    generate("kandinsky/prior").refuses(&[
        "kandinsky/prior has no unet/",
        "kandinsky-community/kandinsky-2-2-decoder has",
    ]);
}

#[test]
fn pictures_vary_and_are_inverted() {
    let place = with_kandinsky(Workplace::with_pictures());
    let encoder = ["--model=kandinsky/decoder", "--image-encoder=kandinsky/prior"];
    let vary = ["variations", "one.png", "--seed=1", "--decoder-steps=2", "--out=vary.png"];
    place.run(&[&vary[..], &encoder, &["--width=24"]].concat()).succeeds();
    assert_eq!(size(&place, "vary.png"), (24, 16));
    let invert = ["invert", "one.png", "--out=inverted.safetensors", "--calls=20"];
    place.run(&[&invert[..], &encoder].concat()).succeeds();
    let decode = ["decode", "inverted.safetensors", "--model=kandinsky/decoder", "--out=back.png"];
    place.run(&decode).succeeds();
    assert_eq!(size(&place, "back.png"), (16, 16));
    let edit = ["edit", "one.png", "--from=a house", "--to=a boat", "--out=edit.png", "--calls=20"];
    place
        .run(&[&edit[..], &encoder].concat())
        .refuses(&["prior_tokenizer", "edit as --text-encoder"]);
    place.run(&[&edit[..], &encoder, &["--text-encoder=kandinsky/prior"]].concat()).succeeds();
    assert!(read(&place, "back.png") != read(&place, "edit.png"));
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kandinsky/three/prior");
    copy_folder(&other, &place.path("other"));
    let other = ["--text-encoder=other", "--force"];
    place.run(&[&edit[..], &encoder, &other].concat()).refuses(&["do not fit each other"]);
}

#[test]
fn a_picture_is_drawn_anew() {
    let place = with_kandinsky(Workplace::with_pictures());
    draw(&place, "a.png", &["--image=one.png", "--strength=0.7", "--width=20"]).succeeds();
    assert_eq!(size(&place, "a.png"), (20, 16));
    let record = place.run(&["info", "a.png"]).succeeds().stdout;
    for field in [r#""image": "one.png""#, r#""strength": 0.7"#] {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    draw(&place, "b.png", &["--image=two.png", "--strength=0.7", "--width=20"]).succeeds();
    assert!(read(&place, "a.png") != read(&place, "b.png"));
    draw(&place, "no.png", &["--image=one.png"]).refuses(&["--strength is 0.3", "of 3 steps"]);
    draw(&place, "no.png", &["--strength=0.5"]).refuses(&["--image"]);
    let karlo = ["--image=one.png", CAPTION, "--out=no.png"];
    place.generate(&karlo).refuses(&["--image: Karlo draws from noise alone"]);
    let again = ["generate", "--from=a.png", "--out=no.png"];
    place.run(&[&again[..], &BOTH].concat()).refuses(&["--from a.png", "from more than a caption"]);
}

#[test]
fn the_prior_starts_from_a_picture() {
    let place = with_kandinsky(Workplace::with_pictures());
    let one = ["--prior-image=one.png", "--prior-strength=0.5"];
    draw(&place, "a.png", &one).succeeds();
    draw(&place, "b.png", &["--prior-image=two.png", "--prior-strength=0.5"]).succeeds();
    assert!(read(&place, "a.png") != read(&place, "b.png"));
    let record = place.run(&["info", "a.png"]).succeeds().stdout;
    for field in [r#""command": "generate --prior-image""#, r#""prior_strength": 0.5"#] {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    draw(&place, "no.png", &one[..1]).refuses(&["--prior-strength is 0.3", "of 2 steps"]);
    draw(&place, "no.png", &one[1..]).refuses(&["--prior-image"]);
    draw(&place, "no.png", &["--prior-image=one.png", "--prior-strength=2"])
        .refuses(&["--prior-strength", "1 at most"]);
    for stray in ["--prior-strength=0.5", "--strength=0.5"] {
        let needed = if stray.starts_with("--prior") { "--prior-image" } else { "--image" };
        place
            .generate(&["--from=a.png", stray, "--out=no.png"])
            .refuses(&[stray.split('=').next().unwrap(), needed]);
    }
    draw(&place, "no.png", &["--prior-image=nothing.png"]).refuses(&["nothing.png"]);
    let karlo = ["--prior-image=one.png", "--prior-strength=0.5", CAPTION, "--out=karlo.png"];
    place.generate(&karlo).succeeds();
    assert!(!place.path("no.png").exists());
}

#[test]
fn a_decoder_draws_by_a_hint() {
    let place = with_kandinsky(Workplace::with_pictures());
    crate::kandinsky::write_decoder("two", "hints", &place.path("depth"));
    let depth = ["--model=depth", "--prior=kandinsky/prior", "--seed=3"];
    let run =
        |command: &[&str], more: &[&str]| place.run(&[command, &depth[..], &FEW, more].concat());
    let generate = ["generate", CAPTION];
    let drawn = run(&generate, &["--hint=one.png", "--out=a.png"]).succeeds();
    assert!(drawn.stderr.contains("--hint one.png has 50 x 40 pixels, and is resized to 64 x 64"));
    run(&generate, &["--hint=two.png", "--out=b.png"]).succeeds();
    assert!(read(&place, "a.png") != read(&place, "b.png"));
    run(&generate, &["--hint=one.png", "--image=two.png", "--strength=0.7", "--out=c.png"])
        .succeeds();
    let record = place.run(&["info", "c.png"]).succeeds().stdout;
    for field in [r#""hint": "one.png""#, r#""image": "two.png""#] {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    place.run(&["embed", "two.png", "--model=kandinsky/prior", "--out=e.npy"]).succeeds();
    let of_embedding = ["generate", "--image-embedding=e.npy", "--decoder-steps=3"];
    let with_hint = ["--hint=one.png", "--out=d.png"];
    place.run(&[&of_embedding[..], &depth, &with_hint].concat()).succeeds();
    // Where a hint is missed, and where none is read.
    run(&generate, &["--out=no.png"]).refuses(&["draws by a hint", "generate takes it as --hint"]);
    let vary = ["variations", "one.png", "--out=no.png", "--decoder-steps=2", "--model=depth"];
    place
        .run(&[&vary[..], &["--image-encoder=kandinsky/prior"]].concat())
        .refuses(&["draws by a hint"]);
    draw(&place, "no.png", &["--hint=one.png"])
        .refuses(&["--hint: this decoder", "controlnet-depth"]);
    place.generate(&["--hint=one.png", CAPTION]).refuses(&["--hint: this decoder of Karlo's"]);
    run(&generate, &["--hint=depth", "--out=no.png"]).refuses(&["depth"]);
    assert!(!place.path("no.png").exists());
    let text = place.run(&["info", "depth"]).succeeds().stdout;
    assert!(!text.contains("variations") && text.contains("generate"), "{text}");
    assert!(text.contains("draws     by a hint: generate --hint FILE"), "{text}");
}

#[test]
fn a_part_of_a_picture_is_painted_by_a_decoder_that_takes_a_mask() {
    let place = with_kandinsky(Workplace::with_pictures());
    crate::kandinsky::write_decoder("two", "inpainting", &place.path("painter"));
    let inpaint = |arguments: &[&str]| {
        let first = ["inpaint", "one.png", "--mask-rect=10,12,20,15", "--prior=kandinsky/prior"];
        place.run(&[&first[..], &["--seed=3", "--decoder-steps=3"], arguments].concat())
    };
    let painter = "--model=painter";
    inpaint(&[painter, CAPTION, "--prior-steps=2", "--out=a.png"]).succeeds();
    inpaint(&[painter, "--out=b.png"]).succeeds();
    let [before, a, b] =
        ["one.png", "a.png", "b.png"].map(|name| image::open(place.path(name)).unwrap().to_rgb8());
    let mut differing = 0;
    for (x, y, pixel) in before.enumerate_pixels() {
        let in_mask = (10..30).contains(&x) && (12..27).contains(&y);
        differing += usize::from(a.get_pixel(x, y) != pixel);
        assert!(in_mask || [&a, &b].iter().all(|after| after.get_pixel(x, y) == pixel), "{x} {y}");
    }
    assert!(differing > 200, "{differing} of 300");
    assert!(a != b, "the caption says nothing");
    inpaint(&[painter, CAPTION, "--prior-steps=2", "--negative=blue", "--out=c.png"]).succeeds();
    assert!(read(&place, "a.png") != read(&place, "c.png"), "the negative caption says nothing");
    let again = ["inpaint", "one.png", "--from=c.png", painter, "--prior=kandinsky/prior"];
    place.run(&[&again[..], &["--mask-rect=10,12,20,15", "--out=d.png"]].concat()).succeeds();
    assert!(read(&place, "c.png") == read(&place, "d.png"));
    inpaint(&[painter, "--negative=blue", "--out=no.png"])
        .refuses(&["--negative: the prior reads it", "no caption is given"]);
    inpaint(&["--model=kandinsky/decoder", CAPTION, "--out=no.png"])
        .refuses(&["takes no mask", "kandinsky-community/kandinsky-2-2-decoder-inpaint does"]);
    inpaint(&[painter, CAPTION, "--resample=3", "--out=no.png"]).refuses(&["--resample"]);
    let text = place.run(&["info", "kandinsky/decoder"]).succeeds().stdout;
    assert!(text.contains("kandinsky-community/kandinsky-2-2-decoder-inpaint"), "{text}");
    assert!(!place.path("no.png").exists());
}

#[test]
fn captions_and_pictures_are_mixed() {
    let place = with_kandinsky(Workplace::with_pictures());
    let mix = ["mix", CAPTION, "one.png", "--seed=3", "--out=mixed.png", "--width=24"];
    place.run(&[&mix[..], &BOTH, &FEW].concat()).succeeds();
    assert_eq!(size(&place, "mixed.png"), (24, 16));
    let away = ["mix", CAPTION, "one.png", "--seed=3", "--out=away.png", "--width=24"];
    place.run(&[&away[..], &BOTH, &FEW, &["--negative=blue"]].concat()).succeeds();
    assert!(read(&place, "mixed.png") != read(&place, "away.png"));
    let record = place.run(&["info", "away.png"]).succeeds().stdout;
    assert!(record.contains(r#""negative": "blue""#), "{record}");
    let karlo = ["mix", CAPTION, "one.png", "--negative=blue", "--model=model", "--out=no.png"];
    place.run(&karlo).refuses(&["--negative: Karlo takes no caption"]);
}

/// An encoder of another family goes by its own family's names, and the record says which it was.
#[test]
fn encoders_come_from_other_families() {
    let place = with_kandinsky(Workplace::with_pictures());
    let karlo = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data/karlo/model");
    copy_folder(&karlo, &place.path("karlo"));
    let vary = ["variations", "one.png", "--seed=1", "--decoder-steps=2"];
    let with = |encoder: &str, out: &str| {
        let (encoder, out) = (format!("--image-encoder={encoder}"), format!("--out={out}"));
        let more = ["--model=kandinsky/decoder", &encoder, &out];
        place.run(&[&vary[..], &more].concat()).succeeds();
    };
    with("kandinsky/prior", "a.png");
    with("karlo", "b.png");
    assert!(read(&place, "a.png") != read(&place, "b.png"));
    draw(&place, "c.png", &["--text-encoder=karlo"]).succeeds();
    let record = place.run(&["info", "c.png"]).succeeds().stdout;
    assert!(record.contains(r#""text_encoder": "#), "{record}");
    let again = ["generate", "--from=c.png", "--out=d.png"];
    let ran = place.run(&[&again[..], &BOTH].concat()).succeeds();
    assert!(ran.stderr.contains("another --text-encoder drew that picture"), "{}", ran.stderr);
    let same = ["--text-encoder=karlo", "--force"];
    let ran = place.run(&[&again[..], &BOTH, &same].concat()).succeeds();
    assert!(!ran.stderr.contains("another"), "{}", ran.stderr);
    assert!(read(&place, "c.png") == read(&place, "d.png"));
}

#[test]
fn flags_of_which_nothing_comes_are_named() {
    let place = with_kandinsky(Workplace::with_pictures());
    place.run(&["embed", "two.png", "--model=kandinsky/prior", "--out=e.npy"]).succeeds();
    let of_embedding = ["generate", "--image-embedding=e.npy", "--out=a.png", "--decoder-steps=2"];
    let warns = |command: &[&str], more: &[&str], words: &[&str]| {
        let ran = place.run(&[command, &BOTH, more].concat()).succeeds();
        for word in words {
            assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
        }
    };
    warns(&of_embedding, &["--prior-steps=3"], &["nothing comes of --prior-steps"]);
    let way = ["interpolate", "one.png", "two.png", "--frames=2", "--calls=4", "--out=way"];
    let flags = ["--decoder-guidance-scale=9", "--solver=ddim", "--prior-steps=3"];
    warns(&way, &flags, &["--decoder-guidance-scale, --solver", "nothing comes of --prior-steps"]);
    let mix = ["mix", "one.png", "two.png", "--out=b.png", "--decoder-steps=2"];
    let flags = ["--decoder-guidance-scale=1", "--negative=blue", "--prior-steps=2"];
    warns(&mix, &flags, &["nothing comes of --negative"]);
}

#[test]
fn information_tells_the_repositories_apart() {
    let place = workplace();
    let info = |model: &str| place.run(&["info", model]).succeeds().stdout;
    let text = info("kandinsky/decoder");
    assert!(text.contains("family    Kandinsky 2.2\n"), "{text}");
    assert!(
        text.contains("generate: there is no kandinsky-community/kandinsky-2-2-prior"),
        "{text}"
    );
    for component in ["unet ", "movq "] {
        assert!(text.contains(component), "{component} is not in {text}");
    }
    let text = info("kandinsky/prior");
    assert!(text.contains("can       embed, classify, search\n"), "{text}");
    assert!(text.contains("there is no kandinsky-community/kandinsky-2-2-decoder"), "{text}");
    assert!(!text.contains("problem") && !text.contains("prior_prior"), "{text}");
}

#[test]
fn a_converted_repository_draws_the_same() {
    let place = workplace();
    for name in ["prior", "decoder"] {
        let (from, to) = (format!("kandinsky/{name}"), format!("converted-{name}"));
        place.run(&["convert", &from, &to]).succeeds();
    }
    draw(&place, "one.png", &[]).succeeds();
    let converted = ["--model=converted-decoder", "--prior=converted-prior", "--out=two.png"];
    place.run(&[&["generate", CAPTION, "--seed=3"], &converted[..], &FEW].concat()).succeeds();
    let pixels = |name| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(pixels("one.png") == pixels("two.png"));
}

#[test]
fn it_is_not_trained() {
    let place = workplace();
    let train = ["train", "decoder", "--out=new", "--init=kandinsky/decoder"];
    place.run(&train).refuses(&["--init", "Kandinsky 2.2 cannot be trained"]);
    assert!(!place.path("new").exists());
}

#[test]
fn ways_between_embeddings_and_between_pictures() {
    let place = workplace();
    draw(&place, "one.png", &[]).succeeds();
    let way = |out: &str, ends: &[&str], more: &[&str]| {
        let out = format!("--out={out}");
        let first = ["interpolate", "--frames=3", "--seed=1", &out];
        place.run(&[&first[..], ends, &BOTH, &FEW, more].concat())
    };
    way("words", &[CAPTION, "a blue boat"], &[]).succeeds();
    way("mixed", &[CAPTION, "one.png"], &[]).succeeds();
    draw(&place, "two.png", &["--height=20"]).succeeds();
    way("images", &["one.png", "two.png"], &["--shared-noise"]).succeeds();
    way("inverted", &["one.png", "two.png"], &["--calls=20"]).succeeds();
}
