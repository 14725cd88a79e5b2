//! A decoder that draws by hints, against the reference's ControlNet (recorded by golden/record_kandinsky_hints.py).

use std::collections::HashMap;

use families::{Ability, ModelFolders, summarize_model};
use image::RgbImage;
use pipeline::{Error, MixCondition, Pipeline, Request, Silent};
use tch::{Device, Kind, Tensor, no_grad};
use tempfile::TempDir;
use weights::Folder;

use super::case::{self, Case, golden_image, pictures_are_the_references, recorded};
use super::{MODELS, both, data, prior, write_decoder};
use crate::golden::pictures::same_picture;
use crate::golden::{NETWORK, agree};

/// The folder of these records, within a model's.
const HERE: &str = "hints";

/// A pipeline of the tiny model that takes hints, and its folder.
fn open(model: &str) -> (Pipeline, TempDir) {
    let place = tempfile::tempdir().unwrap();
    write_decoder(model, HERE, place.path());
    let folder = Folder::open(place.path()).unwrap();
    let folders = ModelFolders { prior: Some(prior(model)), ..ModelFolders::new(folder) };
    (Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap(), place)
}

fn hint(model: &str, case: &Case) -> RgbImage {
    let file = data(model).join(HERE).join(case.hint.as_ref().unwrap());
    image::open(file).unwrap().to_rgb8()
}

fn request(model: &str, case: &Case, index: u64) -> Request {
    let image = case.image.as_deref().map(golden_image);
    Request { image, ..case.request(index).with_hint(hint(model, case)) }
}

#[test]
fn the_encoder_of_hints_and_the_network_agree_with_the_reference() {
    for model in MODELS {
        let path = data(model).join(HERE).join("networks.safetensors");
        let record: HashMap<String, Tensor> =
            weights::load_safetensors(path).unwrap().into_iter().collect();
        let folder = Folder::open(data(model).join(HERE).join("unet")).unwrap();
        let (cpu, kind) = (Device::Cpu, Kind::Float);
        let conditioning = families::open_image_conditioning(&folder, cpu, kind).unwrap();
        let unet = families::open_image_decoder(&folder, cpu, kind).unwrap();
        no_grad(|| {
            let features = conditioning.hint_encoder().unwrap().forward(&record["hint"]);
            agree(&format!("{model}: features"), &features, &record["features"], NETWORK);
            let input = Tensor::cat(&[&record["noised"], &features], 1);
            let conditions = conditioning.forward(&record["embedding"]);
            let predicted = unet.forward(&input, &record["timesteps"], Some(&conditions));
            agree(&format!("{model}: predicted"), &predicted, &record["predicted"], NETWORK);
        });
    }
}

fn of_model_are_the_references(model: &str) {
    let (pipeline, _place) = open(model);
    let request = |case: &Case, index| request(model, case, index);
    pictures_are_the_references(model, HERE, &pipeline, request);
}

#[test]
fn pictures_of_two_levels_are_the_references() {
    of_model_are_the_references(MODELS[0]);
}

#[test]
fn pictures_of_three_levels_are_the_references() {
    of_model_are_the_references(MODELS[1]);
}

#[test]
fn one_network_at_a_time_draws_the_same_picture() {
    let case = case::case("two", HERE, "wide");
    let (pipeline, _place) = open("two");
    let requests = [request("two", &case, 0)];
    let drawn = pipeline.low_memory().sample(&requests, &mut Silent).unwrap().remove(0);
    same_picture("one at a time", &drawn, &recorded("two", HERE, "wide-0"));
}

/// A hint of another size is squashed to the one that fits, and the picture follows it.
#[test]
fn hints_have_any_size_and_say_what_is_drawn() {
    let (pipeline, _place) = open("two");
    let case = case::case("two", HERE, "square");
    let settings = case.settings();
    let fitting = hint("two", &case);
    let size = pipeline.hint_size(&settings).unwrap();
    assert_eq!(size, [fitting.width(), fitting.height()]);
    let draw = |hint: RgbImage| {
        let request = case.request(0).with_hint(hint);
        pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
    };
    let drawn = draw(fitting.clone());
    let larger = |times: u32| {
        RgbImage::from_fn(times * size[0], times * size[1], |x, y| {
            *fitting.get_pixel(x / times, y / times)
        })
    };
    let difference = |other: &RgbImage| {
        let pairs = drawn.as_raw().iter().zip(other.as_raw());
        pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / drawn.as_raw().len() as f64
    };
    let by_larger = difference(&draw(larger(3)));
    let by_another = difference(&draw(image::imageops::flip_horizontal(&fitting)));
    assert!(by_larger < by_another / 3.0, "{by_larger} and {by_another}");
}

#[test]
fn hints_are_refused_where_none_is_read_and_missed_where_one_is() {
    let (hinted, place) = open("two");
    let plain = Pipeline::open(both("two"), Device::Cpu, Kind::Float).unwrap();
    assert_eq!([&hinted, &plain].map(|p| p.takes_hints().unwrap()), [true, false]);
    let case = case::case("two", HERE, "square");
    let refusal = |pipeline: &Pipeline, request| {
        pipeline.sample(&[request], &mut Silent).unwrap_err().to_string()
    };
    let error = refusal(&plain, request("two", &case, 0));
    assert_eq!(
        error,
        "hint: this decoder of Kandinsky 2.2's takes none, as kandinsky-community/kandinsky-2-2-controlnet-depth does"
    );
    let error = refusal(&hinted, case.request(0));
    assert!(error.contains("draws by a hint") && error.contains("there is none"), "{error}");
    let empty = case.request(0).with_hint(RgbImage::new(0, 4));
    assert!(refusal(&hinted, empty).contains("0x4"), "an image without pixels");
    // The other commands draw by none, and summaries say so.
    let settings = case.settings();
    let image = golden_image("1.png");
    let varied = hinted.vary(&image, &[1], &settings, &mut Silent);
    assert!(matches!(varied, Err(Error::NoHint { .. })), "{varied:?}");
    let conditions = ["a", "b"].map(|caption| (MixCondition::Caption(caption.to_owned()), 0.5));
    let mixed = hinted.mix(&conditions, None, &[1], &settings, &mut Silent);
    assert!(matches!(mixed, Err(Error::NoHint { .. })), "{mixed:?}");
    let summary = summarize_model(&Folder::open(place.path()).unwrap()).unwrap();
    assert_eq!(summary.problems, [""; 0]);
    let abilities: Vec<Ability> = summary.abilities.iter().map(|a| a.ability).collect();
    assert_eq!(abilities, [Ability::Generate, Ability::Embed, Ability::Classify, Ability::Search]);
}
