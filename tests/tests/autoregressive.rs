//! The autoregressive prior: its codes, its causality, its sampling.

use layers::{Initialiser, Params};
use noise::Generator;
use pipeline::CodeSampling;
use prior::autoregressive::bits;
use prior::quantizer::unigram_bits;
use prior::{
    AutoregressiveConfig, AutoregressivePrior, EmbeddingQuantizer, Pca, image_text_similarity,
};
use tch::{Device, Kind, Tensor, no_grad};

fn normal(generator: &mut Generator, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&generator.normal(count)).view(shape)
}

/// Embeddings `[1000, 6]` whose axes have falling deviations 3, 2, 1, 0.5, 0.1, 0.05 and a mean.
fn embeddings() -> Tensor {
    let deviations = Tensor::from_slice(&[3f32, 2.0, 1.0, 0.5, 0.1, 0.05]);
    normal(&mut Generator::new(4), &[1000, 6]) * deviations + 2.0
}

fn quantizer(dimensions: i64, buckets: i64) -> EmbeddingQuantizer {
    let embeddings = embeddings();
    let similarity = Tensor::linspace(-0.5, 0.5, 1000, (Kind::Float, Device::Cpu));
    EmbeddingQuantizer::fit(&Pca::fit(&embeddings), &embeddings, &similarity, dimensions, buckets)
}

#[test]
fn codes_are_equally_frequent_and_stand_for_the_means_of_their_buckets() {
    let (embeddings, quantizer) = (embeddings(), quantizer(3, 8));
    let coded = quantizer.encode(&embeddings); // [1000, 3]
    for dimension in 0..3 {
        let column = Vec::<i64>::try_from(coded.select(1, dimension)).unwrap();
        let mut counts = [0; 8];
        column.iter().for_each(|code| counts[*code as usize] += 1);
        assert_eq!(counts, [125; 8], "component {dimension}");
    }
    assert!((unigram_bits(&coded, 8) - 3.0).abs() < 1e-9);
    let lopsided = Tensor::from_slice(&[0i64, 0, 0, 1]).view([4, 1]);
    assert!((unigram_bits(&lopsided, 2) - 0.811_278_124_459_133).abs() < 1e-12);

    // Codes say more with more buckets; the components that are left out are all that stays wrong.
    let error = |decoded: &Tensor| {
        (decoded - &embeddings).square().sum(Kind::Float).double_value(&[]) / 1000.0
    };
    let [coarse, fine] = [8, 100].map(|buckets| {
        let quantizer = self::quantizer(3, buckets);
        error(&quantizer.decode(&quantizer.encode(&embeddings)))
    });
    let left_out = error(&quantizer.truncate(&embeddings));
    assert!((left_out - (0.25 + 0.01 + 0.0025)).abs() < 0.04, "{left_out}");
    assert!(
        coarse > fine && fine > left_out && fine < left_out + 0.05,
        "{coarse}, {fine}, {left_out}"
    );
    // Means of buckets: no shift is left along any component.
    let shift = (quantizer.decode(&coded) - quantizer.truncate(&embeddings)).mean_dim(
        [0i64].as_slice(),
        false,
        Kind::Float,
    );
    assert!(shift.abs().max().double_value(&[]) < 1e-4);

    // A code's value is in its own bucket, and what lies beyond the ends has the outermost codes.
    assert_eq!(quantizer.encode(&quantizer.decode(&coded)), coded);
    let outermost = quantizer.decode(&Tensor::from_slice(&[7i64, 7, 7]).view([1, 3]));
    let far = quantizer.mean() + 1e6 * (outermost - quantizer.mean());
    assert_eq!(quantizer.encode(&far), Tensor::from_slice(&[7i64, 7, 7]).view([1, 3]));
    let similarity = Tensor::from_slice(&[-1f32, -0.49, 0.01, 0.49, 1.0]);
    assert_eq!(quantizer.encode_similarity(&similarity), Tensor::from_slice(&[0i64, 0, 4, 7, 7]));
    let cosines = image_text_similarity(
        &Tensor::from_slice(&[3f32, 4.0]).view([1, 2]),
        &Tensor::from_slice(&[2f32, 0.0]).view([1, 2]),
    );
    assert!((cosines.double_value(&[0]) - 0.6).abs() < 1e-6);
}

const CONFIG: AutoregressiveConfig = AutoregressiveConfig {
    embedding: 6,
    text_width: 5,
    context_length: 7,
    heads: 2,
    head_width: 8,
    layers: 2,
    dimensions: 4,
    buckets: 8,
};

struct Inputs {
    embedding: Tensor,
    states: Tensor,
    mask: Tensor,
    similarity: Tensor,
}

fn prior() -> (AutoregressivePrior, Inputs) {
    let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
    let prior = AutoregressivePrior::new(&Params::root(&initialiser), &CONFIG, quantizer(4, 8));
    let generator = &mut Generator::new(2);
    // Larger outputs than a new network's, so that a difference shows.
    for (name, tensor) in initialiser.into_parameters() {
        if name.starts_with("out") {
            let shape = tensor.size();
            no_grad(|| tensor.shallow_clone().copy_(&normal(generator, &shape)));
        }
    }
    let mask =
        [true, true, true, true, false, false, false, true, true, true, true, true, true, false];
    let inputs = Inputs {
        embedding: normal(generator, &[2, 6]),
        states: normal(generator, &[2, 7, 5]),
        mask: Tensor::from_slice(&mask).view([2, 7]),
        similarity: Tensor::from_slice(&[3i64, 8]),
    };
    (prior, inputs)
}

