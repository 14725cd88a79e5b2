//! The prior and the decoder without golden data: published names and shapes, and what padding may change.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use decoder::{AttentionConfig, Conditioning, ConditioningConfig, Conditions, UNet, UNetConfig};
use layers::{Init, Initialiser, Params, Source};
use prior::{Prior, PriorConfig};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Notes every name and shape asked for; what it hands out has the shape but only one value of storage.
#[derive(Default)]
pub(crate) struct Recorder {
    asked: RefCell<BTreeMap<String, Vec<i64>>>,
}

impl Source for Recorder {
    fn take(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        let before = self.asked.borrow_mut().insert(name.to_owned(), shape.to_vec());
        assert!(before.is_none(), "{name} is taken twice");
        Tensor::zeros([1], CPU).expand(shape, false)
    }
}

impl Recorder {
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.asked.borrow().keys().cloned().collect()
    }

    pub(crate) fn parameters(&self) -> i64 {
        self.asked.borrow().values().map(|shape| shape.iter().product::<i64>()).sum()
    }

    pub(crate) fn assert_shapes(&self, expected: &[(&str, &[i64])]) {
        let asked = self.asked.borrow();
        for &(name, shape) in expected {
            assert_eq!(asked.get(name).map(Vec::as_slice), Some(shape), "{name}");
        }
    }

    pub(crate) fn assert_absent(&self, parts: &[&str]) {
        for part in parts {
            let found: Vec<_> =
                self.asked.borrow().keys().filter(|name| name.contains(part)).cloned().collect();
            assert!(found.is_empty(), "{part} should not be there, but {found:?} are");
        }
    }
}

fn karlo_unet(decoder: bool) -> UNetConfig {
    UNetConfig {
        sample_size: if decoder { 64 } else { 256 },
        in_channels: if decoder { 3 } else { 6 },
        out_channels: if decoder { 6 } else { 3 },
        block_out_channels: vec![320, 640, 960, 1280],
        layers_per_block: 3,
        attention: decoder.then_some(AttentionConfig {
            head_width: 64,
            context_width: 1536,
            finest_level: 1,
        }),
        scale_shift: decoder,
        norm_groups: 32,
        norm_eps: 1e-5,
    }
}

#[test]
fn the_prior_takes_karlos_names_and_shapes() {
    let config = PriorConfig {
        embedding: 768,
        text_width: 768,
        context_length: 77,
        heads: 32,
        head_width: 64,
        layers: 20,
    };
    let recorder = Recorder::default();
    Prior::new(&Params::root(&recorder), &config);
    let statistics = 2 * 768;
    assert_eq!(recorder.parameters(), 1_022_028_544 + statistics);
    recorder.assert_shapes(&[
        ("time_embedding.linear_1.weight", &[2048, 2048]),
        ("proj_in.weight", &[2048, 768]),
        ("embedding_proj.bias", &[2048]),
        ("encoder_hidden_states_proj.weight", &[2048, 768]),
        ("positional_embedding", &[1, 81, 2048]),
        ("prd_embedding", &[1, 1, 2048]),
        ("transformer_blocks.0.norm1.weight", &[2048]),
        ("transformer_blocks.19.attn1.to_q.bias", &[2048]),
        ("transformer_blocks.19.attn1.to_out.0.weight", &[2048, 2048]),
        ("transformer_blocks.7.norm3.bias", &[2048]),
        ("transformer_blocks.7.ff.net.0.proj.weight", &[8192, 2048]),
        ("transformer_blocks.7.ff.net.2.weight", &[2048, 8192]),
        ("norm_out.bias", &[2048]),
        ("proj_to_clip_embeddings.weight", &[768, 2048]),
        ("clip_mean", &[1, 768]),
        ("clip_std", &[1, 768]),
    ]);
    recorder.assert_absent(&["norm2", "causal_attention_mask"]);
}

#[test]
fn the_conditioning_takes_karlos_names_and_shapes() {
    let config = ConditioningConfig {
        embedding: 768,
        text_width: 768,
        time_width: 1280,
        context_width: 1536,
        extra_tokens: 4,
    };
    let recorder = Recorder::default();
    Conditioning::new(&Params::root(&recorder), &config);
    assert_eq!(recorder.parameters(), 7_878_400);
    recorder.assert_shapes(&[
        ("learned_classifier_free_guidance_embeddings", &[768]),
        ("embedding_proj.weight", &[1280, 768]),
        ("clip_image_embeddings_project_to_time_embeddings.weight", &[1280, 768]),
        ("clip_extra_context_tokens_proj.weight", &[6144, 768]),
        ("encoder_hidden_states_proj.weight", &[1536, 768]),
        ("text_encoder_hidden_states_norm.bias", &[1536]),
    ]);
}

