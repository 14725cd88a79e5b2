//! The steps of distillation against closed forms, and models that draw with distilled networks.

use ::diffusion::{
    Distillation, DistillationProcess, DpmSolver, NoiseLevel, Prediction, Sampler, Step,
    StepsError, Variance,
};
use families::karlo;
use noise::Generator;
use pipeline::{Pipeline, Preset, Request, Settings, Silent, Solver, Task};
use tch::{Device, Kind, Tensor};

use crate::diffusion::{largest_difference, normal, scheduler};
use crate::pipeline::{copy_folder, model};
use crate::settings::karlo_settings;

/// Networks that predict the noise, clipped nowhere.
fn solvers(min_lambda: f64) -> (DpmSolver, DpmSolver) {
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, None);
    let student = Distillation { steps: 4, min_lambda, guidance_scale: None }.solver(&config);
    (student, DpmSolver::new(&config))
}

fn process(min_lambda: f64, steps: usize, teacher_steps: usize) -> DistillationProcess {
    let (student, teacher) = solvers(min_lambda);
    DistillationProcess::new(&student, &teacher, [steps, teacher_steps], Device::Cpu).unwrap()
}

/// One row in each of four steps.
fn rows() -> Tensor {
    Tensor::from_slice(&[0i64, 1, 2, 3])
}

#[test]
fn a_student_with_the_targets_x_0_arrives_where_its_teacher_does() {
    let (student, _) = solvers(-2.0);
    let process = process(-2.0, 4, 3);
    let mut generator = Generator::new(5);
    let [x_0, eps] = [(); 2].map(|()| normal(&mut generator, &[4, 3, 2, 2]));
    let x_t = process.q_sample(&x_0, &rows(), &eps);
    let mut asked = Vec::new();
    let arrived = process.teach(&rows(), &x_t, |x, timesteps, _| {
        asked.push(Vec::<i64>::try_from(timesteps).unwrap());
        x.sin()
    });
    let target = process.target(&rows(), &x_t, &arrived);
    let steps = student.steps(4).unwrap();
    assert!(
        student
            .step(&x_0, Some(&(999, eps.shallow_clone())), steps[1], &x_t)
            .equal(&student.step(&x_0, None, steps[1], &x_t)),
        "a student's steps are of first order"
    );
    for (n, step) in steps.iter().enumerate() {
        let row = |tensor: &Tensor| tensor.get(n as i64);
        let ours = student.step(&row(&target), None, *step, &row(&x_t));
        let off = largest_difference(&ours, &row(&arrived));
        assert!(off < 2e-5, "off by {off} in step {n}");
        // The teacher goes from the student's timestep, or its own first one, to the student's next.
        let visited: Vec<i64> = asked.iter().map(|timesteps| timesteps[n]).collect();
        let first = if n == 0 { 979 } else { step.timestep };
        assert_eq!((visited.len(), visited[0]), (3, first));
        let last = step.previous.unwrap_or(0);
        let ends = visited.iter().skip(1).chain([&last]);
        let strides: Vec<i64> = visited.iter().zip(ends).map(|(from, to)| from - to).collect();
        assert!(strides.iter().all(|s| (s - strides[0]).abs() <= 1), "{visited:?}");
    }
    assert_eq!(
        Vec::<i64>::try_from(process.timesteps(&rows())).unwrap(),
        steps.iter().map(|s| s.timestep).collect::<Vec<_>>()
    );
}

#[test]
fn a_teacher_that_knows_the_image_teaches_it() {
    let mut generator = Generator::new(6);
    let [x_0, eps] = [(); 2].map(|()| normal(&mut generator, &[4, 3, 2, 2]));
    // Student and teacher begin at one timestep here, so all levels are those of the noise.
    for teacher_steps in [1, 2, 5] {
        let process = process(-3.5, 4, teacher_steps);
        let x_t = process.q_sample(&x_0, &rows(), &eps);
        let level = process.level(&rows(), &x_t);
        assert!(largest_difference(&level.x_0(&x_t, &eps), &x_0) < 1e-4);
        let arrived = process.teach(&rows(), &x_t, |_, _, _| x_0.shallow_clone());
        let off = largest_difference(&process.target(&rows(), &x_t, &arrived), &x_0);
        assert!(off < 1e-4, "off by {off} with {teacher_steps}");
    }
    // Where it begins at a smaller timestep, the first row's noise is still the teacher's.
    let process = process(-2.0, 4, 2);
    let level: NoiseLevel<Tensor> = process.level(&rows(), &x_0);
    let [ours, teachers] = [&level, &super::distillation::process(-3.5, 4, 2).level(&rows(), &x_0)]
        .map(|level| level.sqrt_alpha_bar.flatten(0, -1).double_value(&[0]));
    assert!((0.1195..0.1365).contains(&ours) && (0.0300..0.0320).contains(&teachers));
    let noised = process.q_sample(&x_0, &rows(), &eps);
    let of_teacher = x_0.get(0) * teachers + eps.get(0) * (1.0 - teachers * teachers).sqrt();
    assert!(largest_difference(&noised.get(0), &of_teacher) < 1e-5);
}

