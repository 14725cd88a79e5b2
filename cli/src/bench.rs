//! `unclip bench`: a benchmark of sampling, stage by stage.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use kernels::multiplies_in_f32;
use pipeline::{Pipeline, Settings, SettingsOverrides, Step, Task};
use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use training::estimate::{prior_step_cost, stage_step_cost};

use crate::model::{EncoderArgs, ModelArgs, PriorArgs};
use crate::settings_args::{DecoderSettingsArgs, PresetArgs, PriorSettingsArgs, SizeArgs};
use crate::stdout::print_bytes;
use crate::value_parsers;

/// Arguments of `unclip bench`.
#[derive(Args)]
pub(crate) struct Bench {
    /// Pictures to draw, after the first
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parsers::images, allow_negative_numbers = true)]
    rounds: u64,
    /// Their caption
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
    encoders: EncoderArgs,
    #[command(flatten)]
    preset: PresetArgs,
    #[command(flatten)]
    prior_settings: PriorSettingsArgs,
    #[command(flatten)]
    decoder: DecoderSettingsArgs,
    #[command(flatten)]
    size: SizeArgs,
}

/// The measurements. Times are in seconds.
#[derive(Serialize)]
struct BenchReport {
    device: String,
    dtype: &'static str,
    threads: i32,
    /// From the start to the model being open.
    load: f64,
    /// From the start to the first image.
    first_picture: f64,
    /// An image after that, the median.
    picture: f64,
    /// The decoding of an image's latents, the median; `None` for a model that denoises pixels.
    decoding: Option<f64>,
    /// The peak resident memory of the process, in bytes; memory of a GPU is not counted.
    peak_memory: u64,
    /// Floating-point operations a second of a large matrix product.
    peak_matrix: f64,
    /// And of a convolution of 320 channels at 64 by 64 pixels.
    peak_convolution: f64,
    /// Bytes a second that are read of memory.
    peak_read: f64,
    stages: Vec<StageReport>,
}

/// A stage's steps, without the first of each image, which also prepares what all share.
#[derive(Serialize)]
struct StageReport {
    stage: &'static str,
    steps: usize,
    /// Seconds of a step: the median, the least and the most.
    step: [f64; 3],
    /// The first step's, the median.
    first_step: f64,
    /// Of a plain implementation, which caches nothing from step to step.
    flops: f64,
    /// The network's weights.
    bytes: f64,
}

/// The times of a run, in seconds.
#[derive(Default)]
struct Timings {
    first_picture: f64,
    /// Each measured image.
    pictures: Vec<f64>,
    /// The time after the last step of each.
    ends: Vec<f64>,
    /// Each stage's steps of each measured image.
    steps: Vec<Vec<Vec<f64>>>,
}

