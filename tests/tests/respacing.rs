//! Timestep respacing, tables and steps as GLIDE's public code has them (recorded by golden/record_glide_diffusion.py).

use std::collections::HashMap;
use std::ops::ControlFlow;

use ::diffusion::sampler::{GuidanceHook, X0Hook};
use ::diffusion::{
    BetaSchedule, GradientGuidance, Hooks, Output, Prediction, Sampler, Schedule, SchedulerConfig,
    Step, StepsError, TimestepRespacing, Variance, sample,
};
use noise::Generator;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::diffusion::{
    count, go_on, largest_difference, normal, sample_without_noise, scheduler, take_step,
};

const TIMESTEPS: usize = 1000;

fn golden(file: &str) -> Value {
    let path = format!("{}/golden/glide/diffusion/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn respacing(text: &str) -> TimestepRespacing {
    text.parse().unwrap()
}

/// The timesteps of steps, ascending, which are those that the steps go through.
fn visited(steps: &[Step]) -> Vec<i64> {
    for pair in steps.windows(2) {
        assert_eq!(pair[0].previous, Some(pair[1].timestep));
    }
    assert!(steps.last().unwrap().is_last());
    steps.iter().rev().map(|step| step.timestep).collect()
}

fn integer(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn respaced_timesteps_are_glides() {
    let lists = golden("lists.json");
    let taken = lists["taken"].as_array().unwrap();
    assert_eq!(taken.len(), 36);
    for case in taken {
        let ours = respacing(case["respacing"].as_str().unwrap());
        let steps = ours.steps(integer(&case["timesteps"])).unwrap();
        assert_eq!(visited(&steps), numbers::<i64>(&case["taken"]), "{case}");
        assert_eq!(steps.len(), ours.count());
    }
    for case in lists["refused"].as_array().unwrap() {
        let ours = respacing(case["respacing"].as_str().unwrap());
        assert!(ours.steps(integer(&case["timesteps"])).is_err(), "{case}");
    }
}

/// A count rounds where diffusers' pipelines do, which some odd counts end on the other side of a half.
#[test]
fn counts_that_glide_rounds_to_another_side_are_the_recorded_ones() {
    let others = golden("lists.json")["others"].clone();
    assert_eq!(others.as_object().unwrap().len(), 279);
    for even in (2..=TIMESTEPS).step_by(2) {
        assert!(others.get(even.to_string()).is_none(), "{even}");
    }
    for (steps, pairs) in others.as_object().unwrap() {
        let ours = visited(&respacing(steps).steps(TIMESTEPS).unwrap());
        // A single section is a count by GLIDE's own sums.
        let theirs = TimestepRespacing::Sections(vec![steps.parse().unwrap()]);
        let theirs = visited(&theirs.steps(TIMESTEPS).unwrap());
        let differing = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs);
        let differing: Vec<[i64; 2]> = differing.map(|(&ours, &theirs)| [ours, theirs]).collect();
        assert_eq!(differing, numbers::<[i64; 2]>(pairs), "{steps} steps");
    }
    for steps in (1..=TIMESTEPS).filter(|steps| others.get(steps.to_string()).is_none()) {
        let section = TimestepRespacing::Sections(vec![steps]);
        assert_eq!(section.steps(TIMESTEPS), count(steps).steps(TIMESTEPS), "{steps} steps");
    }
}

#[test]
fn a_respacing_is_spelt_as_it_is_read() {
    for (text, expected) in [
        ("25", TimestepRespacing::Count(25)),
        ("10,10,3,2,2", TimestepRespacing::Sections(vec![10, 10, 3, 2, 2])),
        ("ddim25", TimestepRespacing::Ddim(25)),
        ("fast27", TimestepRespacing::Fast27),
    ] {
        assert_eq!(respacing(text), expected);
        assert_eq!(respacing(&format!(" {text} ")), expected);
        assert_eq!(expected.to_string(), text);
        let spelt = serde_json::to_value(&expected).unwrap();
        assert_eq!(spelt, if text == "25" { json!(25) } else { json!(text) });
        assert_eq!(serde_json::from_value::<TimestepRespacing>(spelt).unwrap(), expected);
        assert_eq!(serde_json::from_value::<TimestepRespacing>(json!(text)).unwrap(), expected);
    }
    assert_eq!(respacing("10, 10,3 ,2,2"), respacing("10,10,3,2,2"));
    assert_eq!(respacing("10,10,3,2,2").count(), 27);
    let most = usize::MAX;
    assert_eq!(respacing(&format!("{most},{most}")).count(), most);
}

#[test]
fn a_string_that_is_no_respacing_is_refused() {
    for text in [
        "",
        " ",
        "-1",
        "2.5",
        "fast",
        "fast28",
        "Fast27",
        "ddim",
        "ddim-5",
        "ddim1,2",
        "1,,2",
        ",",
        "25,",
        "all",
        "99999999999999999999",
        "ddim 2 5",
    ] {
        let error = text.parse::<TimestepRespacing>().unwrap_err().to_string();
        let must = "is no timestep respacing, which is a number of steps (25)";
        assert!(error.starts_with(&format!("{text:?} {must}")), "{error}");
        let read = serde_json::from_value::<TimestepRespacing>(json!(text)).unwrap_err();
        assert_eq!(read.to_string(), error);
    }
    for (value, sentence) in [
        (json!(-1), "integer `-1`, expected a number of steps, or a timestep respacing in quotes"),
        (json!(2.5), "floating point `2.5`, expected a number of steps"),
        (json!([25]), "sequence, expected a number of steps"),
        (json!(null), "null, expected a number of steps"),
    ] {
        let error = serde_json::from_value::<TimestepRespacing>(value).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn steps_that_a_schedule_cannot_take_are_refused_with_what_it_can() {
    let refused = |text: &str, timesteps: usize| respacing(text).steps(timesteps).unwrap_err();
    for (text, timesteps, sentence) in [
        ("0", 1000, "0 sampling steps were asked for, but this schedule can take 1 to 1000"),
        ("0,0", 1000, "no section of the timesteps has a step: one of them must have 1 at least"),
        (
            "5,10,600",
            1000,
            "section 3 of the timesteps was asked for 600 steps, but it has 333 timesteps",
        ),
        ("1,1,1", 2, "section 3 of the timesteps was asked for 1 steps, but it has 0 timesteps"),
        (
            "ddim37",
            1000,
            "no integer stride makes 37 steps of 1000 timesteps; ddim36 and ddim38 have one",
        ),
        ("ddim1", 1000, "no integer stride makes 1 steps of 1000 timesteps; ddim2 has one"),
        (
            "ddim4000",
            1000,
            "no integer stride makes 4000 steps of 1000 timesteps; ddim1000 has one",
        ),
        ("ddim5", 1, "no integer stride makes 5 steps of 1 timesteps"),
        ("fast27", 45, "section 1 of the timesteps was asked for 10 steps, but it has 9 timesteps"),
    ] {
        assert_eq!(refused(text, timesteps).to_string(), sentence);
    }
    // Nothing that is parsed panics or takes much, whatever the schedule.
    for text in ["0", "1", "7", "1,0,1", "18446744073709551615,1", "ddim0", "ddim2", "fast27"] {
        for timesteps in [0, 1, 2, 3, 46, 1000] {
            if let Ok(steps) = respacing(text).steps(timesteps) {
                let visited = visited(&steps);
                assert!(visited.is_sorted_by(|a, b| a < b), "{text} of {timesteps}: {visited:?}");
                assert!(visited[0] >= 0 && visited[visited.len() - 1] < timesteps as i64);
                assert_eq!(steps.len(), respacing(text).count());
            }
        }
    }
}

#[test]
fn dpm_solver_takes_counts_alone() {
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, Some(1.0));
    let solver = Sampler::dpm_solver(&config);
    assert_eq!(solver.steps(&count(20)).unwrap().len(), 20);
    for text in ["fast27", "ddim25", "10,10"] {
        let error = solver.steps(&respacing(text)).unwrap_err();
        assert_eq!(error, StepsError::Solver(respacing(text)));
        let sentence =
            "DPM-Solver++ places its steps itself: it takes a number of steps, as 20, and not";
        assert_eq!(error.to_string(), format!("{sentence} {text}"));
        assert_eq!(Sampler::ddim(&config, 0.0).steps(&respacing(text)), {
            respacing(text).steps(TIMESTEPS)
        });
    }
}

/// GLIDE's scheduler of a chain that was recorded.
fn glide(chain: &str) -> SchedulerConfig {
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, Some(1.0));
    let linear = BetaSchedule::Linear { start: 1e-4, end: 0.02 };
    match chain {
        "linear" => SchedulerConfig { beta_schedule: linear, ..config },
        _ => config,
    }
}

/// The gradient of a formula at `x` [B, ...] and a timestep.
fn gradient(x: &Tensor, timestep: i64) -> Tensor {
    (x * 2.0).cos() * (0.5 + timestep as f64 / 500.0) - 0.2
}

/// A step's numbers, read off what the sampler computes of zeros and ones in f64: the factors of x_0 and x_t, and the
/// logarithms of the smallest and the largest learned variance. `steps` end with it.
fn coefficients(sampler: &Sampler, steps: &[Step]) -> [f64; 4] {
    let Sampler::Ddpm(ddpm) = sampler else { unreachable!() };
    let (step, one) = (steps[steps.len() - 1], Tensor::from_slice(&[1.0f64]));
    let mean = |x_0: f64, x_t: f64| {
        let posterior = ddpm.posterior(&(&one * x_0), Some(&one), step, &(&one * x_t));
        posterior.mean.double_value(&[0])
    };
    // Guidance by a gradient of 1 moves the mean by the variance, in the last step too.
    let log_variance = |output: f64| {
        let denoise = |x_t: &Tensor, _: Step| Output {
            prediction: x_t.zeros_like(),
            variance: Some(&one * output),
        };
        let mut moved = 0.0;
        let hooks = Hooks {
            guidance: Some(Box::new(|mean, guidance| {
                moved = guidance.along(mean.zeros_like(), &one).double_value(&[0]);
                mean
            })),
            ..Hooks::default()
        };
        let start = one.zeros_like();
        let noise = || one.zeros_like();
        let _x_0 = sample(sampler, steps, start, denoise, noise, hooks, go_on).unwrap();
        moved.ln()
    };
    [mean(1.0, 0.0), mean(0.0, 1.0), log_variance(-1.0), log_variance(1.0)]
}

#[test]
fn tables_of_respaced_chains_are_glides() {
    let tables = golden("tables.json");
    for (chain, table) in tables.as_object().unwrap() {
        let sampler = Sampler::ddpm(&glide(chain));
        let Sampler::Ddpm(ddpm) = &sampler else { unreachable!() };
        let steps = sampler.steps(&respacing(table["respacing"].as_str().unwrap())).unwrap();
        assert_eq!(visited(&steps), numbers::<i64>(&table["timesteps"]));
        let column = |name: &str| numbers::<f64>(&table[name]);
        let (beta, alpha_bar) = (column("beta"), column("alpha_bar"));
        let (of_x_0, of_x_t) = (column("mean_of_x_0"), column("mean_of_x_t"));
        let log_variance = column("log_variance");
        for (done, step) in steps.iter().enumerate() {
            let index = steps.len() - 1 - done;
            let [ours_of_x_0, ours_of_x_t, smallest, largest] =
                coefficients(&sampler, &steps[done.saturating_sub(1)..=done]);
            for (name, ours, theirs) in [
                ("alpha_bar", ddpm.schedule.alpha_bar(Some(step.timestep)), alpha_bar[index]),
                ("the factor of x_0", ours_of_x_0, of_x_0[index]),
                ("the factor of x_t", ours_of_x_t, of_x_t[index]),
                ("beta", largest.exp(), beta[index]),
                ("log variance", smallest, log_variance[index]),
            ] {
                let off = (ours - theirs).abs() / theirs.abs().max(1e-9);
                assert!(off < 1e-6, "{chain} {index}: {name} {ours}, not {theirs}: off by {off:e}");
            }
        }
    }
}

/// The first, a middle and the last of the cosine schedule's 100 steps, with numbers of GLIDE's code for inputs that are formulas:
/// the mean, the logarithm of the variance, and DDIM's step.
#[test]
fn three_steps_have_glides_numbers() {
    let even = |start: f64, end: f64| {
        Tensor::linspace(start, end, 12, (Kind::Float, Device::Cpu)).reshape([1, 3, 2, 2])
    };
    let (x_t, eps) = (even(-1.0, 1.0), even(0.5, -0.5));
    let (ddpm, ddim) = (Sampler::ddpm(&glide("cosine")), Sampler::ddim(&glide("cosine"), 0.0));
    let steps = ddpm.steps(&count(100)).unwrap();
    for (index, mean, log_variance, next) in [
        (
            99,
            [-0.0187453572, -0.0181705151, -0.0175956711],
            -1.01082453e-4,
            [-1.0154131651, -0.833616972, -0.6518209577],
        ),
        (
            50,
            [-0.9970355034, -0.8242925406, -0.6515495181],
            -3.3890390396,
            [-1.0071103573, -0.8283406496, -0.6495709419],
        ),
        (
            0,
            [-1.0, -0.8208272457, -0.6384211779],
            -10.1171226501,
            [-1.0, -0.8208272457, -0.6384211779], // the clean image, as the mean is
        ),
    ] {
        let done = 99 - index;
        let step = steps[done];
        for (sampler, expected) in [(&ddpm, mean), (&ddim, next)] {
            let variance = Some(x_t.full_like(0.25));
            let output = Output { prediction: eps.shallow_clone(), variance };
            let arrived = take_step(sampler, output, step, &x_t, Some(&x_t.zeros_like()));
            let arrived = arrived.flatten(0, -1).narrow(0, 0, 3);
            let off = largest_difference(&arrived, &Tensor::from_slice(&expected));
            assert!(off < 2e-7, "{index}: {arrived:?}, not {expected:?}");
        }
        let [_, _, smallest, largest] = coefficients(&ddpm, &steps[done.saturating_sub(1)..=done]);
        let ours = 0.625 * largest + 0.375 * smallest;
        assert!((ours - log_variance).abs() < 1e-6, "{index}: {ours}, not {log_variance}");
    }
}

#[test]
fn every_step_agrees_with_glides() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/glide/diffusion/steps.safetensors");
    let tensors: HashMap<String, Tensor> =
        Tensor::read_safetensors(path).unwrap().into_iter().collect();
    let cases = golden("steps.json");
    assert_eq!(cases.as_array().unwrap().len(), 72);
    let mut largest = 0.0f64;
    for case in cases.as_array().unwrap() {
        let tensor = |key: &str| &tensors[&format!("{}.{key}", case["name"].as_str().unwrap())];
        let (chain, timesteps) = (&case["chain"], numbers::<i64>(&case["timesteps"]));
        let config = glide(chain.as_str().unwrap());
        let sampler = match case["eta"].as_f64() {
            Some(eta) => Sampler::ddim(&config, eta),
            None => Sampler::ddpm(&config),
        };
        let text = if chain == "linear" { "fast27" } else { "100" };
        let mut steps = sampler.steps(&respacing(text)).unwrap();
        steps.retain(|step| timesteps.contains(&step.timestep));
        let mut outputs = (0..).map(|done| tensor("output").get(done));
        let mut noises = (0..).map(|done| tensor("noise").get(done));
        let hooks = Hooks {
            x_0: (case["hook"] == true).then(|| Box::new(|x_0, _| x_0 * 0.6 + 0.3) as X0Hook),
            guidance: (case["guidance"] == true).then(|| {
                Box::new(|value, guidance: &GradientGuidance| {
                    let gradient = gradient(guidance.x_t, guidance.step.timestep);
                    guidance.along(value, &gradient)
                }) as GuidanceHook
            }),
            arrival: None,
        };
        let mut x_0s = Vec::new();
        let observe = |_, x_0: &Tensor| {
            x_0s.push(x_0.shallow_clone());
            ControlFlow::Continue(())
        };
        let denoise = |_: &Tensor, _: Step| Output::with_variance(&outputs.next().unwrap());
        let noise = || noises.next().unwrap();
        let start = tensor("x_t").get(0);
        let arrived = sample(&sampler, &steps, start, denoise, noise, hooks, observe).unwrap();
        let size = |x: &Tensor| x.abs().max().double_value(&[]);
        let (schedule, x_t) = (Schedule::of(&config), tensor("x_t"));
        let level = schedule.level(Some(steps[0].timestep));
        // GLIDE's DDIM subtracts alpha_bar from 1 in f32, which is off by parts in 10,000 near the clean image.
        let mut rounding = 0.0;
        if let Sampler::Ddim(_) = sampler {
            let alpha_bar = schedule.alpha_bar(steps[0].previous);
            let in_f32 = f64::from(1.0 - alpha_bar as f32).sqrt();
            let eps = level.eps(&x_t.get(0), &tensor("x_0").get(0));
            rounding = 2.0 * (in_f32 - (1.0 - alpha_bar).sqrt()).abs() * size(&eps);
        }
        // An x_0 is the difference of terms that are as large as this, before it is clamped.
        let terms = size(x_t) / level.sqrt_alpha_bar;
        let theirs = x_t.get(steps.len() as i64);
        let x_0s = Tensor::stack(&x_0s, 0);
        for (what, ours, theirs, size) in
            [("x", &arrived, &theirs, size(&theirs)), ("x_0", &x_0s, tensor("x_0"), terms)]
        {
            let off = largest_difference(ours, theirs);
            let allowed = 1e-6 * size + rounding;
            largest = largest.max(off / allowed);
            assert!(off < allowed, "{what} is off by {off:e}, {allowed:e} is allowed: {case}");
        }
    }
    println!("{largest:.2} of what is allowed");
}

