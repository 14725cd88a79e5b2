//! Trainings that stop and go on, the optimiser against its definition, and a diverging run.

use std::path::Path;

use ::diffusion::Prediction;
use families::Shapes;
use layers::Activation;
use noise::Generator;
use std::sync::Arc;

use scenes::dataset::{hard_negatives, negative_captions};
use scenes::{Scene, SceneDataset, Split};
use tch::{Device, Kind, Tensor, no_grad};
use training::contrastive::{FalseNegativeMasks, contrastive};
use training::noising::Noising;
use training::{
    AdamW, AdamWSettings, Checkpoints, Data, Group, Observer, Recipe, SampleGenerators,
    SampleRequest, SyntheticDataset, Trainer,
};
use weights::Folder;

use crate::diffusion::normal;

mod checkpoints;
mod compact_glide;
mod distillation;
mod embeddings;
mod estimates;
mod folder;
mod glide_objective;
mod gradients;
mod layouts;
mod metrics;
pub(crate) mod processes;
mod shards;

fn settings() -> AdamWSettings {
    AdamWSettings {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.1,
        clip_norm: 1.0,
        ema_decay: 0.5,
    }
}

#[test]
fn adamw_takes_the_steps_of_its_definition() {
    let matrix = Tensor::from_slice(&[0.5f32, -0.25]).view([1, 2]);
    let mut optimizer = AdamW::new(vec![("m".into(), matrix.shallow_clone())], settings());
    let (mut w, mut mean, mut square, mut average) =
        ([0.5f64, -0.25], [0.0; 2], [0.0; 2], [0.5f64, -0.25]);
    for step in 1..=3 {
        // The loss is (w0^2 + 3 w1^2) / 2, so the gradient is (w0, 3 w1): short enough not to be clipped.
        let weights = Tensor::from_slice(&[0.5f32, 1.5]).view([1, 2]);
        (matrix.square() * weights).sum(Kind::Float).backward();
        optimizer.step(0.01).unwrap();
        let gradient = [w[0], 3.0 * w[1]];
        assert!(gradient[0].hypot(gradient[1]) < 1.0, "this case is meant not to be clipped");
        for i in 0..2 {
            mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
            square[i] = 0.99 * square[i] + 0.01 * gradient[i] * gradient[i];
            let update = (mean[i] / (1.0 - 0.9f64.powi(step)))
                / ((square[i] / (1.0 - 0.99f64.powi(step))).sqrt() + 1e-8);
            w[i] = w[i] * (1.0 - 0.01 * 0.1) - 0.01 * update;
            let decay = (f64::from(1 + step) / f64::from(10 + step)).min(0.5);
            average[i] = decay * average[i] + (1.0 - decay) * w[i];
        }
    }
    for i in 0..2 {
        assert!((matrix.double_value(&[0, i as i64]) - w[i]).abs() < 1e-6);
        assert!(
            (optimizer.averaged().unwrap()[0].1.double_value(&[0, i as i64]) - average[i]).abs()
                < 1e-6
        );
    }
}

#[test]
fn a_long_gradient_is_clipped_and_one_that_is_not_a_number_changes_nothing() {
    let vector = Tensor::from_slice(&[1.0f32, 1.0]);
    let mut optimizer = AdamW::new(vec![("v".into(), vector.shallow_clone())], settings());
    (&vector * 300.0).sum(Kind::Float).backward();
    assert!((optimizer.step(0.01).unwrap() - 300.0 * 2f64.sqrt()).abs() < 1e-3);
    let before = Vec::<f32>::try_from(&vector).unwrap();
    (&vector * f64::NAN).sum(Kind::Float).backward();
    assert!(optimizer.step(0.01).unwrap().is_nan());
    assert_eq!(Vec::<f32>::try_from(&vector).unwrap(), before);
    assert_eq!(optimizer.steps_taken(), 1);
}

