//! RePaint's steps and arithmetic: beside diffusers' scheduler (recorded by golden/record_repaint.py), and by their properties.

use std::collections::HashMap;
use std::path::Path;

use ::diffusion::{
    BetaSchedule, Hooks, Output, Prediction, Sampler, SchedulerConfig, Step, TimestepSpacing,
    Variance, sample,
};
use noise::Generator;
use pipeline::inpainting::KnownPixels;
use pipeline::repaint::{consistent, next_x, resample_count, resample_steps};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::diffusion::{count, go_on, largest_difference, normal, scheduler, take_step};

fn sampler(timesteps: usize) -> Sampler {
    Sampler::ddpm(&SchedulerConfig {
        train_timesteps: timesteps,
        timestep_spacing: TimestepSpacing::Linspace,
        beta_schedule: BetaSchedule::Cosine,
        prediction: Prediction::Epsilon,
        variance: Variance::FixedSmallLog,
        clip_range: None,
    })
}

#[test]
fn steps_and_jumps_agree_with_diffusers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/repaint");
    let record: Value =
        serde_json::from_slice(&std::fs::read(folder.join("record.json")).unwrap()).unwrap();
    let tensors: HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("steps.safetensors")).unwrap().into_iter().collect();
    let known = KnownPixels::new(&tensors["image"], &tensors["mask"]);
    let sampler = sampler(record["timesteps"].as_u64().unwrap() as usize);
    let cases = record["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for timestep in cases.iter().map(|case| case.as_i64().unwrap()) {
        let tensor = |name: &str| &tensors[&format!("{timestep}.{name}")];
        let step = Step { timestep, previous: (timestep > 0).then(|| timestep - 1) };
        let output = Output::plain(tensor("output").shallow_clone());
        let x = take_step(&sampler, output, step, tensor("x_t"), Some(tensor("noise")));
        let mut noises = ["noise", "jump_noise"].map(tensor).into_iter();
        let mut next = |next| {
            noises = ["noise", "jump_noise"].map(tensor).into_iter();
            next_x(&sampler, &x, step, next, &known, || noises.next().unwrap().shallow_clone())
        };
        let off = largest_difference(&next(None), tensor("arrived"));
        assert!(off < 2e-5, "off by {off} after timestep {timestep}");
        // Nothing jumps back from the clean image here.
        if timestep > 0 {
            let off = largest_difference(&next(Some(step)), tensor("jumped"));
            assert!(off < 2e-5, "off by {off} back at timestep {timestep}");
        }
    }
}

#[test]
fn every_step_but_the_last_is_taken_as_often_as_is_asked_for() {
    for (steps, resample) in [(1, 3), (2, 1), (7, 2), (25, 10), (99, 3), (250, 4), (1000, 2)] {
        let steps = count(steps).steps(1000).unwrap();
        let taken = resample_steps(&steps, resample);
        assert_eq!(taken.len(), resample_count(steps.len(), resample));
        for (n, step) in steps.iter().enumerate() {
            let times = taken.iter().filter(|other| *other == step).count();
            assert_eq!(times, if n + 1 == steps.len() { 1 } else { resample });
        }
        assert!(taken.last().unwrap().is_last());
        // Between them the image is where the next step starts, or is cleaner and noised again: as far as in the paper, whose
        // jumps take 10 of 250 steps.
        let stride = 999_usize.div_ceil(steps.len().max(2) - 1);
        let longest = stride.max(1000 / 25) as i64 + 2;
        for pair in taken.windows(2) {
            let jump = pair[1].timestep - pair[0].previous.unwrap();
            assert!((0..=longest).contains(&jump), "a jump of {jump} timesteps");
        }
    }
    assert_eq!(resample_steps(&[], 3), []);
    let steps = count(250).steps(1000).unwrap();
    let jumped = |pair: &&[Step]| pair[1].timestep > pair[0].previous.unwrap();
    let taken = resample_steps(&steps, 2);
    let jumps: Vec<i64> = taken.windows(2).filter(jumped).map(|p| p[1].timestep).collect();
    // 249 steps that are taken twice, in runs of 10 but for the first.
    assert_eq!(jumps.len(), 25);
    assert_eq!(jumps[0], 999);
    assert_eq!(taken.iter().filter(|step| step.timestep == jumps[24]).count(), 2);
    assert_eq!(steps.iter().position(|step| step.timestep == jumps[24]), Some(239));
}

