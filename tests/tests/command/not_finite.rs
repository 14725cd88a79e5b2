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

/// Runs a command, which must end with one sentence that has these words, and leave nothing behind.
fn refuses(place: &Workplace, arguments: &[&str], words: &[&str]) {
    let before = place.files();
    place.run(&[arguments, &["--model=model"]].concat()).refuses(words);
    assert_eq!(place.files(), before, "{arguments:?}");
}

/// The sentence for a tensor of which a number is NaN.
fn words<'a>(file: &'a str, tensor: &'a str) -> [&'a str; 4] {
    [file, "1 tensor damaged", tensor, "are NaN or infinite"]
}

#[test]
fn a_damaged_text_encoder_embeds_and_classifies_nothing() {
    let tensor = "text_projection.weight";
    let place = damaged("text_encoder", tensor, f32::NAN);
    let words = words("model/text_encoder", tensor);
    refuses(&place, &["embed", "--out=a.npy", CAPTION], &words);
    refuses(&place, &["classify", "one.png", "--labels=a,b"], &words);
}

#[test]
fn a_damaged_image_encoder_finds_and_inverts_nothing() {
    let tensor = "visual_projection.weight";
    let place = damaged("image_encoder", tensor, f32::NAN);
    fs::create_dir(place.path("pictures")).unwrap();
    fs::copy(place.path("one.png"), place.path("pictures/two.png")).unwrap();
    let words = words("model/image_encoder", tensor);
    refuses(&place, &["search", CAPTION, "pictures", "--index=i"], &words);
    refuses(&place, &["invert", "one.png", "--calls=2", "--out=i.safetensors"], &words);
}

#[test]
fn a_damaged_decoder_draws_nothing() {
    let tensor = "conv_out.bias";
    let few =
        ["generate", CAPTION, "--seed=1", "--prior-steps=2", "--decoder-steps=2", "--out=o.png"];
    let place = damaged("decoder", tensor, 1e38);
    refuses(&place, &few, &["does not fit the decoder", "1 tensor damaged", tensor, "1e38"]);
    // Sound by itself, and too large for what is computed with it.
    damage(&place.path("model"), "decoder", tensor, 1.7e19);
    let words = ["the decoder's picture", "model/decoder", tensor, "1.7e19"];
    refuses(&place, &[&few[..], &["--check"]].concat(), &words);
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
    let words = ["--decoder-guidance-scale is 1e30", "between -1000 and 1000"];
    refuses(&place, &scaled, &words);
}

#[test]
fn a_picture_that_cannot_be_resized_is_named() {
    let place = Workplace::new();
    RgbImage::new(2, 300).save(place.path("thin.png")).unwrap();
    let config = place.path("model/feature_extractor/preprocessor_config.json");
    let text = fs::read_to_string(&config).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["size"] = serde_json::json!({ "shortest_edge": 8192 });
    fs::write(&config, json.to_string()).unwrap();
    for arguments in [
        &["embed", "thin.png", "--out=a.npy"][..],
        &["variations", "thin.png", "--seed=1", "--out=o.png"],
        &["classify", "thin.png", "--labels=a,b"],
    ] {
        refuses(&place, arguments, &["thin.png", "2x300", "cannot be resized"]);
    }
}
