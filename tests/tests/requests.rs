//! Requests: batches of them, families of other stages, observers, and what is computed once.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use families::{
    Clip, Condition, Defaults, DiffusionPrior, Family, ModelFolders, PriorDefaults, Stage,
    StageDefaults, karlo,
};
use image::RgbImage;
use pipeline::{
    Error, ErrorKind, Pipeline, Request, Settings, SettingsOverrides, Silent, Step,
    TimestepRespacing,
};
use tch::{Device, Kind};
use weights::Folder;

use crate::pipeline::{copy_folder, few_steps, model, open};

const CAPTIONS: [&str; 3] =
    ["a red house under a blue sky", "a mushroom", "a rocket above the hills"];

fn sample(pipeline: &Pipeline, requests: &[Request]) -> Vec<RgbImage> {
    pipeline.sample(requests, &mut Silent).unwrap()
}

/// Whether two images are one but for the rounding of kernels that sum in another order: at most a thousandth of the values
/// off by more than 4 of 255, and 0.05 in the mean.
pub(crate) fn is_same(one: &RgbImage, other: &RgbImage) -> bool {
    assert_eq!(one.dimensions(), other.dimensions());
    let off: Vec<u8> = one.iter().zip(other.iter()).map(|(a, b)| a.abs_diff(*b)).collect();
    let far = off.iter().filter(|off| **off > 4).count();
    let mean = off.iter().map(|off| f64::from(*off)).sum::<f64>() / off.len() as f64;
    far * 1000 <= off.len() && mean <= 0.05
}

/// Requests of different captions, seeds and guidance scales.
fn mixed(seeds: [u64; 4]) -> Vec<Request> {
    let scales = [(4.0, 8.0), (2.0, 3.0), (4.0, 5.0), (3.0, 8.0)];
    let request = |n: usize| {
        let (prior, decoder) = scales[n];
        let settings =
            settings!(few_steps(), prior_guidance_scale: prior, decoder_guidance_scale: decoder);
        Request::new(CAPTIONS[n % 3], seeds[n], settings)
    };
    (0..4).map(request).collect()
}

#[test]
fn a_batch_of_mixed_requests_gives_each_the_image_that_it_has_alone() {
    let pipeline = open("deep");
    let together = sample(&pipeline, &mixed([1, 2, 3, 4]));
    for (n, request) in mixed([1, 2, 3, 4]).into_iter().enumerate() {
        let alone = sample(&pipeline, &[request]).remove(0);
        assert!(is_same(&together[n], &alone), "request {n}");
    }
    // The comparison tells streams apart: with two of them swapped, both images differ.
    let swapped = sample(&pipeline, &mixed([2, 1, 3, 4]));
    let same: Vec<bool> = together.iter().zip(&swapped).map(|(a, b)| is_same(a, b)).collect();
    assert_eq!(same, [false, false, true, true]);
}

#[test]
fn requests_that_cannot_share_a_batch_are_sampled_in_their_order() {
    let pipeline = open("deep");
    let requests = || {
        let unguided =
            settings!(few_steps(), prior_guidance_scale: 1.0, decoder_guidance_scale: 1.0);
        let longer = settings!(few_steps(), decoder_steps: 3);
        let embedding = pipeline.encode_images(&[RgbImage::new(40, 40)]).unwrap();
        vec![
            Request::new(CAPTIONS[0], 1, few_steps()),
            Request::new(CAPTIONS[1], 2, unguided),
            Request::of_embedding(&embedding, 3, few_steps().without_prior()),
            Request::new(CAPTIONS[0], 4, longer),
            Request::new(CAPTIONS[2], 5, few_steps()),
        ]
    };
    let together = sample(&pipeline, &requests());
    for (n, request) in requests().into_iter().enumerate() {
        assert!(is_same(&together[n], &sample(&pipeline, &[request])[0]), "request {n}");
    }
}

