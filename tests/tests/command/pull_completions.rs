//! Models that lack a component, which comes from another repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::pull::{KARLO, NAME, Place, VARIATIONS, draw, files_below, index_without, model_files};
use super::{CAPTION, Ran};
use crate::pipeline::copy_folder;

#[test]
fn what_completes_a_model_is_taken_from_the_hub_in_part() {
    let place = Place::new();
    let remove = |part: &str| fs::remove_dir_all(place.work.path("model").join(part)).unwrap();
    remove("prior");
    remove("image_encoder");
    let more = ["--prior", NAME, "--image-encoder", NAME, "--candidates=2"];
    place.run(&[&draw("model", "--out=one.png")[..], &more].concat()).succeeds();
    let folders: BTreeSet<String> = place
        .fetched(NAME)
        .iter()
        .filter_map(|path| Some(path.split_once('/')?.0.to_owned()))
        .collect();
    let expected = ["feature_extractor", "image_encoder", "prior", "prior_scheduler"];
    assert_eq!(folders.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    // The whole is downloaded when it is asked for.
    place.run(&["convert", NAME, "new"]).succeeds();
    assert!(place.work.path("new/decoder/config.json").is_file());
}

#[test]
fn karlo_gets_its_image_encoder_when_it_needs_one() {
    let place = Place::new();
    let encoder = ["image_encoder", "feature_extractor"];
    let mut karlo = model_files(&place.work);
    index_without(&mut karlo, &encoder, "UnCLIPPipeline");
    place.add(KARLO, &karlo);
    let mut variations = model_files(&place.work);
    index_without(&mut variations, &["prior", "prior_scheduler"], "UnCLIPImageVariationPipeline");
    place.add(VARIATIONS, &variations);

    place.run(&draw(KARLO, "--out=one.png")).succeeds();
    assert!(place.fetched(VARIATIONS).is_empty(), "a caption draws without it");
    let vary = |run: &dyn Fn(&[&str]) -> Ran, model: &str, out: &str| {
        let steps = ["--decoder-steps=2", "--upsampler-steps=2", "--seed=1"];
        run(&[&["variations", "one.png", "--model", model, "--out", out], &steps[..]].concat())
    };
    vary(&|arguments| place.offline(arguments), KARLO, "no.png").refuses(&[
        KARLO,
        "has no image encoder",
        VARIATIONS,
        "HF_HUB_OFFLINE",
    ]);
    vary(&|arguments| place.run(arguments), KARLO, "hub.png").succeeds();
    let fetched = place.fetched(VARIATIONS);
    let is_needed =
        |path: &String| !path.contains('/') || encoder.iter().any(|name| path.starts_with(name));
    assert!(fetched.iter().all(is_needed) && fetched.len() >= 4, "{fetched:?}");
    vary(&|arguments| place.offline(arguments), KARLO, "offline.png").succeeds();
    vary(&|arguments| place.run(arguments), "model", "folder.png").succeeds();
    assert!(place.pixels("hub.png") == place.pixels("folder.png"));
    assert!(place.pixels("offline.png") == place.pixels("folder.png"));
    let text = place.run(&["info", KARLO]).succeeds().stdout;
    assert!(text.contains("creativeml-openrail-m") && text.contains(VARIATIONS), "{text}");
}

#[test]
fn kandinskys_decoder_gets_its_prior_from_the_hub() {
    const PRIOR: &str = "kandinsky-community/kandinsky-2-2-prior";
    const DECODER: &str = "kandinsky-community/kandinsky-2-2-decoder";
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kandinsky/two");
    for (repository, name) in [(PRIOR, "prior"), (DECODER, "decoder")] {
        place.add(repository, &files_below(&golden.join(name)));
        copy_folder(&golden.join(name), &place.work.path(&format!("kandinsky/{name}")));
    }
    let draw = |model, out| {
        [
            "generate",
            "--model",
            model,
            "--prior-steps=2",
            "--decoder-steps=2",
            "--seed=1",
            out,
            CAPTION,
        ]
    };
    let folders =
        [&draw("kandinsky/decoder", "--out=folder.png")[..], &["--prior=kandinsky/prior"]];
    place.work.run(&folders.concat()).succeeds();
    place
        .run(&["info", DECODER])
        .refuses(&["unclip pull kandinsky-community/kandinsky-2-2-decoder"]);
    place.run(&draw(DECODER, "--out=hub.png")).succeeds();
    let fetched = place.fetched(PRIOR);
    assert!(fetched.contains("text_encoder/model.safetensors"), "{fetched:?}");
    place.offline(&draw(DECODER, "--out=offline.png")).succeeds();
    for name in ["hub.png", "offline.png"] {
        assert!(place.pixels(name) == place.pixels("folder.png"), "{name}");
    }
    let named = [&draw(DECODER, "--out=named.png")[..], &["--prior", PRIOR]].concat();
    place.offline(&named).succeeds();
    assert!(place.pixels("named.png") == place.pixels("folder.png"));
    // What each can do counts what the other has.
    let text = place.offline(&["info", DECODER]).succeeds().stdout;
    assert!(
        text.contains("can       generate, variations, interpolate, mix, edit, invert, embed"),
        "{text}"
    );
    assert!(
        text.contains("with      components of") && text.contains("are in the cache"),
        "{text}"
    );
    let text = place.offline(&["models"]).succeeds().stdout;
    let cached = text.lines().find(|line| line.trim_start().starts_with(DECODER)).unwrap();
    assert!(
        cached.contains("Kandinsky 2.2: generate, variations") && cached.contains(PRIOR),
        "{text}"
    );
}
