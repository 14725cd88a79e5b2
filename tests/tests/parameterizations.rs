//! Schedules and predictions of eps, x_0 and v in steps of DDPM, DDIM and DPM-Solver++, against diffusers (recorded by
//! golden/record_parameterizations.py).

use std::collections::HashMap;
use std::path::Path;

use ::diffusion::{
    BetaSchedule, Hooks, Output, Prediction, Process, Sampler, Schedule, SchedulerConfig, Step,
    TimestepSpacing, Variance, guide, sample,
};
use noise::Generator;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::diffusion::{cosine, go_on, largest_difference, normal, take_step};

fn golden() -> (Value, HashMap<String, Tensor>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/parameterizations");
    let text = std::fs::read_to_string(folder.join("record.json")).unwrap();
    let tensors = Tensor::read_safetensors(folder.join("steps.safetensors")).unwrap();
    (serde_json::from_str(&text).unwrap(), tensors.into_iter().collect())
}

/// diffusers' flat fields as ours.
fn beta_schedule(fields: &Value) -> BetaSchedule {
    let name = fields["beta_schedule"].as_str().unwrap();
    let ours = match name {
        "squaredcos_cap_v2" => json!(name),
        _ => {
            json!({ name: { "beta_start": fields["beta_start"], "beta_end": fields["beta_end"] } })
        }
    };
    serde_json::from_value(ours).unwrap()
}

fn config(betas: BetaSchedule, prediction: Prediction, clip_range: Option<f64>) -> SchedulerConfig {
    SchedulerConfig {
        train_timesteps: 1000,
        timestep_spacing: TimestepSpacing::Linspace,
        beta_schedule: betas,
        prediction,
        variance: Variance::FixedSmallLog,
        clip_range,
    }
}

#[test]
fn published_tables_are_diffusers_to_the_bit() {
    let (record, tensors) = golden();
    let schedules = record["schedules"].as_object().unwrap();
    assert_eq!(schedules.len(), 4);
    for (name, fields) in schedules {
        let config = config(beta_schedule(fields), Prediction::Epsilon, None);
        let published = Schedule::published(&config);
        let exact = Schedule::of(&config);
        for (table, published, exact) in [
            ("betas", &published.betas, &exact.betas),
            ("alphas_cumprod", &published.alphas_cumprod, &exact.alphas_cumprod),
        ] {
            let recorded = &tensors[&format!("{name}.{table}")];
            assert!(Tensor::from_slice(published).equal(recorded), "{name}: {table}");
            let off = Tensor::from_slice(exact) / recorded - 1.0;
            let off = off.abs().max().double_value(&[]);
            assert!(off < 2e-4, "{name}: {table} in f64 is off by {off}");
        }
    }
}

