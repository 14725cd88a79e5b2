//! Analytic-DPM against the paper's formula, and against diffusions whose optimal variance has a closed form.

use ::diffusion::analytic::denoising_error;
use ::diffusion::{
    AnalyticDpm, Ddpm, DenoisingErrors, DenoisingErrorsError, NoiseLevel, Output, Prediction,
    Sampler, Schedule, Step, Variance,
};
use noise::Generator;
use tch::{Kind, Tensor};

use crate::diffusion::{cosine, count, scheduler, take_step};

const TIMESTEPS: usize = 1000;

/// Data with normal values of this mean, and of the variance that a test names.
const MEAN: f64 = 0.7;

fn analytic(
    timesteps: Vec<i64>,
    error: impl Fn(i64) -> f64,
    clip_range: Option<f64>,
) -> AnalyticDpm {
    let mean_squared_errors = timesteps.iter().map(|&timestep| error(timestep)).collect();
    let errors = DenoisingErrors { samples: 1, timesteps, mean_squared_errors };
    let config = scheduler(Prediction::Sample, Variance::FixedSmallLog, clip_range);
    AnalyticDpm::new(&config, errors).unwrap()
}

fn all_timesteps() -> Vec<i64> {
    (0..TIMESTEPS as i64).collect()
}

fn steps(number: usize) -> Vec<Step> {
    count(number).steps(TIMESTEPS).unwrap()
}

/// The variance of x_0 where x_t is known, for normal data.
fn posterior_variance(variance: f64, alpha_bar: f64) -> f64 {
    variance * (1.0 - alpha_bar) / (alpha_bar * variance + 1.0 - alpha_bar)
}

/// The optimal variance by theorem 1 of 2201.06503, of Gamma = E |score|^2 / d.
fn of_paper(alpha_bar: f64, alpha_bar_previous: f64, lambda_squared: f64, gamma: f64) -> f64 {
    let (beta_bar, beta_bar_previous) = (1.0 - alpha_bar, 1.0 - alpha_bar_previous);
    let alpha = alpha_bar / alpha_bar_previous;
    let factor = (beta_bar / alpha).sqrt() - (beta_bar_previous - lambda_squared).max(0.0).sqrt();
    lambda_squared + factor.powi(2) * (1.0 - beta_bar * gamma)
}

fn lambda_squared(alpha_bar: f64, alpha_bar_previous: f64, eta: f64) -> f64 {
    let beta = 1.0 - alpha_bar / alpha_bar_previous;
    eta * eta * (1.0 - alpha_bar_previous) / (1.0 - alpha_bar) * beta
}

#[test]
fn the_variance_is_the_papers_of_normal_data() {
    let schedule = cosine(TIMESTEPS);
    for variance in [0.1, 1.0, 4.0] {
        let error = |t| posterior_variance(variance, schedule.alpha_bar(Some(t)));
        let sampler = analytic(all_timesteps(), error, None);
        for (number, eta) in [(3, 1.0), (25, 1.0), (64, 1.0), (1000, 1.0), (25, 0.0), (25, 0.5)] {
            let sampler = AnalyticDpm { eta, ..sampler.clone() };
            for step in steps(number) {
                let alpha_bar = schedule.alpha_bar(Some(step.timestep));
                let previous = schedule.alpha_bar(step.previous);
                // The score of N(m, v) has the variance 1 / v in each value.
                let gamma = 1.0 / (alpha_bar * variance + 1.0 - alpha_bar);
                let lambda_squared = lambda_squared(alpha_bar, previous, eta);
                let expected = of_paper(alpha_bar, previous, lambda_squared, gamma);
                let found = sampler.variance(step);
                // Gamma's formula is a difference that loses 9 digits of 16 at the noisiest timestep.
                let off = (found - expected).abs();
                assert!(off < 1e-6 * expected, "{found}, not {expected}: {step:?}, eta {eta}");
            }
        }
    }
}

