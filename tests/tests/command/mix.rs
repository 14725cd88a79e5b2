//! Pictures of several pictures and captions at once.

use std::fs;
use std::path::Path;

use super::{CAPTION, Ran, Workplace};
use crate::pipeline::copy_folder;

const FEW: [&str; 5] =
    ["--model=model", "--seed=1", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];

fn mix(place: &Workplace, arguments: &[&str]) -> Ran {
    place.run(&[&["mix"], &FEW[..], arguments].concat())
}

fn read(place: &Workplace, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap()
}

fn pixels(place: &Workplace, name: &str) -> image::RgbImage {
    image::open(place.path(name)).unwrap().to_rgb8()
}

#[test]
fn a_caption_and_a_picture_are_mixed_by_their_weights() {
    let place = Workplace::with_pictures();
    let ran = mix(&place, &[CAPTION, "one.png", "--weights", "0.6,0.4"]).succeeds();
    assert_eq!(ran.stdout, "a-red-house-under-a-blue-sky-mix-1.png\n");
    let record = place.run(&["info", ran.stdout.trim()]).succeeds().stdout;
    for field in [
        r#""command": "mix""#,
        r#""caption": "a red house under a blue sky""#,
        r#""image": "one.png""#,
        r#""weight": 0.6"#,
        r#""weight": 0.4"#,
    ] {
        assert!(record.contains(field), "{field} is not in {record}");
    }
    let first = pixels(&place, ran.stdout.trim());
    let draw = |out: &str, more: &[&str]| {
        let out_flag = format!("--out={out}");
        mix(&place, &[more, &[&*out_flag]].concat()).succeeds();
        pixels(&place, out)
    };
    assert!(first == draw("same.png", &[CAPTION, "one.png", "--weights=0.6,0.4"]));
    let equal = draw("equal.png", &[CAPTION, "one.png"]);
    assert!(equal == draw("half.png", &[CAPTION, "one.png", "--weights=0.5,0.5"]));
    assert!(equal != first);
    assert!(equal != draw("other.png", &[CAPTION, "two.png"]));
    assert!(draw("less.png", &["--weights", "-0.2,1.2", CAPTION, "one.png"]) != first);
}

#[test]
fn several_pictures_go_where_others_do() {
    let place = Workplace::with_pictures();
    let ran = mix(
        &place,
        &["two.png", CAPTION, "one.png", "-n2", "--grid=grid.png", "--json", "--out=m.png"],
    )
    .succeeds();
    assert_eq!(ran.stdout.lines().count(), 2);
    for line in ran.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["command"], "mix");
        assert_eq!(line["told"]["conditions"][0]["image"], "two.png");
        assert_eq!(line["told"]["conditions"][1]["caption"], CAPTION);
    }
    assert!(read(&place, "m-0.png") != read(&place, "m-1.png"));
    assert!(place.path("grid.png").is_file());
    mix(&place, &["one.png", "two.png"]).succeeds();
    assert!(place.path("one-mix-1.png").is_file());
    mix(&place, &["one.png", "two.png"]).refuses(&["one-mix-1.png exists", "--force"]);
    let again = ["generate", "--from=m-0.png", "--model=model", "--out=no.png"];
    place.run(&again).refuses(&["--from m-0.png", "unclip mix drew this picture"]);
}

#[test]
fn mixes_of_pictures_alone_need_no_prior() {
    let place = Workplace::with_pictures();
    fs::remove_dir_all(place.path("model/prior")).unwrap();
    mix(&place, &["one.png", "two.png", "--out=a.png"]).succeeds();
    mix(&place, &["one.png", CAPTION, "--out=b.png"]).refuses(&["no prior/", "--prior"]);
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let place = Workplace::with_pictures();
    let refused = |arguments: &[&str], words: &[&str]| {
        mix(&place, &[arguments, &["--out=no.png"]].concat()).refuses(words);
    };
    refused(&["one.png"], &["two pictures or captions at least, and 1 is given"]);
    refused(
        &[CAPTION, "one.png", "--weights=0.2,0.3,0.5"],
        &["--weights: 3 weights are given, and 2 pictures and captions"],
    );
    refused(&[CAPTION, "one.png", "--weights=0,0"], &["--weights", "all 0"]);
    refused(&[CAPTION, "one.png", "--weights=1"], &["--weights: 1 weight is given"]);
    for weights in ["nan,1", "1,inf", "1,", "a,b", "101,1"] {
        let flag = format!("--weights={weights}");
        refused(&[CAPTION, "one.png", &flag], &["--weights", "a number from -100 to 100"]);
    }
    refused(&[CAPTION, "gone.png"], &["gone.png: there is no such file"]);
    refused(&[CAPTION, "model"], &["model is a folder"]);
    refused(&["-", "-"], &["standard input, which can be read once", "2 times"]);
    refused(&["", "one.png"], &["the caption is empty"]);
    fs::write(place.path("note.txt"), "words").unwrap();
    refused(&[CAPTION, "note.txt"], &["note.txt is no picture"]);
    let glide = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide/model");
    copy_folder(&glide, &place.path("glide"));
    let captions = ["mix", "a boat", "a house", "--model=glide", "--out=no.png"];
    place.run(&captions).refuses(&["GLIDE draws from captions alone"]);
    assert!(!place.path("no.png").exists());
}
