//! Finished pictures against the reference's: of captions, negative ones, other sizes than squares, guided and not.

use pipeline::{Pipeline, Request, Settings, Silent, Step, TimestepRespacing};
use serde::Deserialize;
use std::ops::ControlFlow;
use tch::{Device, Kind};

use super::{MODELS, both, data, json};
use crate::golden::pictures::same_picture;

#[derive(Deserialize)]
struct Case {
    name: String,
    caption: String,
    negative_caption: Option<String>,
    seed: u64,
    pictures: u64,
    width: u32,
    height: u32,
    /// The image to start from, and the strength.
    image: Option<String>,
    strength: Option<f64>,
    prior_steps: usize,
    prior_guidance_scale: f64,
    decoder_steps: usize,
    decoder_guidance_scale: f64,
}

impl Case {
    fn settings(&self) -> Settings {
        let mut settings = Settings::of_family(&families::kandinsky());
        let prior = settings.prior.as_mut().unwrap();
        prior.steps = self.prior_steps;
        prior.guidance_scale = self.prior_guidance_scale;
        settings.stages[0].steps = TimestepRespacing::Count(self.decoder_steps);
        settings.stages[0].guidance_scale = Some(self.decoder_guidance_scale);
        (settings.width, settings.height) = (Some(self.width), Some(self.height));
        settings.strength = self.strength;
        settings
    }

    fn request(&self, index: u64) -> Request {
        let request = Request::new(self.caption.as_str(), self.seed + index, self.settings());
        let image = self.image.as_ref().map(|name| {
            let path = crate::golden::data().join("images").join(name);
            images::read_image(&path).unwrap().image
        });
        Request { negative_caption: self.negative_caption.clone(), image, ..request }
    }
}

fn open(model: &str) -> Pipeline {
    Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap()
}

/// Every picture of a model, drawn alone and together with the others of its case.
fn pictures_are_the_references(model: &str) {
    let pipeline = open(model);
    for case in json::<Vec<Case>>(model, "cases.json") {
        let requests: Vec<Request> = (0..case.pictures).map(|index| case.request(index)).collect();
        let together = pipeline.sample(&requests, &mut Silent).unwrap();
        for (index, together) in together.iter().enumerate() {
            let name = format!("{}-{index}", case.name);
            let alone = pipeline.sample(&requests[index..=index], &mut Silent).unwrap().remove(0);
            assert_eq!(alone.dimensions(), (case.width, case.height), "{name}");
            let file = data(model).join(format!("pictures/{name}.png"));
            let recorded = image::open(file).unwrap().to_rgb8();
            same_picture(&format!("{model}/{name}"), &alone, &recorded);
            same_picture(&format!("{model}/{name} in a batch"), together, &recorded);
        }
    }
}

#[test]
fn pictures_of_two_levels_are_the_references() {
    pictures_are_the_references(MODELS[0]);
}

#[test]
fn pictures_of_three_levels_are_the_references() {
    pictures_are_the_references(MODELS[1]);
}

fn case(name: &str) -> Case {
    let cases = json::<Vec<Case>>("two", "cases.json");
    cases.into_iter().find(|case| case.name == name).unwrap()
}

#[test]
fn one_network_at_a_time_draws_the_same_picture() {
    let request = [case("wide").request(0)];
    let all = open("two").sample(&request, &mut Silent).unwrap();
    assert_eq!(open("two").low_memory().sample(&request, &mut Silent).unwrap(), all);
}

#[test]
fn defaults_are_the_authors_and_a_picture_has_the_models_size() {
    let pipeline = open("two");
    let defaults = pipeline.defaults().unwrap();
    let prior = defaults.prior.unwrap();
    assert_eq!((prior.steps, prior.guidance_scale), (25, 4.0));
    let decoder = &defaults.stages[0];
    assert_eq!((decoder.steps.count(), decoder.guidance_scale), (100, Some(4.0)));
    assert_eq!(pipeline.side().unwrap(), 16);
    let mut request = case("square").request(0);
    (request.settings.width, request.settings.height) = (None, Some(8));
    let picture = pipeline.sample(&[request], &mut Silent).unwrap().remove(0);
    assert_eq!(picture.dimensions(), (16, 8));
}

/// A preview is decoded: the last one, of a prediction that the last step ends at, is the picture.
#[test]
fn previews_are_pictures() {
    let case = case("wide");
    let mut previews = Vec::new();
    let mut observer = |step: Step<'_>| {
        if step.stage == "decoder" {
            previews.extend(step.preview().unwrap());
        }
        ControlFlow::Continue(())
    };
    let picture = open("two").sample(&[case.request(0)], &mut observer).unwrap().remove(0);
    assert_eq!(previews.len(), case.decoder_steps);
    same_picture("the last preview", previews.last().unwrap(), &picture);
    assert_ne!(previews[0], picture);
}

#[test]
fn a_picture_varies_with_its_seed_and_keeps_its_size() {
    let pipeline = open("two");
    let picture = image::open(data("two").join("pictures/square-0.png")).unwrap().to_rgb8();
    let settings = Settings { width: Some(8), ..case("square").settings() };
    let variations = pipeline.vary(&picture, &[1, 2], &settings, &mut Silent).unwrap();
    assert_eq!(variations[0].dimensions(), (8, 16));
    assert_ne!(variations[0], variations[1]);
}

#[test]
fn a_picture_is_drawn_anew_by_as_many_steps_as_its_strength_says() {
    let pipeline = open("two");
    let case = case("image");
    let request = case.request(0);
    let taken = pipeline.step_count(&request, "decoder").unwrap();
    let mut steps = 0;
    let mut observer = |step: Step<'_>| {
        steps += usize::from(step.stage == "decoder");
        assert!(step.stage == "prior" || step.steps == taken);
        ControlFlow::Continue(())
    };
    let drawn = pipeline.sample(std::slice::from_ref(&request), &mut observer).unwrap();
    assert_eq!((steps, taken), (case.decoder_steps / 2, case.decoder_steps / 2));
    // All of the steps keep next to nothing of the picture.
    let all = Settings { strength: Some(1.0), ..request.settings.clone() };
    let wholly = pipeline.sample(&[Request { settings: all, ..request }], &mut Silent).unwrap();
    assert_ne!(drawn, wholly);
}

/// Of several candidates CLIP chooses; the first is the picture of one alone.
#[test]
fn candidates_are_compared_as_pictures() {
    let pipeline = open("two");
    let mut request = case("negative").request(0);
    let alone = pipeline.sample(std::slice::from_ref(&request), &mut Silent).unwrap();
    request.settings.candidates = 2;
    let chosen = pipeline.sample(&[request], &mut Silent).unwrap();
    assert_eq!(chosen[0].dimensions(), alone[0].dimensions());
}
