//! `unclip bench`: what drawing takes, stage by stage.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use families::{Shapes, karlo};
use pipeline::{Stage, Use};
use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use training::Recipe;
use training::estimate::step_costs;

use crate::drawing::{DecoderWishes, PresetArgs, PriorWishes};
use crate::model::{ModelArgs, PriorArgs};
use crate::numbers;
use crate::stdout::print_bytes;

/// What `unclip bench` is told.
#[derive(Args)]
pub struct Bench {
    /// Pictures to draw, after the first
    #[arg(long, value_name = "N", default_value = "3", value_parser = numbers::pictures, allow_negative_numbers = true)]
    rounds: u64,
    /// What they show
    #[arg(long, default_value = "a red boat")]
    caption: String,
    /// On a GPU, launch steps kernel by kernel, not as CUDA graphs
    #[arg(long)]
    eager: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prior: PriorArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_wishes: PriorWishes,
    #[command(flatten)]
    decoder_wishes: DecoderWishes,
}

/// What was measured. Times are in seconds.
#[derive(Serialize)]
struct Measured {
    device: String,
    dtype: &'static str,
    threads: i32,
    /// From the start to the model being open.
    load: f64,
    /// From the start to the first picture.
    first_picture: f64,
    /// A picture after that, the median.
    picture: f64,
    /// The most memory that the process held, in bytes; what lies on a GPU is not counted.
    peak_memory: u64,
    /// Floating-point operations a second of a large matrix product.
    peak_matrix: f64,
    /// And of a convolution of 320 channels at 64 by 64 pixels.
    peak_convolution: f64,
    stages: Vec<StageMeasured>,
}

/// A stage's steps, without the first of each picture, which also prepares what all share.
#[derive(Serialize)]
struct StageMeasured {
    stage: &'static str,
    steps: usize,
    /// Seconds of a step: the median, the least and the most.
    step: [f64; 3],
    /// The first step's, the median.
    first_step: f64,
    /// Of a plain implementation, which keeps nothing from step to step.
    flops: f64,
    /// The network's weights.
    bytes: f64,
}

impl Bench {
    /// Draws and measures; nothing is written.
    pub fn run(&self) -> Result<()> {
        let started = Instant::now();
        let (kind, device) = self.model.place()?;
        let pipeline = self.model.open(Some(&self.prior), None)?;
        let pipeline = match self.eager {
            true => pipeline.with_recorder(None),
            false => pipeline,
        };
        let makers = pipeline.defaults()?;
        let preset = self.preset.over(makers, &makers);
        let settings = self.prior_wishes.over(self.decoder_wishes.over(preset))?;
        let origins = self.model.origins(makers, preset, settings)?;
        let prepared = pipeline.prepare(&[Use::Prior], &settings);
        prepared.map_err(origins.explain())?;
        self.model.warn_of_idle_processors()?;
        let load = started.elapsed();

        let mut pictures = Vec::new();
        let mut times: [Vec<Vec<f64>>; 3] = Default::default();
        let mut first_picture = Duration::ZERO;
        // A network's kernels are chosen at its first step; on a GPU it is recorded at its second, and of the upsampler's last
        // network each picture takes one.
        let unmeasured = match device {
            Device::Cpu => 1,
            _ => 2,
        };
        for round in 0..unmeasured + self.rounds {
            let begun = Instant::now();
            let mut last = begun;
            let mut own: [Vec<f64>; 3] = Default::default();
            pipeline.generate(&self.caption, &[round], &settings, &mut |stage, _, _| {
                synchronise(device);
                own[stage as usize].push(last.elapsed().as_secs_f64());
                last = Instant::now();
            })?;
            if round == 0 {
                first_picture = started.elapsed();
            }
            if round >= unmeasured {
                pictures.push(begun.elapsed().as_secs_f64());
                for (all, own) in times.iter_mut().zip(own) {
                    all.push(own);
                }
            }
        }

        let recipe = Recipe::preset_text("karlo")?;
        let shapes = Shapes::read(&self.model.folder()?, &karlo())?;
        let costs = step_costs(&Recipe::read(recipe, &shapes, &[] as &[&str])?);
        let stages = Stage::ALL.into_iter().zip(times).zip(costs);
        let measured = Measured {
            device: format!("{device:?}").to_lowercase(),
            dtype: self.model.dtype(),
            threads: tch::get_num_threads(),
            load: load.as_secs_f64(),
            first_picture: first_picture.as_secs_f64(),
            picture: median(&mut pictures),
            peak_memory: peak_memory(),
            peak_matrix: peak_matrix(kind, device),
            peak_convolution: peak_convolution(kind, device),
            stages: stages
                .filter(|((stage, _), _)| *stage != Stage::Prior || settings.prior_codes.is_none())
                .map(|((stage, times), cost)| {
                    let guided = settings.guidance(stage).map_or(1.0, |_| 2.0);
                    StageMeasured::new(
                        stage,
                        times,
                        cost.flops * guided,
                        cost.parameters as f64 * kind.elt_size_in_bytes() as f64,
                    )
                })
                .collect(),
        };
        let mut out = Vec::new();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string(&measured)?)?,
            false => measured.print(&mut out)?,
        }
        print_bytes(&out)
    }
}

