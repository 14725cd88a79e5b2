//! Processes that train together are one process with the batch of all.

use std::fs;
use std::path::{Path, PathBuf};

use clip::Tokenizer;
use collectives::{Group, JoinOptions};
use launcher::Launch;
use layers::{Initialiser, Params};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};
use training::contrastive::FalseNegatives;
use training::data::Stream;
use training::train_clip::{Clip, ClipObjective};
use training::{
    AdamW, BatchPlan, Checkpoints, Observer, Recipe, RunSettings, SampleRequest, Trainer,
    TrainingRun, TrainingStep,
};
use weights::Folder;

use super::{Training, scenes, trainer};
use crate::collectives::ranks::{self, Setting, say};
use crate::pipeline::copy_folder;

/// The folder that a rank works in, and how.
const PLACE: &str = "UNCLIP_TEST_PLACE";
const PLAN: &str = "UNCLIP_TEST_PLAN";

/// Images a step of all processes.
const BATCH: usize = 8;

const STEPS: u64 = 50;

/// Every objective, those that the others learn from behind.
const TRAININGS: [Training; 8] = [
    ("prior", Trainer::train_prior),
    ("prior_autoregressive", Trainer::train_autoregressive_prior),
    ("decoder", Trainer::train_decoder),
    ("upsampler", Trainer::train_upsampler),
    ("glide", Trainer::train_glide),
    ("glide_inpainting", Trainer::train_glide_inpainting),
    ("noised_clip", Trainer::train_noised_clip),
    ("clip", Trainer::train_clip),
];

/// The losses of a run's steps.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn step(&mut self, step: &TrainingStep) {
        self.0.push(step.loss);
    }
}

/// The tiny recipe with longer runs of larger batches, whose state is saved after the first step and the last.
fn recipe(model: &str) -> Recipe {
    let mut recipe = Recipe::preset("tiny").unwrap();
    let Recipe { clip, prior, autoregressive, decoder, upsampler, .. } = &mut recipe;
    let longer = |run: &mut RunSettings| {
        (run.steps, run.batch, run.checkpoint_every) = (STEPS, BATCH, STEPS);
    };
    for run in [
        &mut clip.run,
        &mut prior.run,
        &mut autoregressive.run,
        &mut decoder.run,
        &mut upsampler.run,
    ] {
        longer(run);
    }
    let glide = recipe.glide.as_mut().unwrap();
    longer(&mut glide.run);
    longer(&mut glide.inpainting.run);
    longer(&mut recipe.noised_clip.as_mut().unwrap().run);
    // In two parts, where a batch comes in parts.
    if !model.contains("clip") {
        recipe.upsampler.run.accumulate = 2;
    }
    recipe
}

/// Trains a model in two legs, and returns the losses of all steps.
fn train(folder: &Path, (name, train): Training, group: &Group, shard: bool) -> Vec<f64> {
    let mut losses = Losses::default();
    for stop_at in [Some(1), None] {
        let mut trainer = trainer(folder, "runs", Kind::Float, stop_at);
        trainer.recipe = recipe(name);
        match name {
            "glide" | "noised_clip" => trainer.model = folder.join("glide"),
            // It begins with the base that one process trained.
            "glide_inpainting" => trainer.model = folder.join("base"),
            _ => {}
        }
        (trainer.group, trainer.shard_optimizer) = (group.clone(), shard);
        train(&trainer, &mut losses).unwrap();
        if stop_at.is_some() && group.is_first() {
            let run = folder.join("runs").join(name);
            copy_folder(&run.join("step-000000001"), &folder.join(name));
        }
    }
    losses.0
}

/// A rank's part: every objective, in the test's folder.
pub(crate) fn rank(launch: &Launch, options: &JoinOptions) {
    tch::set_num_threads(1);
    let group = ranks::join(launch, options);
    let folder = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let shard = std::env::var(PLAN).unwrap() == "sharded";
    for training in TRAININGS {
        let losses = train(&folder, training, &group, shard);
        if group.is_first() {
            say(&serde_json::to_string(&losses).unwrap());
        }
    }
}

