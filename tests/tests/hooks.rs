//! The hooks of the samplers' loop: that they change what they should, and nothing else.

use std::ops::ControlFlow;

use ::diffusion::{
    Hooks, Output, Prediction, Sampler, Step, Variance, dynamic_threshold, gradient, sample,
};
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

use crate::diffusion::{count, go_on, largest_difference, normal, sample_without_noise, scheduler};

const SHAPE: [i64; 2] = [2, 6];

/// All samplers of a network that predicts eps and a variance.
fn samplers(clip_range: Option<f64>) -> [Sampler; 5] {
    let config = scheduler(Prediction::Epsilon, Variance::LearnedRange, clip_range);
    [
        Sampler::unclip(&config),
        Sampler::ddpm(&config),
        Sampler::ddim(&config, 0.0),
        Sampler::ddim(&config, 0.5),
        Sampler::dpm_solver(&config),
    ]
}

/// A smooth stand-in for a network.
fn denoise(x_t: &Tensor, step: Step) -> Output {
    let prediction = (x_t * 0.8).tanh() * (0.5 + step.timestep as f64 / 2000.0);
    Output { variance: Some(prediction.cos()), prediction }
}

/// Runs five steps from seeded noise.
fn run(sampler: &Sampler, hooks: Hooks) -> Tensor {
    let mut generator = Generator::new(8);
    let mut noise = || normal(&mut generator, &SHAPE).to_kind(Kind::Double);
    let x_t = noise();
    let steps = sampler.steps(&count(5)).unwrap();
    no_grad(|| sample(sampler, &steps, x_t, denoise, noise, hooks, go_on)).unwrap()
}

#[test]
fn hooks_that_change_nothing_leave_what_is_drawn() {
    for sampler in samplers(None).into_iter().chain(samplers(Some(1.0))) {
        let mut seen = (0, 0, 0);
        let hooks = Hooks {
            x_0: Some(Box::new(|x_0, _| {
                seen.0 += 1;
                x_0
            })),
            guidance: Some(Box::new(|value, guidance| {
                seen.1 += 1;
                guidance.along(value, &guidance.x_t.zeros_like())
            })),
            arrival: Some(Box::new(|x, _, _| {
                seen.2 += 1;
                x
            })),
        };
        let off = largest_difference(&run(&sampler, hooks), &run(&sampler, Hooks::default()));
        // eps is computed of x_0 and back.
        assert!(off < 1e-6, "off by {off}: {:?}", sampler.config());
        assert_eq!(seen, (5, 5, 5));
    }
}

#[test]
fn the_first_hook_sees_x_0_before_it_is_clipped() {
    let config = scheduler(Prediction::Sample, Variance::FixedSmallLog, Some(1.0));
    for sampler in [
        Sampler::unclip(&config),
        Sampler::ddpm(&config),
        Sampler::ddim(&config, 0.0),
        Sampler::dpm_solver(&config),
    ] {
        let x_t = Tensor::zeros(SHAPE, (Kind::Float, Device::Cpu));
        let denoise = |x_t: &Tensor, _: Step| Output::plain(x_t.full_like(3.0));
        let hooks = Hooks {
            x_0: Some(Box::new(|x_0, _| {
                assert!(x_0.equal(&x_0.full_like(3.0)));
                x_0 / 6.0
            })),
            ..Hooks::default()
        };
        let steps = sampler.steps(&count(3)).unwrap();
        let noise = || x_t.zeros_like();
        let observe = |_, x_0: &Tensor| {
            assert!(x_0.equal(&x_0.full_like(0.5)));
            ControlFlow::Continue(())
        };
        let start = x_t.shallow_clone();
        let x_0 = sample(&sampler, &steps, start, denoise, noise, hooks, observe).unwrap();
        assert!(largest_difference(&x_0, &x_0.full_like(0.5)) < 2e-3);
    }
}