/// Karlo's kind of schedule, which a user may sample with DDIM: with the true x_0 every spacing lands on it.
#[test]
fn ddim_with_a_perfect_denoiser_lands_on_x_0() {
    let mut generator = Generator::new(4);
    let mut draw = || normal(&mut generator, &[2, 12]).to_kind(Kind::Double);
    let (x_0, eps) = (draw().clamp(-1.0, 1.0), draw());
    for prediction in [Prediction::Epsilon, Prediction::Sample, Prediction::V] {
        let config = scheduler(prediction, Variance::LearnedRange, Some(1.0));
        let sampler = Sampler::ddim(&config, 0.0);
        let Sampler::Ddim(ddim) = &sampler else { unreachable!() };
        let level = |timestep| ddim.schedule.level(Some(timestep));
        for text in ["1", "2", "25", "ddim25", "fast27", "3,9,1"] {
            let steps = sampler.steps(&respacing(text)).unwrap();
            let denoise = |x_t: &Tensor, step: Step| {
                let level = level(step.timestep);
                let eps = level.eps(x_t, &x_0);
                Output::plain(prediction.target(&x_0, &eps, &level))
            };
            let start = level(steps[0].timestep).x_t(&x_0, &eps);
            let arrived = sample_without_noise(&sampler, &steps, start, denoise);
            let off = largest_difference(&arrived, &x_0);
            assert!(off < 1e-9, "{prediction:?}, {text}: off by {off}");
        }
    }
}
