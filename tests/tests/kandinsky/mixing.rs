//! Mixes of images and captions against the reference's `interpolate` (recorded by golden/record_kandinsky_edits.py), and on
//! other families.

use std::collections::HashMap;
use std::ops::ControlFlow;

use image::RgbImage;
use noise::Generator;
use pipeline::{Error, MixCondition, Pipeline, Request, Settings, Silent, Step};
use tch::{Device, Kind, Tensor};

use super::case::{cases, golden_image, recorded};
use super::{MODELS, both, data};
use crate::golden::pictures::same_picture;
use crate::golden::{NETWORK, agree};
use crate::pipeline::{few_steps, model};

fn open(model: &str) -> Pipeline {
    Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap()
}

fn karlo() -> Pipeline {
    let folder = weights::Folder::open(model("karlo")).unwrap();
    Pipeline::open(families::ModelFolders::new(folder), Device::Cpu, Kind::Float).unwrap()
}

#[test]
fn embeddings_and_pictures_are_the_references() {
    for model in MODELS {
        let pipeline = open(model);
        let path = data(model).join("mixing/embeddings.safetensors");
        let embeddings: HashMap<String, Tensor> =
            weights::load_safetensors(path).unwrap().into_iter().collect();
        for case in cases(model, "mixing") {
            let (conditions, settings) = (case.conditions(&pipeline), case.settings());
            let seeds: Vec<u64> = (case.seed..case.seed + case.pictures).collect();
            let mut streams = case.streams();
            let embedding =
                pipeline.mix_embedding(&conditions, &settings, &mut streams, &mut Silent).unwrap();
            let what = format!("{model}/{}", case.name);
            agree(&what, &embedding, &embeddings[&case.name], NETWORK);
            let negative = case.negative_caption.as_deref();
            let together =
                pipeline.mix(&conditions, negative, &seeds, &settings, &mut Silent).unwrap();
            for (index, together) in together.iter().enumerate() {
                let seeds = &seeds[index..=index];
                let alone =
                    pipeline.mix(&conditions, negative, seeds, &settings, &mut Silent).unwrap();
                let recorded = recorded(model, "mixing", &format!("{}-{index}", case.name));
                same_picture(&format!("{what}-{index}"), &alone[0], &recorded);
                same_picture(&format!("{what}-{index} in a batch"), together, &recorded);
            }
        }
    }
}

/// A mix of one image alone, and of another without weight, is that image's variation.
#[test]
fn a_mix_of_one_image_is_its_variation() {
    let pipeline = karlo();
    let settings = few_steps();
    let [one, other] = ["1.png", "2.png"].map(golden_image);
    let encode = |image: &RgbImage| {
        MixCondition::Image(pipeline.encode_images(std::slice::from_ref(image)).unwrap())
    };
    let mix = |weights: [f64; 2]| {
        let conditions = [(encode(&one), weights[0]), (encode(&other), weights[1])];
        pipeline.mix(&conditions, None, &[7], &settings, &mut Silent).unwrap().remove(0)
    };
    let vary = |image: &RgbImage| pipeline.vary(image, &[7], &settings, &mut Silent).unwrap();
    assert!(mix([1.0, 0.0]) == vary(&one)[0]);
    assert!(mix([0.0, 1.0]) == vary(&other)[0]);
    let both = mix([0.5, 0.5]);
    assert!(both != vary(&one)[0] && both != vary(&other)[0]);
}

/// The captions' embeddings are drawn one after another from the image's stream, and the decoder goes on from there.
#[test]
fn captions_of_other_families_share_the_stream_of_their_image() {
    let pipeline = karlo();
    let settings = few_steps();
    let captions = ["a red house", "a mushroom"];
    let conditions = captions.map(|caption| (MixCondition::Caption(caption.to_owned()), 0.5));
    let mut steps = Vec::new();
    let mut observer = |step: Step<'_>| {
        if step.stage == "prior" {
            steps.push((step.done, step.steps));
        }
        ControlFlow::Continue(())
    };
    let mixed = pipeline.mix(&conditions, None, &[5], &settings, &mut observer).unwrap().remove(0);
    assert_eq!(steps, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    let streams = &mut [Generator::new(5)];
    let embeddings = captions.map(|caption| {
        let text = pipeline.encode_text(&[caption]).unwrap();
        pipeline.sample_embedding(&text, &settings, streams, &mut Silent).unwrap()
    });
    let sum = &embeddings[0] * 0.5 + &embeddings[1] * 0.5;
    let text = pipeline.encode_text(&[""]).unwrap();
    let small = pipeline.decode(&sum, &text, &settings, streams, &mut Silent).unwrap();
    let large = pipeline.upsample(&small, &settings, streams, &mut Silent).unwrap();
    assert!(mixed == pipeline::to_images(&large)[0]);
    let request = Request::of_embedding(&sum, 5, settings);
    assert!(mixed != pipeline.sample(&[request], &mut Silent).unwrap()[0], "the noise goes on");
}

#[test]
fn weights_and_families_that_mix_nothing_are_refused() {
    let pipeline = open("two");
    let settings = Settings::of_family(&families::kandinsky());
    let mix = |pipeline: &Pipeline, weights: &[f64], settings: &Settings| {
        let condition = |&weight| (MixCondition::Caption("a red house".to_owned()), weight);
        let conditions: Vec<_> = weights.iter().map(condition).collect();
        match pipeline.mix(&conditions, None, &[1], settings, &mut Silent) {
            Ok(_) => panic!("{weights:?} were mixed"),
            Err(error) => error,
        }
    };
    for count in [0, 1] {
        let error = mix(&pipeline, &vec![1.0; count], &settings);
        assert!(matches!(error, Error::NothingToMix { count: found } if found == count), "{error}");
    }
    for weight in [f64::NAN, f64::INFINITY, -101.0] {
        let error = mix(&pipeline, &[1.0, weight], &settings).to_string();
        assert!(
            error.starts_with("weights is ") && error.contains("between -100 and 100"),
            "{error}"
        );
    }
    let glide = data("two").join("../../glide/model");
    let folders = families::ModelFolders::new(weights::Folder::open(glide).unwrap());
    let glide = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let error = mix(&glide, &[0.5, 0.5], &glide.defaults().unwrap()).to_string();
    assert!(error.contains("GLIDE draws from captions alone"), "{error}");
}