impl StageMeasured {
    fn new(stage: Stage, times: Vec<Vec<f64>>, flops: f64, bytes: f64) -> Self {
        let mut first: Vec<f64> = times.iter().map(|steps| steps[0]).collect();
        let mut later: Vec<f64> = times.iter().flat_map(|steps| &steps[1..]).copied().collect();
        if later.is_empty() {
            later = first.clone();
        }
        let middle = median(&mut later);
        Self {
            stage: stage.name(),
            steps: times[0].len(),
            step: [middle, later[0], later[later.len() - 1]],
            first_step: median(&mut first),
            flops,
            bytes,
        }
    }
}

impl Measured {
    fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}, {}, {} threads", self.device, self.dtype, self.threads)?;
        writeln!(
            out,
            "open after {:.2} s, first picture after {:.2} s, a picture in {:.2} s, {:.2} GiB at most",
            self.load,
            self.first_picture,
            self.picture,
            self.peak_memory as f64 / f64::from(1 << 30)
        )?;
        writeln!(
            out,
            "peak: {:.0} GFLOP/s in matrix products, {:.0} GFLOP/s in convolutions\n",
            self.peak_matrix / 1e9,
            self.peak_convolution / 1e9
        )?;
        writeln!(
            out,
            "| stage | steps | a step, ms (least to most) | first step, ms | GFLOP a step | GFLOP/s | weights, GB/s |"
        )?;
        writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for stage in &self.stages {
            let [middle, least, most] = stage.step;
            writeln!(
                out,
                "| {} | {} | {:.1} ({:.1} to {:.1}) | {:.1} | {:.2} | {:.0} | {:.2} |",
                stage.stage,
                stage.steps,
                middle * 1e3,
                least * 1e3,
                most * 1e3,
                stage.first_step * 1e3,
                stage.flops / 1e9,
                stage.flops / middle / 1e9,
                stage.bytes / middle / 1e9
            )?;
        }
        Ok(())
    }
}

/// The median; sorts.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Waits until a GPU has done all that it was given.
fn synchronise(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// The most memory that this process held, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn peak_matrix(kind: Kind, device: Device) -> f64 {
    const SIDE: i64 = 2048;
    let [a, b] = [0, 1].map(|_| random(&[SIDE, SIDE], kind, device));
    peak(2.0 * (SIDE as f64).powi(3), device, || a.matmul(&b))
}

fn peak_convolution(kind: Kind, device: Device) -> f64 {
    const CHANNELS: i64 = 320;
    const SIDE: i64 = 64;
    let x = random(&[1, CHANNELS, SIDE, SIDE], kind, device);
    let kernel = random(&[CHANNELS, CHANNELS, 3, 3], kind, device);
    let operations = 2.0 * (9 * CHANNELS * CHANNELS * SIDE * SIDE) as f64;
    peak(operations, device, || x.conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1))
}

/// Operations a second in the fastest of some runs.
fn peak(operations: f64, device: Device, run: impl Fn() -> Tensor) -> f64 {
    let time = || {
        synchronise(device);
        let begun = Instant::now();
        drop(no_grad(&run));
        synchronise(device);
        begun.elapsed().as_secs_f64()
    };
    operations / (0..8).map(|_| time()).fold(f64::INFINITY, f64::min)
}

fn random(shape: &[i64], kind: Kind, device: Device) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    Tensor::from_slice(&noise::Generator::new(1).normal(count))
        .view(shape)
        .to_kind(kind)
        .to_device(device)
}
