//! Models by their names: those inside the program, folders that are called so, and words that name none.

use std::fs;
use std::os::unix::fs::symlink;

use super::{CAPTION, Workplace};
use crate::pipeline::copy_folder;

/// The list of built-in models at the end of a sentence.
const LIST: &str = "a model is a folder, or built in: builtin:unclip, builtin:glide";

#[test]
fn a_built_in_model_by_its_name_is_the_default_one() {
    let place = Workplace::new();
    let few = ["--seed=4", "--decoder-steps=2", "--upsampler-steps=1"];
    let draw = |out: &str, more: &[&str]| {
        let arguments = ["generate", "a yellow fish at sea", "--json", "--out", out];
        place.run(&[&arguments[..], &few, more].concat()).succeeds().stdout
    };
    let named = ["--model=builtin:unclip"];
    let record = |line: String, name: &str| line.replace(name, "");
    assert_eq!(record(draw("one.png", &[]), "one.png"), record(draw("two.png", &named), "two.png"));
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("one.png") == read("two.png"), "the pictures and their records");
    for (from, model) in [("one.png", &named[..]), ("two.png", &[])] {
        let again = ["generate", "--from", from, "--force", "--out=again.png"];
        let ran = place.run(&[&again[..], model].concat()).succeeds();
        assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
        assert!(read("again.png") == read("one.png"), "--from {from}");
    }
    // An error about a setting names the same place.
    let refused = |model: &[&str]| {
        let steps = ["generate", CAPTION, "--decoder-steps=2000"];
        place.run(&[&steps[..], model].concat()).stderr
    };
    assert_eq!(refused(&[]), refused(&named));
    let variant = ["generate", CAPTION, "--variant=fp16", named[0]];
    place.run(&variant).refuses(&[
        "--variant",
        "the built-in model",
        "all of its weights are plain",
    ]);
}

#[test]
fn a_built_in_model_completes_another() {
    let place = Workplace::new();
    fs::remove_dir_all(place.path("model/image_encoder")).unwrap();
    let mixed = ["--image-encoder=builtin:unclip", "--candidates=2", CAPTION];
    // It is found, and does not fit.
    place.generate(&mixed).refuses(&["the built-in model's image_encoder", "do not fit"]);
}

#[test]
fn a_folder_that_is_called_like_a_built_in_model_is_meant_by_its_path() {
    let place = Workplace::new();
    copy_folder(&place.path("model"), &place.path("builtin:unclip"));
    let embed = |model: &str, out: &str| {
        place.run(&["embed", CAPTION, "--model", model, "--out", out]).succeeds();
        fs::read(place.path(out)).unwrap()
    };
    let folder = embed("./builtin:unclip", "folder.npy");
    assert!(folder == embed("model", "model.npy"));
    assert!(folder != embed("builtin:unclip", "inside.npy"));
}

#[test]
fn a_word_that_names_no_model_is_told_with_those_that_there_are() {
    let place = Workplace::new();
    symlink("nowhere", place.path("link")).unwrap();
    copy_folder(&place.path("model"), &place.path("builtin:other"));
    for (model, words) in [
        ("builtin:other", "there is no built-in model builtin:other"),
        ("builtin:", "there is no built-in model builtin:"),
        ("BUILTIN:unclip", "cannot open the folder BUILTIN:unclip"),
        ("karlo", "cannot open the folder karlo"),
        ("link", "cannot open the folder link"),
        ("owner/other", "owner/other is not in the Hub's cache"),
    ] {
        for flag in ["--model", "--prior", "--image-encoder"] {
            let ran = place.run(&["generate", CAPTION, "--candidates=2", flag, model]);
            ran.refuses(&[flag, words, LIST]);
        }
    }
    // A file is there, and no word.
    let file = "model/model_index.json";
    let ran = place.run(&["generate", CAPTION, "--model", file]);
    assert!(!ran.stderr.contains(LIST), "{}", ran.stderr);
    ran.refuses(&["a JSON text: the model is in model"]);
}

#[test]
fn programs_open_models_by_the_same_words() {
    assert_eq!(unclip::built_in_models(), ["builtin:unclip", "builtin:glide"]);
    let options = unclip::OpenOptions::new();
    let [named, built_in] =
        [options.open("builtin:unclip").unwrap(), options.open_built_in().unwrap()];
    assert_eq!(named.defaults().unwrap(), built_in.defaults().unwrap());
    let fingerprint = |folder: Option<weights::Folder>| folder.unwrap().fingerprint().unwrap();
    assert_eq!(
        fingerprint(unclip::locate_model("builtin:unclip").ok()),
        fingerprint(unclip::built_in_folder())
    );
    let error = options.open("builtin:xyz").err().unwrap();
    assert_eq!(
        error.to_string(),
        "there is no built-in model builtin:xyz; a model is a folder, or built in: builtin:unclip, builtin:glide"
    );
    assert_eq!(error.kind(), unclip::ErrorKind::User);
}
