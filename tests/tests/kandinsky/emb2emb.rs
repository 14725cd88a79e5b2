//! A prior that starts from an image's embedding, against the reference's `PriorEmb2Emb` (recorded by
//! golden/record_kandinsky_hints.py), and in other families.

use std::collections::HashMap;
use std::ops::ControlFlow;

use noise::Generator;
use pipeline::{Error, Pipeline, Request, Settings, Silent, Step};
use tch::{Device, Kind, Tensor};

use super::case::{self, Case, golden_image, pictures_are_the_references};
use super::{MODELS, both, data};
use crate::golden::{NETWORK, agree};
use crate::pipeline::few_steps;

/// The folder of these records, within a model's.
const HERE: &str = "emb2emb";

fn open(model: &str) -> Pipeline {
    Pipeline::open(both(model), Device::Cpu, Kind::Float).unwrap()
}

/// The embedding to start from that gives the reference's: it takes the image's as if it were whitened.
fn first_embedding(model: &str, pipeline: &Pipeline, case: &Case) -> Tensor {
    let folder = both(model).component(families::kandinsky::PRIOR).unwrap();
    let prior = families::open_prior(&folder, Device::Cpu, Kind::Float).unwrap();
    prior.restore(&case.prior_embedding(pipeline))
}

#[test]
fn embeddings_and_pictures_are_the_references() {
    for model in MODELS {
        let pipeline = open(model);
        let path = data(model).join(HERE).join("embeddings.safetensors");
        let embeddings: HashMap<String, Tensor> =
            weights::load_safetensors(path).unwrap().into_iter().collect();
        for case in case::cases(model, HERE).iter().filter(|case| case.negative_caption.is_none()) {
            let captions = vec![&*case.caption; case.pictures as usize];
            let text = pipeline.encode_text(&captions).unwrap();
            let first = first_embedding(model, &pipeline, case).repeat([case.pictures as i64, 1]);
            let (settings, mut streams) = (case.settings(), case.streams());
            let ours = pipeline
                .sample_embedding_from(&first, &text, &settings, &mut streams, &mut Silent)
                .unwrap();
            agree(&format!("{model}/{}", case.name), &ours, &embeddings[&case.name], NETWORK);
        }
        pictures_are_the_references(model, HERE, &pipeline, |case, index| {
            case.request(index).with_first_embedding(&first_embedding(model, &pipeline, case))
        });
    }
}

/// The cosine of two embeddings `[1, E]`.
pub(super) fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    f64::try_from(Tensor::cosine_similarity(a, b, 1, 1e-8)).unwrap()
}

/// The prior takes as many steps as the strength says, and a small one stays near the embedding that it starts from.
#[test]
fn the_strength_says_how_much_of_an_embedding_stays() {
    let pipeline = open("two");
    let first = pipeline.encode_images(&[golden_image("3.png")]).unwrap();
    let text = pipeline.encode_text(&["a red house"]).unwrap();
    let sample = |strength| {
        let mut settings = Settings::of_family(&families::kandinsky());
        let prior = settings.prior.as_mut().unwrap();
        (prior.steps, prior.guidance_scale, prior.strength) = (20, 1.0, Some(strength));
        let mut steps = Vec::new();
        let mut observer = |step: Step<'_>| {
            steps.push((step.done, step.steps));
            ControlFlow::Continue(())
        };
        let streams = &mut [Generator::new(3)];
        let embedding = pipeline
            .sample_embedding_from(&first, &text, &settings, streams, &mut observer)
            .unwrap();
        let request = Request::new("a red house", 3, settings).with_first_embedding(&first);
        assert_eq!(pipeline.step_count(&request, "prior").unwrap(), steps.len());
        assert!(steps.iter().all(|step| step.1 == steps.len()));
        (steps.len(), cosine(&embedding, &first))
    };
    let (few, near) = sample(0.05);
    let (half, between) = sample(0.5);
    let (all, far) = sample(1.0);
    assert_eq!((few, half, all), (1, 10, 20));
    assert!(near > between && between > far, "{near}, {between} and {far}");
}

#[test]
fn requests_that_nothing_starts_from_are_refused() {
    let karlo = crate::pipeline::open("karlo");
    let settings = few_steps();
    let first = karlo.encode_images(&[golden_image("1.png")]).unwrap();
    let request = |settings| Request::new("a red house", 1, settings).with_first_embedding(&first);
    let refusal = |pipeline: &Pipeline, request| {
        pipeline.sample(&[request], &mut Silent).unwrap_err().to_string()
    };
    let of_strength = |strength| {
        let mut settings = settings.clone();
        settings.prior.as_mut().unwrap().strength = Some(strength);
        request(settings)
    };
    for strength in [0.0, -1.0, 1.5, f64::NAN] {
        let error = refusal(&karlo, of_strength(strength));
        assert!(error.starts_with("prior_strength is ") && error.contains("above 0"), "{error}");
    }
    let error = refusal(&karlo, of_strength(0.1));
    assert_eq!(
        error,
        "prior_strength is 0.1: of 2 steps it leaves none: it must be 1/2 at least, or the steps 10"
    );
    karlo.sample(&[of_strength(0.5)], &mut Silent).unwrap();
    let without =
        Request { image_embedding: Some(first.shallow_clone()), ..request(settings.clone()) };
    let error = refusal(&karlo, without);
    assert!(error.starts_with("first_embedding: the prior reads it"), "{error}");
    let glide = data("two").join("../../glide/model");
    let folders = families::ModelFolders::new(weights::Folder::open(glide).unwrap());
    let glide = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let error = glide.sample(&[request(glide.defaults().unwrap())], &mut Silent).unwrap_err();
    assert!(matches!(error, Error::NoDiffusionPrior), "{error}");
}