#[test]
fn the_decoder_takes_karlos_names_and_shapes() {
    let recorder = Recorder::default();
    UNet::new(&Params::root(&recorder), &karlo_unet(true));
    assert_eq!(recorder.parameters(), 885_439_686);
    recorder.assert_shapes(&[
        ("conv_in.weight", &[320, 3, 3, 3]),
        ("time_embedding.linear_1.weight", &[1280, 320]),
        ("down_blocks.0.downsamplers.0.conv1.weight", &[320, 320, 3, 3]),
        ("down_blocks.1.resnets.0.conv_shortcut.weight", &[640, 320, 1, 1]),
        ("down_blocks.1.resnets.0.time_emb_proj.weight", &[1280, 1280]),
        ("down_blocks.3.attentions.2.add_k_proj.weight", &[1280, 1536]),
        ("mid_block.attentions.0.to_out.0.weight", &[1280, 1280]),
        ("mid_block.resnets.1.norm2.bias", &[1280]),
        ("up_blocks.0.resnets.0.norm1.weight", &[2560]),
        ("up_blocks.0.resnets.3.conv1.weight", &[1280, 2240, 3, 3]),
        ("up_blocks.0.upsamplers.0.time_emb_proj.weight", &[2560, 1280]),
        ("up_blocks.1.resnets.0.conv1.weight", &[960, 2240, 3, 3]),
        ("up_blocks.3.resnets.3.conv1.weight", &[320, 640, 3, 3]),
        ("conv_norm_out.weight", &[320]),
        ("conv_out.weight", &[6, 320, 3, 3]),
    ]);
    recorder.assert_absent(&[
        "down_blocks.0.attentions",
        "down_blocks.3.downsamplers",
        "up_blocks.3.attentions",
        "up_blocks.3.upsamplers",
        "samplers.0.conv_shortcut",
    ]);
}

#[test]
fn the_upsampler_takes_karlos_names_and_shapes() {
    let recorder = Recorder::default();
    UNet::new(&Params::root(&recorder), &karlo_unet(false));
    assert_eq!(recorder.parameters(), 691_579_523);
    recorder.assert_shapes(&[
        ("conv_in.weight", &[320, 6, 3, 3]),
        ("down_blocks.1.resnets.0.time_emb_proj.weight", &[640, 1280]),
        ("conv_out.weight", &[3, 320, 3, 3]),
    ]);
    recorder.assert_absent(&["attentions"]);
}

/// Deterministic values that are all different: `[shape]` around 0, other ones for another `seed`.
pub(crate) fn values(seed: u64, shape: &[i64]) -> Tensor {
    Initialiser::new(seed, Device::Cpu, Kind::Float).take("values", shape, Init::Normal(1.0))
}

/// Makes tensors as a new model has them, except that none is left at zero, and rounds them to a kind.
pub(crate) struct Lively(pub(crate) Initialiser, pub(crate) Kind);

impl Source for Lively {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let init = if init == Init::Zeros { Init::Normal(0.1) } else { init };
        self.0.take(name, shape, init).to_kind(self.1)
    }
}

pub(crate) fn lively(seed: u64) -> Lively {
    Lively(Initialiser::new(seed, Device::Cpu, Kind::Float), Kind::Float)
}

/// True at the first `real` of `tokens`, one row.
pub(crate) fn mask(real: i64, tokens: i64) -> Tensor {
    Tensor::arange(tokens, (Kind::Int64, Device::Cpu)).lt(real).unsqueeze(0)
}

/// `x [1, T, D]` with other values from token `first` on.
fn changed_from(x: &Tensor, first: i64) -> Tensor {
    let x = x.copy();
    let tail = x.size()[1] - first;
    let _ = x.narrow(1, first, tail).fill_(3.0);
    x
}

pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn the_prior_ignores_padding_and_nothing_else() {
    let config = PriorConfig {
        embedding: 12,
        text_width: 10,
        context_length: 6,
        heads: 2,
        head_width: 8,
        layers: 3,
    };
    let source = lively(1);
    let prior = Prior::new(&Params::root(&source), &config);
    let (noised, embedding, states) =
        (values(2, &[1, 12]), values(3, &[1, 12]), values(4, &[1, 6, 10]));
    let timesteps = Tensor::from_slice(&[700i64]);
    let predict =
        |states: &Tensor| prior.forward(&noised, &timesteps, &embedding, states, &mask(4, 6));
    let whole = predict(&states);
    assert_eq!(whole.size(), [1, 12]);
    assert_eq!(distance(&whole, &predict(&changed_from(&states, 4))), 0.0);
    assert!(distance(&whole, &predict(&changed_from(&states, 3))) > 1e-4);

    // Captions prefilled once for all steps, with and without their padding.
    for words in [6, 4] {
        let (states, mask) = (states.narrow(1, 0, words), mask(4, 6).narrow(1, 0, words));
        let cache = prior.prefill(&embedding, &states, &mask);
        assert!(distance(&whole, &prior.predict(&cache, &noised, &timesteps)) < 1e-6);
        let other = Tensor::from_slice(&[20i64]);
        assert!(distance(&whole, &prior.predict(&cache, &noised, &other)) > 1e-4);
        // One caption for several images.
        let of_three = cache.index_select(&Tensor::from_slice(&[0i64, 0, 0]));
        let [noised, timesteps] = [noised.repeat([3, 1]), timesteps.repeat([3])];
        let three = prior.predict(&of_three, &noised, &timesteps);
        assert_eq!(three.size(), [3, 12]);
        assert!(distance(&whole, &three) < 1e-6);
    }
}

#[test]
fn the_decoder_ignores_padding_and_nothing_else() {
    let config = UNetConfig {
        sample_size: 8,
        in_channels: 3,
        out_channels: 6,
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        attention: Some(AttentionConfig { head_width: 8, context_width: 12, finest_level: 1 }),
        scale_shift: true,
        norm_groups: 4,
        norm_eps: 1e-5,
    };
    let conditioning = ConditioningConfig {
        embedding: 12,
        text_width: 10,
        time_width: config.time_width(),
        context_width: 12,
        extra_tokens: 4,
    };
    let (unet_source, conditioning_source) = (lively(5), lively(6));
    let unet = UNet::new(&Params::root(&unet_source), &config);
    let conditioning = Conditioning::new(&Params::root(&conditioning_source), &conditioning);
    let (x, image, text) = (values(7, &[1, 3, 8, 8]), values(8, &[1, 12]), values(9, &[1, 12]));
    let states = values(10, &[1, 6, 10]);
    let timesteps = Tensor::from_slice(&[300i64]);
    let denoise = |states: &Tensor| {
        let conditions: Conditions = conditioning.forward(&image, &text, states, &mask(4, 6));
        assert_eq!(conditions.mask.as_ref().unwrap().size(), [1, 10]);
        unet.forward(&x, &timesteps, Some(&conditions))
    };
    let whole = denoise(&states);
    assert_eq!(whole.size(), [1, 6, 8, 8]);

    // Two images, at three timesteps precomputed at once.
    let twice = |x: &Tensor| Tensor::cat(&[x, &(x * 0.5)], 0);
    let both_masks = mask(4, 6).repeat([2, 1]);
    let conditions =
        conditioning.forward(&twice(&image), &twice(&text), &twice(&states), &both_masks);
    let timesteps = Tensor::from_slice(&[20i64, 20, 300, 300, 999, 999]);
    let steps = unet.precompute(&timesteps, Some(&conditions), Kind::Float);
    let both = unet.denoise(&twice(&x), &steps.at_step(1, 2, 2));
    let off = distance(&whole, &both.narrow(0, 0, 1));
    assert!(off < 1e-5, "{off:e}");
    assert!(distance(&both, &unet.denoise(&twice(&x), &steps.at_step(0, 2, 2))) > 1e-4);
    assert_eq!(distance(&whole, &denoise(&changed_from(&states, 4))), 0.0);
    assert!(distance(&whole, &denoise(&changed_from(&states, 3))) > 1e-4);
}

#[test]
fn a_new_unet_predicts_nothing_and_learns() {
    let source = Initialiser::new(11, Device::Cpu, Kind::BFloat16);
    let config = UNetConfig {
        sample_size: 8,
        in_channels: 6,
        out_channels: 3,
        block_out_channels: vec![8, 8, 16],
        layers_per_block: 1,
        attention: None,
        scale_shift: false,
        norm_groups: 4,
        norm_eps: 1e-5,
    };
    let unet = UNet::new(&Params::root(&source), &config);
    let made: BTreeMap<_, _> = source.into_parameters().into_iter().collect();
    for tensor in made.values() {
        let _ = tensor.set_requires_grad(true);
    }
    let out = unet.forward(
        &values(12, &[2, 6, 8, 8]).to_kind(Kind::BFloat16),
        &Tensor::from_slice(&[3i64, 900]),
        None,
    );
    assert_eq!((out.size(), out.abs().max().double_value(&[])), (vec![2, 3, 8, 8], 0.0));
    (out.to_kind(Kind::Float) - 1.0).square().mean(Kind::Float).backward();
    assert!(made["conv_out.weight"].grad().abs().max().double_value(&[]) > 0.0);
}
