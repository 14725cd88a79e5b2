//! The diffusion maths against the published scheduler's numbers (recorded by
//! golden/record_scheduler.py) and against what must hold for any.

use ::diffusion::{
    BetaSchedule, Ddim, Hooks, Output, Prediction, Process, Sampler, Schedule, SchedulerConfig,
    Step, TimestepRespacing, TimestepSpacing, Variance, ddim_inverse, guide, guided, sample,
};
use noise::Generator;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};

const TIMESTEPS: usize = 1000;

fn record() -> Value {
    serde_json::from_str(include_str!("../golden/scheduler/record.json")).unwrap()
}

fn recorded_tensors() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/scheduler/steps.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// A scheduler of the cosine schedule.
pub(crate) fn scheduler(
    prediction: Prediction,
    variance: Variance,
    clip_range: Option<f64>,
) -> SchedulerConfig {
    SchedulerConfig {
        train_timesteps: TIMESTEPS,
        timestep_spacing: TimestepSpacing::Linspace,
        beta_schedule: BetaSchedule::Cosine,
        prediction,
        variance,
        clip_range,
    }
}

fn sampler(prediction: Prediction, variance: Variance, clip_range: Option<f64>) -> Sampler {
    Sampler::unclip(&scheduler(prediction, variance, clip_range))
}

/// The cosine schedule in f64.
pub(crate) fn cosine(timesteps: usize) -> Schedule {
    Schedule::new(BetaSchedule::Cosine, timesteps)
}

/// A number of steps in the published spacing.
pub(crate) fn count(steps: usize) -> TimestepRespacing {
    TimestepRespacing::Count(steps)
}

/// Goes on after every step.
pub(crate) fn go_on(_done: usize, _x_0: &Tensor) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The previous x of one step, whose noise is `noise` where it adds some.
pub(crate) fn take_step(
    sampler: &Sampler,
    output: Output,
    step: Step,
    x_t: &Tensor,
    noise: Option<&Tensor>,
) -> Tensor {
    let mut output = Some(output);
    let denoise = |_: &Tensor, _: Step| output.take().expect("one step");
    let noise = || noise.expect("a step that adds noise").shallow_clone();
    sample(sampler, &[step], x_t.shallow_clone(), denoise, noise, Hooks::default(), go_on).unwrap()
}

/// x_0 by a sampler that draws no noise.
pub(crate) fn sample_without_noise(
    sampler: &Sampler,
    steps: &[Step],
    x_t: Tensor,
    denoise: impl FnMut(&Tensor, Step) -> Output,
) -> Tensor {
    let no_noise = || unreachable!("nothing is drawn");
    sample(sampler, steps, x_t, denoise, no_noise, Hooks::default(), go_on).unwrap()
}

pub(crate) fn normal(generator: &mut Generator, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&generator.normal(count)).reshape(shape)
}

pub(crate) fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn reference_tables_are_the_published_ones_to_the_bit() {
    let config = scheduler(Prediction::Epsilon, Variance::FixedSmallLog, None);
    let tables = Schedule::published(&config);
    let recorded = recorded_tensors();
    for (name, ours) in [("betas", &tables.betas), ("alphas_cumprod", &tables.alphas_cumprod)] {
        assert!(Tensor::from_slice(ours).equal(&recorded[name]), "{name} differ");
    }
    let first = f64::from(1.0 - tables.alphas_cumprod[0]);
    assert!((first - 4.1306e-5).abs() < 5e-10, "1 - alpha_bar_0 is {first}");
}

#[test]
fn schedules_start_and_end_where_the_papers_say() {
    let cosine = cosine(TIMESTEPS);
    assert!((cosine.betas[0] - 4.12842e-5).abs() < 1e-9, "{}", cosine.betas[0]);
    assert!((cosine.betas[500] - 3.155691e-3).abs() < 1e-9, "{}", cosine.betas[500]);
    assert_eq!(cosine.betas[999], 0.999);
    assert!(cosine.betas.windows(2).all(|pair| pair[0] < pair[1]));

    let linear = Schedule::new(BetaSchedule::Linear { start: 1e-4, end: 0.02 }, TIMESTEPS);
    assert!((linear.betas[0] - 1e-4).abs() < 1e-15);
    assert!((linear.betas[999] - 0.02).abs() < 1e-15);
    assert!((linear.alphas_cumprod[999] - 4.0358e-5).abs() < 1e-8);
}

