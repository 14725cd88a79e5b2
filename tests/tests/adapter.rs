//! Tensors of other layouts by our names: each operation against what torch's modules compute, and CLIP in OpenAI's.

use std::cell::RefCell;

use clip::{TextConfig, TextEncoder, VisionConfig, VisionEncoder};
use layers::{Activation, Init, Initialiser, Params, Source};
use noise::Generator;
use tch::{Device, Kind, Tensor};
use weights::{Checkpoint, Error, Operation, Packing, Rule, SourceAdapter, save_safetensors};

fn random(seed: u64, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&Generator::new(seed).normal(count)).view(shape)
}

/// A checkpoint of these tensors.
fn checkpoint(tensors: &[(String, Tensor)]) -> Checkpoint {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("theirs.safetensors");
    save_safetensors(&path, tensors, Kind::Float).unwrap();
    let bytes = std::fs::read(path).unwrap();
    Checkpoint::from_bytes("theirs", &bytes, "the model", Device::Cpu, Kind::Float).unwrap()
}

fn named<const N: usize>(tensors: [(&str, &Tensor); N]) -> Vec<(String, Tensor)> {
    tensors.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).into()
}

fn take(source: &impl Source, name: &str, shape: &[i64]) -> Tensor {
    source.take(name, shape, Init::Zeros)
}

fn heads(prefix: &str) -> [String; 3] {
    ["q", "k", "v"].map(|leaf| format!("{prefix}.{leaf}.*"))
}

const Q: [&str; 3] = ["q", "k", "v"];

#[test]
fn renamed_blocks_keep_their_numbers() {
    let weights = [1, 2, 12].map(|n| random(n, &[2, 3]));
    let source = checkpoint(&named([
        ("input_blocks.1.0.weight", &weights[0]),
        ("input_blocks.2.0.weight", &weights[1]),
        ("input_blocks.12.0.weight", &weights[2]),
        ("same.weight", &weights[0]),
    ]));
    let ours =
        SourceAdapter::new(source, vec![Rule::rename("down.*.conv.*", "input_blocks.*.0.*")]);
    for (number, weight) in [1, 2, 12].into_iter().zip(&weights) {
        assert_eq!(take(&ours, &format!("down.{number}.conv.weight"), &[2, 3]), *weight);
    }
    assert_eq!(take(&ours, "same.weight", &[2, 3]), weights[0], "no rule is about it");
    ours.into_inner().finish().unwrap();
}

#[test]
fn stacked_queries_keys_and_values_are_thirds_of_the_product() {
    let (weight, bias, x) = (random(1, &[12, 4]), random(2, &[12]), random(3, &[5, 4]));
    let source =
        checkpoint(&named([("attn.in_proj_weight", &weight), ("attn.in_proj_bias", &bias)]));
    let rules = Rule::unpack(&heads("attention"), "attn.in_proj_*", Packing::Stacked);
    let ours = SourceAdapter::new(source, rules);
    let thirds = x.linear(&weight, Some(&bias)).chunk(3, -1);
    for (leaf, third) in Q.into_iter().zip(thirds) {
        let weight = take(&ours, &format!("attention.{leaf}.weight"), &[4, 4]);
        let bias = take(&ours, &format!("attention.{leaf}.bias"), &[4]);
        assert!(weight.is_contiguous());
        assert!(x.linear(&weight, Some(&bias)).allclose(&third, 1e-6, 1e-6, false), "{leaf}");
    }
    ours.into_inner().finish().unwrap();
}

#[test]
fn queries_keys_and_values_packed_head_by_head_are_split_within_each() {
    const HEADS: i64 = 3;
    const WIDTH: i64 = 2;
    let channels = HEADS * WIDTH;
    // guided-diffusion's attention: a convolution over [N, C, T], whose answer is [N * heads, 3 * width, T].
    let (weight, bias) = (random(1, &[3 * channels, channels, 1]), random(2, &[3 * channels]));
    let x = random(3, &[1, channels, 5]);
    let packed = x.conv1d(&weight, Some(&bias), 1, 0, 1, 1).view([HEADS, 3 * WIDTH, 5]);
    let source = checkpoint(&named([("qkv.weight", &weight), ("qkv.bias", &bias)]));
    let packing = Packing::PerHead { head_width: WIDTH };
    let weights = Q.map(|leaf| format!("{leaf}.weight"));
    let biases = Q.map(|leaf| format!("{leaf}.bias"));
    let mut rules = Rule::unpack(&biases, "qkv.bias", packing);
    for (part, name) in (0..).zip(&weights) {
        let unpack = Operation::Unpack { part, parts: 3, packing };
        rules.push(Rule::rename(name, "qkv.weight").then(Operation::Squeeze).then(unpack));
    }
    let ours = SourceAdapter::new(source, rules);
    for (part, leaf) in (0..).zip(Q) {
        let weight = take(&ours, &format!("{leaf}.weight"), &[channels, channels]);
        let bias = take(&ours, &format!("{leaf}.bias"), &[channels]);
        let answer = x.get(0).tr().linear(&weight, Some(&bias)); // [T, C]
        let wanted = packed.narrow(1, part * WIDTH, WIDTH).reshape([channels, 5]).tr();
        assert!(answer.allclose(&wanted, 1e-5, 1e-6, false), "{leaf}");
    }
    ours.into_inner().finish().unwrap();
}

