//! Steps in parts and in less memory have the gradients of whole ones.

use clip::Tokenizer;
use decoder::{Conditioning, UNet};
use layers::{Initialiser, Params};
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};
use training::contrastive::FalseNegatives;
use training::data::Stream;
use training::noising::Noising;
use training::run::accumulate;
use training::train_clip::{Clip, ClipObjective};
use training::train_upsampler::UpsamplerObjective;
use training::{BatchPlan, Group, Loss, Objective, Recipe, SampleRequest};
use weights::Folder;

use super::scenes;

type Named = Vec<(String, Tensor)>;

/// Parameters that gather gradients, each moved a little so that no gradient is 0 by construction.
fn trainable(initialiser: Initialiser) -> Named {
    let made = initialiser.into_parameters();
    let generator = &mut Generator::new(9);
    for (_, tensor) in &made {
        let noise = Tensor::from_slice(&generator.normal(tensor.numel())).view_as(tensor) * 0.05;
        let _ = no_grad(|| tensor.shallow_clone().g_add_(&noise));
        let _ = tensor.set_requires_grad(true);
    }
    made
}

fn gradients(parameters: &Named) -> Named {
    let gradient = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.grad());
    parameters.iter().map(gradient).collect()
}

/// Each tensor's gradients agree to a small part of their norm; those of the biases of keys are 0 but for rounding.
fn assert_same(ours: &Named, theirs: &Named) {
    assert_eq!(ours.len(), theirs.len());
    let norms = theirs.iter().map(|(_, tensor)| tensor.norm().double_value(&[]));
    let rounding = 1e-6 * norms.fold(0.0, f64::max);
    for ((name, ours), (_, theirs)) in ours.iter().zip(theirs) {
        let norm = theirs.norm().double_value(&[]);
        let apart = (ours - theirs).norm().double_value(&[]);
        assert!(norm > 0.0, "{name} has no gradient");
        assert!(apart < 1e-4 * norm + rounding, "{name}: {apart:e} of {norm:e}");
    }
}

fn request(size: u32, noise: usize) -> SampleRequest {
    SampleRequest { subset: 1, seed: 1, size, hard_negatives: false, noise }
}

#[test]
fn clip_in_parts_has_the_gradient_of_its_whole_batch() {
    tch::set_num_threads(1);
    let folder = Folder::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../model")).unwrap();
    let run = |parts: i64, batch: usize| {
        let mut recipe = Recipe::preset("tiny").unwrap().clip;
        let tokenizer: Tokenizer =
            families::open_tokenizer(&folder.component("tokenizer")).unwrap();
        recipe.text.vocab_size = tokenizer.vocab_size() as i64;
        recipe.text.eos_token_id = tokenizer.end_token_id();
        let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
        let model = Clip::new(&Params::root(&initialiser), &recipe.text, &recipe.vision);
        let parameters = trainable(initialiser);
        let size = recipe.vision.image_size as u32;
        let plan = BatchPlan::alone(batch, 1);
        let mut objective = ClipObjective {
            model,
            tokenizer,
            stream: Stream::new(&scenes(), request(size, 0), plan, 0),
            false_negatives: FalseNegatives::new(
                &scenes(),
                request(size, 0),
                plan,
                &Group::alone(),
                0,
            ),
            group: Group::alone(),
            accumulate: parts,
            kind: Kind::Float,
            device: Device::Cpu,
        };
        let loss = objective.backward().unwrap();
        (loss.value, gradients(&parameters))
    };
    let (whole_loss, whole) = run(1, 12);
    for parts in [3, 12] {
        let (loss, gradients) = run(parts, 12);
        assert!((loss - whole_loss).abs() < 1e-6);
        assert_same(&gradients, &whole);
    }
    // Fewer negatives are another loss: what the parts alone would have.
    let (small_loss, _) = run(1, 4);
    assert!((small_loss - whole_loss).abs() > 0.1, "{small_loss} and {whole_loss}");
}

/// The upsampler's gradients after `steps` steps of `batch` pictures in `parts`.
fn upsampler(steps: usize, batch: usize, parts: usize, checkpointing: bool) -> (f64, Named) {
    let mut recipe = Recipe::preset("tiny").unwrap().upsampler;
    recipe.run.accumulate = parts;
    recipe.gradient_checkpointing = checkpointing;
    let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
    let model = UNet::new(&Params::root(&initialiser), &recipe.unet);
    let parameters = trainable(initialiser);
    let size = recipe.unet.sample_size as u32;
    let request = request(size, UpsamplerObjective::noise(&recipe, 8));
    let mut objective = UpsamplerObjective {
        model,
        noising: Noising::new(Device::Cpu),
        stream: Stream::new(&scenes(), request, BatchPlan::alone(batch, parts), 0),
        base: 8,
        recipe: &recipe,
        kind: Kind::Float,
        device: Device::Cpu,
    };
    let losses: f64 = (0..steps).map(|_| objective.backward().unwrap().value).sum();
    (losses / steps as f64, gradients(&parameters))
}

#[test]
fn a_step_in_parts_is_the_mean_of_its_parts() {
    tch::set_num_threads(1);
    let (loss, parts) = upsampler(1, 4, 2, false);
    let (mean_loss, sums) = upsampler(2, 2, 1, false);
    let means = sums.into_iter().map(|(name, sum)| (name, sum / 2.0)).collect();
    assert!((loss - mean_loss).abs() < 1e-6);
    assert_same(&parts, &means);

    let loss = |weight| Loss { value: weight, metrics: vec![("twice", 2.0 * weight)] };
    assert_eq!(accumulate(4, |weight| Ok(loss(weight))).unwrap(), loss(0.25));
}

#[test]
fn checkpointing_leaves_the_gradients_as_they_are() {
    tch::set_num_threads(1);
    let ((loss, plain), (same, checkpointed)) =
        (upsampler(1, 4, 1, false), upsampler(1, 4, 1, true));
    assert_eq!(loss, same);
    assert_same(&checkpointed, &plain);

    // With attention, and conditions whose own parameters lie in front of the network.
    let decoder = |checkpointing: bool| {
        let recipe = Recipe::preset("tiny").unwrap().decoder;
        let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
        let params = Params::root(&initialiser);
        let conditioning = Conditioning::new(&(&params / "text_proj"), &recipe.conditioning);
        let unet = UNet::new(&(&params / "decoder"), &recipe.unet);
        let parameters = trainable(initialiser);
        let generator = &mut Generator::new(3);
        let mut normal = |shape: &[i64]| {
            Tensor::from_slice(&generator.normal(shape.iter().product::<i64>() as usize))
                .view(shape)
        };
        let picture = normal(&[2, 3, 8, 8]);
        // As in training, both conditions come from one embedding.
        let embedding = conditioning.unconditional().unsqueeze(0) * normal(&[2, 16]);
        let mask =
            Tensor::from_slice(&[true, true, true, true, true, true, true, false, false, false]);
        let conditions = conditioning.forward(
            &embedding,
            &normal(&[2, 16]),
            &normal(&[2, 5, 16]),
            &mask.view([2, 5]),
        );
        let timesteps = Tensor::from_slice(&[20i64, 700]);
        let (output, checkpoints) =
            unet.forward_training(&picture, &timesteps, Some(&conditions), checkpointing);
        output.square().mean(Kind::Float).backward();
        checkpoints.backward();
        gradients(&parameters)
    };
    assert_same(&decoder(true), &decoder(false));
}
