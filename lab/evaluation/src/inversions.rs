//! Inversion: how faithfully DDIM inversion gives an image back, and whether the latent it finds looks like noise.

use judge::markdown::table;
use noise::Generator;
use pipeline::{Decoding, Inversion, Silent};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::Error;
use crate::evaluator::{Evaluator, Report};
use crate::examples::CaptionSet;
use crate::image_metrics::psnr;
use crate::statistics::Median;

/// Calls of the decoder, each way at most.
pub const CALLS: [usize; 3] = [25, 50, 100];
/// The first scene's number, and how many there are.
const FIRST: u64 = 10_000;
const SCENES: u64 = 50;

/// Inversions with some numbers of calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InversionReport {
    /// A row for each of [`CALLS`].
    pub rows: Vec<InversionRow>,
}

/// Inversions with so many calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InversionRow {
    /// Calls of the decoder for an inversion.
    pub calls: usize,
    /// The peak signal-to-noise ratio of the reconstruction, in dB at the base size.
    pub own: Median,
    /// The same where another image's embedding is decoded with an image's noise.
    pub other: Median,
    /// The mean of all values of x_T.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The correlation of a value with the one on its right and the one below it.
    pub correlation: f64,
}

/// Inverts fresh scenes with each of [`CALLS`] and decodes them.
pub fn evaluate_inversions(evaluator: &Evaluator) -> Result<InversionReport, Error> {
    evaluator.prepare()?;
    let rows = CALLS.into_iter().map(|calls| evaluate_calls(evaluator, calls));
    Ok(InversionReport { rows: rows.collect::<Result<_, _>>()? })
}

fn evaluate_calls(evaluator: &Evaluator, calls: usize) -> Result<InversionRow, Error> {
    let Evaluator { pipeline, settings, progress, .. } = evaluator;
    let count = evaluator.limited(SCENES);
    let examples = CaptionSet::Seen.examples(FIRST..FIRST + count);
    let mut batches = Vec::new();
    for batch in examples.chunks(settings.batch) {
        let images = evaluator.true_images(batch)?;
        let inversion = evaluator.invert(&images, calls)?;
        batches.push((pipeline.to_base_images(&images)?, inversion));
        let done = (batches.len() * settings.batch) as u64;
        progress(&format!("inversion, {calls} calls"), done.min(count), count);
    }
    let all = |part: fn(&(Tensor, Inversion)) -> &Tensor| {
        Tensor::cat(&batches.iter().map(part).collect::<Vec<_>>(), 0)
    };
    // Every image gets the embedding of the one before it.
    let exchanged = all(|(_, inversion)| &inversion.embedding).roll([1], [0]); // [N, E]
    let (mut own, mut other, mut first) = (Vec::new(), Vec::new(), 0);
    for (base, inversion) in &batches {
        let size = base.size()[0];
        own.extend(psnr(&decode(evaluator, inversion)?, base));
        let exchanged = Inversion {
            embedding: exchanged.narrow(0, first, size),
            noise: inversion.noise.shallow_clone(),
            steps: inversion.steps,
        };
        other.extend(psnr(&decode(evaluator, &exchanged)?, base));
        first += size;
        progress(&format!("what {calls} calls decode to"), own.len() as u64, count);
    }
    let noise = all(|(_, inversion)| &inversion.noise).to_kind(Kind::Double); // [N, C, h, w]
    Ok(InversionRow {
        calls,
        own: Median::of(own),
        other: Median::of(other),
        mean: noise.mean(Kind::Double).double_value(&[]),
        deviation: noise.std(true).double_value(&[]),
        correlation: neighbour_correlation(&noise),
    })
}

/// The base images `[B, C, h, w]` that latents decode to, deterministically.
fn decode(evaluator: &Evaluator, inversion: &Inversion) -> Result<Tensor, Error> {
    let streams = &mut vec![Generator::new(0); inversion.embedding.size()[0] as usize];
    let quiet = &mut Silent;
    Ok(evaluator.pipeline.decode_inversion(inversion, Decoding::EXACT, streams, quiet)?)
}

/// The correlation of horizontal and vertical neighbours in `[N, C, h, w]`.
fn neighbour_correlation(noise: &Tensor) -> f64 {
    let centred = noise - noise.mean(Kind::Double);
    let variance = centred.square().mean(Kind::Double).double_value(&[]);
    let along = |dim: i64| {
        let length = noise.size()[dim as usize] - 1;
        let products = centred.narrow(dim, 0, length) * centred.narrow(dim, 1, length);
        products.mean(Kind::Double).double_value(&[])
    };
    (along(2) + along(3)) / 2.0 / variance
}

impl Report for InversionReport {
    fn to_markdown(&self) -> String {
        let header = "inversion: calls each way, at most | PSNR in dB, median (95%) \
                      | with another picture's z | x_T's mean | deviation | neighbours' correlation";
        let cells = |row: &InversionRow| {
            let numbers = [row.mean, row.deviation, row.correlation].map(|x| format!("{x:.3}"));
            let medians = [row.calls.to_string(), row.own.to_string(), row.other.to_string()];
            medians.into_iter().chain(numbers).collect()
        };
        table(header, self.rows.iter().map(cells))
    }
}