#[test]
fn published_spacing_rounds_halves_to_even() {
    for (steps, recorded) in record()["spacings"].as_object().unwrap() {
        let ours = count(steps.parse().unwrap()).steps(TIMESTEPS).unwrap();
        let recorded: Vec<i64> = serde_json::from_value(recorded.clone()).unwrap();
        let visited: Vec<i64> = ours.iter().map(|step| step.timestep).collect();
        assert_eq!(visited, recorded, "{steps} steps");
        for (step, next) in ours.iter().zip(&recorded[1..]) {
            assert_eq!(step.previous, Some(*next), "{steps} steps");
        }
        assert!(ours.last().unwrap().is_last());
    }
}

#[test]
fn one_step_goes_from_the_last_timestep_to_the_clean_picture() {
    let only = Step { timestep: 999, previous: None };
    assert_eq!(count(1).steps(TIMESTEPS).unwrap(), [only]);
    let sampler = sampler(Prediction::Sample, Variance::FixedSmallLog, Some(1.0));
    let clean = Tensor::from_slice(&[0.5f32, -0.25, 2.0]);
    let output = Output::plain(clean.shallow_clone());
    let x_t = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
    let arrived = take_step(&sampler, output, only, &x_t, None);
    assert!(largest_difference(&arrived, &clean.clamp(-1.0, 1.0)) < 1e-6);
}

#[test]
fn no_steps_and_too_many_are_refused() {
    let refused = |steps| count(steps).steps(TIMESTEPS).unwrap_err().to_string();
    assert!(refused(0).starts_with("0 sampling steps"), "{}", refused(0));
    assert!(refused(1001).contains("can take 1 to 1000"), "{}", refused(1001));
    assert_eq!(count(1000).steps(TIMESTEPS).unwrap().len(), 1000);
}

#[test]
fn every_scheduler_step_agrees_with_the_published_one() {
    let (record, tensors) = (record(), recorded_tensors());
    let cases = record["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 88);
    for case in cases {
        let tensor = |key: &str| &tensors[&format!("{}.{key}", case["name"].as_str().unwrap())];
        let config = scheduler(
            serde_json::from_value(case["prediction"].clone()).unwrap(),
            serde_json::from_value(case["variance"].clone()).unwrap(),
            case["clip_range"].as_f64(),
        );
        let sampler = Sampler::unclip(&config);
        let steps = sampler.steps(&count(case["steps"].as_u64().unwrap() as usize)).unwrap();
        let step = steps[case["index"].as_u64().unwrap() as usize];
        assert_eq!(step.timestep, case["timestep"].as_i64().unwrap(), "{case}");
        let output = match config.variance {
            Variance::FixedSmallLog | Variance::FixedSmall => {
                Output::plain(tensor("answer").shallow_clone())
            }
            Variance::LearnedRange => Output::with_variance(tensor("answer")),
        };
        let noise = (!step.is_last()).then(|| tensor("noise"));
        let ours = take_step(&sampler, output, step, tensor("x_t"), noise);
        let off = largest_difference(&ours, tensor("result"));
        assert!(off <= 1e-6, "off by {off}: {case}");
    }
}

#[test]
fn fixed_and_learned_deviations_have_the_reference_values() {
    let zero = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu));
    let one = zero.ones_like();
    let deviation = |variance, learned: Option<f64>, timestep| {
        let output = Output {
            prediction: zero.shallow_clone(),
            variance: learned.map(|value| zero.full_like(value)),
        };
        let step = Step { timestep, previous: Some(timestep - 1) };
        let sampler = sampler(Prediction::Sample, variance, None);
        take_step(&sampler, output, step, &zero, Some(&one)).double_value(&[0, 0])
    };
    for (t, expected) in [(487, 0.0549625), (999, 0.9994987)] {
        let ours = deviation(Variance::FixedSmallLog, None, t);
        assert!((ours - expected).abs() < 1e-6, "timestep {t}: {ours}");
    }
    for (t, log_variance) in [(1, -10.1712790f64), (487, -5.7998052), (999, -0.0010011)] {
        let ours = deviation(Variance::LearnedRange, Some(0.5), t);
        assert!((ours.ln() * 2.0 - log_variance).abs() < 2e-5, "timestep {t}: {ours}");
    }
}

