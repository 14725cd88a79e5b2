//! Commands over damaged weights: one sentence that names the tensor, and no file.

use std::fs;

use image::RgbImage;

use super::{CAPTION, Workplace};
use crate::not_finite::damage;

/// A workplace with a picture, whose model has a damaged weight.
fn damaged(part: &str, tensor: &str, value: f32) -> Workplace {
    let place = Workplace::new();
    RgbImage::new(40, 30).save(place.path("one.png")).unwrap();
    damage(&place.path("model"), part, tensor, value);
    place
}

/// Runs a command, which must refuse and leave nothing behind.
fn refuses(place: &Workplace, arguments: &[&str], words: &[&str]) {
    let before = place.files();
    place
        .run(&[arguments, &["--model=model"]].concat())
        .refuses(words);
    assert_eq!(place.files(), before, "{arguments:?}");
}

#[test]
fn a_damaged_text_encoder_embeds_and_classifies_nothing() {
    let tensor = "text_projection.weight";
    let place = damaged("text_encoder", tensor, f32::NAN);
    let words = ["the text encoder's embedding", "model/text_encoder", tensor];
    refuses(&place, &["embed", "--out=a.npy", CAPTION], &words);
    refuses(&place, &["classify", "one.png", "--labels=a,b"], &words);
}

#[test]
fn a_damaged_image_encoder_finds_and_inverts_nothing() {
    let tensor = "visual_projection.weight";
    let place = damaged("image_encoder", tensor, f32::NAN);
    fs::create_dir(place.path("pictures")).unwrap();
    fs::copy(place.path("one.png"), place.path("pictures/two.png")).unwrap();
    let words = [
        "the image encoder's embedding",
        "model/image_encoder",
        tensor,
    ];
    let before = place.files();
    let ran = place.run(&["search", CAPTION, "pictures", "--index=i", "--model=model"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{}", ran.stderr);
    for word in words {
        assert!(
            ran.stderr.contains(word),
            "{word} is not in: {}",
            ran.stderr
        );
    }
    assert_eq!(place.files(), before);
    refuses(
        &place,
        &["invert", "one.png", "--calls=2", "--out=i.safetensors"],
        &words,
    );
}

#[test]
fn a_damaged_decoder_draws_nothing_and_a_check_names_it_before() {
    let tensor = "conv_out.bias";
    let place = damaged("decoder", tensor, 1e38);
    let few = [
        "generate",
        CAPTION,
        "--seed=1",
        "--prior-steps=2",
        "--decoder-steps=2",
        "--out=o.png",
    ];
    refuses(
        &place,
        &few,
        &["the decoder's picture", "model/decoder", tensor],
    );
    let checked = [&few[..], &["--check"]].concat();
    refuses(
        &place,
        &checked,
        &[
            "does not fit the decoder",
            "1 tensor damaged",
            tensor,
            "1e38",
        ],
    );
}

#[test]
fn a_scale_beyond_all_numbers_edits_nothing() {
    let place = Workplace::new();
    RgbImage::new(40, 30).save(place.path("one.png")).unwrap();
    let edit = [
        "edit",
        "one.png",
        "--from=a house",
        "--to=a tree",
        "--seed=1",
        "--calls=4",
        "--out=o.png",
    ];
    let scaled = [&edit[..], &["--decoder-guidance-scale=1e30"]].concat();
    refuses(
        &place,
        &scaled,
        &["the decoder's picture", "--decoder-guidance-scale is 1e30"],
    );
}

#[test]
fn a_picture_that_cannot_be_resized_is_named() {
    let place = Workplace::new();
    RgbImage::new(20_000, 1)
        .save(place.path("thin.png"))
        .unwrap();
    for arguments in [
        &["embed", "thin.png", "--out=a.npy"][..],
        &["variations", "thin.png", "--seed=1", "--out=o.png"],
        &["classify", "thin.png", "--labels=a,b"],
    ] {
        refuses(&place, arguments, &["thin.png"]);
    }
}
