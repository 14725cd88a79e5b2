//! GLIDE's networks without golden data: published sizes, where there is attention, padding, pooling and gradients.

use clip::{NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder};
use decoder::{
    AttentionConfig, Conditions, StepConditions, TextTransformer, TextTransformerConfig, UNet,
    UNetConfig,
};
use layers::{Activation, Params, Transformer, TransformerConfig};
use tch::{Device, IndexOp, Kind, Tensor, no_grad};

use crate::models::{Recorder, distance, lively, mask, values};

/// The largest distance as a share of the largest value.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    distance(&a.to_kind(Kind::Float), b) / b.abs().max().double_value(&[])
}

fn ids(tokens: &[i64]) -> Tensor {
    Tensor::from_slice(tokens).unsqueeze(0)
}

/// A published network of GLIDE (filtered).
fn published_unet(upsampler: bool, in_channels: i64) -> UNetConfig {
    let multiples: &[i64] = if upsampler { &[1, 1, 2, 2, 4, 4] } else { &[1, 2, 3, 4] };
    UNetConfig {
        sample_size: if upsampler { 256 } else { 64 },
        in_channels,
        out_channels: 6,
        block_out_channels: multiples.iter().map(|multiple| 192 * multiple).collect(),
        layers_per_block: if upsampler { 2 } else { 3 },
        attention: Some(AttentionConfig {
            head_width: 64,
            context_width: 512,
            finest_level: if upsampler { 3 } else { 1 },
        }),
        scale_shift: true,
        norm_groups: 32,
        norm_eps: 1e-5,
    }
}

#[test]
fn the_networks_have_the_published_sizes() {
    let text = TextTransformerConfig {
        vocab_size: 50257,
        context_length: 128,
        width: 512,
        layers: 16,
        heads: 8,
        time_width: 768,
    };
    let of_text = Recorder::default();
    TextTransformer::new(&Params::root(&of_text), &text);
    assert_eq!(of_text.parameters(), 76_695_808);
    of_text.assert_shapes(&[
        ("token_embedding.weight", &[50257, 512]),
        ("position_embedding.weight", &[128, 512]),
        ("padding_embedding.weight", &[128, 512]),
        ("encoder.layers.15.self_attn.k_proj.bias", &[512]),
        ("final_layer_norm.bias", &[512]),
        ("time_projection.weight", &[768, 512]),
    ]);
    for (upsampler, in_channels, parameters) in [
        (false, 3, 385_030_726),
        (false, 7, 385_037_638),
        (true, 6, 398_361_286),
        (true, 10, 398_368_198),
    ] {
        let recorder = Recorder::default();
        UNet::new(&Params::root(&recorder), &published_unet(upsampler, in_channels));
        assert_eq!(recorder.parameters() + of_text.parameters(), parameters);
    }
    let recorder = Recorder::default();
    let text = NoisedTextConfig {
        vocab_size: 65536,
        context_length: 77,
        width: 512,
        layers: 12,
        heads: 8,
        embedding: 512,
    };
    NoisedTextEncoder::new(&Params::root(&recorder), &text);
    assert_eq!(recorder.parameters(), 71_679_488);
    recorder.assert_absent(&["k_proj.bias", "text_projection.bias"]);
    let recorder = Recorder::default();
    let image = NoisedImageConfig {
        image_size: 64,
        width: 768,
        layers: 12,
        heads: 12,
        embedding: 512,
        ..NOISED_IMAGE
    };
    NoisedImageEncoder::new(&Params::root(&recorder), &image);
    assert_eq!(recorder.parameters(), 86_443_776);
    recorder.assert_absent(&["k_proj.bias", "class_embedding", "patch_embedding.bias"]);
    recorder.assert_shapes(&[
        ("vision_model.embeddings.timestep_embedding.weight", &[1000, 768]),
        ("vision_model.embeddings.position_embedding.weight", &[257, 768]),
        ("vision_model.pre_layer_norm.weight", &[768]),
        ("vision_model.post_layernorm.weight", &[768]),
        ("visual_projection.weight", &[512, 768]),
    ]);
}

const NOISED_TEXT: NoisedTextConfig = NoisedTextConfig {
    vocab_size: 40,
    context_length: 7,
    width: 16,
    layers: 2,
    heads: 2,
    embedding: 16,
};

const NOISED_IMAGE: NoisedImageConfig = NoisedImageConfig {
    image_size: 16,
    patch_size: 4,
    width: 16,
    layers: 2,
    heads: 2,
    embedding: 16,
    timesteps: 1000,
};

#[test]
fn keys_have_a_bias_where_the_shape_says_so() {
    let names = |key_bias| {
        let recorder = Recorder::default();
        let config = TransformerConfig {
            width: 8,
            layers: 2,
            heads: 2,
            intermediate: 32,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-5,
            key_bias,
        };
        Transformer::new(&Params::root(&recorder), &config);
        recorder.names()
    };
    let (mut with, without) = (names(true), names(false));
    assert!(with.remove("layers.0.self_attn.k_proj.bias"));
    assert!(with.remove("layers.1.self_attn.k_proj.bias"));
    assert_eq!(with, without);
}

