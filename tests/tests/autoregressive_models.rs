//! The autoregressive prior as a part of a model: its folder opens strictly, and each picture of a batch is its own.

use std::fs;
use std::path::Path;

use evaluation::priors::explained_variance;
use families::{ModelFolders, PriorKind};
use layers::{Initialiser, Params};
use noise::Generator;
use pipeline::{CodeSampling, Error, Pipeline, Silent, Task};
use prior::{AutoregressiveConfig, AutoregressivePrior, EmbeddingQuantizer, Pca};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::pipeline::{copy_folder, few_steps, model};

const HERE: (Device, Kind) = (Device::Cpu, Kind::Float);

/// A prior for the tiny model whose diffusion prior has this shape.
fn config(of: &Path) -> AutoregressiveConfig {
    let folder = Folder::open(of.join("prior")).unwrap();
    let prior = families::open_prior(&folder, HERE.0, HERE.1).unwrap();
    let shape = prior.config();
    AutoregressiveConfig {
        embedding: shape.embedding,
        text_width: shape.text_width,
        context_length: shape.context_length,
        heads: 2,
        head_width: 8,
        layers: 2,
        dimensions: 5,
        buckets: 16,
    }
}

fn normal(seed: u64, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&Generator::new(seed).normal(count)).view(shape)
}

/// Writes a new prior of this shape; its embeddings lie along the axes with falling deviations.
fn write(folder: &Path, config: &AutoregressiveConfig) -> EmbeddingQuantizer {
    let deviations = Tensor::linspace(3.0, 0.5, config.embedding, (Kind::Float, Device::Cpu));
    let embeddings = normal(1, &[400, config.embedding]) * deviations;
    let (pca, similarity) = (Pca::fit(&embeddings), normal(2, &[400]));
    let fit = || {
        EmbeddingQuantizer::fit(&pca, &embeddings, &similarity, config.dimensions, config.buckets)
    };
    let initialiser = Initialiser::new(3, HERE.0, HERE.1);
    AutoregressivePrior::new(&Params::root(&initialiser), config, fit());
    // Larger than a new network's, so that what it is told shows in what it draws.
    let louder = |(name, tensor): (String, Tensor)| match &*name {
        "closeness_in.weight" | "out.weight" => (name, tensor * 30.0),
        _ => (name, tensor),
    };
    let tensors: Vec<_> = initialiser.into_parameters().into_iter().map(louder).collect();
    families::save_autoregressive_prior(folder, &tensors, &fit(), config).unwrap();
    fit()
}

/// A copy of a tiny model with such a prior, and its pipeline.
fn pipeline(folder: &Path) -> Pipeline {
    tch::set_num_threads(1);
    copy_folder(&model("deep"), folder);
    let config = config(folder);
    write(&folder.join("prior_autoregressive"), &config);
    open(folder)
}

fn open(folder: &Path) -> Pipeline {
    let folders =
        ModelFolders { autoregressive: true, ..ModelFolders::new(Folder::open(folder).unwrap()) };
    Pipeline::open(folders, HERE.0, HERE.1).unwrap()
}

#[test]
fn a_saved_prior_opens_as_it_was_and_nothing_else_does() {
    let place = tempfile::tempdir().unwrap();
    let shape = config(&model("deep"));
    let quantizer = write(place.path(), &shape);
    let folder = Folder::open(place.path()).unwrap();
    let open = || families::open_autoregressive_prior(&folder, HERE.0, HERE.1);
    let opened = open().unwrap();
    assert_eq!(opened.config(), &shape);
    for ((name, saved), (_, found)) in quantizer.tensors().iter().zip(opened.quantizer.tensors()) {
        assert!(*saved == found, "{name} is not in f32");
    }
    let kind = families::karlo().prior_kind(&folder).unwrap();
    assert_eq!(kind, PriorKind::Autoregressive);

    let refused = |words: &[&str]| {
        let message = open().err().expect("it is wrong").to_string();
        for word in words {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
    };
    let file = |name: &str| place.path().join(name);
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(file("config.json")).unwrap()).unwrap();
    for (field, value, words) in [
        ("num_layers", json!(3), ["blocks.2", "missing"]),
        ("num_codes", json!(4), ["components", "shape"]),
        ("num_codes", json!(1000), ["1000", "components"]),
        ("num_buckets", json!(1), ["1 bucket", "2"]),
        ("num_text_tokens", json!(0), ["num_text_tokens", "0"]),
        ("num_layers", json!(1e9), ["num_layers", "1024"]),
        ("dropout", json!(0.5), ["dropout", "0.5"]),
        ("_class_name", json!("PriorTransformer"), ["PriorTransformer", "UnCLIP"]),
    ] {
        let mut changed = config.clone();
        changed[field] = value;
        fs::write(file("config.json"), changed.to_string()).unwrap();
        refused(&words);
    }
    let mut without = config.clone();
    without.as_object_mut().unwrap().remove("num_buckets");
    fs::write(file("config.json"), without.to_string()).unwrap();
    refused(&["num_buckets", "missing"]);
    fs::write(file("config.json"), config.to_string()).unwrap();
    open().unwrap();

    fs::rename(file("codes.safetensors"), file("away")).unwrap();
    refused(&["codes.safetensors"]);
    let tensors = || weights::load_safetensors(file("away")).unwrap();
    let mut more = tensors();
    more.push(("spare".to_owned(), normal(1, &[2])));
    weights::save_safetensors(file("codes.safetensors"), &more, Kind::Float).unwrap();
    refused(&["codes.safetensors", "unused", "spare"]);
    let fewer = &tensors()[1..];
    weights::save_safetensors(file("codes.safetensors"), fewer, Kind::Float).unwrap();
    refused(&["codes.safetensors", "missing"]);
}