/// Two stages with folders and names of the test's own, over Karlo's components.
fn two_stages(last_network: Option<&'static str>) -> Family {
    let karlo = karlo();
    let [decoder, upsampler] = [karlo.stages[0], karlo.stages[1]];
    Family {
        name: "Twofold",
        clip: Some(Clip {
            tokenizer: "words",
            text_encoder: "text",
            image_encoder: "images",
            image_processor: "pixels",
        }),
        prior: Some(DiffusionPrior { network: "embeddings", scheduler: "embeddings_steps" }),
        autoregressive_prior: None,
        principal_components: None,
        stages: vec![
            Stage {
                name: "first",
                scheduler: "base_steps",
                network: "base",
                condition: Condition::Embedding { projection: "conditions" },
                ..decoder
            },
            Stage {
                name: "second",
                scheduler: "large_steps",
                network: "large",
                last_network,
                student: None,
                ..upsampler
            },
        ],
        defaults: Defaults {
            prior: Some(PriorDefaults { steps: 2, guidance_scale: 4.0 }),
            stages: [Some(8.0), None]
                .map(|guidance_scale| StageDefaults {
                    steps: TimestepRespacing::Count(2),
                    guidance_scale,
                    temperature: None,
                })
                .to_vec(),
        },
        ..karlo
    }
}

/// Karlo's components in the folders of [`two_stages`].
fn write_two_stages(to: &Path) {
    for (ours, theirs) in [
        ("words", "tokenizer"),
        ("text", "text_encoder"),
        ("embeddings", "prior"),
        ("embeddings_steps", "prior_scheduler"),
        ("conditions", "text_proj"),
        ("base", "decoder"),
        ("base_steps", "decoder_scheduler"),
        ("large", "super_res_first"),
        ("last", "super_res_last"),
        ("large_steps", "super_res_scheduler"),
    ] {
        copy_folder(&model("odd").join(theirs), &to.join(ours));
    }
}

fn open_family(family: Family, folder: &Path) -> Pipeline {
    tch::set_num_threads(1);
    let folders = ModelFolders { family, ..ModelFolders::new(Folder::open(folder).unwrap()) };
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

#[test]
fn a_family_of_other_stages_and_names_draws() {
    let place = tempfile::tempdir().unwrap();
    write_two_stages(place.path());
    let draw = |family: Family| {
        let pipeline = open_family(family, place.path());
        assert!(pipeline.stages().eq(["prior", "first", "second"]));
        let settings = pipeline.defaults().unwrap();
        sample(&pipeline, &[Request::new(CAPTIONS[0], 7, settings)]).remove(0)
    };
    let karlo = sample(&open("odd"), &[Request::new(CAPTIONS[0], 7, few_steps())]).remove(0);
    assert!(draw(two_stages(Some("last"))) == karlo, "the same components draw the same image");
    let without_last = draw(two_stages(None));
    assert_eq!(without_last.dimensions(), karlo.dimensions());
    assert!(without_last != karlo, "the last step's network is another");
}

#[test]
fn settings_are_named_by_the_stages_of_the_family() {
    let place = tempfile::tempdir().unwrap();
    write_two_stages(place.path());
    let pipeline = open_family(two_stages(None), place.path());
    let settings = pipeline.defaults().unwrap();
    let json = serde_json::to_value(&settings).unwrap();
    assert_eq!((json["first_steps"].as_u64(), json["second_steps"].as_u64()), (Some(2), Some(2)));
    assert_eq!(json["first_guidance_scale"].as_f64(), Some(8.0));
    assert_eq!(serde_json::from_value::<Settings>(json).unwrap(), settings);
    let overrides = SettingsOverrides::default().with_steps("first", Some(3.into()));
    assert_eq!(overrides.apply(settings.clone()).unwrap().stages[0].steps, 3.into());
    let refused =
        SettingsOverrides::default().with_steps("decoder", Some(3.into())).apply(settings);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::User);
    assert_eq!(refused.to_string(), "decoder_steps: this model has no decoder");
    // Settings of another family's stages are refused before anything is computed.
    let refused = pipeline.prepare(pipeline::Task::GENERATE, &few_steps()).unwrap_err();
    assert!(refused.to_string().contains("first_steps is missing"), "{refused}");
    let mut gone = two_stages(None);
    gone.prior = None;
    let pipeline = open_family(gone, place.path());
    let settings = pipeline.defaults().unwrap();
    let refused = pipeline.prepare(pipeline::Task::GENERATE, &settings).unwrap_err();
    assert_eq!(refused.to_string(), "Twofold has no diffusion prior");
}