#[test]
fn small_updates_reach_bf16_weights_through_their_f32_masters() {
    let weight = Tensor::ones([1, 1], (Kind::BFloat16, Device::Cpu));
    let mut optimizer = AdamW::new(
        vec![("w".into(), weight.shallow_clone())],
        AdamWSettings { weight_decay: 0.0, ..settings() },
    );
    for _ in 0..8 {
        weight.sum(Kind::Float).backward();
        optimizer.step(1e-3).unwrap(); // a quarter of the distance between bf16 numbers below 1
    }
    let master = no_grad(|| optimizer.state()[0].1.double_value(&[0]));
    assert!((master - 0.992).abs() < 1e-5, "the master is {master}");
    assert!((weight.double_value(&[0, 0]) - 0.992).abs() < 2e-3);
}

fn trainer(folder: &Path, runs: &str, kind: Kind, stop_at: Option<u64>) -> Trainer {
    let recipe = Recipe::preset("tiny").unwrap();
    Trainer {
        recipe,
        data: scenes(),
        model: folder.join("model"),
        init: None,
        runs: folder.join(runs),
        kind,
        device: Device::Cpu,
        stop_at,
        samples_every: 0,
        group: Group::alone(),
        shard_optimizer: false,
    }
}

/// The training scenes as data.
fn scenes() -> Data {
    Data::Synthetic(Arc::new(SceneDataset))
}

type Training = (&'static str, fn(&Trainer, &mut dyn Observer) -> Result<(), training::Error>);

#[test]
fn two_half_runs_equal_one_whole_run_bit_for_bit() {
    tch::set_num_threads(1);
    let trainings: [Training; 5] = [
        ("clip", Trainer::train_clip),
        ("prior", Trainer::train_prior),
        ("prior_autoregressive", Trainer::train_autoregressive_prior),
        ("decoder", Trainer::train_decoder),
        ("upsampler", Trainer::train_upsampler),
    ];
    for kind in [Kind::Float, Kind::BFloat16] {
        let folder = tempfile::tempdir().unwrap();
        trainer(folder.path(), "whole", kind, None).train_tokenizer().unwrap();
        for (name, train) in trainings {
            train(&trainer(folder.path(), "halves", kind, Some(2)), &mut ()).unwrap();
            let half = checkpoint(folder.path(), "halves", name);
            // To show samples on the way changes nothing.
            let mut second = trainer(folder.path(), "halves", kind, None);
            second.samples_every = 3;
            train(&second, &mut ()).unwrap();
            train(&trainer(folder.path(), "whole", kind, None), &mut ()).unwrap();
            let (halves, whole) = (
                checkpoint(folder.path(), "halves", name),
                checkpoint(folder.path(), "whole", name),
            );
            assert!(halves == whole, "{name} in {kind:?} differs after a resume");
            assert!(half != whole, "{name} in {kind:?} did not train in its second half");
        }
    }
}

#[test]
fn a_training_begins_with_the_weights_of_a_model_folder() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let first = trainer(folder.path(), "first", Kind::Float, None);
    first.train_tokenizer().unwrap();
    first.train_clip(&mut ()).unwrap();
    first.train_prior(&mut ()).unwrap();
    let saved = |file: &str| std::fs::read(folder.path().join("model").join(file)).unwrap();
    let files = ["text_encoder/model.safetensors", "prior/diffusion_pytorch_model.safetensors"];
    let before = files.map(saved);
    let mut second = trainer(folder.path(), "second", Kind::Float, Some(0));
    second.init = Some(Folder::open(folder.path().join("model")).unwrap());
    second.train_clip(&mut ()).unwrap();
    second.train_prior(&mut ()).unwrap();
    assert!(files.map(saved) == before, "no step was taken, so the weights are the first's");

    second.recipe.prior.model.layers = 2;
    second.runs = folder.path().join("third");
    let refused = second.train_prior(&mut ()).unwrap_err().to_string();
    assert!(refused.contains("model") && refused.contains("transformer_blocks.1"), "{refused}");
}

/// The tensors of a run's newest checkpoint, as bytes, and its state, which must agree too.
fn checkpoint(folder: &Path, runs: &str, model: &str) -> (Vec<u8>, serde_json::Value) {
    let folder = folder.join(runs).join(model);
    let checkpoints = Checkpoints { folder: &folder, model, upstream: "", data: "scenes" };
    let newest = checkpoints.found().remove(0);
    let state = std::fs::read(newest.join("state.json")).unwrap();
    (
        std::fs::read(newest.join("tensors.safetensors")).unwrap(),
        serde_json::from_slice(&state).unwrap(),
    )
}

