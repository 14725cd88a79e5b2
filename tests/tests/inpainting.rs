//! Inpainting on every family: by networks that take a mask, and by RePaint where they take none. The known pixels stay, and an
//! image depends on its own request alone.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use families::{ModelFolders, summarize_model};
use image::{Rgb, RgbImage};
use pipeline::{
    ErrorKind, Inpainting, Mask, Pipeline, Request, Settings, SettingsOverrides, Silent, Solver,
    Step, Task,
};
use tch::{Device, Kind};
use weights::Folder;

use crate::compact_glide::{open_at, write_compact_glide};
use crate::pipeline::{copy_folder, few_steps, model, open};
use crate::requests::is_same;

const CAPTIONS: [&str; 3] =
    ["a red house under a blue sky", "a mushroom", "a rocket above the hills"];

/// An image of as many colours as it has pixels.
fn colourful(side: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let value = |n: u32| ((x * 7 + y * 13 + n * 31 + seed * 57) * 11 % 256) as u8;
        Rgb([value(0), value(1), value(2)])
    })
}

/// The mask of a side of `cells` cells of which a block in the middle is unknown, and the first row known.
fn block(cells: u32, seed: u32) -> Vec<bool> {
    let known = |n: u32| {
        let (x, y) = (n % cells, n / cells);
        y == 0 || x < 1 + seed % 2 || x + 2 > cells - seed % 2 || y + 2 > cells
    };
    (0..cells * cells).map(known).collect()
}

/// The inpainting of an image whose last stage has `side` pixels, with a mask of the base's size.
pub(crate) fn inpainting(side: u32, cells: u32, seed: u32) -> Inpainting {
    Inpainting { image: colourful(side, seed), mask: Mask::new(cells, block(cells, seed)).unwrap() }
}

/// Whether a pixel of a picture of `side` pixels is known by a mask of fewer cells.
fn is_known(side: u32, cells: u32, seed: u32, (x, y): (u32, u32)) -> bool {
    let cell = |n: u32| n * cells / side;
    block(cells, seed)[(cell(y) * cells + cell(x)) as usize]
}

/// Fails where a known pixel is not the image's, and where no unknown one is another.
pub(crate) fn assert_known(picture: &RgbImage, cells: u32, seed: u32, what: &str) {
    let side = picture.width();
    let image = colourful(side, seed);
    let mut painted = 0;
    for (x, y, pixel) in picture.enumerate_pixels() {
        match is_known(side, cells, seed, (x, y)) {
            true => assert_eq!(pixel, image.get_pixel(x, y), "{what}: at {x},{y}"),
            false => painted += u32::from(pixel != image.get_pixel(x, y)),
        }
    }
    assert!(painted > 0, "{what}: nothing is painted");
}

fn sample(pipeline: &Pipeline, requests: &[Request]) -> Vec<RgbImage> {
    pipeline.sample(requests, &mut Silent).unwrap()
}

/// The models of every kind: each with a pipeline, the sides of its base and of its images, and few steps.
struct Model {
    name: &'static str,
    pipeline: Pipeline,
    base: u32,
    side: u32,
    settings: Settings,
}

impl Model {
    fn new(name: &'static str, pipeline: Pipeline, sides: (u32, u32)) -> Self {
        let mut settings = pipeline.defaults().unwrap();
        settings.stages.iter_mut().for_each(|stage| stage.steps = 3.into());
        if let Some(prior) = &mut settings.prior {
            prior.steps = 2;
        }
        if pipeline.repaints().unwrap() {
            settings.resample = Some(2);
        }
        Self { name, pipeline, base: sides.0, side: sides.1, settings }
    }

    fn request(&self, n: u32) -> Request {
        Request::new(CAPTIONS[n as usize % 3], u64::from(n), self.settings.clone())
            .with_inpainting(inpainting(self.side, self.base, n))
    }
}

fn glide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide/model")
}