/// The loop of the published scheduler's own tests, with their stand-in for a network.
fn published_loop(steps: usize) -> (f64, f64) {
    let sampler = sampler(Prediction::Epsilon, Variance::FixedSmallLog, Some(1.0));
    let shape = [4, 3, 8, 8];
    let x_t = (Tensor::arange(768, (Kind::Float, Device::Cpu)) / 768.0)
        .reshape([3, 8, 8, 4])
        .permute([3, 0, 1, 2]);
    let denoise = |x_t: &Tensor, step: Step| {
        let t = step.timestep as f64;
        Output::plain(x_t * t / (t + 1.0))
    };
    let mut generator = Generator::new(0);
    let noise = || normal(&mut generator, &shape);
    let mut reported = Vec::new();
    let observe = |done, _x_0: &Tensor| {
        reported.push(done);
        ControlFlow::Continue(())
    };
    let visited = sampler.steps(&count(steps)).unwrap();
    let x_0 = sample(&sampler, &visited, x_t, denoise, noise, Hooks::default(), observe).unwrap();
    assert!(reported.into_iter().eq(1..=steps));
    (x_0.abs().sum(Kind::Double).double_value(&[]), x_0.abs().mean(Kind::Double).double_value(&[]))
}

#[test]
fn full_loops_give_the_published_sums() {
    for (steps, sum, mean) in [(1000, 252.2682495, 0.3284743), (25, 258.2044983, 0.3362038)] {
        let ours = published_loop(steps);
        assert!((ours.0 - sum).abs() < 1e-3, "{steps} steps: sum {}", ours.0);
        assert!((ours.1 - mean).abs() < 2e-6, "{steps} steps: mean {}", ours.1);
    }
}

#[test]
fn noise_is_drawn_once_for_every_step_but_the_last() {
    let sampler = sampler(Prediction::Sample, Variance::FixedSmallLog, Some(1.0));
    let x_t = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
    for steps in [1, 2, 9] {
        let mut draws = 0;
        let noise = || {
            draws += 1;
            x_t.zeros_like()
        };
        let denoise = |x_t: &Tensor, _: Step| Output::plain(x_t.shallow_clone());
        let visited = sampler.steps(&count(steps)).unwrap();
        let x_t = x_t.shallow_clone();
        let _x_0 =
            sample(&sampler, &visited, x_t, denoise, noise, Hooks::default(), go_on).unwrap();
        assert_eq!(draws, steps - 1);
    }
}

#[test]
fn guidance_moves_the_prediction_and_keeps_the_conditional_variance() {
    let row = |values: [f32; 2]| Tensor::from_slice(&values).reshape([1, 2]);
    let conditional = Output::with_variance(&Tensor::cat(&[row([1.0, 2.0]), row([0.3, 0.4])], 1));
    let unconditional = Output::with_variance(&Tensor::cat(&[row([0.5, 4.0]), row([9.0, 9.0])], 1));
    let output = guide(conditional, &unconditional, &[3.0]);
    assert!(largest_difference(&output.prediction, &row([2.0, -2.0])) < 1e-6);
    assert!(largest_difference(&output.variance.unwrap(), &row([0.3, 0.4])) < 1e-6);
}

#[test]
fn a_guided_denoiser_asks_for_the_unconditional_half_first() {
    let x_t = Tensor::from_slice(&[1.0f32, -1.0, 2.0, 0.5]).reshape([2, 2]);
    // Answers 1 where there is no condition and x + 3, variance x, where there is.
    let mut denoise = guided(vec![2.0], 0..=1000, |twice: &Tensor, _| {
        assert_eq!(twice.size(), [4, 2]);
        let conditional = twice.narrow(0, 2, 2);
        let prediction = Tensor::cat(&[conditional.ones_like(), &conditional + 3.0], 0);
        Output::with_variance(&Tensor::cat(&[&prediction, twice], 1))
    });
    let output = denoise(&x_t, Step { timestep: 7, previous: None });
    assert!(largest_difference(&output.prediction, &(2.0 * &x_t + 5.0)) < 1e-6);
    assert!(largest_difference(&output.variance.unwrap(), &x_t) < 1e-6);
}

fn ddim(prediction: Prediction, clip_range: Option<f64>, eta: f64) -> Ddim {
    Ddim::new(&scheduler(prediction, Variance::FixedSmallLog, clip_range), eta)
}

