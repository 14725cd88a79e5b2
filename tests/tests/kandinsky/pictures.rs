//! Finished pictures against the reference's: of captions, negative ones, other sizes than squares, guided and not.

use std::ops::ControlFlow;

use pipeline::{Pipeline, Request, Settings, Silent, Step};
use tch::{Device, Kind};

use super::case::{self, Case, golden_image, pictures_are_the_references, recorded};
use super::emb2emb::cosine;
use super::{MODELS, both};
use crate::golden::pictures::same_picture;

/// The folder of these records, within a model's.
const HERE: &str = ".";

fn open(model: &str) -> Pipeline {
    Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap()
}

fn request(case: &Case, index: u64) -> Request {
    let image = case.image.as_deref().map(golden_image);
    Request { image, ..case.request(index) }
}

fn case(name: &str) -> Case {
    case::case("two", HERE, name)
}

#[test]
fn pictures_of_two_levels_are_the_references() {
    pictures_are_the_references(MODELS[0], HERE, &open(MODELS[0]), request);
}

#[test]
fn pictures_of_three_levels_are_the_references() {
    pictures_are_the_references(MODELS[1], HERE, &open(MODELS[1]), request);
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
    let picture = recorded("two", HERE, "square-0");
    let settings = Settings { width: Some(8), ..case("square").settings() };
    let variations = pipeline.vary(&picture, &[1, 2], &settings, &mut Silent).unwrap();
    assert_eq!(variations[0].dimensions(), (8, 16));
    assert_ne!(variations[0], variations[1]);
}

#[test]
fn a_picture_is_drawn_anew_by_as_many_steps_as_its_strength_says() {
    let pipeline = open("two");
    let case = case("image");
    let request = request(&case, 0);
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

/// Of several candidates, which take the noise of one stream in turn, CLIP chooses the one that is closest to the caption.
#[test]
fn candidates_are_compared_as_pictures() {
    let pipeline = open("two");
    let case = case("negative");
    let settings = case.settings();
    let captions = [&*case.caption, case.negative_caption.as_deref().unwrap()];
    let text = pipeline.encode_text(&captions).unwrap();
    let caption = text.embedding.narrow(0, 0, 1);
    let mut chosen = Vec::new();
    for index in 0..4 {
        let request = |candidates| {
            let request = case.request(index);
            let settings = Settings { candidates, ..settings.clone() };
            Request { settings, ..request }
        };
        let cosine = |request| {
            let image = pipeline.sample(&[request], &mut Silent).unwrap().remove(0);
            let embedding = pipeline.encode_images(std::slice::from_ref(&image)).unwrap();
            (cosine(&embedding, &caption), image)
        };
        let ((alone, first), (best, image)) = (cosine(request(1)), cosine(request(3)));
        assert!(best >= alone, "{best} and {alone}");
        chosen.push(image != first);
    }
    assert!(chosen.contains(&true), "the first candidate is always the closest");
}