/// GLIDE without one of its files.
fn glide_without(file: &str, to: &Path) -> Pipeline {
    copy_folder(&glide(), to);
    fs::remove_file(to.join(file)).unwrap();
    open_at(to)
}

/// The models, in folders below `place`.
fn models(place: &Path) -> Vec<Model> {
    let compact = |name: &str, inpaints| {
        let folder = place.join(name);
        fs::create_dir(&folder).unwrap();
        write_compact_glide(&folder, inpaints);
        open_at(&folder)
    };
    vec![
        Model::new("Karlo", open("deep"), (8, 24)),
        Model::new("GLIDE", open_at(&glide()), (16, 32)),
        Model::new("GLIDE's base", glide_without("base_inpaint.pt", &place.join("g")), (16, 32)),
        Model::new("compact GLIDE", compact("masks", true), (16, 32)),
        Model::new("compact GLIDE without masks", compact("plain", false), (16, 32)),
    ]
}

#[test]
fn known_pixels_stay_and_others_are_painted_in_a_batch_as_alone() {
    let place = tempfile::tempdir().unwrap();
    for model in models(place.path()) {
        let requests: Vec<Request> = (0..3).map(|n| model.request(n)).collect();
        let together = sample(&model.pipeline, &requests);
        for (n, picture) in (0..).zip(&together) {
            assert_known(picture, model.base, n, model.name);
            let alone = sample(&model.pipeline, &[model.request(n)]).remove(0);
            assert_known(&alone, model.base, n, model.name);
            assert!(is_same(picture, &alone), "{}: request {n}", model.name);
            assert!(alone == sample(&model.pipeline, &[model.request(n)])[0], "{}", model.name);
        }
        let other = Request { seed: 9, ..model.request(0) };
        assert!(sample(&model.pipeline, &[other])[0] != together[0], "{}: the seed", model.name);
    }
}

#[test]
fn a_mask_of_pixels_says_what_is_known_to_the_pixel() {
    let place = tempfile::tempdir().unwrap();
    for model in models(place.path()) {
        // The last pixel of the first cell makes the cell unknown to the base, and no other pixel of it to the last stage.
        let (side, cell) = (model.side, model.side / model.base);
        let unknown = (cell - 1, cell - 1);
        let at = |n: u32| (n % side, n / side) != unknown;
        let mask = Mask::new(side, (0..side * side).map(at).collect()).unwrap();
        let inpainting = Inpainting { image: colourful(side, 0), mask };
        let settings = model.settings.clone();
        let request = Request::new(CAPTIONS[0], 1, settings).with_inpainting(inpainting.clone());
        let picture = sample(&model.pipeline, &[request]).remove(0);
        for (x, y, pixel) in picture.enumerate_pixels() {
            let stays = pixel == inpainting.image.get_pixel(x, y);
            assert!(stays || (x, y) == unknown, "{}: at {x},{y}", model.name);
        }
    }
}

#[test]
fn known_pixels_are_exact_at_the_base_size_too_and_previews_have_them() {
    let place = tempfile::tempdir().unwrap();
    for model in models(place.path()) {
        // Squashed, an image of one colour has it too.
        let colour = Rgb([7, 130, 250]);
        let mut request = model.request(0);
        request.inpainting.as_mut().unwrap().image = RgbImage::from_pixel(40, 30, colour);
        let mut previews = Vec::new();
        let observer = &mut |step: Step<'_>| {
            previews.extend(step.preview().filter(|_| step.stage == "decoder"));
            ControlFlow::Continue(())
        };
        model.pipeline.sample(&[request], observer).unwrap();
        assert!(!previews.is_empty());
        for preview in previews.into_iter().flatten() {
            assert_eq!(preview.width(), model.base);
            for (x, y, pixel) in preview.enumerate_pixels() {
                if is_known(model.base, model.base, 0, (x, y)) {
                    assert_eq!(*pixel, colour, "{}: at {x},{y}", model.name);
                }
            }
        }
    }
}

