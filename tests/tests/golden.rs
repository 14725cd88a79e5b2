//! Our networks, schedulers and preprocessing against the reference's, for three tiny models
//! (recorded by golden/record.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ::diffusion::{Output, Sampler, Step, Variance};
use decoder::Conditions;
use image::RgbImage;
use kernels::channels_last;
use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use crate::diffusion::take_step;

pub(crate) mod pictures;
mod writers;

const MODELS: [&str; 3] = ["karlo", "deep", "odd"];

/// The most that a network may differ, as a part of its largest output.
pub(crate) const NETWORK: f64 = 1e-4;
/// The most that a network in bf16 may be off, root mean square relative to its output's.
const BF16: f64 = 0.015;
/// The same with weights alone in bf16.
const BF16_WEIGHTS: f64 = 0.01;
/// The most that a scheduler's step may differ, as a part of its largest value.
const SCHEDULER: f64 = 1e-6;

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data")
}

fn part(model: &str, name: &str) -> Folder {
    Folder::open(data().join(model).join("model")).unwrap().component(name)
}

/// The kinds of a network's numbers: those that it computes in, and those of its weights where these are others.
#[derive(Clone, Copy)]
struct Kinds(Kind, Option<Kind>);

const F32: Kinds = Kinds(Kind::Float, None);

/// What was recorded of one model.
struct Record(HashMap<String, Tensor>);

impl Record {
    fn read(model: &str, file: &str) -> Self {
        let path = data().join(model).join(file);
        Self(weights::load_safetensors(path).unwrap().into_iter().collect())
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("{name} was not recorded"))
    }
}

fn json<T: for<'a> Deserialize<'a>>(model: &str, file: &str) -> T {
    serde_json::from_slice(&std::fs::read(data().join(model).join(file)).unwrap()).unwrap()
}

/// A call of a network or of a scheduler's step.
#[derive(Deserialize)]
struct Call {
    run: String,
    network: Option<String>,
    scheduler: Option<String>,
    step: i64,
    timestep: i64,
    previous: Option<i64>,
}

impl Call {
    fn all(model: &str) -> Vec<Self> {
        json(model, "trace.json")
    }

    fn of_network(model: &str, name: &str) -> Vec<Self> {
        let calls: Vec<_> = Self::all(model)
            .into_iter()
            .filter(|call| call.network.as_deref() == Some(name))
            .collect();
        assert!(!calls.is_empty(), "{model} has no recorded call of {name}");
        calls
    }

    fn name(&self, value: &str) -> String {
        let part = self.network.as_ref().or(self.scheduler.as_ref()).unwrap();
        format!("{}.{part}.{}.{value}", self.run, self.step)
    }

    fn timesteps(&self, batch: i64) -> Tensor {
        Tensor::full([batch], self.timestep, (Kind::Int64, Device::Cpu))
    }
}

pub(crate) fn agree(what: &str, ours: &Tensor, recorded: &Tensor, bound: f64) {
    assert_eq!(ours.size(), recorded.size(), "{what}: shapes");
    let largest = recorded.abs().max().double_value(&[]);
    let off = (ours - recorded).abs().max().double_value(&[]) / largest;
    println!("{what}: {off:.1e} of the largest value");
    assert!(off <= bound, "{what} is off by {off:e} of its largest value, {largest}");
}

#[derive(Deserialize)]
struct Row {
    caption: String,
    ids: Vec<i64>,
    mask: Vec<i64>,
}

#[test]
fn captions_become_the_references_tokens() {
    for model in MODELS {
        let rows: Vec<Row> = json(model, "tokens.json");
        let tokenizer = families::open_tokenizer(&part(model, "tokenizer")).unwrap();
        for row in rows {
            let tokens = tokenizer.encode(&[&row.caption]).unwrap();
            let ids: Vec<i64> = tokens.ids.get(0).try_into().unwrap();
            assert_eq!(ids, row.ids, "{model}: {:?}", row.caption);
            let mask: Vec<i64> = tokens.mask.get(0).to_kind(Kind::Int64).try_into().unwrap();
            assert_eq!(mask, row.mask, "{model}: the mask of {:?}", row.caption);
        }
    }
}

#[test]
fn text_encoder_agrees_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model, "trace.safetensors");
        let encoder =
            families::open_text_encoder(&part(model, "text_encoder"), Device::Cpu, Kind::Float)
                .unwrap();
        let text = no_grad(|| encoder.forward(record.get("text.ids")));
        agree(&format!("{model}: text states"), &text.states, record.get("text.states"), NETWORK);
        agree(
            &format!("{model}: text embedding"),
            &text.embedding,
            record.get("text.embedding"),
            NETWORK,
        );
    }
}