#[test]
fn ddim_with_the_true_noise_stays_on_its_line_to_the_clean_picture() {
    let mut generator = Generator::new(1);
    let (x_0, eps) = (normal(&mut generator, &[2, 9]), normal(&mut generator, &[2, 9]));
    let process = Process::new(&cosine(TIMESTEPS), Device::Cpu);
    let noised = |t: i64| process.q_sample(&x_0, &Tensor::from_slice(&[t, t]), &eps);
    let sampler = Sampler::Ddim(ddim(Prediction::Sample, None, 0.0));
    let steps = count(5).steps(TIMESTEPS).unwrap();
    let mut met = Vec::new();
    let denoise = |x_t: &Tensor, step: Step| {
        met.push(largest_difference(x_t, &noised(step.timestep)));
        Output::plain(x_0.shallow_clone())
    };
    let arrived = sample_without_noise(&sampler, &steps, noised(999), denoise);
    assert!(met.iter().all(|off| *off < 1e-5), "{met:?}");
    assert!(largest_difference(&arrived, &x_0) < 1e-5);
}

#[test]
fn ddim_inversion_undoes_a_step() {
    let mut generator = Generator::new(2);
    let (x, eps) = (normal(&mut generator, &[1, 20]), normal(&mut generator, &[1, 20]));
    let step = Step { timestep: 600, previous: Some(400) };
    for prediction in [Prediction::Epsilon, Prediction::V] {
        let sampler = ddim(prediction, None, 0.0);
        let level = |t| sampler.schedule.level(Some(t));
        let x_0 = level(400).x_0(&x, &eps);
        let output = |t| Output::plain(prediction.target(&x_0, &eps, &level(t)));
        let noisier = sampler.invert(&output(400), step, &x);
        assert!(largest_difference(&noisier, &x) > 0.1);
        let sampler = Sampler::Ddim(sampler.clone());
        let back = take_step(&sampler, output(600), step, &noisier, None);
        assert!(largest_difference(&back, &x) < 1e-5, "{prediction:?}");
    }
}

#[test]
fn ddim_with_eta_one_is_ddpm_with_the_posterior_variance() {
    let mut generator = Generator::new(3);
    let mut draw = || normal(&mut generator, &[2, 12]);
    let (x_t, prediction, noise) = (draw(), draw(), draw());
    let output = || Output::plain(prediction.shallow_clone());
    for (kind, clip_range) in [(Prediction::Epsilon, None), (Prediction::Sample, Some(1.0))] {
        let ours = Sampler::Ddim(ddim(kind, clip_range, 1.0));
        let published = sampler(kind, Variance::FixedSmallLog, clip_range);
        for step in count(9).steps(TIMESTEPS).unwrap().into_iter().skip(1) {
            let a = take_step(&ours, output(), step, &x_t, Some(&noise));
            let b = take_step(&published, output(), step, &x_t, Some(&noise));
            let off = largest_difference(&a, &b);
            // The f32 tables of the published one scale its last step by 0.99947.
            let allowed = if step.is_last() { 2e-3 } else { 3e-5 };
            assert!(off < allowed, "{kind:?}, {step:?}: off by {off}");
        }
    }
}

#[test]
fn ddim_inverse_finds_the_noise_that_ddim_draws_from() {
    let mut generator = Generator::new(5);
    let x_0 = normal(&mut generator, &[2, 12]);
    let ddim = ddim(Prediction::Epsilon, None, 0.0);
    let sampler = Sampler::Ddim(ddim.clone());
    let steps = count(20).steps(900).unwrap();
    // A smooth denoiser whose answer depends on x and on the timestep.
    let denoise = |x: &Tensor, step: Step| {
        Output::plain((x * 0.8).tanh() * (0.5 + step.timestep as f64 / 2000.0))
    };
    let mut asked = 0;
    let mut error = |calls: usize| {
        let counted = |x: &Tensor, step: Step| {
            asked += 1;
            denoise(x, step)
        };
        let x_0_copy = x_0.shallow_clone();
        let x_t = ddim_inverse(&ddim, &steps, x_0_copy, calls, counted, go_on).unwrap();
        let back = sample_without_noise(&sampler, &steps, x_t, denoise);
        largest_difference(&back, &x_0)
    };
    let errors = [1, 2, 4, 8].map(&mut error);
    assert_eq!(asked, 20 * 15);
    assert!(errors[0] > 2.0 * errors[1] && errors[1] > 2.0 * errors[2], "{errors:?}");
    assert!(errors[3] < 1e-3, "{errors:?}");
}