#[test]
fn recipes_whose_parts_do_not_fit_are_refused_with_the_numbers() {
    let tiny = include_str!("../../training/presets/tiny.toml");
    let refused = |from: &str, to: &str| {
        assert!(tiny.contains(from));
        Recipe::read(&tiny.replacen(from, to, 1), &Shapes::default(), &[""; 0])
            .unwrap_err()
            .to_string()
    };
    let message = refused("embedding = 16", "embedding = 24");
    assert!(message.contains("24") && message.contains("16"), "{message}");
    assert!(refused("drop_caption", "drop_captions").contains("drop_captions"));
    assert!(Recipe::preset("large").unwrap_err().to_string().contains("large"));
}

#[test]
fn a_recipe_is_changed_field_by_field() {
    let tiny = Recipe::preset_text("tiny").unwrap();
    let changes = [
        "decoder.run.batch=12",
        "clip.text.activation = gelu",
        "prior.run.optimizer.beta2=0.9",
        "decoder.gradient_checkpointing=true",
    ];
    let recipe = Recipe::read(tiny, &Shapes::default(), &changes).unwrap();
    assert_eq!(recipe.decoder.run.batch, 12);
    assert_eq!(recipe.clip.text.activation, Activation::Gelu);
    assert_eq!(recipe.prior.run.optimizer.beta2, 0.9);
    assert!(recipe.decoder.gradient_checkpointing);
    assert_eq!(recipe.clip.run.batch, 4, "what is not named stays");

    let refused =
        |change: &str| Recipe::read(tiny, &Shapes::default(), &[change]).unwrap_err().to_string();
    for (change, named) in [
        ("decoder.run.bach=12", "bach"),
        ("decorder.run.batch=12", "decorder"),
        ("decoder.run.batch", "decoder.run.batch=16"),
        ("decoder.run.batch=many", "many"),
        ("clip.run.accumulate=3", "3"),
        ("clip.run.accumulate=0", "0"),
        ("decoder.drop_caption=1.5", "decoder.drop_caption is 1.5"),
        ("decoder.drop_embedding=-0.1", "drop_embedding is -0.1"),
        ("prior.drop_caption=nan", "prior.drop_caption is NaN"),
        ("decoder.unet.block_out_channels=[]", "block_out_channels is []"),
        ("upsampler.unet.block_out_channels=[]", "upsampler.unet"),
        ("decoder.unet.norm_groups=0", "norm_num_groups is 0"),
        ("decoder.unet.attention.head_width=0", "head_dim is 0"),
        ("drawing.decoder_guidance_scale=nan", "scale is NaN"),
        ("drawing.decoder_steps=0", "between 1 and 1000"),
        ("drawing.upsampler_steps=1001", "upsampler_steps is 1001"),
        ("clip.run.learning_rate=-1.0", "clip.run.learning_rate is -1"),
        ("clip.run.learning_rate=inf", "clip.run.learning_rate is inf"),
        ("clip.run.optimizer.beta1=1.0", "beta1 is 1,"),
        ("prior.run.optimizer.eps=0.0", "eps is 0,"),
        ("decoder.run.optimizer.ema_decay=7.0", "ema_decay is 7"),
        ("upsampler.blur=-1.0", "upsampler.blur is -1"),
        ("upsampler.weight_limit=0.0", "weight_limit is 0"),
        ("decoder.run.batch=1048577", "1 and 1048576"),
        ("tokenizer.merges=99999999999", "tokenizer.merges is 99999999999"),
    ] {
        let message = refused(change);
        assert!(message.contains(named), "{change}: {message}");
        assert!(message.lines().count() == 1, "{change}: {message}");
    }
}

#[test]
fn the_small_preset_is_the_model_that_ships() {
    let recipe = Recipe::preset("small").unwrap();
    let folder = Folder::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../model")).unwrap();
    let (device, kind) = (Device::Cpu, Kind::Float);
    let prior = families::open_prior(&folder.component("prior"), device, kind).unwrap();
    assert_eq!(prior.config(), &recipe.prior.model);
    let decoder = families::open_decoder(&folder.component("decoder"), device, kind).unwrap();
    assert_eq!(decoder.config(), &recipe.decoder.unet);
    let part = folder.component("super_res_first");
    let upsampler = families::open_upsampler(&part, device, kind).unwrap();
    assert_eq!(upsampler.config(), &recipe.upsampler.unet);
}