#[test]
fn a_stopped_loop_takes_no_more_steps() {
    for sampler in samplers(Some(1.0)) {
        let mut calls = 0;
        let counted = |x_t: &Tensor, step: Step| {
            calls += 1;
            denoise(x_t, step)
        };
        let x_t = Tensor::zeros(SHAPE, (Kind::Float, Device::Cpu));
        let noise = || x_t.zeros_like();
        let observe = |done, _x_0: &Tensor| match done {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let (steps, start) = (sampler.steps(&count(5)).unwrap(), x_t.shallow_clone());
        let x_0 = sample(&sampler, &steps, start, counted, noise, Hooks::default(), observe);
        assert!(x_0.is_none());
        assert_eq!(calls, 2);
    }
}

#[test]
fn a_gradient_is_computed_where_none_are() {
    let x = Tensor::from_slice(&[0.5f64, -1.0, 3.0]);
    let quadratic = |x: &Tensor| (x - 2.0).square().sum(Kind::Double) * -0.5;
    let found = no_grad(|| gradient(&x, quadratic));
    assert!(largest_difference(&found, &Tensor::from_slice(&[1.5f64, 3.0, -1.0])) < 1e-12);
    assert!(!found.requires_grad());
}

/// With data that are normal, N(0, 1), a condition whose log-likelihood is -(x - 1)^2 / 2 has the posterior N(1/2, 1/2): a guided
/// sampler of many steps finds it. x_t is then N(0, 1) too, eps is sqrt(1 - alpha_bar) x_t, and the condition's
/// likelihood given x_t has the mean sqrt(alpha_bar) x_t and the variance 1 + (1 - alpha_bar).
#[test]
fn guidance_by_a_quadratic_draws_from_the_known_posterior() {
    tch::set_num_threads(1);
    let config = scheduler(Prediction::Epsilon, Variance::FixedSmallLog, None);
    let samplers = [
        (Sampler::unclip(&config), 200),
        (Sampler::ddpm(&config), 200),
        (Sampler::ddim(&config, 0.0), 200),
        (Sampler::ddim(&config, 1.0), 200),
        (Sampler::dpm_solver(&config), 40),
    ];
    for (sampler, steps) in samplers {
        let Sampler::Ddpm(reference) = Sampler::ddpm(&config) else { unreachable!() };
        let alpha_bar = |step: Step| reference.schedule.alpha_bar(Some(step.timestep));
        let denoise =
            |x_t: &Tensor, step: Step| Output::plain(x_t * (1.0 - alpha_bar(step)).sqrt());
        let hooks = Hooks {
            guidance: Some(Box::new(|value, guidance| {
                let alpha_bar = alpha_bar(guidance.step);
                let log_likelihood = |x_t: &Tensor| {
                    let offset = x_t * alpha_bar.sqrt() - 1.0;
                    offset.square().sum(Kind::Float) * (-0.5 / (2.0 - alpha_bar))
                };
                let gradient = gradient(guidance.x_t, log_likelihood);
                guidance.along(value, &gradient)
            })),
            ..Hooks::default()
        };
        let mut generator = Generator::new(1);
        let mut noise = || normal(&mut generator, &[20_000]);
        let x_t = noise();
        let steps = sampler.steps(&count(steps)).unwrap();
        let x_0 = no_grad(|| sample(&sampler, &steps, x_t, denoise, noise, hooks, go_on)).unwrap();
        let (mean, variance) = (x_0.mean(Kind::Double), x_0.var(true));
        let (mean, variance) = (mean.double_value(&[]), variance.double_value(&[]));
        println!("{mean:.4} {variance:.4}");
        assert!((mean - 0.5).abs() < 0.04, "mean {mean}, variance {variance}: {:?}", steps.len());
        assert!((variance - 0.5).abs() < 0.05, "mean {mean}, variance {variance}");
    }
}

#[test]
fn dynamic_thresholds_are_torchs() {
    // torch.quantile(x.abs().flatten(1), 0.9, dim=1).clamp(min=1), and then x.clamp(-s, s) / s, by torch 2.11.
    let x_0 = Tensor::from_slice(&[
        0.5f32, -3.0, 1.0, 2.0, -0.25, 0.75, // the quantile 2.5
        0.1, -0.2, 0.3, -0.4, 0.9, 0.6, // less than 1
    ])
    .reshape([2, 1, 2, 3]);
    let expected = Tensor::from_slice(&[
        0.2f32, -1.0, 0.4, 0.8, -0.1, 0.3, // divided by 2.5
        0.1, -0.2, 0.3, -0.4, 0.9, 0.6,
    ])
    .reshape([2, 1, 2, 3]);
    let ours = dynamic_threshold(&x_0, 0.9);
    assert!(largest_difference(&ours, &expected) < 1e-6, "{ours:?}");
}

#[test]
fn dynamic_thresholding_in_the_loop_bounds_x_0_without_saturating_it() {
    let config = scheduler(Prediction::Sample, Variance::FixedSmallLog, None);
    let x_0 = Tensor::from_slice(&[0.0f32, 1.0, 2.0, 4.0]).reshape([1, 4]);
    let hooks =
        Hooks { x_0: Some(Box::new(|x_0, _| dynamic_threshold(&x_0, 1.0))), ..Hooks::default() };
    let sampler = Sampler::ddim(&config, 0.0);
    let denoise = |_: &Tensor, _: Step| Output::plain(x_0.shallow_clone());
    let (steps, noise) = (sampler.steps(&count(3)).unwrap(), || unreachable!("nothing is drawn"));
    let start = x_0.zeros_like();
    let drawn = sample(&sampler, &steps, start, denoise, noise, hooks, go_on).unwrap();
    assert!(largest_difference(&drawn, &(&x_0 / 4.0)) < 1e-6);
    let plain = sample_without_noise(&sampler, &steps, x_0.zeros_like(), denoise);
    assert!(largest_difference(&plain, &x_0) < 1e-6);
}
