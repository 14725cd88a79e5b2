//! Finished pictures against the reference's.

use families::ModelFolders;
use image::RgbImage;
use images::read_image;
use noise::Generator;
use pipeline::{Pipeline, Request, Settings, Silent, to_images};
use serde::Deserialize;
use tch::{Device, Kind};
use weights::Folder;

use super::{data, json};
use crate::settings::karlo_settings;

#[derive(Deserialize)]
struct Case {
    name: String,
    caption: String,
    seed: u64,
    pictures: u64,
    #[serde(flatten)]
    settings: CaseSettings,
}

#[derive(Deserialize)]
struct CaseSettings {
    prior_steps: usize,
    decoder_steps: usize,
    upsampler_steps: usize,
    prior_guidance_scale: f64,
    decoder_guidance_scale: f64,
}

impl CaseSettings {
    fn ours(&self) -> Settings {
        settings!(karlo_settings(), prior_steps: self.prior_steps, decoder_steps: self.decoder_steps, upsampler_steps: self.upsampler_steps, prior_guidance_scale: self.prior_guidance_scale, decoder_guidance_scale: self.decoder_guidance_scale)
    }
}

#[derive(Deserialize)]
struct Variation {
    name: String,
    image: String,
    seed: u64,
    pictures: u64,
    decoder_steps: usize,
    upsampler_steps: usize,
    decoder_guidance_scale: f64,
}

fn open(model: &str) -> Pipeline {
    let folders = ModelFolders::new(Folder::open(data().join(model).join("model")).unwrap());
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

fn recorded(model: &str, name: &str) -> RgbImage {
    let path = data().join(model).join(format!("pictures/{name}.png"));
    image::open(path).unwrap().to_rgb8()
}

/// What a model draws of a portrait, a landscape, a transparent and a grey picture, guided and not.
fn variations_are_the_references(model: &str) {
    let pipeline = open(model);
    for case in json::<Vec<Variation>>(model, "variations.json") {
        let settings = settings!(karlo_settings(), decoder_steps: case.decoder_steps, upsampler_steps: case.upsampler_steps, decoder_guidance_scale: case.decoder_guidance_scale);
        let read = read_image(&data().join("images").join(&case.image)).unwrap();
        let seeds: Vec<u64> = (case.seed..case.seed + case.pictures).collect();
        let ours = pipeline.vary(&read.image, &seeds, &settings, &mut Silent).unwrap();
        for (index, ours) in ours.iter().enumerate() {
            let name = format!("variation-{}-{index}", case.name);
            same_picture(&format!("{model}/{name}"), ours, &recorded(model, &name));
        }
    }
}

/// Every picture of a model, drawn alone and together with the others of its case.
fn pictures_are_the_references(model: &str) {
    let pipeline = open(model);
    for case in json::<Vec<Case>>(model, "cases.json") {
        let settings = case.settings.ours();
        let captions = vec![case.caption.as_str(); case.pictures as usize];
        let seeds: Vec<u64> = (case.seed..case.seed + case.pictures).collect();
        let together = draw_together(&pipeline, &captions, &seeds, &settings);
        for (index, together) in (0..case.pictures).zip(together) {
            let name = format!("{}-{index}", case.name);
            let request = Request::new(case.caption.as_str(), case.seed + index, settings.clone());
            let ours = pipeline.sample(&[request], &mut Silent).unwrap().remove(0);
            let recorded = recorded(model, &name);
            same_picture(&format!("{model}/{name}"), &ours, &recorded);
            same_picture(&format!("{model}/{name} in a batch"), &together, &recorded);
        }
    }
}

/// The pictures of a case in one batch.
fn draw_together(
    pipeline: &Pipeline,
    captions: &[&str],
    seeds: &[u64],
    settings: &Settings,
) -> Vec<RgbImage> {
    let quiet = &mut Silent;
    let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
    let text = pipeline.encode_text(captions).unwrap();
    let embeddings = pipeline.sample_embedding(&text, settings, &mut streams, quiet).unwrap();
    let small = pipeline.decode(&embeddings, &text, settings, &mut streams, quiet).unwrap();
    let large = pipeline.upsample(&small, settings, &mut streams, quiet);
    to_images(&large.unwrap())
}

/// At most a thousandth of the values may differ by more than 4 of 255, and the others by 0.05 on average.
pub(crate) fn same_picture(what: &str, ours: &RgbImage, recorded: &RgbImage) {
    assert_eq!(ours.dimensions(), recorded.dimensions(), "{what}: sizes");
    let off: Vec<u8> =
        ours.iter().zip(recorded.iter()).map(|(one, other)| one.abs_diff(*other)).collect();
    let (near, far): (Vec<u8>, Vec<u8>) = off.iter().partition(|off| **off <= 4);
    let mean = near.iter().map(|off| f64::from(*off)).sum::<f64>() / near.len() as f64;
    println!("{what}: {} of {} values far off, the rest by {mean:.5}", far.len(), off.len());
    assert!(
        far.len() * 1000 <= off.len(),
        "{what}: {} of {} values are off by more than 4",
        far.len(),
        off.len()
    );
    assert!(mean <= 0.05, "{what}: the values are off by {mean} on average");
}

#[test]
fn pictures_of_karlo_are_the_references() {
    pictures_are_the_references("karlo");
}

#[test]
fn pictures_of_the_deep_model_are_the_references() {
    pictures_are_the_references("deep");
}

#[test]
fn pictures_of_the_odd_model_are_the_references() {
    pictures_are_the_references("odd");
}

#[test]
fn variations_of_karlo_are_the_references() {
    variations_are_the_references("karlo");
}

#[test]
fn variations_of_the_deep_model_are_the_references() {
    variations_are_the_references("deep");
}

#[test]
fn variations_of_the_odd_model_are_the_references() {
    variations_are_the_references("odd");
}