/// Where half of the pixels are known and the network knows the distribution, all of them come to have it: x_0 is normal with
/// mean 0.5 and deviation 0.2, each pixel on its own.
#[test]
fn unknown_pixels_have_the_datas_distribution_however_often_they_are_taken() {
    const MEAN: f64 = 0.5;
    const DEVIATION: f64 = 0.2;
    let config = scheduler(Prediction::Sample, Variance::FixedSmallLog, None);
    let sampler = Sampler::ddpm(&config);
    let shape = [1, 3, 32, 32];
    let mask = Tensor::zeros([1, 1, 32, 32], (Kind::Float, tch::Device::Cpu));
    let _ = mask.narrow(3, 0, 16).fill_(1.0);
    let mut generator = Generator::new(3);
    let image = normal(&mut generator, &shape) * DEVIATION + MEAN;
    let known = KnownPixels::new(&image, &mask);
    let schedule = crate::diffusion::cosine(1000);
    let denoise = |x: &Tensor, step: Step| {
        let alpha_bar = schedule.alpha_bar(Some(step.timestep));
        let gain = alpha_bar.sqrt() * DEVIATION.powi(2)
            / (alpha_bar * DEVIATION.powi(2) + 1.0 - alpha_bar);
        Output::plain((x - alpha_bar.sqrt() * MEAN) * gain + MEAN)
    };
    for resample in [1, 4] {
        let steps = resample_steps(&count(50).steps(1000).unwrap(), resample);
        let generator = std::cell::RefCell::new(Generator::new(5));
        let noise = || normal(&mut generator.borrow_mut(), &shape);
        let hooks = Hooks {
            arrival: Some(Box::new(|x, step, next| {
                next_x(&sampler, &x, step, next, &known, noise)
            })),
            ..Hooks::default()
        };
        let x = sample(&sampler, &steps, noise(), denoise, noise, hooks, go_on).unwrap();
        assert_eq!(largest_difference(&x.narrow(3, 0, 16), &image.narrow(3, 0, 16)), 0.0);
        let unknown = x.narrow(3, 16, 16);
        let (mean, deviation) =
            (unknown.mean(Kind::Double).double_value(&[]), unknown.std(true).double_value(&[]));
        assert!((mean - MEAN).abs() < 0.03, "{resample}: the mean is {mean}");
        // So few steps lose some of it.
        assert!((deviation - DEVIATION).abs() < 0.05, "{resample}: the deviation is {deviation}");
    }
}

/// After a jump the solver knows no step that leads to where it is.
#[test]
fn the_solver_takes_a_step_of_first_order_after_a_jump() {
    let config = scheduler(Prediction::Sample, Variance::FixedSmallLog, None);
    let sampler = Sampler::dpm_solver(&config);
    let steps = sampler.steps(&count(6)).unwrap();
    let x_0 = |timestep: i64| Tensor::from_slice(&[timestep as f32 / 1000.0]);
    let run = |steps: &[Step]| {
        let denoise = |_: &Tensor, step: Step| Output::plain(x_0(step.timestep));
        let noise = || unreachable!("the solver draws nothing");
        // Every step starts from 1.
        let mut arrived = Vec::new();
        let hooks = Hooks {
            arrival: Some(Box::new(|x, _, _| {
                arrived.push(x.double_value(&[0]));
                x.ones_like()
            })),
            ..Hooks::default()
        };
        let start = Tensor::from_slice(&[1.0f32]);
        let x = sample(&sampler, steps, start, denoise, noise, hooks, go_on).unwrap();
        assert_eq!(x.size(), [1]);
        arrived
    };
    let [first, second] = [steps[2], steps[3]];
    let alone = run(&[first]);
    let jumps = run(&[first, first, second]);
    assert_eq!(jumps[..2], [alone[0], alone[0]]);
    assert!((jumps[2] - run(&[second])[0]).abs() > 1e-4, "the step after it is of second order");
}

#[test]
fn a_consistent_image_has_the_low_frequencies_of_its_base() {
    let mut generator = Generator::new(3);
    let mut random = |shape: [i64; 4]| {
        let numbers = generator.normal(shape.iter().product::<i64>() as usize);
        Tensor::from_slice(&numbers).view(shape) * 0.3
    };
    let (base, detail) = (random([2, 3, 8, 8]).clamp(-1.0, 1.0), random([2, 3, 32, 32]));
    let error = |x_0: &Tensor| {
        let means = x_0.adaptive_avg_pool2d([8, 8]);
        (means - &base).square().mean(Kind::Float).sqrt().double_value(&[])
    };
    let fixed = consistent(&detail, &base);
    assert!(error(&fixed) < 0.5 * error(&detail), "{} {}", error(&fixed), error(&detail));
    // A colour that is off by the same everywhere is mended altogether, and nothing else of the image changes.
    let flat = Tensor::full([1, 3, 8, 8], 0.25, (Kind::Float, Device::Cpu));
    let pattern = Tensor::from_slice(&[0.1f32, -0.1]).repeat([1, 3, 32, 16]);
    let mended = consistent(&(&pattern + 0.75), &flat);
    assert!((mended - (pattern + 0.25)).abs().max().double_value(&[]) < 1e-6);
}