#[test]
fn each_picture_of_a_batch_has_the_embedding_that_it_has_alone() {
    let place = tempfile::tempdir().unwrap();
    let pipeline = pipeline(place.path());
    let captions = ["a red house under a blue sky", "a rocket", "a mushroom on the left"];
    let streams = || [21, 22, 23].map(Generator::new);
    let quiet = &mut Silent;
    let sampling = CodeSampling { temperature: 0.9, top_p: 0.8, ..CodeSampling::plain() };
    let guided = |scale: f64, prior_codes: CodeSampling, candidates: usize| settings!(few_steps(), prior_guidance_scale: scale, prior_candidates: candidates, prior_codes: Some(prior_codes));
    for settings in [guided(1.0, CodeSampling::plain(), 1), guided(3.0, sampling, 2)] {
        pipeline.prepare(Task::GENERATE, &settings).unwrap();
        let text = pipeline.encode_text(&captions).unwrap();
        let mut together = streams();
        let all = pipeline.sample_embedding(&text, &settings, &mut together, quiet);
        let all = all.unwrap(); // [3, E]
        for (i, caption) in captions.iter().enumerate() {
            let text = pipeline.encode_text(&[caption]).unwrap();
            let mut alone = [streams()[i].clone()];
            let drawn = pipeline.sample_embedding(&text, &settings, &mut alone, quiet);
            let apart = (drawn.unwrap() - all.narrow(0, i as i64, 1)).abs().max();
            assert!(apart.double_value(&[]) < 1e-5, "{caption}");
            assert_eq!(alone[0], together[i], "{caption}: the streams went on differently");
        }
    }
    // Other quantiles of the closeness, other codes of it.
    let mut told = |similarity: [f64; 2]| {
        let sampling = CodeSampling { similarity, ..CodeSampling::plain() };
        let text = pipeline.encode_text(&captions).unwrap();
        let settings = guided(1.0, sampling, 1);
        pipeline.sample_embedding(&text, &settings, &mut streams(), quiet).unwrap()
    };
    assert!(told([0.0, 0.5]) != told([0.5, 1.0]));
    for (from, to) in [(0.5, 0.5), (0.9, 0.1), (-0.1, 1.0), (0.0, 1.1), (f64::NAN, 1.0)] {
        let sampling = CodeSampling { similarity: [from, to], ..CodeSampling::plain() };
        let refused = pipeline.prepare(Task::GENERATE, &guided(1.0, sampling, 1));
        assert!(
            matches!(refused, Err(Error::Setting { setting, .. }) if setting == "prior_codes.closeness"),
            "{from} to {to}"
        );
    }
}

#[test]
fn a_prior_of_another_model_is_refused_with_the_numbers() {
    let place = tempfile::tempdir().unwrap();
    pipeline(place.path());
    let fitting = config(place.path());
    let settings = settings!(few_steps(), prior_codes: Some(CodeSampling::plain()));
    let refused = |config: AutoregressiveConfig, words: &[String]| {
        write(&place.path().join("prior_autoregressive"), &config);
        let message = open(place.path()).prepare(Task::GENERATE, &settings);
        let message = message.unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
    };
    let name = || "prior_autoregressive".to_owned();
    let (wider, longer) = (fitting.embedding + 2, fitting.context_length + 1);
    let embedding = AutoregressiveConfig { embedding: wider, ..fitting.clone() };
    refused(embedding, &[name(), wider.to_string(), fitting.embedding.to_string()]);
    let context_length = AutoregressiveConfig { context_length: longer, ..fitting.clone() };
    refused(context_length, &[name(), longer.to_string()]);
    fs::remove_dir_all(place.path().join("prior_autoregressive")).unwrap();
    let pipeline = open(place.path());
    assert!(!pipeline.has_prior(&settings) && pipeline.has_prior(&few_steps()));
}

#[test]
fn coding_measures_what_codes_take_and_lose() {
    let place = tempfile::tempdir().unwrap();
    let pipeline = pipeline(place.path());
    let text = pipeline.encode_text(&["a boat", "a tree", "a red house"]).unwrap();
    let width = config(place.path()).embedding;
    let embeddings = normal(9, &[3, width]);
    let coded = pipeline.quantize(&embeddings, &text).unwrap();
    assert_eq!((coded.bits.size(), coded.buckets), (vec![3, 5], 16));
    // One that knows nothing takes 4 bits for 16 equally likely codes, and one that is wrong takes more.
    let bits = coded.bits.mean(Kind::Double).double_value(&[]);
    assert!(bits > 4.0, "{bits}");
    let (kept, decoded) = (
        explained_variance(&embeddings, &coded.truncated),
        explained_variance(&embeddings, &coded.decoded),
    );
    assert!(decoded < kept && kept < 1.0, "{decoded} and {kept}");

    // Squares around the mean (2, 3): 4 + 4 + 1 + 1; what is lost: 1 + 1 along the second axis.
    let all = Tensor::from_slice(&[0f32, 2.0, 4.0, 4.0]).view([2, 2]);
    let flat = Tensor::from_slice(&[0f32, 3.0, 4.0, 3.0]).view([2, 2]);
    assert!((explained_variance(&all, &flat) - 0.8).abs() < 1e-6);
    assert_eq!(explained_variance(&all, &all), 1.0);
}