#[test]
fn steps_are_taken_as_often_as_resample_says_and_observers_know_it() {
    let pipeline = open("deep");
    let request = |resample, decoder_steps| {
        let settings = settings!(few_steps(), resample: resample, decoder_steps: decoder_steps);
        Request::new(CAPTIONS[0], 1, settings).with_inpainting(inpainting(24, 8, 0))
    };
    let steps = |request: &Request| {
        let mut counts = Vec::new();
        let observer = &mut |step: Step<'_>| {
            if step.done == step.steps {
                counts.push((step.stage.to_owned(), step.steps));
            }
            assert_eq!(pipeline.step_count(request, step.stage).unwrap(), step.steps);
            ControlFlow::Continue(())
        };
        let request = Request {
            inpainting: request.inpainting.clone(),
            ..Request::new(request.caption.as_str(), request.seed, request.settings.clone())
        };
        let picture = pipeline.sample(&[request], observer).unwrap().remove(0);
        assert_eq!(counts[0], ("prior".to_owned(), 2));
        assert_eq!(counts[2], ("upsampler".to_owned(), 2));
        (picture, counts[1].1)
    };
    let (once, count) = steps(&request(Some(1), 4));
    assert_eq!(count, 4);
    let (thrice, count) = steps(&request(Some(3), 4));
    assert_eq!(count, 3 * 3 + 1);
    assert!(once != thrice);
    assert_eq!(steps(&request(None, 3)).1, 2 * pipeline::repaint::RESAMPLE + 1);
    // Where nothing is inpainted, nothing is resampled.
    let plain = Request::new(CAPTIONS[0], 1, settings!(few_steps(), resample: Some(3)));
    assert_eq!(pipeline.step_count(&plain, "decoder").unwrap(), 2);
    let usual = Request::new(CAPTIONS[0], 1, few_steps());
    assert!(sample(&pipeline, &[plain]) == sample(&pipeline, &[usual]));
}

#[test]
fn repaint_works_with_every_solver_and_choice() {
    let pipeline = open("deep");
    let settings = settings!(few_steps(), decoder_steps: 4, resample: Some(2));
    let mut pictures = Vec::new();
    for (what, settings) in [
        ("ddpm", settings.clone()),
        ("ddim", settings!(settings, solver: Solver::Ddim)),
        ("dpm-solver++", settings!(settings, solver: Solver::DpmSolver)),
        ("candidates", settings!(settings, candidates: 2)),
        ("thresholding", settings!(settings, thresholding: Some(0.9))),
        ("unguided", settings!(settings, prior_guidance_scale: 1.0, decoder_guidance_scale: 1.0)),
    ] {
        let request = Request::new(CAPTIONS[0], 4, settings).with_inpainting(inpainting(24, 8, 1));
        let picture = sample(&pipeline, &[request]).remove(0);
        assert_known(&picture, 8, 1, what);
        assert!(!pictures.contains(&picture), "{what} draws what another one does");
        pictures.push(picture);
    }
}

#[test]
fn low_memory_paints_the_same_and_bf16_paints() {
    let request = || {
        let settings = settings!(few_steps(), resample: Some(2));
        Request::new(CAPTIONS[0], 4, settings).with_inpainting(inpainting(24, 8, 1))
    };
    let open_in = |kind| {
        let folders = ModelFolders::new(Folder::open(model("deep")).unwrap());
        Pipeline::open(folders, Device::Cpu, kind).unwrap()
    };
    let picture = sample(&open("deep"), &[request()]).remove(0);
    assert!(sample(&open_in(Kind::Float).low_memory(), &[request()])[0] == picture);
    assert_known(&sample(&open_in(Kind::BFloat16), &[request()])[0], 8, 1, "bf16");
}