fn tiny_unet(finest_level: usize) -> UNetConfig {
    UNetConfig {
        sample_size: 8,
        in_channels: 7,
        out_channels: 6,
        block_out_channels: vec![8, 16, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 8, context_width: 12, finest_level }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    }
}

#[test]
fn attention_begins_at_its_finest_level() {
    for finest in 0..=3 {
        let recorder = Recorder::default();
        UNet::new(&Params::root(&recorder), &tiny_unet(finest));
        let attends = |part: &str| {
            let part = format!("{part}.attentions.");
            recorder.names().iter().any(|name| name.starts_with(&part))
        };
        for level in 0..3 {
            assert_eq!(attends(&format!("down_blocks.{level}")), level >= finest);
            assert_eq!(attends(&format!("up_blocks.{}", 2 - level)), level >= finest);
        }
        assert!(attends("mid_block"));
    }
}

#[test]
fn a_finest_level_of_one_stays_unwritten() {
    let json = |finest_level| {
        let config = AttentionConfig { head_width: 8, context_width: 12, finest_level };
        serde_json::to_value(config).unwrap()
    };
    assert_eq!(json(1), serde_json::json!({ "head_width": 8, "context_width": 12 }));
    for finest in 0..=3 {
        let read: AttentionConfig = serde_json::from_value(json(finest)).unwrap();
        assert_eq!(read.finest_level, finest);
    }
}

#[test]
fn no_mask_is_as_a_mask_of_all_tokens() {
    let source = lively(21);
    let unet = UNet::new(&Params::root(&source), &tiny_unet(1));
    let x = values(22, &[2, 7, 8, 8]);
    let timesteps = Tensor::from_slice(&[20i64, 20, 900, 900]);
    let steps = |mask: Option<Tensor>| -> StepConditions {
        let (added, context) = (values(23, &[2, 32]), values(24, &[2, 5, 12]));
        let conditions = Conditions { added, context, mask };
        unet.precompute(&timesteps, Some(&conditions), Kind::Float)
    };
    let all = Tensor::ones([2, 5], (Kind::Bool, Device::Cpu));
    let (without, with) = (steps(None), steps(Some(all)));
    assert_eq!(without.tensors().len() + 1, with.tensors().len());
    let at_step = |steps: &StepConditions| steps.at_step(1, 2, 2);
    let predicted = unet.denoise(&x, &at_step(&without));
    assert!(relative(&predicted, &unet.denoise(&x, &at_step(&with))) < 1e-5);
    for steps in [without, with] {
        let step = at_step(&steps);
        let replaced = at_step(&steps).with_tensors(&step.tensors());
        assert_eq!(distance(&unet.denoise(&x, &step), &unet.denoise(&x, &replaced)), 0.0);
    }
    // Every token counts: the last, too.
    let mut some = vec![true; 10];
    some[4] = false;
    let masked = steps(Some(Tensor::from_slice(&some).view([2, 5])));
    let masked = unet.denoise(&x, &at_step(&masked));
    assert!(distance(&predicted.i(0), &masked.i(0)) > 1e-4);
    assert!(relative(&masked.i(1), &predicted.i(1)) < 1e-5);
}

const TEXT: TextTransformerConfig = TextTransformerConfig {
    vocab_size: 40,
    context_length: 6,
    width: 16,
    layers: 2,
    heads: 2,
    time_width: 24,
};

#[test]
fn padding_is_embedded_by_its_place_alone() {
    let source = lively(25);
    let transformer = TextTransformer::new(&Params::root(&source), &TEXT);
    let encode = |tokens: &[i64], real| transformer.forward(&ids(tokens), &mask(real, 6));
    let Conditions { added, context, mask } = encode(&[3, 7, 7, 39, 0, 1], 4);
    assert_eq!((added.size(), context.size()), (vec![1, 24], vec![1, 6, 16]));
    assert!(mask.is_none());
    let other = encode(&[3, 7, 7, 39, 39, 20], 4);
    assert_eq!(distance(&context, &other.context), 0.0);
    assert_eq!(distance(&added, &other.added), 0.0);
    // A real token, also behind another one, and the padding itself are seen from everywhere.
    for other in [encode(&[3, 7, 7, 38, 0, 1], 4), encode(&[3, 7, 7, 39, 0, 1], 6)] {
        for position in 0..6 {
            assert!(distance(&context.i((0, position)), &other.context.i((0, position))) > 1e-4);
        }
        assert!(distance(&added, &other.added) > 1e-4);
    }
}

#[test]
fn the_last_position_is_pooled() {
    let source = lively(26);
    let transformer = TextTransformer::new(&Params::root(&source), &TEXT);
    let Conditions { added, context, .. } =
        transformer.forward(&ids(&[3, 7, 9, 4, 0, 1]), &mask(2, 6));
    let parameters = source.0.into_parameters();
    let parameter =
        |name: &str| parameters.iter().find(|(taken, _)| taken == name).map(|(_, tensor)| tensor);
    let weight = parameter("time_projection.weight").unwrap();
    let expected = context.i((.., 5)).linear(weight, parameter("time_projection.bias"));
    assert!(relative(&added, &expected) < 1e-6);
}