/// E |score|^2 and E Var(x_0 | x_t) where x_0 is near -1 or 1, by quadrature over x_t.
fn of_mixture(alpha_bar: f64) -> [f64; 2] {
    const WITHIN: f64 = 0.04;
    const STRIDE: f64 = 1e-3;
    let spread = alpha_bar * WITHIN + 1.0 - alpha_bar;
    let mut means = [0.0; 2];
    for i in -8000..=8000 {
        let x = f64::from(i) * STRIDE;
        let density = |centre: f64| {
            let offset = x - alpha_bar.sqrt() * centre;
            (-offset * offset / (2.0 * spread)).exp() / (2.0 * std::f64::consts::PI * spread).sqrt()
        };
        let [low, high] = [0.5 * density(-1.0), 0.5 * density(1.0)];
        let total = low + high;
        if total < 1e-300 {
            continue;
        }
        let score = |centre: f64| -(x - alpha_bar.sqrt() * centre) / spread;
        let x_0 = |centre: f64| {
            centre + alpha_bar.sqrt() * WITHIN / spread * (x - alpha_bar.sqrt() * centre)
        };
        let within = WITHIN * (1.0 - alpha_bar) / spread;
        let mean = |value: &dyn Fn(f64) -> f64| (low * value(-1.0) + high * value(1.0)) / total;
        let (mean_score, mean_x_0) = (mean(&score), mean(&x_0));
        let variance = within + mean(&|centre| (x_0(centre) - mean_x_0).powi(2));
        means[0] += total * mean_score * mean_score * STRIDE;
        means[1] += total * variance * STRIDE;
    }
    means
}

#[test]
fn the_variance_is_the_papers_of_a_mixture() {
    let schedule = cosine(TIMESTEPS);
    for step in steps(12) {
        // At the noisiest timestep the quadrature is not exact enough for the difference that Gamma's formula is.
        if step.timestep == 999 || step.is_last() {
            continue;
        }
        let alpha_bar = schedule.alpha_bar(Some(step.timestep));
        let previous = schedule.alpha_bar(step.previous);
        let [gamma, error] = of_mixture(alpha_bar);
        let sampler = analytic(all_timesteps(), |_| error, None);
        let lambda_squared = lambda_squared(alpha_bar, previous, 1.0);
        let expected = of_paper(alpha_bar, previous, lambda_squared, gamma);
        let found = sampler.variance(step);
        assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}: {step:?}");
        assert!(found > 1.01 * lambda_squared, "{found} is no more than {lambda_squared}");
    }
}

/// The variance of what a sampler arrives at, whose steps are linear in x_t and the noise, before each last step and after it.
fn variances(
    number: usize,
    sampler: &Sampler,
    denoise: impl Fn(f64, i64) -> f64,
    variance_of: impl Fn(Step) -> f64,
) -> [f64; 2] {
    let mut variance = 1.0;
    let mut before = variance;
    for step in steps(number) {
        let arrive = |x: f64| {
            let x_t = Tensor::from_slice(&[x]);
            let output = Output::plain(Tensor::from_slice(&[denoise(x, step.timestep)]));
            let noise = Tensor::from_slice(&[0.0f64]);
            take_step(sampler, output, step, &x_t, Some(&noise)).double_value(&[0])
        };
        let slope = arrive(1.0) - arrive(0.0);
        before = variance;
        variance = slope * slope * variance + variance_of(step);
    }
    [before, variance]
}