#[test]
fn steps_of_every_prediction_agree_with_diffusers() {
    let (record, tensors) = golden();
    let cases = record["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 36);
    for case in cases {
        let tensor = |key: &str| &tensors[&format!("{}.{key}", case["name"].as_str().unwrap())];
        let schedule = case["schedule"].as_str().unwrap();
        let betas = beta_schedule(&record["schedules"][schedule]);
        let prediction = serde_json::from_value(case["prediction"].clone()).unwrap();
        let timesteps: Vec<i64> = serde_json::from_value(case["timesteps"].clone()).unwrap();
        let [before, step] =
            [0, 1].map(|i| Step { timestep: timesteps[i], previous: Some(timesteps[i + 1]) });
        let output = || Output::plain(tensor("output").shallow_clone());
        let one_step = |sampler: &Sampler| {
            take_step(sampler, output(), step, tensor("x_t"), Some(tensor("noise")))
        };
        let results = match case["method"].as_str().unwrap() {
            "ddpm" => {
                let config = config(betas, prediction, Some(1.0));
                vec![one_step(&Sampler::unclip(&config)), one_step(&Sampler::ddpm(&config))]
            }
            "ddim" => {
                let config = config(betas, prediction, None);
                vec![one_step(&Sampler::ddim(&config, case["eta"].as_f64().unwrap()))]
            }
            _ => {
                let solver = Sampler::dpm_solver(&config(betas, prediction, None));
                let mut outputs = ["first", "output"].map(tensor).into_iter();
                let denoise = |_: &Tensor, _: Step| {
                    Output::plain(outputs.next().expect("two steps").shallow_clone())
                };
                let noise = || unreachable!("nothing is drawn");
                let start = tensor("start").shallow_clone();
                let steps = [before, step];
                let x = sample(&solver, &steps, start, denoise, noise, Hooks::default(), go_on);
                vec![x.unwrap()]
            }
        };
        for ours in results {
            let off = largest_difference(&ours, tensor("result"));
            assert!(off <= 1e-5, "off by {off}: {case}");
        }
    }
}

#[test]
fn predictions_of_the_same_x_0_and_eps_are_read_alike() {
    let mut generator = Generator::new(6);
    let [x_0, eps] = [(); 2].map(|()| normal(&mut generator, &[3, 5]).to_kind(Kind::Double));
    let timesteps = [20i64, 500, 900];
    let schedule = cosine(1000);
    let process = Process::new(&schedule, Device::Cpu);
    let rows = process.level(&Tensor::from_slice(&timesteps), &x_0);
    for prediction in [Prediction::Epsilon, Prediction::Sample, Prediction::V] {
        let x_t = rows.x_t(&x_0, &eps);
        let output = prediction.target(&x_0, &eps, &rows);
        assert!(largest_difference(&prediction.x_0(&output, &x_t, &rows), &x_0) < 1e-5);
        assert!(largest_difference(&prediction.eps(&output, &x_t, &rows), &eps) < 1e-5);
        for (row, timestep) in (0..).zip(timesteps) {
            let level = schedule.level(Some(timestep));
            let [x_0, eps] = [&x_0, &eps].map(|tensor| tensor.get(row));
            let (x_t, output) = (level.x_t(&x_0, &eps), prediction.target(&x_0, &eps, &level));
            assert!(largest_difference(&prediction.x_0(&output, &x_t, &level), &x_0) < 1e-12);
            assert!(largest_difference(&prediction.eps(&output, &x_t, &level), &eps) < 1e-12);
        }
    }
}

#[test]
fn a_config_without_a_schedule_is_the_cosines() {
    let old = json!({
        "train_timesteps": 1000, "prediction": "epsilon", "variance": "fixed_small_log", "clip_range": null,
    });
    let read = |value: Value| serde_json::from_value::<SchedulerConfig>(value);
    let wanted = config(BetaSchedule::Cosine, Prediction::Epsilon, None);
    assert_eq!(read(old.clone()).unwrap(), wanted);
    let with = |betas: Value| {
        let mut new = old.clone();
        new["beta_schedule"] = betas;
        read(new)
    };
    let linear = json!({ "linear": { "beta_start": 1e-4, "beta_end": 0.02 } });
    let wanted = BetaSchedule::Linear { start: 1e-4, end: 0.02 };
    assert_eq!(with(linear).unwrap().beta_schedule, wanted);
    let extra = json!({ "linear": { "beta_start": 1e-4, "beta_end": 0.02, "gamma": 1 } });
    assert!(with(extra).unwrap_err().to_string().contains("gamma"));
    assert!(with(json!("sigmoid")).is_err());
}

#[test]
fn rows_of_a_batch_are_guided_by_their_own_scales() {
    let mut generator = Generator::new(7);
    let [conditional, unconditional] = [(); 2].map(|()| normal(&mut generator, &[3, 2, 4]));
    let guided = |rows: std::ops::Range<i64>, scales: &[f64]| {
        let [conditional, unconditional] = [&conditional, &unconditional]
            .map(|tensor| Output::plain(tensor.narrow(0, rows.start, rows.end - rows.start)));
        guide(conditional, &unconditional, scales).prediction
    };
    let scales = [1.5, 4.0, 8.0];
    let together = guided(0..3, &scales);
    for (row, scale) in (0..).zip(scales) {
        assert!(guided(row..row + 1, &[scale]).equal(&together.narrow(0, row, 1)), "row {row}");
    }
    assert!(guided(0..3, &[4.0; 3]).equal(&guided(0..3, &[4.0])));
}