impl Bench {
    /// Samples and measures; nothing is written.
    pub(crate) fn run(&self) -> Result<()> {
        let start = Instant::now();
        let (kind, device) = self.model.place()?;
        let pipeline = self.model.open(Some(&self.prior), Some(&self.encoders))?;
        let pipeline = match self.eager {
            true => pipeline.with_graph_capture(None),
            false => pipeline,
        };
        let flags = self.decoder.add_to(SettingsOverrides::default());
        let flags = self.size.add_to(self.prior_settings.add_to(flags));
        let same = |settings| settings;
        let settings = self.model.prepare(&pipeline, Task::GENERATE, &self.preset, &flags, same)?;
        self.model.warn_of_idle_processors()?;
        let load = start.elapsed().as_secs_f64();
        let mut timings = self.time(&pipeline, &settings, device, start)?;
        let report = BenchReport {
            device: format!("{device:?}").to_lowercase(),
            dtype: self.model.dtype(),
            threads: tch::get_num_threads(),
            load,
            first_picture: timings.first_picture,
            picture: median(&mut timings.pictures),
            decoding: pipeline.denoises_latents().then(|| median(&mut timings.ends)),
            peak_memory: peak_memory(),
            peak_matrix: peak_matrix(kind, device),
            peak_convolution: peak_convolution(kind, device),
            peak_read: peak_read(device),
            stages: self.stages(&pipeline, &timings.steps, &settings, kind)?,
        };
        let mut out = Vec::new();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string(&report)?)?,
            false => report.print(&mut out)?,
        }
        print_bytes(&out)
    }

    /// Times images after a warm-up, in which a network's kernels are chosen at its first step; on a GPU it is captured at its
    /// second, and of the upsampler's last network each image takes one.
    fn time(
        &self,
        pipeline: &Pipeline,
        settings: &Settings,
        device: Device,
        start: Instant,
    ) -> Result<Timings> {
        let stages = pipeline.stages().count();
        let mut timings = Timings { steps: vec![Vec::new(); stages], ..Timings::default() };
        let warm_up = if device == Device::Cpu { 1 } else { 2 };
        for round in 0..warm_up + self.rounds {
            let began = Instant::now();
            let mut last = began;
            let mut own = vec![Vec::new(); stages];
            pipeline.generate(&self.caption, &[round], settings, &mut |step: Step<'_>| {
                synchronise(device);
                own[step.index].push(last.elapsed().as_secs_f64());
                last = Instant::now();
                ControlFlow::Continue(())
            })?;
            if round == 0 {
                timings.first_picture = start.elapsed().as_secs_f64();
            }
            if round >= warm_up {
                timings.pictures.push(began.elapsed().as_secs_f64());
                timings.ends.push(last.elapsed().as_secs_f64());
                for (all, own) in timings.steps.iter_mut().zip(own) {
                    all.push(own);
                }
            }
        }
        Ok(timings)
    }

    /// The stages' reports; the autoregressive prior has none.
    fn stages(
        &self,
        pipeline: &Pipeline,
        steps: &[Vec<Vec<f64>>],
        settings: &Settings,
        kind: Kind,
    ) -> Result<Vec<StageReport>> {
        let mut shapes = pipeline.shapes(Task::GENERATE, settings)?;
        if settings.width.is_some() || settings.height.is_some() {
            // Other images than squares cost about as much as the square with as many pixels.
            let side = f64::from(pipeline.side()?);
            let sides = [settings.width, settings.height].map(|own| own.map_or(side, f64::from));
            let scale = (sides[0] * sides[1]).sqrt() / side;
            for network in shapes.stages.iter_mut().filter_map(|stage| stage.network.as_mut()) {
                network.sample_size = (network.sample_size as f64 * scale).round() as i64;
            }
        }
        let mut reports = Vec::new();
        for (stage, steps) in pipeline.stages().zip(steps) {
            let place = settings.stages.iter().position(|other| other.name == stage);
            let cost = match place {
                Some(place) => stage_step_cost(&shapes, &shapes.stages[place]),
                None if settings.codes().is_some() => continue,
                None => shapes.prior.as_ref().map(prior_step_cost),
            };
            let guidance = match settings.stage(stage) {
                Some(stage) => settings.stage_guidance(stage),
                None => settings.prior_guidance(),
            };
            let Some(cost) = cost else { continue };
            let passes = if guidance.is_some() { 2.0 } else { 1.0 };
            let bytes = cost.parameters as f64 * kind.elt_size_in_bytes() as f64;
            reports.push(StageReport::new(stage, steps, cost.flops * passes, bytes));
        }
        Ok(reports)
    }
}

impl StageReport {
    fn new(stage: &'static str, images: &[Vec<f64>], flops: f64, bytes: f64) -> Self {
        let mut first: Vec<f64> = images.iter().map(|steps| steps[0]).collect();
        let mut later: Vec<f64> = images.iter().flat_map(|steps| &steps[1..]).copied().collect();
        if later.is_empty() {
            later = first.clone();
        }
        let middle = median(&mut later);
        Self {
            stage,
            steps: images[0].len(),
            step: [middle, later[0], later[later.len() - 1]],
            first_step: median(&mut first),
            flops,
            bytes,
        }
    }
}

impl BenchReport {
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
        if let Some(decoding) = self.decoding {
            writeln!(out, "latents are decoded in {decoding:.2} s")?;
        }
        writeln!(
            out,
            "peak: {:.0} GFLOP/s in matrix products, {:.0} GFLOP/s in convolutions, {:.1} GB/s read\n",
            self.peak_matrix / 1e9,
            self.peak_convolution / 1e9,
            self.peak_read / 1e9
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

/// Waits until a GPU is idle.
fn synchronise(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// The peak resident memory of this process, in bytes.
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

/// Of a sum of more numbers than caches hold.
fn peak_read(device: Device) -> f64 {
    const BYTES: i64 = 1 << 29;
    let numbers = Tensor::zeros([BYTES / 4], (Kind::Float, device));
    peak(BYTES as f64, device, || numbers.sum(Kind::Float))
}

/// Operations a second in the fastest of some runs.
fn peak(operations: f64, device: Device, run: impl Fn() -> Tensor) -> f64 {
    let time = || {
        synchronise(device);
        let began = Instant::now();
        drop(no_grad(&run));
        synchronise(device);
        began.elapsed().as_secs_f64()
    };
    operations / (0..8).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Numbers of the kind that the networks' products are computed in.
fn random(shape: &[i64], kind: Kind, device: Device) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let numbers = Tensor::from_slice(&noise::Generator::new(1).normal(count)).view(shape);
    let rounded = numbers.to_kind(kind).to_device(device);
    if multiplies_in_f32(&[&rounded]) { numbers } else { rounded }
}