#[test]
fn the_teachers_steps_solve_the_ode_of_normal_data_to_second_order() {
    // Of data with mean 0 and deviation 0.5 the ODE keeps x_t in its own distribution: x_t / deviation is constant.
    const DEVIATION: f64 = 0.5;
    let deviation = |alpha: &Tensor, sigma: &Tensor| -> Tensor {
        (alpha.square() * (DEVIATION * DEVIATION) + sigma.square()).sqrt()
    };
    let steps = Tensor::from_slice(&[1i64, 2]);
    let x_t = Tensor::from_slice(&[0.7f32, -0.4]).view([2, 1, 1, 1]);
    let error = |teacher_steps| {
        let process = process(-3.5, 4, teacher_steps);
        let arrived = process.teach(&steps, &x_t, |x, _, level| {
            let (alpha, sigma) = (&level.sqrt_alpha_bar, &level.sqrt_one_minus_alpha_bar);
            x * alpha * (DEVIATION * DEVIATION) / deviation(alpha, sigma).square()
        });
        let level = |steps: &Tensor| process.level(steps, &x_t);
        let at = |level: NoiseLevel<Tensor>| {
            deviation(&level.sqrt_alpha_bar, &level.sqrt_one_minus_alpha_bar)
        };
        let exact = &x_t * at(level(&(&steps + 1))) / at(level(&steps));
        largest_difference(&arrived, &exact)
    };
    let errors = [4, 8, 16].map(error);
    assert!(
        errors[0] < 0.01 && errors[1] < errors[0] / 3.0 && errors[2] < errors[1] / 2.5,
        "{errors:?}"
    );
}

#[test]
fn weights_are_the_truncated_signal_to_noise_ratio() {
    let process = process(-2.0, 4, 2);
    let level = process.level(&rows(), &rows());
    let ratio = (level.sqrt_alpha_bar / level.sqrt_one_minus_alpha_bar).square();
    let ratios = Vec::<f32>::try_from(ratio.flatten(0, -1)).unwrap();
    let weights = |limit| Vec::<f32>::try_from(process.weight(&rows(), limit)).unwrap();
    for (weight, ratio) in weights(1e9).iter().zip(&ratios) {
        assert!((weight - ratio.max(1.0)).abs() < 1e-4);
    }
    assert!(ratios[0] < 0.02 && ratios[3] > 5.0, "{ratios:?}");
    assert_eq!(weights(2.5)[3], 2.5);
    assert_eq!(weights(0.5), [1.0; 4]);
}

#[test]
fn more_steps_than_timesteps_are_refused() {
    let (student, teacher) = solvers(-2.0);
    let refused = |counts| {
        DistillationProcess::new(&student, &teacher, counts, Device::Cpu).map(drop).unwrap_err()
    };
    for counts in [[4, 0], [4, 2000]] {
        assert!(matches!(refused(counts), StepsError::Count { steps, .. } if steps == counts[1]));
    }
    assert!(matches!(refused([5000, 1]), StepsError::Count { steps: 5000, .. }));
}

/// A copy of the tiny Karlo whose decoder has a student of three steps, with `tensors` of its own.
fn with_student(place: &std::path::Path, tensors: &[(String, Tensor)]) -> std::path::PathBuf {
    let folder = place.join("model");
    copy_folder(&model("karlo"), &folder);
    let opened = weights::Folder::open(folder.clone()).unwrap();
    let decoder = families::open_decoder(&opened.component("decoder"), Device::Cpu, Kind::Float);
    let settings = Distillation { steps: 3, min_lambda: -2.0, guidance_scale: Some(2.0) };
    let student = folder.join(karlo::DISTILLED_DECODER);
    let teacher = opened.component("decoder").fingerprint().unwrap();
    families::save_student(&student, tensors, decoder.unwrap().config(), &settings, &teacher)
        .unwrap();
    folder
}

fn open(folder: &std::path::Path) -> Pipeline {
    let folders = families::ModelFolders::new(weights::Folder::open(folder).unwrap());
    Pipeline::open(folders, Device::Cpu, Kind::Float).unwrap()
}

/// Three tensors of the decoder, doubled.
fn doubled() -> Vec<(String, Tensor)> {
    let folder = weights::Folder::open(model("karlo").join("decoder")).unwrap();
    let checkpoint = folder.checkpoint("the decoder", Device::Cpu, Kind::Float).unwrap();
    let tensors = checkpoint.tensors().unwrap();
    let mut own = tensors
        .into_iter()
        .filter(|(name, _)| name.starts_with("conv_out") || name == "conv_in.bias");
    let own: Vec<_> = own.by_ref().map(|(name, tensor)| (name, tensor * 2.0)).collect();
    assert_eq!(own.len(), 3);
    own
}