/// A vector of a checkpoint, whose parts follow each other.
fn vector(checkpoint: &Path, name: &str) -> Vec<f32> {
    let mut files: Vec<PathBuf> = fs::read_dir(checkpoint)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    files.sort();
    let part = |path: PathBuf| -> Vec<f32> {
        let bytes = fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let data = tensors.tensor(name).unwrap();
        data.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    files.into_iter().flat_map(part).collect()
}

/// The greatest difference of two vectors, of the greatest number in the second. Padding at the end is 0.
fn apart(ours: &[f32], theirs: &[f32]) -> f64 {
    let number = |vector: &[f32], n: usize| f64::from(vector.get(n).copied().unwrap_or_default());
    let differences =
        (0..ours.len().max(theirs.len())).map(|n| (number(ours, n) - number(theirs, n)).abs());
    let most = theirs.iter().fold(0.0f64, |most, value| most.max(f64::from(value.abs())));
    differences.fold(0.0, f64::max) / most
}

fn with_tokenizers(folder: &Path) {
    let mut first = trainer(folder, "runs", Kind::Float, None);
    first.train_tokenizer().unwrap();
    first.model = folder.join("glide");
    first.train_tokenizer().unwrap();
}

#[test]
fn so_many_processes_are_one_with_the_batch_of_all() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    let alone = place.path().join("alone");
    with_tokenizers(&alone);
    // The encoders that the others learn from.
    trainer(&alone, "before", Kind::Float, None).train_clip(&mut ()).unwrap();
    let copies = [(2, "plain"), (2, "sharded"), (4, "plain")].map(|(world, plan)| {
        let folder = place.path().join(format!("{world}-{plan}"));
        copy_folder(&alone, &folder);
        (world, plan, folder)
    });
    let losses = TRAININGS.map(|training| {
        let losses = train(&alone, training, &Group::alone(), false);
        if training.0 == "glide" {
            let base = alone.join("glide");
            copy_folder(&base, &alone.join("base"));
            copies.iter().for_each(|(_, _, folder)| copy_folder(&base, &folder.join("base")));
        }
        losses
    });
    for (world, plan, folder) in copies {
        let setting = Setting { seconds: 120, ..Setting::new("train", world) };
        let mut ranks: Vec<_> = (0..world)
            .map(|rank| {
                setting.start_in(
                    rank,
                    &[(PLACE, folder.display().to_string()), (PLAN, plan.to_owned())],
                )
            })
            .collect();
        let said = ranks.remove(0).finish();
        ranks.into_iter().for_each(|rank| drop(rank.finish()));
        for (n, (name, _)) in TRAININGS.iter().enumerate() {
            let about = format!("{name}, {world} processes, {plan}");
            let ours: Vec<f64> = serde_json::from_str(&said[n]).unwrap();
            assert_eq!(ours.len(), STEPS as usize, "{about}");
            for (step, (ours, theirs)) in ours.iter().zip(&losses[n]).enumerate() {
                let bound = if step < 5 { 1e-5 } else { 1e-3 };
                assert!(
                    (ours / theirs - 1.0).abs() < bound,
                    "{about}, step {step}: {ours} and {theirs}"
                );
            }
            // After one step the mean of the gradients is a tenth of the gradient.
            let gradient = |folder: &Path| vector(&folder.join(name), "mean");
            let apart = apart(&gradient(&folder), &gradient(&alone));
            assert!(apart < 1e-5, "{about}: the gradients are {apart:e} apart");
        }
    }
}

/// CLIP's first step over the processes, with a defect by name.
pub(crate) fn first_step(launch: &Launch, options: &JoinOptions) {
    let group = ranks::join(launch, options);
    let defect = std::env::var(PLAN).unwrap();
    let mean = clip_step(&group, &defect);
    if group.is_first() {
        say(&serde_json::to_string(&mean).unwrap());
    }
}

