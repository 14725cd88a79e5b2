//! Trainings of a compact GLIDE, from an unCLIP's folder to a picture and to a part of one.

use std::fs;

use super::{Ran, Workplace};
use crate::compact_glide::write_compact_glide;
use crate::pipeline::contents;

/// An unCLIP whose upsampler takes pictures of 8 pixels as well, and its flag.
const INIT: &str = concat!("--init=", env!("CARGO_MANIFEST_DIR"), "/golden/data/karlo/model");
const GLIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/glide/model");

fn train(place: &Workplace, model: &str, arguments: &[&str]) -> Ran {
    let tiny = ["train", model, "--preset=tiny", "--samples-every=0"];
    place.run(&[&tiny[..], arguments].concat())
}

#[test]
fn a_compact_glide_is_trained_draws_paints_and_is_trained_on() {
    let place = Workplace::with_pictures();
    train(&place, "glide", &[INIT, "--out=mine"]).succeeds();
    train(&place, "noised-clip", &["--out=mine"]).succeeds();
    let info = place.run(&["info", "mine"]).succeeds().stdout;
    for words in ["compact GLIDE", "generate, CLIP guidance, inpaint", "decoder_steps 4"] {
        assert!(info.contains(words), "{words:?} is not in: {info}");
    }
    let draw = ["generate", "a red cat", "--model=mine", "--seed=1"];
    place.run(&[&draw[..], &["--out=cat.png"]].concat()).succeeds();
    let guided = ["--clip-guidance-scale=9", "--out=guided.png"];
    place.run(&[&draw[..], &guided].concat()).succeeds();
    let paint = ["inpaint", "one.png", "a red cat", "--model=mine", "--mask-rect=10,12,20,15"];
    place.run(&[&paint[..], &["--seed=1", "--out=painted.png"]].concat()).succeeds();
    let pixels = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(pixels("cat.png") != pixels("guided.png"));
    let (before, after) = (pixels("one.png"), pixels("painted.png"));
    assert_eq!(before.dimensions(), after.dimensions());
    assert!(before != after && before.get_pixel(0, 0) == after.get_pixel(0, 0));

    // The preset's shapes are others; those of the model count.
    let own = ["--preset=small", "--set=glide.run.steps=1", "--set=glide.inpainting.run.steps=1"];
    let few = ["--set=glide.run.batch=2", "--set=glide.inpainting.run.batch=2"];
    let again = ["train", "glide", "--init=mine", "--out=again", "--runs=again-runs"];
    place.run(&[&again[..], &own, &few, &["--samples-every=0"]].concat()).succeeds();
    assert!(place.path("again/upsampler").is_dir() && place.path("again/clip_tokenizer").is_dir());
    let paint = ["inpaint", "one.png", "a red cat", "--model=again", "--mask-rect=10,12,20,15"];
    place.run(&[&paint[..], &["--out=other.png"]].concat()).succeeds();
}

#[test]
fn a_training_that_stops_in_either_half_goes_on_as_if_it_had_not() {
    let place = Workplace::new();
    let run = |name: &str, more: &[&str]| {
        let (out, runs) = (format!("--out={name}"), format!("--runs={name}-runs"));
        let more = [&[&out[..], &runs, INIT, "--set=glide.run.steps=3"], more].concat();
        train(&place, "glide", &more).succeeds()
    };
    let parts = |name: &str| contents(&place.path(name));
    run("whole", &[]);
    let ran = run("halves", &["--stop-at=2"]);
    let waits =
        "glide_inpainting: it begins when `glide` has taken its 3 steps, and it has taken 2";
    assert!(ran.stderr.contains(waits), "{}", ran.stderr);
    run("halves", &["--stop-at=3"]);
    assert!(place.path("halves-runs/glide_inpainting/step-000000003").is_dir());
    assert!(parts("halves") != parts("whole"), "a step is lacking");
    run("halves", &[]);
    assert!(parts("halves") == parts("whole"));
    let ran = run("halves", &[]);
    for model in ["glide: ", "glide_inpainting: "] {
        let line = ran.stderr.lines().find(|line| line.contains(model));
        assert!(line.is_some_and(|l| l.contains("nothing is trained")), "{}", ran.stderr);
    }
    assert!(parts("halves") == parts("whole"), "nothing is trained, and nothing is another");
}

#[test]
fn what_a_training_lacks_or_cannot_begin_with_is_said() {
    let place = Workplace::new();
    fs::create_dir(place.path("empty")).unwrap();
    for (model, name) in
        [("glide", "`glide`"), ("noised-clip", "`noised_clip`"), ("clip", "`clip`")]
    {
        for out in ["--out=empty", "--out=none"] {
            let words = ["has no tokenizer", name, "`unclip train tokenizer`", "--init"];
            train(&place, model, &[out]).refuses(&words);
        }
    }
    let published = format!("--init={GLIDE}");
    for model in ["glide", "noised-clip"] {
        train(&place, model, &[&published, "--out=new"]).refuses(&[
            "--init",
            "GLIDE cannot be trained",
            "Karlo",
            "compact GLIDE",
        ]);
        let into = train(&place, model, &["--out=model"]);
        into.refuses(&["model holds a model of Karlo", "is a part of compact GLIDE"]);
        let karlo = ["train", model, "--preset=karlo"];
        let part = format!("`{}`", model.replace('-', "_"));
        for more in ["--dry-run", "--out=new"] {
            place.run(&[&karlo[..], &[more]].concat()).refuses(&["no part", &part, "paper"]);
        }
    }
    fs::create_dir(place.path("compact")).unwrap();
    write_compact_glide(&place.path("compact"), true);
    for model in ["decoder", "clip", "all"] {
        train(&place, model, &["--init=compact", "--out=new"]).refuses(&[
            "--init compact",
            "compact GLIDE",
            "`train glide`",
            "`train noised-clip`",
        ]);
    }
    train(&place, "decoder", &["--out=compact"])
        .refuses(&["compact holds a model of compact GLIDE", "`decoder` is a part of Karlo"]);
    assert_eq!(place.files(), ["compact", "empty"]);
}

#[test]
fn a_dry_run_lists_both_halves_and_the_noised_clip() {
    let place = Workplace::new();
    let rows = |arguments: &[&str]| -> Vec<Vec<String>> {
        let ran = place.run(&[&["train", "--dry-run"], arguments].concat()).succeeds();
        let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        ran.stdout.lines().skip(1).map(cells).collect()
    };
    let paper = rows(&["glide", "--preset=paper"]);
    assert_eq!(paper.len(), 2);
    for (row, name) in paper.iter().zip(["glide", "glide_inpainting"]) {
        assert_eq!(row[..3], [name, "385", "M"]);
    }
    let clip = rows(&["noised-clip", "--preset=paper"]);
    assert_eq!(
        (clip.len(), &clip[0][..3]),
        (1, &["noised_clip", "150", "M"].map(str::to_owned)[..])
    );
    let all: Vec<String> =
        rows(&["all", "--preset=paper"]).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(all, ["clip", "prior", "decoder", "upsampler"], "a compact GLIDE is another model");
    assert_eq!(place.files(), [""; 0]);
}