#[test]
fn a_caption_that_describes_another_picture_is_no_negative_of_it() {
    let scenes: Vec<Scene> = (0..40).map(|n| Scene::draw(n, Split::Training)).collect();
    let captions: Vec<_> = scenes.iter().map(Scene::own_caption).collect();
    let labels: Vec<_> = scenes.iter().map(Scene::labels).collect();
    let mask = SceneDataset.false_negatives(0, scenes.len(), false);
    let mut found = 0;
    for (i, caption) in captions.iter().enumerate() {
        for (j, labels) in labels.iter().enumerate() {
            let describes = i != j && caption.mentioned.describes(labels);
            assert_eq!(mask(i, j), describes, "{i} and {j}");
            found += u32::from(describes);
        }
    }
    assert!(found > 0, "no two of 40 scenes fit one caption");

    // Three unit vectors; caption 0 also describes picture 1.
    let text = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0, 0.6, 0.8]).view([3, 2]);
    let image = Tensor::from_slice(&[0.8f32, 0.6, 0.0, 1.0, -1.0, 0.0]).view([3, 2]);
    let mut marks = [false; 9];
    marks[1] = true;
    let marks = Tensor::from_slice(&marks).view([3, 3]);
    let masks = FalseNegativeMasks { of_images: marks.tr(), of_captions: marks };
    let scale = Tensor::from(2.0f32);
    let loss_of = |captions: &Tensor| {
        contrastive([captions, &image], &scale, &masks, &Group::alone()).unwrap()
    };
    let (loss, accuracy) = loss_of(&text.unsqueeze(1));
    let logits: [[f64; 3]; 3] =
        [[1.6, f64::NEG_INFINITY, -2.0], [1.2, 2.0, 0.0], [1.92, 1.6, -1.2]];
    let entropy = |row: [f64; 3], own: usize| row.map(f64::exp).iter().sum::<f64>().ln() - row[own];
    let column = |j: usize| [logits[0][j], logits[1][j], logits[2][j]];
    let expected = (0..3).map(|i| entropy(logits[i], i) + entropy(column(i), i)).sum::<f64>() / 6.0;
    assert!((loss.double_value(&[]) - expected).abs() < 1e-5);
    assert!((accuracy.double_value(&[]) - 2.0 / 3.0).abs() < 1e-6);

    // A caption that is wrong about each picture: those of the next ones. It counts where pictures choose captions, for its own
    // picture alone.
    let negatives = Tensor::stack(&[&text, &text.roll([-1], [0])], 1);
    let (loss, accuracy) = loss_of(&negatives);
    let chosen = |i: usize| {
        let all = column(i).into_iter().chain([logits[(i + 1) % 3][i]]);
        all.map(f64::exp).sum::<f64>().ln() - logits[i][i]
    };
    let expected = (0..3).map(|i| entropy(logits[i], i) + chosen(i)).sum::<f64>() / 6.0;
    assert!((loss.double_value(&[]) - expected).abs() < 1e-5);
    assert!((accuracy.double_value(&[]) - 2.0 / 3.0).abs() < 1e-6);
}