fn clip_step(group: &Group, defect: &str) -> Vec<f32> {
    tch::set_num_threads(1);
    let folder = Folder::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../model")).unwrap();
    let mut recipe = Recipe::preset("tiny").unwrap().clip;
    let tokenizer: Tokenizer = families::open_tokenizer(&folder.component("tokenizer")).unwrap();
    recipe.text.vocab_size = tokenizer.vocab_size() as i64;
    recipe.text.eos_token_id = tokenizer.end_token_id();
    let initialiser = Initialiser::new(1, Device::Cpu, Kind::Float);
    let model = Clip::new(&Params::root(&initialiser), &recipe.text, &recipe.vision);
    let parameters = initialiser.into_parameters();
    let own: Vec<Tensor> = parameters.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
    let mut optimizer = AdamW::new(parameters, recipe.run.optimizer.clone());
    optimizer.distribute(group, false).unwrap();
    let size = recipe.vision.image_size as u32;
    let request = SampleRequest { subset: 1, seed: 1, size, hard_negatives: true, noise: 0 };
    let plan = BatchPlan { batch: BATCH, parts: 1, rank: group.rank(), world: group.world() };
    let alone = Group::alone();
    // Negatives of the process alone: of a batch as large as its own.
    let (negatives, loss_plan) = match defect {
        "local" => (&alone, BatchPlan::alone(BATCH / group.world(), 1)),
        _ => (group, plan),
    };
    let mut objective = ClipObjective {
        model,
        tokenizer,
        stream: Stream::new(&scenes(), request, plan, 0),
        false_negatives: FalseNegatives::new(&scenes(), request, loss_plan, negatives, 0),
        group: negatives.clone(),
        accumulate: 1,
        kind: Kind::Float,
        device: Device::Cpu,
    };
    let backward =
        |objective: &mut ClipObjective| training::Objective::backward(objective).unwrap();
    backward(&mut objective);
    if defect == "left out" && group.rank() == 1 {
        own.iter().for_each(|parameter| drop(parameter.grad().zero_()));
    }
    optimizer.step(1e-3).unwrap();
    let (_, mean) = optimizer.state().into_iter().find(|(name, _)| *name == "mean").unwrap();
    Vec::try_from(&mean).unwrap()
}

#[test]
fn clip_needs_every_gradient_and_the_negatives_of_all() {
    let whole = clip_step(&Group::alone(), "");
    for (defect, is_right) in [("none", true), ("left out", false), ("local", false)] {
        let setting = Setting::new("first step", 2);
        let start = |rank| setting.start_in(rank, &[(PLAN, defect.to_owned())]);
        let [first, second] = [0, 1].map(start);
        let mean: Vec<f32> = serde_json::from_str(&first.finish()[0]).unwrap();
        second.finish();
        let apart = apart(&mean, &whole);
        match is_right {
            true => assert!(apart < 1e-5, "{apart:e}"),
            false => assert!(apart > 1e-2, "{defect}: {apart:e}"),
        }
    }
}

#[test]
fn a_sharded_checkpoint_is_gone_on_from_by_any_number_of_processes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("runs");
    fs::create_dir_all(&folder).unwrap();
    let setting = Setting::new("shards", 3);
    let ranks =
        [0, 1, 2].map(|rank| setting.start_in(rank, &[(PLACE, folder.display().to_string())]));
    ranks.into_iter().for_each(|rank| drop(rank.finish()));
    // Written by three, read by one.
    let ours = shards_step(&Group::alone(), &folder, 3);
    let expected = shards_step(&Group::alone(), &place.path().join("alone"), 3);
    assert!(apart(&ours, &expected) < 1e-6);
}

