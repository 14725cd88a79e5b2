//! CLIP's encoders, whose numbers are held to the reference's by the golden cases, and its tokenizer.

use clip::text::{LEGACY_EOS, end_positions};
use clip::{TextConfig, TextEncoder, VisionConfig, VisionEncoder};
use layers::{Activation, Initialiser, Params};
use tch::{Device, Kind, Tensor};

mod known_words;
mod tokenizer;

#[test]
fn the_end_is_the_highest_token_or_the_first_of_its_number() {
    let ids =
        Tensor::from_slice(&[98i64, 5, 99, 0, 0, 98, 99, 99, 99, 99, 98, 1, 2, 3, 4]).view([3, 5]);
    let ends = |eos| Vec::<i64>::try_from(end_positions(&ids, eos)).unwrap();
    assert_eq!(ends(LEGACY_EOS), [2, 1, 0]);
    assert_eq!(ends(99), [2, 1, 0]);
    assert_eq!(ends(0), [3, 0, 0]);
    assert_eq!(ends(3), [0, 0, 3]);
}

fn text_config() -> TextConfig {
    TextConfig {
        vocab_size: 50,
        context_length: 7,
        width: 24,
        layers: 2,
        heads: 3,
        intermediate: 48,
        embedding: 10,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 49,
    }
}

fn vision_config() -> VisionConfig {
    VisionConfig {
        image_size: 12,
        patch_size: 4,
        width: 24,
        layers: 2,
        heads: 3,
        intermediate: 48,
        embedding: 10,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-5,
    }
}

#[test]
fn a_token_sees_only_those_before_it() {
    let source = Initialiser::new(3, Device::Cpu, Kind::Float);
    let encoder = TextEncoder::new(&Params::root(&source), &text_config());
    let one = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49, 0, 0, 0]).view([1, 7]));
    let two = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49, 9, 8, 7]).view([1, 7]));
    let short = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49]).view([1, 4]));
    assert_eq!((one.states.size(), one.embedding.size()), (vec![1, 7, 24], vec![1, 10]));
    let differ = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().max()).unwrap();
    assert!(differ(&one.states.narrow(1, 0, 4), &two.states.narrow(1, 0, 4)) < 1e-6);
    assert!(differ(&one.states.narrow(1, 0, 4), &short.states) < 1e-5);
    assert!(differ(&one.states.narrow(1, 4, 3), &two.states.narrow(1, 4, 3)) > 1e-3);
    assert!(differ(&one.embedding, &two.embedding) < 1e-6, "the first end is pooled");
}

#[test]
fn every_tensor_of_both_encoders_learns_in_both_precisions() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let source = Initialiser::new(4, Device::Cpu, kind);
        let text = TextEncoder::new(&Params::root(&source), &text_config());
        let vision = VisionEncoder::new(&Params::root(&source), &vision_config());
        let made = source.into_parameters();
        made.iter().for_each(|(_, tensor)| drop(tensor.set_requires_grad(true)));
        let ids =
            Tensor::from_slice(&[48i64, 1, 2, 49, 0, 0, 0, 48, 3, 4, 5, 6, 7, 49]).view([2, 7]);
        let pixels = Tensor::arange(2 * 3 * 144, (Kind::Float, Device::Cpu))
            .sin()
            .view([2, 3, 12, 12])
            .to_kind(kind);
        let product = text.forward(&ids).embedding * vision.forward(&pixels);
        assert_eq!(product.kind(), kind);
        product.to_kind(Kind::Float).square().sum(Kind::Float).backward();
        for (name, tensor) in &made {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{name} has no gradient in {kind:?}");
            let largest = f64::try_from(gradient.abs().max()).unwrap();
            // A constant added to every key cancels in the softmax.
            assert!(
                largest.is_finite() && (largest > 0.0 || name.ends_with("k_proj.bias")),
                "{name}: {largest}"
            );
        }
    }
}
