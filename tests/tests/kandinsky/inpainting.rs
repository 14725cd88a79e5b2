//! Inpainting by a decoder that takes known latents and a mask, against the reference's (recorded by
//! golden/record_kandinsky_edits.py), and edits of pictures by it.

use std::collections::HashMap;

use ::images::{Margins, PaintMask, Rect};
use families::{Ability, ModelFolders, summarize_model};
use image::{Rgb, RgbImage};
use pipeline::inpainting::erode;
use pipeline::{
    Edit, Inpainting, Mask, Pipeline, Request, Settings, Silent, Task, TimestepRespacing,
};
use tch::{Device, Kind, Tensor, no_grad};
use tempfile::TempDir;
use weights::Folder;

use super::case::{self, Case, golden_image, recorded};
use super::{MODELS, data, decoder, prior, write_decoder};
use crate::golden::pictures::same_picture;
use crate::golden::{NETWORK, agree};

/// The folder of these records, within a model's.
const HERE: &str = "inpainting";

const REPOSITORY: &str = "kandinsky-community/kandinsky-2-2-decoder-inpaint";

/// A pipeline of the tiny model that inpaints, and its folder.
fn open(model: &str) -> (Pipeline, TempDir) {
    let place = tempfile::tempdir().unwrap();
    write_decoder(model, HERE, place.path());
    let folder = Folder::open(place.path()).unwrap();
    let folders = ModelFolders { prior: Some(prior(model)), ..ModelFolders::new(folder) };
    (Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap(), place)
}

/// A request that inpaints a case's image by its mask.
fn request(model: &str, case: &Case, index: u64) -> Request {
    let image = golden_image(case.image.as_ref().unwrap());
    let mask = data(model).join(HERE).join(format!("mask-{}.png", case.name));
    let mask = image::open(mask).unwrap().to_luma8();
    assert_eq!(mask.dimensions(), (case.width, case.height));
    let known = mask.pixels().map(|pixel| pixel.0[0] == 0).collect();
    let mask = Mask::new(case.width, known).unwrap();
    case.request(index).with_inpainting(Inpainting { image, mask })
}

#[test]
fn the_network_and_the_erosion_of_masks_agree_with_the_reference() {
    for model in MODELS {
        let path = data(model).join(HERE).join("networks.safetensors");
        let record: HashMap<String, Tensor> =
            weights::load_safetensors(path).unwrap().into_iter().collect();
        assert_eq!(erode(&record["mask"]), record["eroded"]);
        assert_ne!(record["mask"], record["eroded"]);
        let (folder, cpu) =
            (Folder::open(data(model).join("inpainting/unet")).unwrap(), Device::Cpu);
        let conditioning = families::open_image_conditioning(&folder, cpu, Kind::Float).unwrap();
        let unet = families::open_image_decoder(&folder, cpu, Kind::Float).unwrap();
        let predicted = no_grad(|| {
            let conditions = conditioning.forward(&record["embedding"]);
            unet.forward(&record["inputs"], &record["timesteps"], Some(&conditions))
        });
        agree(&format!("{model}: inpainting"), &predicted, &record["predicted"], NETWORK);
    }
}

fn pictures_are_the_references(model: &str) {
    let (pipeline, _place) = open(model);
    let request = |case: &Case, index| request(model, case, index);
    case::pictures_are_the_references(model, HERE, &pipeline, request);
}

#[test]
fn pictures_of_two_levels_are_the_references() {
    pictures_are_the_references(MODELS[0]);
}

#[test]
fn pictures_of_three_levels_are_the_references() {
    pictures_are_the_references(MODELS[1]);
}

/// A decoder that inpaints draws from nothing known as from a mask that paints everything.
#[test]
fn without_an_image_everything_is_painted() {
    let (pipeline, _place) = open("two");
    let case = case::case("two", HERE, "everything");
    pipeline.prepare(Task::GENERATE, &case.settings()).unwrap();
    let drawn = pipeline.sample(&[case.request(0)], &mut Silent).unwrap().remove(0);
    same_picture("nothing known", &drawn, &recorded("two", HERE, "everything-0"));
    assert!(drawn == pipeline.sample(&[request("two", &case, 0)], &mut Silent).unwrap()[0]);
}