#[test]
fn where_nothing_is_said_the_known_part_alone_says_what_is_painted() {
    let place = tempfile::tempdir().unwrap();
    copy_folder(&model("deep"), place.path());
    for component in ["prior", "prior_scheduler", "image_encoder", "feature_extractor"] {
        fs::remove_dir_all(place.path().join(component)).unwrap();
    }
    let pipeline = open_at(place.path());
    let request = |caption: &str, seed, settings| {
        Request::new(caption, seed, settings).with_inpainting(inpainting(24, 8, 0))
    };
    let settings = settings!(few_steps(), resample: Some(2));
    let empty = request("", 1, settings.clone());
    assert_eq!(pipeline.task(&empty), Task { inpaints: true, ..Task::DECODE });
    assert_eq!(pipeline.step_count(&empty, "prior").unwrap(), 0);
    let pictures = sample(&pipeline, &[empty, request(" ", 2, settings.clone())]);
    pictures.iter().for_each(|picture| assert_known(picture, 8, 0, "nothing said"));
    assert!(pictures[0] != pictures[1]);
    let missing = pipeline.sample(&[request("a house", 1, settings.clone())], &mut Silent);
    assert!(missing.unwrap_err().to_string().contains("prior"));
    // All components are there, but nothing says which candidate to choose.
    let two = request("", 1, settings!(settings, candidates: 2));
    let refused = open("deep").sample(&[two], &mut Silent).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::User);
    assert!(refused.to_string().starts_with("candidates is 2: "), "{refused}");

    // An embedding goes without a caption, and beside it; a batch of all kinds gives each its own.
    let pipeline = open("deep");
    let embedding = pipeline.encode_images(&[colourful(30, 3)]).unwrap();
    let requests = || {
        let by_embedding = |seed| {
            Request::of_embedding(&embedding, seed, settings.clone())
                .with_inpainting(inpainting(24, 8, 0))
        };
        vec![
            request("", 1, settings.clone()),
            by_embedding(1),
            request(CAPTIONS[1], 1, settings.clone()),
            by_embedding(2).with_caption(CAPTIONS[0]),
        ]
    };
    let together = sample(&pipeline, &requests());
    for (n, request) in requests().into_iter().enumerate() {
        assert!(is_same(&sample(&pipeline, &[request])[0], &together[n]), "request {n}");
        assert_eq!(together.iter().filter(|other| **other == together[n]).count(), 1);
    }
}

#[test]
fn glide_repaints_where_its_inpainting_networks_are_not_both_there() {
    let whole = open_at(&glide());
    assert!(!whole.repaints().unwrap());
    let settings = SettingsOverrides { resample: Some(3), ..SettingsOverrides::default() };
    let settings = settings.apply(whole.defaults().unwrap()).unwrap();
    let inpaint = Task { inpaints: true, ..Task::GENERATE };
    let refused = whole.prepare(inpaint, &settings).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::User);
    assert!(refused.to_string().starts_with("resample is 3: RePaint takes"), "{refused}");
    assert!(whole.prepare(Task::GENERATE, &settings).is_ok());
    let place = tempfile::tempdir().unwrap();
    for file in ["base_inpaint.pt", "upsample_inpaint.pt"] {
        let folder = place.path().join(file);
        let pipeline = glide_without(file, &folder);
        assert!(pipeline.repaints().unwrap());
        assert!(pipeline.prepare(inpaint, &settings).is_ok());
        let summary = summarize_model(&Folder::open(&folder).unwrap()).unwrap();
        assert!(summary.abilities.iter().all(|ability| ability.missing.is_empty()));
    }
    // The inpainting networks alone are enough to inpaint.
    let alone = place.path().join("alone");
    copy_folder(&glide(), &alone);
    for file in ["base.pt", "upsample.pt"] {
        fs::remove_file(alone.join(file)).unwrap();
    }
    let pipeline = open_at(&alone);
    assert!(!pipeline.repaints().unwrap());
    assert_eq!((pipeline.base_side().unwrap(), pipeline.side().unwrap()), (16, 32));
    let settings = pipeline.defaults().unwrap();
    assert!(pipeline.prepare(inpaint, &settings).is_ok());
    assert!(pipeline.prepare(Task::GENERATE, &settings).is_err());
}
