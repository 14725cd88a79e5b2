//! How faithfully an inversion gives a picture back, and whether what it finds looks like noise.

use noise::Generator;
use pipeline::inversion::CALLS_A_STEP;
use pipeline::{Inversion, Pipeline};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::Error;
use crate::evaluate::{EvaluationProgress, true_pictures};
use crate::examples::Asked;
use crate::manipulations::ManipulationSettings;
use crate::report::table;
use crate::statistics::Median;

/// How often the decoder is asked, each way at most.
pub const CALLS: [usize; 3] = [25, 50, 100];
/// The first scene's number.
const FIRST: u64 = 10_000;

/// What inversions with so many calls reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InversionRow {
    /// Calls of the decoder that an inversion was given.
    pub calls: usize,
    /// The peak signal-to-noise ratio of what decodes, in dB at the base size.
    pub own: Median,
    /// The same where another picture's embedding is decoded with a picture's noise.
    pub other: Median,
    /// The mean of all values of x_T.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The correlation of a value with the one on its right and the one below it.
    pub correlation: f64,
}

/// Inverts fresh scenes with each of [`CALLS`] and decodes them.
pub fn measure_inversions(
    pipeline: &Pipeline,
    settings: &ManipulationSettings,
    progress: &mut EvaluationProgress,
) -> Result<Vec<InversionRow>, Error> {
    let count = settings.limited(50);
    let examples = Asked::Seen.examples(FIRST..FIRST + count);
    let mut rows = Vec::new();
    for calls in CALLS {
        let mut found = Vec::new();
        for batch in examples.chunks(settings.batch) {
            let pictures = true_pictures(batch, pipeline.side()?);
            let inversion = pipeline.invert(&pictures, calls / CALLS_A_STEP, &mut |_, _, _| {})?;
            found.push((pipeline.base_pictures(&pictures)?, inversion));
            let done = (found.len() * settings.batch) as u64;
            progress(&format!("inversion, {calls} calls"), done.min(count), count);
        }
        let all = |part: fn(&(Tensor, Inversion)) -> &Tensor| {
            Tensor::cat(&found.iter().map(part).collect::<Vec<_>>(), 0)
        };
        // Every picture gets the embedding of the one before it.
        let exchanged = all(|(_, inversion)| &inversion.embedding).roll([1], [0]); // [N, E]
        let (mut own, mut other, mut first) = (Vec::new(), Vec::new(), 0);
        for (base, inversion) in &found {
            let size = base.size()[0];
            own.extend(psnr(&decode(pipeline, inversion)?, base));
            let exchanged = Inversion {
                embedding: exchanged.narrow(0, first, size),
                noise: inversion.noise.shallow_clone(),
                steps: inversion.steps,
            };
            other.extend(psnr(&decode(pipeline, &exchanged)?, base));
            first += size;
            progress(&format!("what {calls} calls decode to"), own.len() as u64, count);
        }
        let noise = all(|(_, inversion)| &inversion.noise).to_kind(Kind::Double); // [N, C, h, w]
        rows.push(InversionRow {
            calls,
            own: Median::of(own),
            other: Median::of(other),
            mean: noise.mean(Kind::Double).double_value(&[]),
            deviation: noise.std(true).double_value(&[]),
            correlation: neighbour_correlation(&noise),
        });
    }
    Ok(rows)
}

/// The small pictures `[B, C, h, w]` that latents decode to, without chance.
fn decode(pipeline: &Pipeline, inversion: &Inversion) -> Result<Tensor, Error> {
    let streams = &mut vec![Generator::new(0); inversion.embedding.size()[0] as usize];
    let small = pipeline.decode_inversion(inversion, (0.0, 1.0), streams, &mut |_, _, _| {});
    Ok(small?)
}

/// The peak signal-to-noise ratio of each picture of `[B, C, h, w]`, values from -1 to 1, in dB.
pub(crate) fn psnr(drawn: &Tensor, truth: &Tensor) -> Vec<f64> {
    let squared = (drawn.clamp(-1.0, 1.0) - truth).square();
    let errors = squared.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double); // [B]
    let errors = Vec::<f64>::try_from(errors).expect("one error a picture");
    // The peak is 2, the width of the range.
    let decibels = |error: f64| 10.0 * (4.0 / error).log10();
    errors.into_iter().map(decibels).collect()
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

/// A markdown table of the rows.
pub(crate) fn inversion_table(rows: &[InversionRow]) -> String {
    let header = [
        "inversion: calls each way, at most",
        "PSNR in dB, median (95%)",
        "with another picture's z",
        "x_T's mean",
        "deviation",
        "neighbours' correlation",
    ];
    let cells = |row: &InversionRow| {
        vec![
            row.calls.to_string(),
            row.own.to_string(),
            row.other.to_string(),
            format!("{:.3}", row.mean),
            format!("{:.3}", row.deviation),
            format!("{:.3}", row.correlation),
        ]
    };
    table(&header, rows.iter().map(cells))
}
