//! The variational bound against its definition in f64 (recorded by
//! golden/record_scheduler.py), and that it finds a variance better than any fixed one.

use ::diffusion::loss::variational_bound;
use ::diffusion::{Output, Prediction, Process};
use noise::Generator;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::diffusion::cosine;

const TIMESTEPS: usize = 1000;

#[test]
fn the_bound_agrees_with_its_definition_in_f64() {
    let process = Process::new(&cosine(TIMESTEPS), Device::Cpu);
    let record: Value =
        serde_json::from_str(include_str!("../golden/scheduler/record.json")).unwrap();
    let rows = record["bounds"].as_array().unwrap();
    let column = |name: &str| {
        let values = |row: &Value| serde_json::from_value::<Vec<f64>>(row[name].clone()).unwrap();
        let values: Vec<f64> = rows.iter().flat_map(values).collect();
        Tensor::from_slice(&values).to_kind(Kind::Float).reshape([-1, 3])
    };
    let timesteps: Vec<i64> = rows.iter().map(|row| row["timestep"].as_i64().unwrap()).collect();
    let timesteps = Tensor::from_slice(&timesteps);
    let x_0 = column("x_0");
    let x_t = process.q_sample(&x_0, &timesteps, &column("eps"));
    let output = Output { prediction: column("predicted"), variance: Some(column("v")) };
    let ours = variational_bound(&process, Prediction::Epsilon, &x_0, &x_t, &timesteps, &output);
    for (i, row) in rows.iter().enumerate() {
        let (ours, expected) = (ours.double_value(&[i as i64]), row["bits"].as_f64().unwrap());
        let off = (ours - expected).abs();
        assert!(off < 2e-4 * expected + 1e-6, "{row}: {ours}");
    }
}

/// Pictures of normally distributed values, of which the best answers are known: the bound's
/// mean at every timestep, for a variance given as v.
struct KnownData {
    process: Process,
    timesteps: Tensor,
    x_0: Tensor,
    x_t: Tensor,
    eps: Tensor,
}

impl KnownData {
    const ROWS: i64 = 2048;

    fn new(timesteps: &[i64]) -> Self {
        const DEVIATION: f64 = 0.03;
        let schedule = cosine(TIMESTEPS);
        let process = Process::new(&schedule, Device::Cpu);
        let mut generator = Generator::new(4);
        let shape = [timesteps.len() as i64, Self::ROWS];
        let count = shape.iter().product::<i64>() as usize;
        let mut draw = || Tensor::from_slice(&generator.normal(count)).reshape(shape);
        let levels = ((draw() * DEVIATION).clamp(-1.0, 1.0) * 127.5 + 127.5).round();
        let x_0 = levels / 127.5 - 1.0;
        let timesteps = Tensor::from_slice(timesteps);
        let x_t = process.q_sample(&x_0, &timesteps, &draw());
        let alpha_bar = Tensor::from_slice(&schedule.alphas_cumprod)
            .index_select(0, &timesteps)
            .to_kind(Kind::Float)
            .unsqueeze(1);
        let spread: Tensor = &alpha_bar * (DEVIATION * DEVIATION) + (1.0 - &alpha_bar);
        let noise_share: Tensor = 1.0 - alpha_bar;
        let eps = noise_share.sqrt() / spread * &x_t;
        Self { process, timesteps, x_0, x_t, eps }
    }

    fn bound(&self, v: &Tensor) -> Tensor {
        let variance = Some(v.unsqueeze(1).expand_as(&self.x_t));
        let output = Output { prediction: self.eps.shallow_clone(), variance };
        variational_bound(
            &self.process,
            Prediction::Epsilon,
            &self.x_0,
            &self.x_t,
            &self.timesteps,
            &output,
        )
    }
}

#[test]
fn a_variance_learned_by_the_bound_beats_both_fixed_ones() {
    // Small tensors: more threads would only wait for each other.
    tch::set_num_threads(1);
    let data = KnownData::new(&[0, 1, 2, 4, 8, 30]);
    let v = Tensor::zeros([6], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    for _ in 0..60 {
        let gradient =
            Tensor::run_backward(&[data.bound(&v).sum(Kind::Float)], &[&v], false, false);
        // The gradients of early and late timesteps differ by orders of magnitude: take their
        // signs only.
        tch::no_grad(|| {
            let mut v = v.shallow_clone();
            v -= gradient[0].sign() * 0.02;
        });
    }
    let learned = data.bound(&v.detach());
    for (name, fixed) in [("posterior's", -1.0), ("beta", 1.0)] {
        let fixed = data.bound(&v.full_like(fixed).detach());
        for i in 0..6 {
            let (learned, fixed) = (learned.double_value(&[i]), fixed.double_value(&[i]));
            assert!(learned < fixed * 0.999, "row {i}: learned {learned}, {name} {fixed}");
        }
    }
}
