//! `unclip evaluate --claims`.

use std::fs;
use std::path::Path;

use evaluation::{CaptionSet, Example};
use image::RgbImage;
use image::imageops::{self, FilterType};
use images::contact_sheet;

use super::Workplace;
use super::checkpoints::wait_for;
use crate::pipeline::{copy_folder, few_steps};

/// With two copies of `mine`, a model that has both priors.
pub(super) fn are_tested_and_a_cut_off_run_goes_on(place: &Workplace) {
    let claims = ["evaluate", "--claims=claims", "--scenes=2"];
    let folder = place.path("claims/captions");
    fs::create_dir_all(&folder).unwrap();
    place.run(&claims).refuses(&["--claims", "claims/stack", "docs/claims.md"]);
    fs::remove_dir(folder).unwrap();
    let glide = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide/model");
    copy_folder(&glide, &place.path("claims/glide"));
    for model in ["stack", "captions"] {
        let folder = place.path(&format!("claims/{model}"));
        copy_folder(&place.path("mine"), &folder);
        families::save_model_defaults(&folder, &families::karlo(), &few_steps()).unwrap();
    }
    let json = [&claims[..], &["--json=claims.json"]].concat();
    let ran = place.run(&json).succeeds();
    for part in [
        "| true pictures |",
        "| decoder of captions | 6 | 1 |",
        "| stack with the autoregressive prior |",
        "| GLIDE, classifier-free guidance | 6 | 1 |",
        "| GLIDE, CLIP guidance | 16 | 1 |",
        "cannot be told |",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let report = fs::read_to_string(place.path("claims.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let claims_of = |table: &str| report[table]["claims"].as_array().unwrap().clone();
    assert_eq!(claims_of("guidance").len(), 2);
    let names = [claims_of("claims"), claims_of("guidance")].concat();
    let names = names.iter();
    let page = include_str!("../../../docs/claims.md");
    for name in names.map(|claim| claim["name"].as_str().unwrap()) {
        let name = name.split(": ").next().unwrap();
        assert!(page.contains(&format!("| {name} |")), "docs/claims.md does not tell of `{name}`");
    }
    // Kept pictures are read as they were drawn.
    assert_eq!(place.run(&claims).succeeds().stdout, ran.stdout);
    // What is there is not drawn again, and what is not is drawn as before.
    let drawn = fs::read_dir(place.path("claims")).unwrap();
    let drawn = drawn.map(|entry| entry.unwrap().path());
    let drawn =
        drawn.into_iter().find(|path| path.to_string_lossy().contains("pictures-")).unwrap();
    assert!(drawn.join("claims.svg").exists());
    guidance_alone_is_tested(place);
    let sheet = |setting: &str| drawn.join(setting).join("00000-00002.png");
    let [lost, kept] = ["stack-1", "stack-2"].map(sheet);
    let before = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    // Where true pictures lie instead, they are what is seen.
    let side = image::open(&kept).unwrap().width() / 2 - 6;
    let truth = |example: &Example| {
        let picture = example.scene.to_image(4 * side);
        imageops::resize(&picture, side, side, FilterType::CatmullRom)
    };
    let truths: Vec<RgbImage> = CaptionSet::Seen.examples(0..2).iter().map(truth).collect();
    contact_sheet(&truths, 10).save(&kept).unwrap();
    let again = place.run(&claims).succeeds();
    assert_eq!(fs::read(&lost).unwrap(), before);
    for row in ["| stack | 1 | 1 | 0.0%", "| stack | 2 | 1 | 100.0%"] {
        assert!(again.stdout.contains(row), "{row}: {}", again.stdout);
    }
    // More pictures are no more than what was drawn of fewer.
    let mut more = claims;
    more[2] = "--scenes=3";
    let ran = place.run(&more).succeeds();
    assert!(ran.stdout.contains(", n 3 |"), "{}", ran.stdout);
    let row = ran.stdout.lines().find(|l| l.starts_with("| stack | 2 | 1 |"));
    assert!(row.is_some_and(|row| row.contains("| 0.0%")), "{row:?}");
    // Those of another data type have a folder of their own, from the first sheet on.
    let in_halves = [&claims[..], &["--dtype=bf16"]].concat();
    let mut child = place.command(&in_halves).spawn().unwrap();
    let folders = || {
        let entries = fs::read_dir(place.path("claims")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("pictures-")).count()
    };
    wait_for("a folder of pictures", || folders() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    for beside in ["captions", "--model=mine", "--captions=3", "--decoder-steps=2"] {
        place.run(&["evaluate", "--claims=claims", beside]).refuses(&["--claims"]);
    }
}

/// With GLIDE in the folder and none of the models that other claims are tested with.
fn guidance_alone_is_tested(place: &Workplace) {
    let guidance = fs::read_dir(place.path("claims")).unwrap().map(|entry| entry.unwrap());
    let guidance = guidance.into_iter().find(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("guidance-")
    });
    let guidance = guidance.unwrap();
    let plots = place.path("guidance_alone").join(guidance.file_name()).join("guidance.svg");
    // Its pictures are there already.
    copy_folder(&guidance.path(), plots.parent().unwrap());
    fs::remove_file(&plots).unwrap();
    copy_folder(&place.path("claims/glide"), &place.path("guidance_alone/glide"));
    let ran = place.run(&["evaluate", "--claims=guidance_alone", "--scenes=2"]).succeeds();
    assert!(ran.stdout.contains("| guidance without a classifier beats CLIP guidance: accuracy |"));
    assert!(!ran.stdout.contains("| stack |"), "{}", ran.stdout);
    assert!(plots.is_file());
}