#[test]
fn few_steps_keep_the_variance_of_normal_data_and_fixed_variances_do_not() {
    let schedule = cosine(TIMESTEPS);
    for variance in [0.2, 1.0, 3.0] {
        // The exact prediction of x_0.
        let denoise = |x: f64, timestep: i64| {
            let alpha_bar = schedule.alpha_bar(Some(timestep));
            let gain = alpha_bar.sqrt() * variance / (alpha_bar * variance + 1.0 - alpha_bar);
            MEAN + gain * (x - alpha_bar.sqrt() * MEAN)
        };
        let error = |t| posterior_variance(variance, schedule.alpha_bar(Some(t)));
        let analytic = analytic(all_timesteps(), error, None);
        let ddpm = Ddpm { config: analytic.config.clone(), schedule: cosine(TIMESTEPS) };
        let ddpm = Sampler::Ddpm(ddpm);
        for number in [2, 4, 8, 64] {
            let sampler = Sampler::Analytic(analytic.clone());
            let ours = |step: Step| if step.is_last() { 0.0 } else { analytic.variance(step) };
            // Before the last step, which adds no noise, the variance is that of x_t at timestep 0.
            let [found, last] = variances(number, &sampler, denoise, ours);
            let alpha_bar = schedule.alpha_bar(Some(0));
            let expected = alpha_bar * variance + 1.0 - alpha_bar;
            assert!((found / expected - 1.0).abs() < 1e-7, "{found}, not {expected}: {number}");
            let off = (last / variance - 1.0).abs();
            assert!(off < 3e-4, "{last}, not {variance}: {number} steps");

            let at =
                |step: Step| [Some(step.timestep), step.previous].map(|t| schedule.alpha_bar(t));
            let small = |step: Step| lambda_squared(at(step)[0], at(step)[1], 1.0);
            let large = |step: Step| match step.is_last() {
                true => 0.0,
                false => 1.0 - at(step)[0] / at(step)[1],
            };
            let [_, of_small] = variances(number, &ddpm, denoise, small);
            assert!(of_small < variance * (1.0 - 0.2 / number as f64), "{of_small}: {number}");
            let [_, of_large] = variances(number, &ddpm, denoise, large);
            let off = (of_large / variance - 1.0).abs();
            assert!(variance == 1.0 || off > 0.1 / number as f64, "{of_large}: {number}");
        }
    }
}

#[test]
fn a_step_draws_with_the_variance_and_the_last_draws_nothing() {
    let error = |t: i64| 0.3 + t as f64 * 1e-4;
    let sampler = analytic(all_timesteps(), error, None);
    let step = Step { timestep: 600, previous: Some(400) };
    let (x_t, x_0) = (Tensor::from_slice(&[0.5f64]), Tensor::from_slice(&[-1.5f64]));
    let arrive = |step, noise: &Tensor| {
        let sampler = Sampler::Analytic(sampler.clone());
        let output = Output::plain(x_0.shallow_clone());
        take_step(&sampler, output, step, &x_t, Some(noise)).double_value(&[0])
    };
    let [without, with] = [0.0f64, 1.0].map(|noise| arrive(step, &Tensor::from_slice(&[noise])));
    assert!(((with - without).powi(2) / sampler.variance(step) - 1.0).abs() < 1e-9);
    // The mean is DDPM's.
    let ddpm = Ddpm { config: sampler.config.clone(), schedule: cosine(TIMESTEPS) };
    let mean = ddpm.posterior(&x_0, None, step, &x_t).mean.double_value(&[0]);
    assert!((without - mean).abs() < 1e-12);
    let last = Step { timestep: 600, previous: None };
    assert_eq!(arrive(last, &Tensor::from_slice(&[9.0f64])), -1.5);
}

#[test]
fn the_variance_stays_within_the_papers_bounds() {
    let schedule = cosine(TIMESTEPS);
    for clip_range in [None, Some(5.0)] {
        let sampler = analytic(all_timesteps(), |_| 1e12, clip_range);
        for step in steps(30).into_iter().filter(|step| !step.is_last()) {
            let [alpha_bar, previous] =
                [Some(step.timestep), step.previous].map(|t| schedule.alpha_bar(t));
            let alpha = alpha_bar / previous;
            // Theorem 2: with DDPM's lambda its bound is beta / alpha; data from -5 to 5 have another.
            let mut bound = (1.0 - alpha) / alpha;
            if let Some(range) = clip_range {
                let of_x_0 = previous.sqrt() * (1.0 - alpha) / (1.0 - alpha_bar);
                let within = lambda_squared(alpha_bar, previous, 1.0) + (of_x_0 * range).powi(2);
                bound = bound.min(within);
            }
            let found = sampler.variance(step);
            assert!((found / bound - 1.0).abs() < 1e-9, "{found}, not {bound}: {step:?}");
        }
    }
}