#[test]
fn hard_negatives_stand_side_by_side_and_their_captions_tell_them_apart() {
    let batch = SceneDataset.draw(1000, 64, 16, true);
    assert!(
        batch.images.len() == 64 && batch.images.iter().all(|image| image.len() == 3 * 16 * 16)
    );
    let is_false = SceneDataset.false_negatives(1000, 64, true);
    let scenes = hard_negatives(1000, 64);
    let texts: Vec<&str> = scenes.iter().map(|(c, _)| c.text.as_str()).collect();
    assert_eq!(batch.captions, texts);
    let labels: Vec<_> = scenes.iter().map(|(_, scene)| scene.labels()).collect();
    for (pair, captions) in labels.chunks(2).zip(batch.captions.chunks(2)) {
        assert_ne!(pair[0], pair[1], "{captions:?}");
    }
    for (one, other) in (0..64).map(|i| (i, i ^ 1)) {
        let masked = is_false(one, other);
        // A caption of the first thing may be true of a second one, rarely.
        let second = labels[other].second.is_some();
        let caption = &batch.captions[one];
        assert!(!masked || second, "`{caption}` also describes its sibling");
    }
    let negatives = scenes.iter().zip(1000..).flat_map(|((_, scene), seed)| {
        let negatives = negative_captions(scene, seed);
        let wrong = |caption: &scenes::Caption| !caption.mentioned.describes(&scene.labels());
        assert!(negatives.iter().all(wrong), "{negatives:?}");
        negatives
    });
    assert!(negatives.map(|caption| caption.text).eq(batch.negative_captions));
    assert_eq!(
        64 * training::NEGATIVE_CAPTIONS,
        SceneDataset.draw(0, 64, 1, true).negative_captions.len()
    );
    assert!(SceneDataset.draw(0, 64, 1, false).negative_captions.is_empty());
    let labels: Vec<_> = hard_negatives(1000, 800).iter().map(|(_, s)| s.labels()).collect();
    let share = |differs: fn(&[scenes::Labels]) -> bool| {
        labels.chunks(2).filter(|pair| differs(pair)).count() as f64 / 400.0
    };
    let places = share(|pair| pair[0].place != pair[1].place);
    assert!((0.2..0.4).contains(&places), "{places}");
    let seconds =
        share(|pair| pair[0].second != pair[1].second && pair[0].colour == pair[1].colour);
    assert!((0.2..0.4).contains(&seconds), "{seconds}");
    let colours = |pair: &[scenes::Labels]| {
        let second = |n: usize| pair[n].second.map(|second| second.colour);
        second(0) == Some(pair[1].colour) && second(1) == Some(pair[0].colour)
    };
    let exchanged = labels.chunks(2).filter(|pair| colours(pair)).count() as f64 / 400.0;
    assert!((0.04..0.15).contains(&exchanged), "{exchanged}");
    // Each is a function of its number.
    let texts = |first, count| -> Vec<String> {
        hard_negatives(first, count).into_iter().map(|(caption, _)| caption.text).collect()
    };
    assert_eq!(texts(1003, 5), texts(1000, 9)[3..8]);
}

#[test]
fn a_predicted_image_is_weighted_as_the_noise_and_the_v_that_it_implies() {
    let noising = Noising::new(Device::Cpu);
    let generator = &mut Generator::new(1);
    let shape = [64, 3, 4, 4];
    let [clean, eps, error] = [(); 3].map(|()| normal(generator, &shape));
    let request = SampleRequest { subset: 0, seed: 1, size: 4, hard_negatives: false, noise: 0 };
    let noised = noising.noise(&clean, &eps, &mut SampleGenerators::new(request, 0, 64));
    let image = &clean + 0.1 * &error;
    // x_t = a x_0 + b eps, so an image that is off by e implies a noise that is off by -a / b e.
    let whole = |value: f64| Tensor::full(shape, value, (Kind::Float, Device::Cpu));
    let process = &noising.process;
    let a = process.q_sample(&whole(1.0), &noised.timesteps, &whole(0.0));
    let b = process.q_sample(&whole(0.0), &noised.timesteps, &whole(1.0));
    let eps = &noised.eps - &a / &b * 0.1 * &error;
    let v = &a * &eps - &b * &image;
    let loss = |prediction, output: &Tensor, limit| {
        let (weighted, plain) = noising.loss(prediction, output, &clean, &noised, limit);
        (weighted.double_value(&[]), plain.double_value(&[]))
    };
    let (of_image, plain) = loss(Prediction::Sample, &image, f64::INFINITY);
    for (prediction, output) in [(Prediction::Epsilon, &eps), (Prediction::V, &v)] {
        let (weighted, _) = loss(prediction, output, f64::INFINITY);
        assert!((of_image / weighted - 1.0).abs() < 1e-3, "{prediction:?}");
    }
    let (limited, _) = loss(Prediction::Sample, &image, 1.0);
    assert!((limited / plain - 1.0).abs() < 1e-5);
}