#[test]
fn one_network_at_a_time_paints_the_same_picture() {
    let case = case::case("two", HERE, "square");
    let (pipeline, _place) = open("two");
    let requests = [request("two", &case, 0)];
    let all = pipeline.sample(&requests, &mut Silent).unwrap();
    let one = pipeline.low_memory().sample(&requests, &mut Silent).unwrap();
    assert_eq!(one, all);
}

/// An image of as many colours as it has pixels.
fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([3 * x as u8, 4 * y as u8, 90]))
}

fn few_steps(caption: &str) -> Request {
    let mut settings = Settings::of_family(&families::kandinsky());
    settings.prior.as_mut().unwrap().steps = 2;
    settings.stages[0].steps = TimestepRespacing::Count(3);
    Request::new(caption, 3, settings)
}

/// Paints rectangles of an image, and says which share of their pixels differs; no other pixel may.
fn painted(pipeline: &Pipeline, edit: &Edit, before: &RgbImage, request: Request) -> f64 {
    let after = pipeline.inpaint(edit, &[request], &mut Silent).unwrap().remove(0);
    assert_eq!(after.dimensions(), edit.mask().dimensions());
    let mut differing = 0;
    for (x, y, pixel) in before.enumerate_pixels() {
        match edit.mask().contains(x, y) {
            true => differing += usize::from(pixel != after.get_pixel(x, y)),
            false => assert_eq!(pixel, after.get_pixel(x, y), "{x} {y}"),
        }
    }
    differing as f64 / edit.mask().count() as f64
}

#[test]
fn pixels_outside_the_mask_stay_and_those_inside_are_painted() {
    let (pipeline, _place) = open("two");
    assert_eq!(pipeline.inpainting_side().unwrap(), 16);
    assert_eq!(pipeline.inpainting_base_side().unwrap(), 16);
    // Smaller and larger than the model's images, and a stroke that no pixel in the middle of a latent is under.
    for (width, height, rect) in [
        (16, 16, Rect { x: 3, y: 5, width: 6, height: 7 }),
        (60, 40, Rect { x: 5, y: 3, width: 30, height: 9 }),
        (9, 30, Rect { x: 0, y: 20, width: 9, height: 10 }),
        (48, 48, Rect { x: 21, y: 2, width: 1, height: 30 }),
    ] {
        let before = image(width, height);
        let mut mask = PaintMask::new(width, height);
        mask.fill(rect);
        let edit = Edit::new(before.clone(), mask).unwrap();
        for request in [few_steps("a red house"), few_steps("")] {
            let share = painted(&pipeline, &edit, &before, request);
            assert!(share > 0.8, "{share} of {rect:?} in {width} x {height}");
        }
    }
}

/// The size that a request's settings have is that of no square.
#[test]
fn squares_have_the_size_that_the_model_was_trained_on() {
    let (pipeline, _place) = open("two");
    let before = image(40, 30);
    let mask = PaintMask::new(40, 30);
    let edit = Edit::new(before, mask).unwrap();
    let edit = edit.outpaint(Margins { right: 12, ..Margins::default() }).unwrap();
    let mut sized = few_steps("a red house");
    (sized.settings.width, sized.settings.height) = (Some(24), Some(8));
    let inpaint = |request| pipeline.inpaint(&edit, &[request], &mut Silent).unwrap().remove(0);
    let painted = inpaint(sized);
    assert_eq!(painted.dimensions(), (52, 30));
    assert!(painted == inpaint(few_steps("a red house")));
}

#[test]
fn the_abilities_name_the_repository_that_paints() {
    let place = tempfile::tempdir().unwrap();
    write_decoder("two", HERE, place.path());
    let painter = Folder::open(place.path()).unwrap();
    let missing = |folder: &Folder| {
        let summary = summarize_model(folder).unwrap();
        assert_eq!(summary.problems, [""; 0]);
        let abilities = summary.abilities.into_iter();
        let inpaint = abilities.into_iter().find(|ability| ability.ability == Ability::Inpaint);
        inpaint.unwrap().missing
    };
    let prior_alone = "kandinsky-community/kandinsky-2-2-prior";
    assert_eq!(missing(&painter), [prior_alone]);
    assert_eq!(missing(&decoder("two")), [prior_alone, REPOSITORY]);
    assert_eq!(missing(&prior("two")), [REPOSITORY]);
}
