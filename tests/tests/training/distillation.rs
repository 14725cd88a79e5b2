//! Distillation: a student learns what its teacher's several steps do, goes on as if it had not stopped, and says what it lacks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::diffusion::{Prediction, Variance};
use decoder::{UNet, UNetConfig};
use layers::{Initialiser, Params};
use noise::Generator;
use pipeline::{Pipeline, Preset, Request, Silent, Solver};
use tch::{Device, Kind, Tensor, no_grad};
use training::distillation::{DistillationBatch, Distiller};
use training::{AdamW, Observer, Recipe, SampleGenerators, SampleRequest, Trainer};
use weights::Folder;

use super::{checkpoint, trainer};
use crate::diffusion::{normal, scheduler};
use crate::pipeline::contents;

type Training = (&'static str, fn(&Trainer, &mut dyn Observer) -> Result<(), training::Error>);

/// The two trainings of students.
const STUDENTS: [Training; 2] = [
    ("decoder_distillation", Trainer::distill_decoder),
    ("upsampler_distillation", Trainer::distill_upsampler),
];

/// Trains a tiny unCLIP from nothing into `model` of a folder.
fn train_teachers(place: &Path) {
    let trainer = trainer(place, "teachers", Kind::Float, None);
    trainer.train_tokenizer().unwrap();
    for train in [
        Trainer::train_clip,
        Trainer::train_prior,
        Trainer::train_decoder,
        Trainer::train_upsampler,
    ] {
        train(&trainer, &mut ()).unwrap();
    }
}

fn generators(first: u64, count: usize) -> SampleGenerators {
    let request = SampleRequest { subset: 0, seed: 1, size: 0, hard_negatives: false, noise: 0 };
    SampleGenerators::new(request, first, count)
}

#[test]
fn one_step_of_a_student_comes_to_arrive_where_two_of_its_teacher_do() {
    tch::set_num_threads(1);
    let mut recipe = Recipe::preset("tiny").unwrap().decoder_distillation.unwrap();
    (recipe.steps, recipe.guidance_scale, recipe.weight_limit) = (2, None, 1.0);
    let config = UNetConfig { attention: None, ..Recipe::preset("tiny").unwrap().decoder.unet };
    let network = || {
        let initialiser = Initialiser::new(7, Device::Cpu, Kind::Float);
        let unet = UNet::new(&Params::root(&initialiser), &config);
        let parameters = initialiser.into_parameters();
        // A new network predicts 0, of which there is nothing to learn.
        let mut generator = Generator::new(8);
        for (name, tensor) in &parameters {
            if name == "conv_out.weight" {
                let noise = normal(&mut generator, &tensor.size()).to_kind(Kind::Float) * 0.2;
                no_grad(|| tensor.shallow_clone().copy_(&noise));
            }
        }
        (unet, parameters)
    };
    let ((teacher, _), (student, parameters)) = (network(), network());
    let mut optimizer = AdamW::new(parameters, recipe.run.optimizer.clone());
    let scheduler = scheduler(Prediction::Epsilon, Variance::LearnedRange, Some(1.0));
    let distiller =
        Distiller::new(teacher, student, scheduler, &recipe, Kind::Float, Device::Cpu).unwrap();
    let mut loss = |first: u64, rate: Option<f64>| {
        let count = 8;
        let mut generator = Generator::new(first);
        let [clean, eps] =
            [(); 2].map(|()| normal(&mut generator, &[count, 3, 8, 8]).to_kind(Kind::Float));
        let clean = clean.clamp(-1.0, 1.0);
        let batch = DistillationBatch {
            clean: &clean,
            eps: &eps,
            channels: None,
            conditions: None,
            guided_conditions: None,
        };
        let loss = distiller.backward(&batch, &mut generators(first, count as usize), 1.0);
        // A rate of 0 uses the gradients up and changes nothing.
        optimizer.step(rate.unwrap_or(0.0)).unwrap();
        loss.value
    };
    let tested = |loss: &mut dyn FnMut(u64, Option<f64>) -> f64| {
        (0..8).map(|n| loss(1_000_000 + 8 * n, None)).sum::<f64>() / 8.0
    };
    let before = tested(&mut loss);
    for n in 0..150 {
        loss(8 * n, Some(2e-3));
    }
    let after = tested(&mut loss);
    assert!(before > 1e-3, "the teacher's own weights are off by {before}");
    assert!(after < before / 2.0, "a student is off by {after} where its teacher was by {before}");
}

#[test]
fn students_are_trained_resumed_and_drawn_with() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    train_teachers(place.path());
    let model = place.path().join("model");
    let teachers = contents(&model);
    for kind in [Kind::Float, Kind::BFloat16] {
        for (name, train) in STUDENTS {
            let run = |runs: &str, stop_at| {
                let runs = format!("{runs}-{kind:?}");
                train(&trainer(place.path(), &runs, kind, stop_at), &mut ()).unwrap();
                checkpoint(place.path(), &runs, name)
            };
            let (half, halves, whole) =
                (run("halves", Some(2)), run("halves", None), run("whole", None));
            assert!(half != whole, "{name} in {kind:?} trained nothing in its second half");
            assert!(halves == whole, "{name} in {kind:?} differs after a resume");
        }
    }
    let all = contents(&model);
    let is_student = |path: &PathBuf| path.to_str().unwrap().contains("_distilled");
    let others: BTreeMap<_, _> =
        all.clone().into_iter().filter(|(path, _)| !is_student(path)).collect();
    assert!(others == teachers, "a student changes nothing of its teacher");
    assert_eq!(all.len() - others.len(), 6);

    let folders = families::ModelFolders::new(Folder::open(model).unwrap());
    let pipeline = Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap();
    let (defaults, students) = (pipeline.defaults().unwrap(), pipeline.students().unwrap());
    assert_eq!((students.steps("decoder"), students.steps("upsampler")), (Some(2), Some(1)));
    let settings = Preset::Fast.apply(defaults.clone(), &defaults, &students);
    assert_eq!((settings.solver, settings.stages[1].steps.count()), (Solver::Distilled, 1));
    let request = Request::new("a red house", 1, settings);
    assert_eq!(pipeline.sample(&[request], &mut Silent).unwrap()[0].dimensions(), (32, 32));
}