#[test]
fn the_fast_preset_draws_with_a_distilled_network_and_its_settings_draw_it_again() {
    let place = tempfile::tempdir().unwrap();
    let pipeline = open(&with_student(place.path(), &doubled()));
    let (defaults, students) = (pipeline.defaults().unwrap(), pipeline.students().unwrap());
    assert_eq!((students.steps("decoder"), students.steps("upsampler")), (Some(3), None));
    let settings = Preset::Fast.apply(defaults.clone(), &defaults, &students);
    assert_eq!(settings.solver, Solver::Distilled);
    assert_eq!(settings.stages[0].steps.count(), 3);
    assert_eq!(settings.stages[0].guidance_scale, Some(1.0));
    assert_eq!(settings.stages[1], defaults.stages[1]);
    assert_eq!(settings.prior.as_ref().unwrap().steps, 5);
    let others = Preset::Balanced.apply(defaults.clone(), &defaults, &students);
    assert_eq!(others.solver, Solver::DpmSolver);

    let sample = |pipeline: &Pipeline, settings: &Settings| {
        pipeline.prepare(Task::GENERATE, settings).unwrap();
        let request = Request::new("a red boat", 4, settings.clone());
        pipeline.sample(&[request], &mut Silent).unwrap().remove(0)
    };
    let drawn = sample(&pipeline, &settings);
    let json = serde_json::to_value(&settings).unwrap();
    assert_eq!(json["solver"], "distilled");
    let again: Settings = serde_json::from_value(json).unwrap();
    assert!(sample(&pipeline, &again) == drawn);
    // A student with no tensor changed draws what its teacher would in the same steps; this one draws another.
    let other = tempfile::tempdir().unwrap();
    let same = open(&with_student(
        other.path(),
        &doubled().into_iter().map(|(name, t)| (name, t / 2.0)).collect::<Vec<_>>(),
    ));
    assert!(sample(&same, &settings) != drawn);
}

#[test]
fn a_student_of_its_teachers_own_tensors_takes_its_teachers_ddim_steps() {
    let place = tempfile::tempdir().unwrap();
    let own: Vec<(String, Tensor)> =
        doubled().into_iter().map(|(name, t)| (name, t / 2.0)).collect();
    let pipeline = open(&with_student(place.path(), &own));
    let text = pipeline.encode_text(&["a red boat"]).unwrap();
    let embedding = normal(&mut Generator::new(1), &[1, text.embedding.size()[1]]);
    let defaults = pipeline.defaults().unwrap();
    let settings = Preset::Fast.apply(defaults.clone(), &defaults, &pipeline.students().unwrap());
    let mut steps: Vec<Step> = Vec::new();
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, Some(1.0));
    let student = Distillation { steps: 3, min_lambda: -2.0, guidance_scale: Some(2.0) };
    let Sampler::DpmSolver(solver) = student.sampler(&config) else { panic!("it is a DPM solver") };
    steps.extend(solver.steps(3).unwrap());
    assert!(solver.schedule.level(Some(steps[0].timestep)).sqrt_alpha_bar > 0.11);
    let streams = || [Generator::new(9)];
    let drawn = pipeline.decode(&embedding, &text, &settings, &mut streams(), &mut Silent).unwrap();
    // The teacher, unguided: by DPM-Solver++ in as many steps it begins at another timestep, and by its second order it ends elsewhere.
    let teachers = Settings { solver: Solver::DpmSolver, ..settings };
    let other = pipeline.decode(&embedding, &text, &teachers, &mut streams(), &mut Silent).unwrap();
    assert_eq!(drawn.size(), other.size());
    assert!(largest_difference(&drawn, &other) > 1e-3);
}