#[test]
fn pictures_are_prepared_as_by_the_reference() {
    let pictures: Vec<RgbImage> = (0..5)
        .map(|i| image::open(data().join(format!("images/{i}.png"))).unwrap().to_rgb8())
        .collect();
    for model in MODELS {
        let record = Record::read(model, "images.safetensors");
        let processor = families::open_image_processor(&part(model, "feature_extractor")).unwrap();
        let ours = Tensor::try_from(processor.preprocess(&pictures).unwrap()).unwrap();
        let recorded = record.get("pixels");
        assert_eq!(ours.size(), recorded.size(), "{model}: shapes");
        // Resizing gives the very same levels, so that only the last bits of f32 can differ.
        let off = (ours - recorded).abs().max().double_value(&[]);
        println!("{model}: prepared pictures differ by {off:.1e}");
        assert!(off < 1e-6, "{model}: off by {off}");
    }
}

#[test]
fn image_encoder_agrees_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model, "images.safetensors");
        let encoder =
            families::open_image_encoder(&part(model, "image_encoder"), Device::Cpu, Kind::Float)
                .unwrap();
        let embedding = no_grad(|| encoder.forward(record.get("pixels")));
        agree(&format!("{model}: image embedding"), &embedding, record.get("embedding"), NETWORK);
    }
}

#[test]
fn prior_agrees_with_the_reference_at_every_step() {
    for model in MODELS {
        each_prior_call(model, F32, |what, clean, recorded| {
            agree(what, clean, recorded, NETWORK);
        });
    }
}

/// What our prior of this kind gives for each recorded call, with the call's name and what the reference gave.
fn each_prior_call(
    model: &str,
    Kinds(kind, weights): Kinds,
    mut look: impl FnMut(&str, &Tensor, &Tensor),
) {
    let record = Record::read(model, "trace.safetensors");
    let prior =
        families::open_prior(&part(model, "prior").with_weight_kind(weights), Device::Cpu, kind)
            .unwrap();
    for call in Call::of_network(model, "prior") {
        let text = |value: &str| record.get(&format!("{}.prior.{value}", call.run));
        let noised = record.get(&call.name("noised"));
        let clean = no_grad(|| {
            prior.forward(
                &noised.to_kind(kind),
                &call.timesteps(noised.size()[0]),
                &text("embedding").to_kind(kind),
                &text("states").to_kind(kind),
                text("mask"),
            )
        });
        let output = call.name("output");
        look(&format!("{model}: {output}"), &clean, record.get(&output));
    }
}

#[test]
fn conditioning_agrees_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model, "trace.safetensors");
        let conditioning =
            families::open_conditioning(&part(model, "text_proj"), Device::Cpu, Kind::Float)
                .unwrap();
        for run in ["guided", "unguided"] {
            let get = |value: &str| record.get(&format!("{run}.{value}"));
            let mut image = get("text_proj.image").shallow_clone();
            if run == "guided" {
                let nothing = conditioning.unconditional().expand_as(&image);
                image = Tensor::cat(&[nothing, image], 0); // [2B, E]
            }
            let conditions = no_grad(|| {
                let caption = ["embedding", "states", "mask"];
                let [embedding, states, mask] = caption.map(|of| get(&format!("prior.{of}")));
                conditioning.forward(&image, embedding, states, mask)
            });
            agree(
                &format!("{model}: {run} added"),
                &conditions.added,
                get("text_proj.added"),
                NETWORK,
            );
            agree(
                &format!("{model}: {run} context"),
                &conditions.context,
                get("text_proj.context"),
                NETWORK,
            );
            assert_eq!(&conditions.mask.unwrap(), get("decoder.mask"), "{model}: {run} mask");
        }
    }
}

#[test]
fn decoder_agrees_with_the_reference() {
    for model in MODELS {
        each_decoder_call(model, F32, |what, output, recorded| {
            agree(what, output, recorded, NETWORK);
        });
    }
}

/// As [`each_prior_call`], of the decoder.
fn each_decoder_call(
    model: &str,
    Kinds(kind, weights): Kinds,
    mut look: impl FnMut(&str, &Tensor, &Tensor),
) {
    let record = Record::read(model, "trace.safetensors");
    let decoder = families::open_decoder(
        &part(model, "decoder").with_weight_kind(weights),
        Device::Cpu,
        kind,
    )
    .unwrap();
    for call in Call::of_network(model, "decoder") {
        let get = |value: &str| record.get(&format!("{}.{value}", call.run));
        let conditions = Conditions {
            added: get("text_proj.added").to_kind(kind),
            context: get("text_proj.context").to_kind(kind),
            mask: Some(get("decoder.mask").shallow_clone()),
        };
        let noised = record.get(&call.name("noised"));
        let timesteps = call.timesteps(noised.size()[0]);
        let output =
            no_grad(|| decoder.forward(&as_drawn(noised, kind), &timesteps, Some(&conditions)));
        let name = call.name("output");
        look(&format!("{model}: {name}"), &output, record.get(&name));
    }
}