#[test]
fn errors_between_the_timesteps_of_the_grid_are_interpolated() {
    let schedule = cosine(TIMESTEPS);
    let grid = DenoisingErrors::grid(TIMESTEPS);
    assert_eq!((grid.len(), grid[0], grid[100]), (101, 0, 999));
    for variance in [0.05, 1.0, 5.0] {
        let exact = |t: i64| posterior_variance(variance, schedule.alpha_bar(Some(t)));
        let errors = analytic(grid.clone(), exact, None).errors;
        for timestep in all_timesteps() {
            let off = (errors.at(timestep, &schedule) / exact(timestep) - 1.0).abs();
            assert!(off < 5e-3, "off by {off} at {timestep}");
            assert!(off < 1e-12 || !grid.contains(&timestep), "off by {off} at {timestep}");
        }
    }
    assert_eq!(DenoisingErrors::grid(4), [0, 1, 2, 3]);
    assert_eq!(DenoisingErrors::grid(1), [0]);
    let single =
        DenoisingErrors { samples: 1, timesteps: vec![0], mean_squared_errors: vec![0.25] };
    single.check(1).unwrap();
    assert!((single.at(0, &schedule) - 0.25).abs() < 1e-15);
}

#[test]
fn errors_of_samples_approach_the_closed_form() {
    const VARIANCE: f64 = 2.0;
    let schedule: Schedule = cosine(TIMESTEPS);
    let config = scheduler(Prediction::Epsilon, Variance::FixedSmallLog, None);
    let error_of = |samples: usize, timestep: i64| {
        let mut generator = Generator::new(11);
        let mut normal = || Tensor::from_slice(&generator.normal(samples)).to_kind(Kind::Double);
        let (x_0, eps) = (normal() * VARIANCE.sqrt() + MEAN, normal());
        let level = schedule.level(Some(timestep));
        let denoise = |x_t: &Tensor| {
            let NoiseLevel { sqrt_alpha_bar, sqrt_one_minus_alpha_bar } = level;
            let of_x_t = sqrt_alpha_bar.powi(2) * VARIANCE + sqrt_one_minus_alpha_bar.powi(2);
            let offset = x_t - sqrt_alpha_bar * MEAN;
            Output::plain(offset * (sqrt_one_minus_alpha_bar / of_x_t))
        };
        let found = denoising_error(&config, &level, &x_0, &eps, denoise).double_value(&[]);
        let exact = posterior_variance(VARIANCE, schedule.alpha_bar(Some(timestep)));
        found / exact - 1.0
    };
    for timestep in [0, 100, 500, 900] {
        for samples in [1_000, 100_000] {
            // The mean of n squares of normal numbers has the deviation sqrt(2 / n).
            let bound = 4.0 * (2.0 / samples as f64).sqrt();
            let off = error_of(samples, timestep);
            assert!(off.abs() < bound, "off by {off} at {timestep}: {samples} samples");
        }
    }
    // A prediction beyond the clip range counts as the sampler takes it.
    let clipped = scheduler(Prediction::Sample, Variance::FixedSmallLog, Some(1.0));
    let x_0 = Tensor::from_slice(&[0.5f64, -0.5]);
    let denoise = |_: &Tensor| Output::plain(Tensor::from_slice(&[7.0f64, -0.5]));
    let found = denoising_error(&clipped, &schedule.level(Some(9)), &x_0, &x_0, denoise);
    assert!((found.double_value(&[]) - 0.125).abs() < 1e-12);
}

#[test]
fn errors_of_another_schedule_are_refused() {
    let errors = |timesteps: &[i64], mean_squared_errors: &[f64]| DenoisingErrors {
        samples: 1,
        timesteps: timesteps.to_vec(),
        mean_squared_errors: mean_squared_errors.to_vec(),
    };
    errors(&[0, 5, 9], &[0.1, 0.2, 0.3]).check(10).unwrap();
    let lengths = errors(&[0, 9], &[0.1]).check(10);
    assert_eq!(lengths, Err(DenoisingErrorsError::Lengths { timesteps: 2, errors: 1 }));
    for timesteps in [&[0, 8][..], &[1, 9], &[0, 9, 9], &[0, 5, 4, 9], &[]] {
        let values = vec![0.1; timesteps.len()];
        let refused = errors(timesteps, &values).check(10);
        assert_eq!(refused, Err(DenoisingErrorsError::Timesteps { last: 9 }), "{timesteps:?}");
    }
    for error in [0.0, -0.1, f64::INFINITY] {
        let refused = errors(&[0, 9], &[0.1, error]).check(10);
        assert_eq!(refused, Err(DenoisingErrorsError::Error { timestep: 9, error }));
    }
}
