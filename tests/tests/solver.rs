//! DPM-Solver++(2M) against the reference's runs (recorded by golden/record_solver.py) and against a diffusion whose exact
//! solution is known.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use ::diffusion::{
    Ddim, DpmSolver, Hooks, Output, Prediction, Sampler, Step, StepsError, Variance, guided, sample,
};
use noise::Generator;
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::diffusion::{
    cosine, count, largest_difference, sample_without_noise, scheduler, take_step,
};

const TIMESTEPS: usize = 1000;

fn golden() -> (Value, HashMap<String, Tensor>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/solver");
    let text = std::fs::read_to_string(folder.join("runs.json")).unwrap();
    let tensors = Tensor::read_safetensors(folder.join("runs.safetensors")).unwrap();
    (serde_json::from_str(&text).unwrap(), tensors.into_iter().collect())
}

fn solver(timesteps: usize, prediction: Prediction, clip_range: Option<f64>) -> DpmSolver {
    let config = scheduler(prediction, Variance::LearnedRange, clip_range);
    DpmSolver { config, schedule: cosine(timesteps), min_lambda: -5.1, order: 2 }
}

#[test]
fn every_step_of_the_solver_agrees_with_the_reference() {
    let (record, tensors) = golden();
    let cases = record["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let tensor = |key: &str| &tensors[&format!("{}.{key}", case["name"].as_str().unwrap())];
        let prediction = serde_json::from_value(case["prediction"].clone()).unwrap();
        let solver = solver(TIMESTEPS, prediction, case["clip_range"].as_f64());
        let steps = solver.steps(case["steps"].as_u64().unwrap() as usize).unwrap();
        let timesteps: Vec<i64> = steps.iter().map(|step| step.timestep).collect();
        assert_eq!(Value::from(timesteps), case["timesteps"]);
        let (x_t, answers) = (tensor("x_t"), tensor("answer"));
        let mut done = 0;
        let denoise = |x: &Tensor, _: Step| {
            let off = largest_difference(x, &x_t.get(done));
            assert!(off < 2e-5, "off by {off} before step {done}: {case}");
            let answer = answers.get(done);
            done += 1;
            match case["learned"].as_bool().unwrap() {
                true => Output::with_variance(&answer),
                false => Output::plain(answer),
            }
        };
        let mut reported = Vec::new();
        let observe = |done, _x_0: &Tensor| {
            reported.push(done);
            ControlFlow::Continue(())
        };
        let no_noise = || unreachable!("nothing is drawn");
        let (solver, x_t_0, hooks) = (Sampler::DpmSolver(solver), x_t.get(0), Hooks::default());
        let x_0 = sample(&solver, &steps, x_t_0, denoise, no_noise, hooks, observe).unwrap();
        assert!(reported.into_iter().eq(1..=steps.len()));
        let off = largest_difference(&x_0, &x_t.get(steps.len() as i64));
        assert!(off < 2e-5, "off by {off} at the end: {case}");
    }
}

#[test]
fn a_stride_is_a_timestep_at_least() {
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, Some(1.0));
    let solver = DpmSolver::new(&config);
    let first = solver.steps(9).unwrap()[0].timestep;
    let alpha_bar = |timestep| solver.schedule.alpha_bar(Some(timestep));
    let lambda = |timestep| 0.5 * (alpha_bar(timestep) / (1.0 - alpha_bar(timestep))).ln();
    assert!(lambda(first) >= -3.5 && lambda(first + 1) < -3.5, "{first}");
    let most = first as usize;
    let all = solver.steps(most).unwrap();
    assert!(all.iter().map(|step| step.timestep).eq((1..=first).rev()));
    assert!(all[most - 1].is_last());
    for steps in [0, most + 1] {
        let error = solver.steps(steps).unwrap_err();
        assert_eq!(error, StepsError::Count { steps, timesteps: most });
    }
}