#[test]
fn a_matrix_on_the_right_is_transposed_and_a_convolution_over_single_positions_squeezed() {
    let (projection, kernel) = (random(1, &[4, 6]), random(2, &[3, 4, 1]));
    let source = checkpoint(&named([("proj", &projection), ("proj_out.weight", &kernel)]));
    let rules = vec![
        Rule::rename("projection.weight", "proj").then(Operation::Transpose),
        Rule::rename("out.weight", "proj_out.weight").then(Operation::Squeeze),
    ];
    let ours = SourceAdapter::new(source, rules);
    let x = random(3, &[5, 4]);
    let weight = take(&ours, "projection.weight", &[6, 4]);
    assert!(weight.is_contiguous());
    let answer = x.linear(&weight, None::<&Tensor>);
    assert!(answer.allclose(&x.matmul(&projection), 1e-6, 1e-6, false));
    let weight = take(&ours, "out.weight", &[3, 4]);
    let wanted = x.tr().unsqueeze(0).conv1d(&kernel, None::<&Tensor>, 1, 0, 1, 1); // [1, 3, T]
    let answer = x.linear(&weight, None::<&Tensor>);
    assert!(answer.allclose(&wanted.get(0).tr(), 1e-6, 1e-6, false));
    ours.into_inner().finish().unwrap();
}

#[test]
fn what_is_wrong_is_reported_once_and_in_their_names() {
    let source = checkpoint(&named([
        ("attn.in_proj_weight", &random(1, &[12, 5])),
        ("leftover", &random(2, &[2])),
    ]));
    let rules = Rule::unpack(&heads("attention"), "attn.in_proj_*", Packing::Stacked);
    let ours = SourceAdapter::new(source, rules);
    for leaf in Q {
        let placeholder = take(&ours, &format!("attention.{leaf}.weight"), &[1 << 19, 1 << 20]);
        assert_eq!(placeholder.size(), [1 << 19, 1 << 20]);
        let _ = take(&ours, &format!("attention.{leaf}.bias"), &[4]);
    }
    let Err(Error::Tensors { problems, .. }) = ours.into_inner().finish() else {
        panic!("it fits");
    };
    assert_eq!(problems.missing, ["attn.in_proj_bias"]);
    assert_eq!(problems.unused, ["leftover"]);
    let shapes = (vec![12, 5], vec![3 << 19, 1 << 20]);
    assert_eq!(problems.misshapen, [("attn.in_proj_weight".to_owned(), shapes.0, shapes.1)]);
}

/// A source that keeps what it gives out, by name.
struct Recording(Initialiser, RefCell<Vec<(String, Tensor)>>);

impl Source for Recording {
    fn take(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        let tensor = self.0.take(name, shape, Init::Normal(0.3));
        self.1.borrow_mut().push((name.to_owned(), tensor.shallow_clone()));
        tensor
    }
}

/// Tensors by transformers' names in the layout of OpenAI's `model.py`.
fn openai(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    let mut theirs: Vec<(String, Tensor)> = Vec::new();
    for (name, tensor) in tensors {
        let name = name.replace("vision_model.", "visual.").replace("text_model.", "");
        let name = name
            .replace("encoder.layers", "transformer.resblocks")
            .replace("embeddings.", "")
            .replace("position_embedding.weight", "positional_embedding")
            .replace("final_layer_norm", "ln_final")
            .replace("pre_layrnorm", "ln_pre")
            .replace("post_layernorm", "ln_post")
            .replace("patch_embedding", "conv1")
            .replace("layer_norm", "ln_")
            .replace("mlp.fc1", "mlp.c_fc")
            .replace("mlp.fc2", "mlp.c_proj")
            .replace("self_attn", "attn");
        let (name, tensor) = match &*name {
            "text_projection.weight" => ("text_projection".to_owned(), tensor.tr().contiguous()),
            "visual_projection.weight" => ("visual.proj".to_owned(), tensor.tr().contiguous()),
            _ => (name, tensor),
        };
        // Queries, keys and values come one after another.
        let packed = ["q_proj.", "k_proj.", "v_proj."].iter().find(|leaf| name.contains(**leaf));
        let name = packed.map_or(name.clone(), |leaf| name.replace(leaf, "in_proj_"));
        match theirs.iter_mut().find(|(other, _)| *other == name) {
            Some((_, whole)) => *whole = Tensor::cat(&[&*whole, &tensor], 0),
            None => theirs.push((name, tensor)),
        }
    }
    theirs
}

#[test]
fn clip_in_openais_layout_computes_the_same() {
    let text = TextConfig {
        vocab_size: 20,
        context_length: 6,
        width: 8,
        layers: 2,
        heads: 2,
        intermediate: 32,
        embedding: 5,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 19,
    };
    let vision = VisionConfig {
        image_size: 8,
        patch_size: 4,
        width: 8,
        layers: 2,
        heads: 2,
        intermediate: 32,
        embedding: 5,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
    };
    let ours = Recording(Initialiser::new(7, Device::Cpu, Kind::Float), RefCell::default());
    let towers = |p: &Params| (TextEncoder::new(p, &text), VisionEncoder::new(p, &vision));
    let (text_encoder, image_encoder) = towers(&Params::root(&ours));
    let source = checkpoint(&openai(ours.1.into_inner()));
    assert!(source.shape("transformer.resblocks.1.attn.in_proj_weight") == Some(&[24, 8]));
    assert!(source.shape("visual.proj") == Some(&[8, 5]));
    let renamed = SourceAdapter::new(source, families::openai_clip());
    let (their_text, their_image) = towers(&Params::root(&renamed));
    renamed.into_inner().finish().unwrap();
    let ids = Tensor::from_slice(&[18i64, 3, 4, 19, 0, 0]).view([1, 6]);
    assert_eq!(their_text.forward(&ids).embedding, text_encoder.forward(&ids).embedding);
    let pixels = random(9, &[2, 3, 8, 8]);
    assert_eq!(their_image.forward(&pixels), image_encoder.forward(&pixels));
}
