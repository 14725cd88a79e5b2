//! Finished pictures against those of runs of the reference's notebooks.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ::diffusion::TimestepRespacing;
use ::images::read_image;
use families::ModelFolders;
use image::RgbImage;
use pipeline::{Inpainting, Mask, Pipeline, Request, Settings, Solver, Step, to_images};
use serde::Deserialize;
use tch::{Device, Kind};

use super::{Record, data, json, model};
use crate::golden::pictures::same_picture;

/// A run of a notebook. Picture `i` is what the reference draws alone with the seed `seed + i`.
#[derive(Deserialize)]
struct Case {
    name: String,
    caption: String,
    seed: u64,
    pictures: u64,
    base_timestep_respacing: TimestepRespacing,
    upsample_timestep_respacing: TimestepRespacing,
    base_sampler: Solver,
    /// The factor of the noise that the upsampler begins with.
    upsample_temp: f64,
    /// Of classifier-free guidance; at 1 the base runs alone and draws noise for itself alone.
    guidance_scale: f64,
    clip_guidance_scale: Option<f64>,
    /// A picture of golden/data/images, and the mask of what is kept of it.
    image: Option<String>,
    mask: Option<String>,
}

impl Case {
    fn settings(&self) -> Settings {
        let mut settings = Settings::of_family(&families::glide());
        settings.solver = self.base_sampler;
        settings.clip_guidance_scale = self.clip_guidance_scale;
        let [base, upsampler] = &mut settings.stages[..] else { panic!("GLIDE has two stages") };
        base.steps = self.base_timestep_respacing.clone();
        base.guidance_scale = Some(self.guidance_scale);
        upsampler.steps = self.upsample_timestep_respacing.clone();
        upsampler.temperature = Some(self.upsample_temp);
        settings
    }

    /// The picture to be painted in, if the case is of such a run.
    fn inpainting(&self) -> Option<Inpainting> {
        let (picture, mask) = self.image.as_ref().zip(self.mask.as_ref())?;
        let image = read_image(&crate::golden::data().join("images").join(picture)).unwrap();
        let mask = image::open(data().join(mask)).unwrap().to_luma8();
        let kept = mask.pixels().map(|pixel| pixel.0[0] > 127).collect();
        Some(Inpainting { image: image.image, mask: Mask::new(mask.width(), kept).unwrap() })
    }

    fn request(&self, index: u64) -> Request {
        let request = Request::new(self.caption.as_str(), self.seed + index, self.settings());
        match self.inpainting() {
            Some(inpainting) => request.with_inpainting(inpainting),
            None => request,
        }
    }
}

fn cases(notebook: &str) -> Vec<Case> {
    json::<HashMap<String, Vec<Case>>>("cases.json").remove(notebook).unwrap()
}

/// Every picture of a notebook's runs, and the base image it comes from, drawn alone and together with the others of its case.
fn pictures_are_the_references(notebook: &str) {
    let pipeline = Pipeline::open(ModelFolders::new(model()), Device::Cpu, Kind::Float).unwrap();
    let bases = Record::read("bases.safetensors");
    for case in cases(notebook) {
        let requests: Vec<Request> = (0..case.pictures).map(|index| case.request(index)).collect();
        let together = draw(&pipeline, &requests);
        for (index, together) in together.iter().enumerate() {
            let name = format!("{}-{index}", case.name);
            let alone = draw(&pipeline, &requests[index..=index]).remove(0);
            let base = bases.get(notebook, &format!("{}.{index}", case.name));
            let base = to_images(&base.unsqueeze(0)).remove(0);
            let file = data().join(format!("pictures/{notebook}-{name}.png"));
            let picture = image::open(file).unwrap().to_rgb8();
            for (how, drawn) in [("alone", &alone), ("in a batch", together)] {
                same_picture(&format!("{notebook}/{name} {how}: base"), &drawn.base, &base);
                same_picture(&format!("{notebook}/{name} {how}"), &drawn.picture, &picture);
            }
        }
    }
}

/// A finished picture, and the base image that was upsampled.
struct Sample {
    base: RgbImage,
    picture: RgbImage,
}

fn draw(pipeline: &Pipeline, requests: &[Request]) -> Vec<Sample> {
    let mut bases = Vec::new();
    // The last step ends where its prediction is.
    let mut observer = |step: Step<'_>| {
        if step.index == 0 && step.done == step.steps {
            bases = step.preview().unwrap();
        }
        ControlFlow::Continue(())
    };
    let pictures = pipeline.sample(requests, &mut observer).unwrap();
    assert_eq!(bases.len(), pictures.len());
    bases.into_iter().zip(pictures).map(|(base, picture)| Sample { base, picture }).collect()
}

#[test]
fn pictures_of_captions_are_the_references() {
    pictures_are_the_references("text2im");
}

#[test]
fn inpainted_pictures_are_the_references() {
    pictures_are_the_references("inpaint");
}

#[test]
fn pictures_guided_by_clip_are_the_references() {
    pictures_are_the_references("clip_guided");
}
