//! GLIDE's tokenizers, networks and images against those of its public code, for tiny models (recorded by
//! golden/record_glide.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use decoder::Conditions;
use families::glide;
use kernels::channels_last;
use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};
use weights::Folder;

use crate::golden::{NETWORK, agree};

mod pictures;

/// The published files with U-Nets: as they are called in the record, and their components.
const UNETS: [(&str, &str, &str); 4] = [
    ("base", glide::DECODER, glide::DECODER_TEXT_ENCODER),
    ("upsample", glide::UPSAMPLER, glide::UPSAMPLER_TEXT_ENCODER),
    ("base_inpaint", glide::INPAINT_DECODER, glide::INPAINT_DECODER_TEXT_ENCODER),
    ("upsample_inpaint", glide::INPAINT_UPSAMPLER, glide::INPAINT_UPSAMPLER_TEXT_ENCODER),
];

/// Tokens of a caption, for the U-Nets and for the noised CLIP.
const CONTEXT: usize = 16;
const CLIP_CONTEXT: usize = 20;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/glide")
}

/// The published files.
fn model() -> Folder {
    Folder::open(data().join("model")).unwrap()
}

fn json<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    serde_json::from_slice(&std::fs::read(data().join(file)).unwrap()).unwrap()
}

/// The recorded inputs and outputs of the networks.
struct Record(HashMap<String, Tensor>);

impl Record {
    fn read(file: &str) -> Self {
        Self(weights::load_safetensors(data().join(file)).unwrap().into_iter().collect())
    }

    fn get(&self, network: &str, value: &str) -> &Tensor {
        let name = format!("{network}.{value}");
        self.0.get(&name).unwrap_or_else(|| panic!("{name} was not recorded"))
    }
}

#[derive(Deserialize)]
struct Row {
    caption: String,
    ids: Vec<i64>,
    mask: Vec<bool>,
    clip_ids: Vec<i64>,
    clip_length: i64,
}

#[test]
fn captions_become_the_references_tokens() {
    let tokenizer = glide::open_caption_tokenizer(&model()).unwrap();
    let tokenizer = tokenizer.with_context_length(CONTEXT).unwrap();
    let clip = glide::open_noised_clip_tokenizer(&model()).unwrap();
    let clip = clip.with_context_length(CLIP_CONTEXT).unwrap();
    for row in json::<Vec<Row>>("tokens.json") {
        let tokens = tokenizer.encode(&[&row.caption]).unwrap();
        assert_eq!(integers(&tokens.ids), row.ids, "{:?}", row.caption);
        let mask: Vec<bool> = integers(&tokens.mask).into_iter().map(|real| real == 1).collect();
        assert_eq!(mask, row.mask, "the mask of {:?}", row.caption);
        let tokens = clip.encode(&[&row.caption]).unwrap();
        assert_eq!(integers(&tokens.ids), row.clip_ids, "CLIP's of {:?}", row.caption);
        let length: i64 = integers(&tokens.mask).into_iter().sum();
        assert_eq!(length, row.clip_length, "CLIP's length of {:?}", row.caption);
    }
}

fn integers(values: &Tensor) -> Vec<i64> {
    values.flatten(0, -1).to_kind(Kind::Int64).try_into().unwrap()
}

#[test]
fn text_transformers_agree_with_the_reference_with_and_without_padding() {
    let record = Record::read("networks.safetensors");
    for (network, _, component) in UNETS {
        let get = |value: &str| record.get(network, value);
        let padded = integers(&get("mask").logical_not().sum_dim_intlist(1, false, Kind::Int64));
        assert!(padded.contains(&0) && padded.contains(&(CONTEXT as i64)), "{padded:?}");
        let encoder =
            glide::open_text_transformer(&model(), component, Device::Cpu, Kind::Float).unwrap();
        let conditions = no_grad(|| encoder.forward(get("ids"), get("mask")));
        agree(&format!("{network}: context"), &conditions.context, get("context"), NETWORK);
        agree(&format!("{network}: added"), &conditions.added, get("added"), NETWORK);
        assert!(conditions.mask.is_none(), "{network}: padding is attended to");
    }
}