fn forward(prior: &AutoregressivePrior, inputs: &Inputs, codes: &Tensor) -> Tensor {
    prior.forward(&inputs.embedding, &inputs.states, &inputs.mask, &inputs.similarity, codes)
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn a_code_depends_on_the_caption_and_the_codes_before_it_alone() {
    let (prior, inputs) = prior();
    let codes = Tensor::from_slice(&[1i64, 5, 0, 7, 2, 2, 6, 3]).view([2, 4]);
    let logits = forward(&prior, &inputs, &codes);
    assert_eq!(logits.size(), [2, 4, 8]);
    for changed in 0..4 {
        let other = codes.copy();
        let _ = other.select(1, changed).fill_(4);
        let others = forward(&prior, &inputs, &other);
        for n in 0..4 {
            let apart = apart(&logits.select(1, n), &others.select(1, n));
            assert_eq!(apart > 1e-4, n > changed, "code {n} after {changed} changed: {apart}");
        }
    }
    // Padding is not seen; words, the embedding and the similarity are.
    let mut padded = normal(&mut Generator::new(5), &[2, 7, 5]);
    let words = inputs.mask.unsqueeze(-1).expand([2, 7, 5], false);
    padded = inputs.states.where_self(&words, &padded);
    let same = Inputs {
        states: padded,
        ..Inputs {
            states: inputs.states.copy(),
            embedding: inputs.embedding.copy(),
            mask: inputs.mask.copy(),
            similarity: inputs.similarity.copy(),
        }
    };
    assert!(apart(&forward(&prior, &same, &codes), &logits) < 1e-5);
    let closer = Inputs { similarity: Tensor::from_slice(&[4i64, 8]), ..same };
    let closer = forward(&prior, &closer, &codes);
    assert!(apart(&closer.get(0), &logits.get(0)) > 1e-4);
    assert!(apart(&closer.get(1), &logits.get(1)) < 1e-5);
}

#[test]
fn codes_one_by_one_are_codes_at_once() {
    let (prior, inputs) = prior();
    let codes = Tensor::from_slice(&[1i64, 5, 0, 7, 2, 2, 6, 3]).view([2, 4]);
    let all = forward(&prior, &inputs, &codes);
    let (mut state, first) =
        prior.start_decoding(&inputs.embedding, &inputs.states, &inputs.mask, &inputs.similarity);
    assert!(apart(&first, &all.select(1, 0)) < 1e-5);
    for n in 0..3 {
        let next = prior.decode_next(&mut state, &codes.select(1, n));
        assert!(apart(&next, &all.select(1, n + 1)) < 1e-5, "code {}", n + 1);
    }

    let logits = Tensor::from_slice(&[0f32, 3f32.ln()]).view([1, 1, 2]);
    let said = bits(&logits, &Tensor::from_slice(&[1i64]).view([1, 1]));
    assert!((said.double_value(&[0, 0]) - (4f64 / 3.0).log2()).abs() < 1e-6);
}

#[test]
fn codes_are_drawn_with_their_probabilities() {
    let logits = [0.3f32, -1.0, 2.0, 0.0, 1.2];
    let counts = |sampling: &CodeSampling| {
        let generator = &mut Generator::new(8);
        let mut counts = [0f64; 5];
        (0..20_000)
            .for_each(|_| counts[sampling.sample(&logits, generator.uniform()) as usize] += 1.0);
        counts.map(|count| count / 20_000.0)
    };
    let softmax = |temperature: f64| {
        let weights = logits.map(|logit| (f64::from(logit) / temperature).exp());
        weights.map(|weight| weight / weights.iter().sum::<f64>())
    };
    let plain = CodeSampling::plain();
    for temperature in [1.0, 0.5, 2.0] {
        let drawn = counts(&CodeSampling { temperature, ..plain });
        for (drawn, probability) in drawn.into_iter().zip(softmax(temperature)) {
            // Four standard deviations of a share of 20,000.
            let allowed = 4.0 * (probability * (1.0 - probability) / 20_000.0).sqrt();
            assert!((drawn - probability).abs() < allowed, "{drawn} of {probability}");
        }
    }
    // 0.535 and 0.240 are the first to reach 0.6 together, and are drawn as before beside each other.
    let top = counts(&CodeSampling { top_p: 0.6, ..plain });
    assert_eq!((top[0], top[1], top[3]), (0.0, 0.0, 0.0));
    let [_, _, first, _, second] = softmax(1.0);
    assert!((top[2] - first / (first + second)).abs() < 0.015);
    assert_eq!(counts(&CodeSampling { top_p: 1e-9, ..plain })[2], 1.0);
    assert_eq!(plain.sample(&logits, 1.0 - f64::EPSILON), 4);
    assert_eq!(plain.sample(&logits, 0.0), 0);
}