#[test]
fn settings_that_a_distilled_network_was_not_trained_for_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = with_student(place.path(), &doubled());
    let refused = |pipeline: &Pipeline, settings: Settings| {
        pipeline.prepare(Task::GENERATE, &settings).unwrap_err().to_string()
    };
    let distilled = settings!(karlo_settings(), decoder_steps: 3, decoder_guidance_scale: 1.0, solver: Solver::Distilled);
    let own = open(&folder);
    own.prepare(Task::GENERATE, &distilled).unwrap();
    let error = refused(&own, settings!(distilled, decoder_steps: 4));
    assert!(error.contains("decoder_steps is 4") && error.contains("draws in 3"), "{error}");
    let error = refused(&own, settings!(distilled, decoder_guidance_scale: 8.0));
    assert!(
        error.contains("decoder_guidance_scale is 8") && error.contains("scale of 2"),
        "{error}"
    );
    let error = refused(&crate::pipeline::open("karlo"), distilled.clone());
    assert!(
        error.contains("solver is distilled") && error.contains("no distilled network"),
        "{error}"
    );

    let json = folder.join(karlo::DISTILLED_DECODER).join("distillation.json");
    for (text, words) in [
        (r#"{"steps": 0, "min_lambda": -2, "teacher": ""}"#, "steps is 0"),
        (r#"{"steps": 3, "teacher": ""}"#, "min_lambda"),
        (r#"{"steps": 3, "min_lambda": -2, "order": 2, "teacher": ""}"#, "order"),
        (r#"{"steps": 3, "min_lambda": -2}"#, "teacher"),
    ] {
        std::fs::write(&json, text).unwrap();
        let error = refused(&open(&folder), distilled.clone());
        assert!(error.contains("distillation.json") && error.contains(words), "{error}");
    }
    let wrong = vec![("conv_in.bias".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))];
    let other = tempfile::tempdir().unwrap();
    let error = refused(&open(&with_student(other.path(), &wrong)), distilled);
    assert!(error.contains("conv_in.bias") && error.contains("decoder_distilled"), "{error}");
}

#[test]
fn a_student_beside_other_weights_than_its_teachers_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = with_student(place.path(), &doubled());
    let distilled = settings!(karlo_settings(), decoder_steps: 3, decoder_guidance_scale: 1.0, solver: Solver::Distilled);
    open(&folder).prepare(Task::GENERATE, &distilled).unwrap();
    let decoder = weights::Folder::open(folder.join("decoder")).unwrap();
    let checkpoint = decoder.checkpoint("the decoder", Device::Cpu, Kind::Float).unwrap();
    let tensors: Vec<_> =
        checkpoint.tensors().unwrap().into_iter().map(|(name, t)| (name, t * 1.5)).collect();
    let decoder = folder.join("decoder");
    std::fs::remove_file(decoder.join("diffusion_pytorch_model.bin")).unwrap();
    let file = decoder.join("diffusion_pytorch_model.safetensors");
    weights::save_safetensors(file, &tensors, Kind::Half).unwrap();
    let error = open(&folder).prepare(Task::GENERATE, &distilled).unwrap_err().to_string();
    assert!(error.contains("decoder_distilled was not distilled from the weights in"), "{error}");
    open(&folder).prepare(Task::GENERATE, &karlo_settings()).unwrap();
}

#[test]
fn inversions_take_the_models_own_steps_where_distilled_networks_were_to_draw() {
    let place = tempfile::tempdir().unwrap();
    let pipeline = open(&with_student(place.path(), &doubled()));
    let (defaults, students) = (pipeline.defaults().unwrap(), pipeline.students().unwrap());
    let fast = Preset::Fast.apply(defaults.clone(), &defaults, &students);
    let settings = pipeline.inversion_settings(fast, 4, 1.0).unwrap();
    assert_eq!((settings.solver, settings.stages[0].steps.count()), (Solver::Ddpm, 4));
    assert_eq!(settings.stages[1], defaults.stages[1]);

    let place = tempfile::tempdir().unwrap();
    let folder = with_upsampler_student(place.path());
    let pipeline = open(&folder);
    let students = pipeline.students().unwrap();
    assert_eq!((students.steps("decoder"), students.steps("upsampler")), (None, Some(1)));
    let fast = Preset::Fast.apply(defaults.clone(), &defaults, &students);
    assert_eq!(fast.stages[1].steps.count(), 1);
    let settings = pipeline.inversion_settings(fast, 4, 1.0).unwrap();
    assert_eq!(settings.stages[1], defaults.stages[1]);
    // Steps that the user chose stay.
    let mut own = settings!(defaults, upsampler_steps: 3);
    own.solver = Solver::DpmSolver;
    let settings = pipeline.inversion_settings(own, 4, 1.0).unwrap();
    assert_eq!((settings.solver, settings.stages[1].steps.count()), (Solver::Ddpm, 3));
}

/// A copy of the tiny Karlo whose upsampler has a student of one step, with its teacher's tensors.
fn with_upsampler_student(place: &std::path::Path) -> std::path::PathBuf {
    let folder = place.join("model");
    copy_folder(&model("karlo"), &folder);
    let teacher = weights::Folder::open(folder.join(karlo::UPSAMPLER)).unwrap();
    let upsampler = families::open_upsampler(&teacher, Device::Cpu, Kind::Float).unwrap();
    let settings = Distillation { steps: 1, min_lambda: -2.0, guidance_scale: None };
    let student = folder.join(karlo::DISTILLED_UPSAMPLER);
    let teacher = teacher.fingerprint().unwrap();
    families::save_student(&student, &[], upsampler.config(), &settings, &teacher).unwrap();
    folder
}