#[test]
fn frozen_tensors_stay_the_teachers_and_are_not_stored() {
    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    train_teachers(place.path());
    let frozen = ["mid_block.", "down_blocks.0.", "conv_in"];
    let mut partial = trainer(place.path(), "partial", Kind::Float, None);
    partial.recipe.decoder_distillation.as_mut().unwrap().frozen =
        frozen.map(str::to_owned).to_vec();
    partial.distill_decoder(&mut ()).unwrap();
    let read = |folder: &str| {
        let file = partial.model.join(folder).join("diffusion_pytorch_model.safetensors");
        Tensor::read_safetensors(file).unwrap()
    };
    let (own, teachers) = (read("decoder_distilled"), read("decoder"));
    let is_frozen = |name: &str| frozen.iter().any(|prefix| name.starts_with(prefix));
    assert!(own.iter().all(|(name, _)| !is_frozen(name)));
    let stored = teachers.iter().filter(|(name, _)| !is_frozen(name)).count();
    assert_eq!(own.len(), stored);
    assert!(stored < teachers.len());
    let changed = |(name, tensor): &(String, Tensor)| {
        let teachers = teachers.iter().find(|(other, _)| other == name).unwrap();
        !teachers.1.equal(tensor)
    };
    assert!(own.iter().any(changed), "nothing was learned");

    let refused = |frozen: &[&str]| {
        let mut trainer = trainer(place.path(), "refused", Kind::Float, None);
        let recipe = trainer.recipe.decoder_distillation.as_mut().unwrap();
        recipe.frozen = frozen.iter().map(|prefix| (*prefix).to_owned()).collect();
        trainer.distill_decoder(&mut ()).unwrap_err().to_string()
    };
    let error = refused(&[""]);
    assert!(error.contains("none is left to train"), "{error}");
}

#[test]
fn students_that_cannot_be_trained_are_refused_with_the_numbers() {
    let tiny = Recipe::preset_text("tiny").unwrap();
    for (change, words) in [
        ("decoder_distillation.steps=0", "decoder_distillation.steps is 0"),
        ("decoder_distillation.teacher_steps=1001", "decoder_distillation.teacher_steps is 1001"),
        ("decoder_distillation.weight_limit=0", "decoder_distillation.weight_limit is 0"),
        ("decoder_distillation.guidance_scale=inf", "decoder_distillation.guidance_scale is inf"),
        ("upsampler_distillation.run.batch=0", "upsampler_distillation.run.batch is 0"),
    ] {
        let error = Recipe::read(tiny, &families::Shapes::default(), &[change]).unwrap_err();
        assert!(error.to_string().contains(words), "{change}: {error}");
    }
    let text =
        tiny.replace("[upsampler_distillation]", "[upsampler_distillation]\nguidance_scale = 3.0");
    let error =
        Recipe::read(&text, &families::Shapes::default(), &[""; 0]).unwrap_err().to_string();
    assert!(
        error.contains("upsampler_distillation.guidance_scale is 3")
            && error.contains("leave it out"),
        "{error}"
    );

    tch::set_num_threads(1);
    let place = tempfile::tempdir().unwrap();
    train_teachers(place.path());
    let mut many = trainer(place.path(), "many", Kind::Float, None);
    many.recipe.decoder_distillation.as_mut().unwrap().teacher_steps = 900;
    let error = many.distill_decoder(&mut ()).unwrap_err().to_string();
    assert!(error.contains("2 steps with 900 of its teacher's in each"), "{error}");
    many.recipe.decoder_distillation = None;
    let error = many.distill_decoder(&mut ()).unwrap_err().to_string();
    assert!(error.contains("no part `decoder_distillation`"), "{error}");
    fs::remove_dir_all(place.path().join("model/super_res_first")).unwrap();
    let error = many.distill_upsampler(&mut ()).unwrap_err().to_string();
    assert!(error.contains("super_res_first"), "{error}");
}