#[test]
fn a_pipeline_on_another_thread_is_previewed_and_stops_within_one_step() {
    let pipeline = open("deep");
    let request = || Request::new(CAPTIONS[0], 3, settings!(few_steps(), decoder_steps: 9));
    let whole = sample(&pipeline, &[request()]).remove(0);
    let worker = std::thread::spawn(move || {
        let mut steps = Vec::new();
        let mut observer = |step: Step<'_>| {
            steps.push((step.stage.to_owned(), step.done));
            if step.stage == "prior" {
                assert!(step.preview().is_none(), "an embedding is no image");
                return ControlFlow::Continue(());
            }
            let preview = step.preview().expect("the decoder samples images");
            assert_eq!((preview.len(), preview[0].dimensions()), (1, (8, 8)));
            match step.done {
                4 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let stopped = pipeline.sample(&[request()], &mut observer).unwrap_err();
        assert!(matches!(stopped, Error::Stopped) && stopped.kind() == ErrorKind::User);
        assert_eq!(steps.last(), Some(&("decoder".to_owned(), 4)), "{steps:?}");
        assert_eq!(steps.len(), 6, "two steps of the prior, four of the decoder");
        // The same pipeline goes on as if nothing had been stopped.
        sample(&pipeline, &[request()]).remove(0)
    });
    assert!(worker.join().unwrap() == whole);
}

#[test]
fn a_caption_is_prefilled_once_for_all_its_images_and_candidates() {
    let pipeline = open("deep");
    let settings = settings!(few_steps(), candidates: 2, prior_candidates: 2);
    let request = |caption: &str, seed| Request::new(caption, seed, settings.clone());
    let one_by_one = || {
        for seed in 0..3 {
            sample(&pipeline, &[request(CAPTIONS[0], seed)]);
        }
    };
    one_by_one();
    assert_eq!(pipeline.prefills(), 1);
    let in_a_batch = || {
        let requests: Vec<Request> =
            (0..4).map(|n: usize| request(CAPTIONS[1 + n % 2], n as u64)).collect();
        sample(&pipeline, &requests);
    };
    in_a_batch();
    assert_eq!(pipeline.prefills(), 2, "two captions of one batch are prefilled together");
    sample(&pipeline, &[request(CAPTIONS[2], 1)]);
    assert_eq!(pipeline.prefills(), 3);
}

#[test]
fn a_prefilled_caption_and_a_new_one_give_the_same_image() {
    let pipeline = open("odd");
    let first = sample(&pipeline, &[Request::new(CAPTIONS[0], 5, few_steps())]);
    sample(&pipeline, &[Request::new(CAPTIONS[1], 5, few_steps())]);
    let cached = || sample(&pipeline, &[Request::new(CAPTIONS[0], 5, few_steps())]);
    assert!(cached() == first && cached() == first);
}

#[test]
fn thresholding_clips_what_guidance_carries_too_far() {
    let pipeline = open("deep");
    let image = |thresholding| {
        let settings =
            settings!(few_steps(), decoder_guidance_scale: 30.0, thresholding: thresholding);
        sample(&pipeline, &[Request::new(CAPTIONS[0], 2, settings)]).remove(0)
    };
    let (plain, clipped) = (image(None), image(Some(0.9)));
    assert!(plain != clipped);
    // A quantile of 1 divides by the largest value, so nothing is saturated that was not so before.
    assert!(image(Some(1.0)) != clipped);
    let json = serde_json::to_value(settings!(few_steps(), thresholding: Some(0.9))).unwrap();
    assert_eq!(json["thresholding"].as_f64(), Some(0.9));
    for quantile in [0.0, -0.5, 1.5, f64::NAN] {
        let settings = settings!(few_steps(), thresholding: Some(quantile));
        let refused = pipeline.prepare(pipeline::Task::GENERATE, &settings).unwrap_err();
        assert!(refused.to_string().contains("thresholding is"), "{refused}");
    }
}

#[test]
fn the_library_opens_a_model_by_its_folder_and_the_one_inside() {
    let options = unclip::OpenOptions::new();
    let settings = options.open(model("deep")).unwrap().defaults().unwrap();
    assert_eq!(settings.stages.len(), 2);
    let refused = options.open("nowhere").err().expect("there is no such folder").to_string();
    assert!(refused.contains("nowhere"), "{refused}");
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.txt"), "a").unwrap();
    let pipeline = options.prior(place.path()).open(model("deep")).unwrap();
    let refused = pipeline.prepare(pipeline::Task::GENERATE, &settings).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Model, "{refused}");
}