#[test]
fn a_noised_caption_is_pooled_at_its_end() {
    let source = lively(27);
    let encoder = NoisedTextEncoder::new(&Params::root(&source), &NOISED_TEXT);
    let encode = |tokens: &[i64], length| encoder.forward(&ids(tokens), &[length]);
    let embedding = encode(&[1, 5, 9, 2, 0, 0, 0], 4);
    assert_eq!(embedding.size(), [1, 16]);
    assert!((embedding.norm().double_value(&[]) - 1.0).abs() < 1e-6);
    assert!(distance(&embedding, &encode(&[1, 5, 9, 2, 8, 8, 8], 4)) < 1e-6);
    assert!(distance(&embedding, &encode(&[1, 5, 9, 2], 4)) < 1e-6);
    for other in [encode(&[1, 6, 9, 2, 0, 0, 0], 4), encode(&[1, 5, 9, 2, 0, 0, 0], 3)] {
        assert!(distance(&embedding, &other) > 1e-3);
    }
    let both = Tensor::from_slice(&[1i64, 5, 9, 2, 0, 0, 0, 1, 5, 9, 4, 4, 4, 2]).view([2, 7]);
    let both = encoder.forward(&both, &[4, 7]);
    assert!(distance(&embedding, &both.i(..1)) < 1e-6);
    assert!(distance(&encode(&[1, 5, 9, 4, 4, 4, 2], 7), &both.i(1..)) < 1e-6);
}

#[test]
fn a_noised_images_gradient_is_that_of_finite_differences() {
    let source = lively(28);
    let encoder = NoisedImageEncoder::new(&Params::root(&source), &NOISED_IMAGE);
    let images = values(29, &[2, 3, 16, 16]);
    let timesteps = Tensor::from_slice(&[7i64, 930]);
    let target = values(30, &[2, 16]);
    let similarity = |images: &Tensor| {
        let embedding = encoder.forward(images, &timesteps);
        (embedding * &target).sum(Kind::Double)
    };
    let variable = images.copy().set_requires_grad(true);
    similarity(&variable).backward();
    let gradient = variable.grad();
    for direction in [values(31, &[2, 3, 16, 16]), gradient.sign()] {
        let moved =
            |by: f64| no_grad(|| similarity(&(&images + &direction * by)).double_value(&[]));
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let expected = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
        assert!(expected.abs() > 0.01, "{expected}");
        assert!((slope - expected).abs() < 0.01 * expected.abs(), "{slope} and {expected}");
    }

    // Each embedding has norm 1, and the timestep is read.
    let embedding = encoder.forward(&images, &timesteps);
    let norms = embedding.norm_scalaropt_dim(2, [-1i64], false);
    assert!(distance(&norms, &norms.ones_like()) < 1e-6);
    let later = encoder.forward(&images, &Tensor::from_slice(&[8i64, 930]));
    assert!(distance(&embedding.i(0), &later.i(0)) > 1e-3);
    assert!(distance(&embedding.i(1), &later.i(1)) < 1e-6);
}

#[test]
fn bf16_stays_near_f32() {
    /// The results of `output` for a source of parameters in either kind, with the same values.
    fn in_both(output: impl Fn(&Params) -> Tensor) -> [Tensor; 2] {
        [Kind::Float, Kind::BFloat16].map(|kind| {
            let mut source = lively(32);
            source.1 = kind;
            output(&Params::root(&source))
        })
    }
    let [exact, rounded] = in_both(|p| {
        let transformer = TextTransformer::new(p, &TEXT);
        let Conditions { added, context, .. } =
            transformer.forward(&ids(&[3, 7, 9, 4, 0, 1]), &mask(2, 6));
        Tensor::cat(&[added.flatten(0, -1), context.flatten(0, -1)], 0)
    });
    assert_eq!(rounded.kind(), Kind::BFloat16);
    let off = relative(&rounded, &exact);
    assert!(off > 0.0 && off < 0.03, "{off}");
    let [exact, rounded] = in_both(|p| {
        NoisedTextEncoder::new(p, &NOISED_TEXT).forward(&ids(&[1, 5, 9, 2, 0, 0, 0]), &[4])
    });
    let off = relative(&rounded, &exact);
    assert!(rounded.kind() == Kind::Float && off > 0.0 && off < 0.03, "{off}");
    let [exact, rounded] = in_both(|p| {
        let encoder = NoisedImageEncoder::new(p, &NOISED_IMAGE);
        let images = values(33, &[1, 3, 16, 16]).set_requires_grad(true);
        let embedding = encoder.forward(&images, &Tensor::from_slice(&[930i64]));
        (embedding * values(34, &[1, 16])).sum(Kind::Float).backward();
        images.grad()
    });
    let off = relative(&rounded, &exact);
    assert!(rounded.kind() == Kind::Float && off > 0.0 && off < 0.05, "{off}");
}