#[test]
fn upsamplers_agree_with_the_reference() {
    for model in MODELS {
        for name in UPSAMPLERS {
            each_upsampler_call(model, name, F32, |what, output, recorded| {
                agree(what, output, recorded, NETWORK);
            });
        }
    }
}

const UPSAMPLERS: [&str; 2] = ["super_res_first", "super_res_last"];

/// As [`each_prior_call`], of an upsampler.
fn each_upsampler_call(
    model: &str,
    name: &str,
    Kinds(kind, weights): Kinds,
    mut look: impl FnMut(&str, &Tensor, &Tensor),
) {
    let record = Record::read(model, "trace.safetensors");
    let upsampler =
        families::open_upsampler(&part(model, name).with_weight_kind(weights), Device::Cpu, kind)
            .unwrap();
    for call in Call::of_network(model, name) {
        let input = record.get(&call.name("input"));
        let timesteps = call.timesteps(input.size()[0]);
        let output = no_grad(|| upsampler.forward(&as_drawn(input, kind), &timesteps, None));
        let name = call.name("output");
        look(&format!("{model}: {name}"), &output, record.get(&name));
    }
}

/// Pictures as the pipeline hands them to a network of this kind.
fn as_drawn(x: &Tensor, kind: Kind) -> Tensor {
    match kind {
        Kind::BFloat16 => channels_last(&x.to_kind(kind)),
        _ => x.shallow_clone(),
    }
}

/// The root of the mean square of what all calls of a network in bf16 are off, relative to what the reference gives in f32,
/// beside what the reference in bf16 is off.
#[test]
fn networks_in_bf16_are_no_further_off_than_the_references() {
    let text = std::fs::read(data().parent().unwrap().join("bf16.json")).unwrap();
    let recorded: HashMap<String, HashMap<String, f64>> = serde_json::from_slice(&text).unwrap();
    let mut worst = 0.0f64;
    for model in MODELS {
        for (network, &theirs) in &recorded[model] {
            let ours = off(model, network, Kinds(Kind::BFloat16, None));
            println!("{model}: {network} is off by {ours:.5}, the reference's by {theirs:.5}");
            assert!(ours > 1e-4, "{model}: {network} does not compute in bf16");
            worst = worst.max(ours / theirs);
            assert!(ours < BF16, "{model}: {network} is off by {ours}");
            let ours = off(model, network, Kinds(Kind::Float, Some(Kind::BFloat16)));
            println!("{model}: {network} with weights in bf16 is off by {ours:.5}");
            assert!(ours > 1e-4, "{model}: the weights of {network} are not bf16");
            assert!(
                ours < BF16_WEIGHTS,
                "{model}: {network} with weights in bf16 is off by {ours}"
            );
        }
    }
    // Networks of so few numbers round otherwise with every kernel, in f32 and rounded too where the processor has no bf16.
    assert!(worst < 1.15, "a network is {worst} times as far off as the reference's");
}

/// The root of the mean square of what all calls of a network are off, relative to what the reference gives in f32.
fn off(model: &str, network: &str, kinds: Kinds) -> f64 {
    let (mut off, mut size) = (0.0, 0.0);
    let look = |_: &str, ours: &Tensor, recorded: &Tensor| {
        assert_eq!(ours.kind(), kinds.0);
        let square = |x: &Tensor| x.square().sum(Kind::Double).double_value(&[]);
        off += square(&(ours.to_kind(Kind::Float) - recorded));
        size += square(recorded);
    };
    match network {
        "prior" => each_prior_call(model, kinds, look),
        "decoder" => each_decoder_call(model, kinds, look),
        name => each_upsampler_call(model, name, kinds, look),
    }
    (off / size).sqrt()
}

#[test]
fn scheduler_steps_of_a_run_agree_with_the_reference() {
    for model in MODELS {
        let record = Record::read(model, "trace.safetensors");
        for call in Call::all(model) {
            let Some(name) = &call.scheduler else {
                continue;
            };
            let sampler = Sampler::unclip(&families::open_scheduler(&part(model, name)).unwrap());
            let output = record.get(&call.name("output"));
            let output = match sampler.config().variance {
                Variance::LearnedRange => Output::with_variance(output),
                Variance::FixedSmallLog | Variance::FixedSmall => {
                    Output::plain(output.shallow_clone())
                }
            };
            let step = Step { timestep: call.timestep, previous: call.previous };
            let x_t = record.get(&call.name("sample"));
            let result = take_step(&sampler, output, step, x_t, record.0.get(&call.name("noise")));
            agree(
                &format!("{model}: {}", call.name("result")),
                &result,
                record.get(&call.name("result")),
                SCHEDULER,
            );
        }
    }
}