/// Takes steps of an optimiser whose state is spread, from the newest checkpoint in a folder on, and saves one; the average.
fn shards_step(group: &Group, folder: &Path, steps: u64) -> Vec<f32> {
    fs::create_dir_all(folder).unwrap();
    let weight = Tensor::arange(70, (Kind::Float, Device::Cpu)).view([7, 10]) / 70.0;
    let settings = super::settings();
    let mut optimizer = AdamW::new(vec![("w".to_owned(), weight.shallow_clone())], settings);
    optimizer.distribute(group, true).unwrap();
    let checkpoints = Checkpoints { folder, model: "prior", upstream: "", data: "scenes" };
    checkpoints.resume(&mut optimizer, group).unwrap();
    while optimizer.steps_taken() < steps {
        weight.square().sum(Kind::Float).backward();
        optimizer.step(0.1).unwrap();
        checkpoints.save(&optimizer, group).unwrap();
    }
    Vec::try_from(&optimizer.averaged().unwrap().remove(0).1.view([-1])).unwrap()
}

/// An objective of which rank 1 takes its time.
struct Slow(bool);

impl training::Objective for Slow {
    fn backward(&mut self) -> Result<training::Loss, training::Error> {
        std::thread::sleep(std::time::Duration::from_millis(if self.0 { 240 } else { 120 }));
        Ok(training::Loss::default())
    }
}

/// The speeds that a run found uneven.
#[derive(Default)]
struct Speeds(Vec<Vec<f64>>);

impl Observer for Speeds {
    fn step(&mut self, step: &TrainingStep) {
        if !step.uneven_speeds.is_empty() {
            self.0.push(step.uneven_speeds.to_vec());
        }
    }
}

/// A rank's part in a run of uneven ranks, or of even ones.
pub(crate) fn uneven(launch: &Launch, options: &JoinOptions) {
    let group = ranks::join(launch, options);
    let is_slow = std::env::var(PLAN).unwrap() == "uneven" && group.rank() == 1;
    let mut recipe = recipe("clip").clip.run;
    (recipe.steps, recipe.checkpoint_every) = (21, 100);
    let run = TrainingRun {
        model: "clip",
        settings: &recipe,
        folder: PathBuf::from(std::env::var_os(PLACE).unwrap()),
        stop_at: None,
        upstream: String::new(),
        data: String::new(),
        samples: None,
        recipe: String::new(),
        group: group.clone(),
        shard_optimizer: false,
    };
    let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
    let optimizer = AdamW::new(vec![("w".to_owned(), weight)], super::settings());
    let mut speeds = Speeds::default();
    run.train(optimizer, &mut speeds, |_| Ok(Slow(is_slow))).unwrap();
    say(&serde_json::to_string(&speeds.0).unwrap());
    group.barrier().unwrap();
}

#[test]
fn speeds_are_reported_where_they_differ_by_more_than_a_fifth() {
    for (plan, count) in [("uneven", 1), ("even", 0)] {
        let place = tempfile::tempdir().unwrap();
        let setting = Setting::new("uneven", 2);
        let further = [(PLACE, place.path().display().to_string()), (PLAN, plan.to_owned())];
        let ranks = [0, 1].map(|rank| setting.start_in(rank, &further));
        for rank in ranks {
            let speeds: Vec<Vec<f64>> = serde_json::from_str(&rank.finish()[0]).unwrap();
            assert_eq!(speeds.len(), count, "{plan}: {speeds:?}");
            for speeds in speeds {
                // 4 images of a rank in 0.12 s, and in 0.24 s.
                assert!(speeds[0] > 1.5 * speeds[1] && speeds[0] < 34.0, "{speeds:?}");
            }
        }
    }
}

/// A rank's part in a checkpoint of shards: two steps.
pub(crate) fn shards(launch: &Launch, options: &JoinOptions) {
    tch::set_num_threads(1);
    let group = ranks::join(launch, options);
    let folder = PathBuf::from(std::env::var_os(PLACE).unwrap());
    shards_step(&group, &folder, 2);
    group.barrier().unwrap();
}
