//! `unclip convert`: the same pictures from another folder, and nothing where something is wrong.

use std::fs;
use std::process::Command;

use super::{CAPTION, Ran, Workplace, binary};
use crate::pipeline::{copy_folder, model};

#[test]
fn a_converted_model_draws_the_same_bytes() {
    let place = Workplace::new();
    copy_folder(&model("karlo"), &place.path("karlo"));
    fs::write(place.path("karlo/LICENSE"), "free").unwrap();
    fs::create_dir(place.path("karlo/safety_checker")).unwrap();
    fs::write(place.path("karlo/decoder/notes.md"), "notes").unwrap();
    let ran = place.run(&["convert", "karlo", "new"]).succeeds();
    assert_eq!(ran.stdout, "new\n");
    let note = "left out, as no part of the model: safety_checker/, decoder/notes.md";
    assert_eq!(ran.stderr, format!("unclip: {note}\n"));
    assert_eq!(fs::read(place.path("new/LICENSE")).unwrap(), b"free");
    let draw = |model: &str, out: &str, more: &[&str]| {
        let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2", "--seed=1"];
        let to = ["generate", CAPTION, "--no-metadata", "--model", model, "--out", out];
        place.run(&[&to[..], &few, more].concat()).succeeds();
        fs::read(place.path(out)).unwrap()
    };
    let before = draw("karlo", "before.png", &[]);
    assert!(before == draw("new", "after.png", &[]));

    place.run(&["convert", "new", "half/", "--dtype=bf16"]).succeeds();
    let size = |name: &str| {
        let file = format!("{name}/decoder/diffusion_pytorch_model.safetensors");
        fs::metadata(place.path(&file)).unwrap().len()
    };
    assert!(size("half") < size("new") * 6 / 10);
    assert!(before != draw("half", "half.png", &[]));
    assert_eq!(
        place.run(&["convert", "builtin:unclip", "built-in"]).succeeds().stdout,
        "built-in\n"
    );
    let names = place.files();
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}

#[test]
fn what_cannot_be_converted_is_refused_and_leaves_nothing() {
    let place = Workplace::with_pictures();
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/mine"), "mine").unwrap();
    fs::create_dir(place.path("nothing")).unwrap();
    copy_folder(&model("karlo"), &place.path("damaged"));
    let pickle = place.path("damaged/decoder/diffusion_pytorch_model.bin");
    let bytes = fs::read(&pickle).unwrap();
    fs::write(&pickle, &bytes[..bytes.len() - 100]).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("link")).unwrap();
    let before = place.files();
    for (arguments, words) in [
        (&["model", "full"][..], &["full", "not empty"][..]),
        (&["model", "model"], &["model", "it is the model itself"]),
        (&["model", "model/new"], &["model/new", "it lies in the model's folder model"]),
        (&["model", "one.png"], &["OUT one.png", "is no folder"]),
        (&["model", "link"], &["OUT link", "a link to nowhere"]),
        (&["model", "no/such/folder"], &["there is no folder no/such"]),
        (&["model", "/proc/new"], &["OUT /proc/new", "cannot write there"]),
        (&["model", ""], &["a value is required for '<OUT>'"]),
        (&["one.png", "new"], &["MODEL", "one.png is a picture"]),
        (&["nothing", "new"], &["nothing is no model: it holds no file"]),
        (&["gone", "new"], &["MODEL", "gone", "built in: builtin:unclip"]),
        (&["builtin:other", "new"], &["MODEL", "no built-in model builtin:other"]),
        (&["damaged", "new"], &["damaged/decoder/diffusion_pytorch_model.bin", "state dict"]),
        (&["model", "new", "--dtype=f64"], &["--dtype", "f64"]),
        (&["model", "new", "--variant=fp16"], &["--variant", "all of its weights are plain"]),
        (&["model"], &["OUT"]),
    ] {
        place.run(&[&["convert"], arguments].concat()).refuses(words);
    }
    // The first files fit, and a later one does not.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 300; exec \"$@\"", "sh"]).arg(binary());
    limited.args(["convert", "builtin:unclip", "new"]).current_dir(place.path(""));
    Ran::new(limited.output().unwrap()).refuses(&["cannot write new/", "File too large"]);
    assert_eq!(place.files(), before);
    assert_eq!(fs::read(place.path("full/mine")).unwrap(), b"mine");
}