#[test]
fn unets_agree_with_the_reference() {
    let record = Record::read("networks.safetensors");
    for (network, component, _) in UNETS {
        let output = unet_output(&record, network, component, Kind::Float);
        agree(&format!("{network}: output"), &output, record.get(network, "output"), NETWORK);
    }
}

/// The output of our U-Net of this kind for the recorded input, timesteps and states of the text.
fn unet_output(record: &Record, network: &str, component: &'static str, kind: Kind) -> Tensor {
    let get = |value: &str| record.get(network, value);
    let unet = glide::open_unet(&model(), component, Device::Cpu, kind).unwrap();
    let conditions = Conditions {
        added: get("added").to_kind(kind),
        context: get("context").to_kind(kind),
        mask: None,
    };
    let input = match kind {
        Kind::BFloat16 => channels_last(&get("input").to_kind(kind)), // as the pipeline lays it out
        _ => get("input").shallow_clone(),
    };
    no_grad(|| unet.forward(&input, get("timesteps"), Some(&conditions)))
}

/// The reference keeps norms, time embeddings and the last convolution in f32; our networks compute in one dtype, so that they
/// may be half as far off again. Beside it stands what the reference in bf16 is off, the root of the mean square.
#[test]
fn unets_in_bf16_are_about_as_far_off_as_the_references() {
    let record = Record::read("networks.safetensors");
    let recorded: HashMap<String, HashMap<String, f64>> = json("half.json");
    for (network, component, _) in UNETS {
        let exact = record.get(network, "output");
        let output = unet_output(&record, network, component, Kind::BFloat16);
        assert_eq!(output.kind(), Kind::BFloat16);
        let square = |x: &Tensor| x.square().sum(Kind::Double).double_value(&[]);
        let ours = (square(&(output.to_kind(Kind::Float) - exact)) / square(exact)).sqrt();
        let theirs = recorded[network]["bf16"];
        println!("{network} is off by {ours:.5}, the reference's by {theirs:.5}");
        assert!(ours > 1e-4, "{network} does not compute in bf16");
        assert!(ours < 1.5 * theirs, "{network} is off by {ours}, the reference's by {theirs}");
    }
}

#[test]
fn noised_clip_agrees_with_the_reference_at_every_timestep() {
    let record = Record::read("networks.safetensors");
    let (captions, images) = (recorded_captions(&record), "clip_image");
    agree("captions", &captions, record.get("clip_text", "embedding"), NETWORK);
    let encoder = glide::open_noised_image_encoder(&model(), Device::Cpu, Kind::Float).unwrap();
    let embeddings =
        no_grad(|| encoder.forward(record.get(images, "images"), record.get(images, "timesteps")));
    agree("images", &embeddings, record.get(images, "embedding"), NETWORK);
}

fn recorded_captions(record: &Record) -> Tensor {
    let encoder = glide::open_noised_text_encoder(&model(), Device::Cpu, Kind::Float).unwrap();
    let lengths = integers(record.get("clip_text", "lengths"));
    no_grad(|| encoder.forward(record.get("clip_text", "ids"), &lengths))
}

/// The gradient with which CLIP guides, of a scale of 3.
#[test]
fn gradient_of_the_noised_clip_agrees_with_the_references() {
    let record = Record::read("networks.safetensors");
    let captions = recorded_captions(&record);
    let encoder = glide::open_noised_image_encoder(&model(), Device::Cpu, Kind::Float).unwrap();
    let images = record.get("clip_image", "images").copy().set_requires_grad(true);
    let embeddings = encoder.forward(&images, record.get("clip_image", "timesteps"));
    let similarity: Tensor = 100.0 * (embeddings * captions).sum(Kind::Float);
    let gradient = Tensor::run_backward(&[similarity], &[&images], false, false).remove(0);
    agree("gradient", &(gradient * 3.0), record.get("clip_image", "gradient"), NETWORK);
}