/// How far from the exact solution the steps arrive where the data are normal with mean 2 and deviation 0.5 in each value:
/// the ODE keeps what x_t is of its own distribution.
fn error_of(steps: usize, prediction: Prediction, sampler: &Sampler) -> f64 {
    const MEAN: f64 = 2.0;
    const DEVIATION: f64 = 0.5;
    let schedule = cosine(EVEN_TIMESTEPS);
    let at = |timestep: i64| {
        let alpha_bar = schedule.alpha_bar(Some(timestep));
        let deviation = (alpha_bar * DEVIATION.powi(2) + 1.0 - alpha_bar).sqrt();
        (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt(), deviation)
    };
    // From 95% to 10% of the time, so that no end is special.
    let (first, last) = (EVEN_TIMESTEPS as i64 * 19 / 20, EVEN_TIMESTEPS as i64 / 10);
    let visit = |i: usize| first - (first - last) * i as i64 / steps as i64;
    let visited: Vec<Step> =
        (0..steps).map(|i| Step { timestep: visit(i), previous: Some(visit(i + 1)) }).collect();
    let denoise = |x: &Tensor, step: Step| {
        let (alpha, sigma, deviation) = at(step.timestep);
        let offset = x - alpha * MEAN;
        let eps = &offset * (sigma / deviation.powi(2));
        let x_0 = &offset * (alpha * (DEVIATION / deviation).powi(2)) + MEAN;
        Output::plain(prediction.target(&x_0, &eps, &schedule.level(Some(step.timestep))))
    };
    let z = Tensor::from_slice(&Generator::new(3).normal(20)).to_kind(Kind::Double);
    let exact = |timestep: i64| {
        let (alpha, _, deviation) = at(timestep);
        &z * deviation + alpha * MEAN
    };
    let arrived = sample_without_noise(sampler, &visited, exact(first), denoise);
    largest_difference(&arrived, &exact(last))
}

/// So many that strides of them are even to 5 digits.
const EVEN_TIMESTEPS: usize = 200_000;

#[test]
fn the_error_falls_with_the_square_of_the_steps() {
    for prediction in [Prediction::Epsilon, Prediction::Sample, Prediction::V] {
        let solver = Sampler::DpmSolver(solver(EVEN_TIMESTEPS, prediction, None));
        let errors = [20, 40, 80].map(|steps| error_of(steps, prediction, &solver));
        let orders = [errors[0] / errors[1], errors[1] / errors[2]].map(f64::log2);
        assert!(
            orders.iter().all(|order| (1.8..2.2).contains(order)),
            "{prediction:?}: orders {orders:?} of errors {errors:?}"
        );
        // DDIM is the same solver's first order.
        let config = scheduler(prediction, Variance::LearnedRange, None);
        let ddim = Ddim { config, schedule: cosine(EVEN_TIMESTEPS), eta: 0.0 };
        let first_order = error_of(20, prediction, &Sampler::Ddim(ddim));
        assert!(errors[0] < first_order / 4.0, "{errors:?} and {first_order} by DDIM");
    }
}

#[test]
fn the_first_step_is_ddims_and_the_last_ends_at_the_clipped_clean_picture() {
    let x_t = Tensor::from_slice(&[0.3f64, -1.2, 0.8]);
    let output = || Output::plain(Tensor::from_slice(&[0.1f64, -0.4, 1.7]));
    let solver = solver(TIMESTEPS, Prediction::Sample, Some(1.0));
    let ddim = Sampler::ddim(&solver.config, 0.0);
    for previous in [Some(300), None] {
        let step = Step { timestep: 700, previous };
        let ours = Sampler::DpmSolver(solver.clone());
        let [ours, ddims] =
            [ours, ddim.clone()].map(|sampler| take_step(&sampler, output(), step, &x_t, None));
        assert!(largest_difference(&ours, &ddims) < 1e-12);
    }
    let x_0 = output().prediction.clamp(-1.0, 1.0);
    let last = Step { timestep: 10, previous: None };
    let before = (700, Tensor::from_slice(&[9.0f64, 9.0, 9.0]));
    let arrived = solver.step(&x_0, Some(&before), last, &x_t);
    assert!(arrived.equal(&Tensor::from_slice(&[0.1f64, -0.4, 1.0])));
}

#[test]
fn guidance_within_an_interval_asks_once_outside_of_it() {
    let x_t = Tensor::from_slice(&[1.0f32, -1.0, 2.0, 0.5]).reshape([2, 2]);
    let mut asked = Vec::new();
    // Answers 1 where there is no condition and x + 3 where there is.
    let inner = |x: &Tensor, step: Step| {
        let rows = x.size()[0];
        asked.push((step.timestep, rows));
        let conditional = x.narrow(0, rows - 2, 2) + 3.0;
        Output::plain(match rows {
            2 => conditional,
            _ => Tensor::cat(&[conditional.ones_like(), conditional], 0),
        })
    };
    let mut denoise = guided(vec![2.0], 250..=500, inner);
    let answers: Vec<Tensor> = count(5)
        .steps(1001)
        .unwrap()
        .into_iter()
        .map(|step| denoise(&x_t, step).prediction)
        .collect();
    drop(denoise);
    assert_eq!(asked, [(1000, 2), (750, 2), (500, 4), (250, 4), (0, 2)]);
    for (answer, (_, rows)) in answers.iter().zip(&asked) {
        let expected = match rows {
            2 => &x_t + 3.0,
            _ => 2.0 * &x_t + 5.0,
        };
        assert!(largest_difference(answer, &expected) < 1e-6);
    }
}
