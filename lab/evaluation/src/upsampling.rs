//! How much of a large picture the upsampler gives back, beside bicubic interpolation, and whether what the whole chain
//! draws is as sharp as true pictures are.

use image::RgbImage;
use noise::Generator;
use pipeline::{Pipeline, Settings, Use};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::evaluate::{EvaluationProgress, EvaluationSettings, draw_pictures, true_pictures};
use crate::examples::Asked;
use crate::inversions::psnr;
use crate::report::table;
use crate::statistics::{Estimate, Median, resampled};

/// The number of the first scene.
const FIRST: u64 = 110_000;
/// Scenes, and captions that are drawn.
const SCENES: u64 = 1000;

/// What was found about the upsampler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpsamplingReport {
    /// The side of the small pictures and that of the large ones.
    pub sides: [i64; 2],
    /// The peak signal-to-noise ratio to the true picture, in dB, of what bicubic interpolation makes of a small one.
    pub bicubic: Median,
    /// The same of what the upsampler makes of it.
    pub upsampled: Median,
    /// The upsampler's less bicubic interpolation's, picture by picture.
    pub gain: Median,
    /// The variance of the Laplacian over the true picture's: of bicubic pictures, of upsampled ones, and of those that the
    /// captions draw.
    pub sharpness: [Median; 3],
    /// The sum of the variances over that of the true pictures', in the same order.
    pub total_sharpness: [Estimate; 3],
}

/// Upsamples fresh scenes that were made small, and draws from their captions. Fewer scenes than the table's own number
/// are `at_most`.
pub fn evaluate_upsampling(
    pipeline: &Pipeline,
    settings: &EvaluationSettings,
    at_most: Option<u64>,
    progress: &mut EvaluationProgress,
) -> Result<UpsamplingReport, Error> {
    pipeline.prepare(&[Use::Prior], &settings.drawing)?;
    let count = at_most.unwrap_or(SCENES).min(SCENES);
    let examples = Asked::Seen.examples(FIRST..FIRST + count);
    let side = pipeline.side()?;
    let mut small_side = 0;
    let (mut bicubic, mut upsampled, mut gain) = (vec![], vec![], vec![]);
    let mut sharp: [Vec<f64>; 4] = Default::default();
    for batch in examples.chunks(settings.batch.max(1)) {
        let truth = true_pictures(batch, side);
        let small = pipeline.base_pictures(&truth)?; // [B, C, h, w]
        small_side = small.size()[3];
        let truth = signed(&truth); // [B, C, H, W]
        let size = [i64::from(side); 2];
        let interpolated = small.internal_upsample_bicubic2d_aa(size, false, None, None);
        let seeds: Vec<u64> = batch.iter().map(|e| settings.seed.wrapping_add(e.number)).collect();
        let large = upsample(pipeline, &small, &seeds, &settings.drawing)?;
        let [interpolated, large] = [interpolated, large].map(|x| x.to_device(Device::Cpu));
        let ratios = [&interpolated, &large].map(|large| psnr(large, &truth));
        gain.extend(ratios[1].iter().zip(&ratios[0]).map(|(own, other)| own - other));
        let [of_interpolated, of_upsampled] = ratios;
        bicubic.extend(of_interpolated);
        upsampled.extend(of_upsampled);
        let captions: Vec<&str> = batch.iter().map(|e| &*e.caption.text).collect();
        let drawn = draw_pictures(pipeline, &captions, None, &seeds, &settings.drawing)?;
        let all = [truth, interpolated, large, signed(&drawn)];
        for (sharp, pictures) in sharp.iter_mut().zip(all) {
            sharp.extend(laplacian_variance(&pictures));
        }
        progress("upsampling", gain.len() as u64, count);
    }
    let [truth, others @ ..] = &sharp;
    Ok(UpsamplingReport {
        sides: [small_side, i64::from(side)],
        bicubic: Median::of(bicubic),
        upsampled: Median::of(upsampled),
        gain: Median::of(gain),
        sharpness: others.each_ref().map(|values| {
            let paired = values.iter().zip(truth).map(|(own, truth)| own / truth);
            Median::of(paired.collect())
        }),
        total_sharpness: others.each_ref().map(|values| ratio_of_sums(values, truth)),
    })
}

/// The sum of some values over that of as many others, of the same examples.
pub fn ratio_of_sums(values: &[f64], others: &[f64]) -> Estimate {
    let [values_of, others_of] = [values, others].map(Tensor::from_slice);
    let sum = |of: &Tensor, rows: &Tensor| {
        let chosen = of.index_select(0, rows);
        chosen.sum(Kind::Double).double_value(&[])
    };
    let ratio = |rows: &Tensor| Ok(sum(&values_of, rows) / sum(&others_of, rows));
    resampled(values.len(), 2000, ratio)
}

/// Large pictures `[B, C, H, W]` of small ones, each with noise of its own.
fn upsample(
    pipeline: &Pipeline,
    small: &Tensor,
    seeds: &[u64],
    drawing: &Settings,
) -> Result<Tensor, Error> {
    let mut streams: Vec<Generator> = seeds.iter().map(|&seed| Generator::new(seed)).collect();
    Ok(pipeline.upsample(small, drawing, &mut streams, &mut |_, _, _| {})?)
}

/// Pictures of one size as `[B, C, H, W]` from -1 to 1.
fn signed(pictures: &[RgbImage]) -> Tensor {
    let one = |picture: &RgbImage| {
        let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
        Tensor::from_slice(picture.as_raw()).view([height, width, 3]).permute([2, 0, 1])
    };
    let all: Vec<Tensor> = pictures.iter().map(one).collect();
    Tensor::stack(&all, 0).to_kind(Kind::Float) / 127.5 - 1.0
}

/// How sharp pictures `[B, C, H, W]` from -1 to 1 are: the variance over pixels of the Laplacian of their brightness, which
/// is counted from 0 to 255.
pub fn laplacian_variance(pictures: &Tensor) -> Vec<f64> {
    // The luma of Rec. 601.
    let weights = Tensor::from_slice(&[0.299f32, 0.587, 0.114]).view([1, 3, 1, 1]);
    let bright = (pictures.clamp(-1.0, 1.0) + 1.0) * 127.5;
    let bright = (bright * weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Float); // [B, 1, H, W]
    let kernel = Tensor::from_slice(&[0f32, 1.0, 0.0, 1.0, -4.0, 1.0, 0.0, 1.0, 0.0]);
    let kernel = kernel.view([1, 1, 3, 3]);
    let laplacian = bright.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let variances =
        laplacian.flatten(1, -1).to_kind(Kind::Double).var_dim([1i64].as_slice(), true, false);
    Vec::try_from(variances).expect("one variance a picture")
}

impl UpsamplingReport {
    /// A markdown table.
    pub fn to_markdown(&self) -> String {
        let [small, large] = self.sides;
        let title = format!("{small} to {large} pixels");
        let header = [
            &*title,
            "PSNR in dB, median (95%)",
            "above bicubic",
            "Laplacian's variance over a true picture's, median",
            "of all over that of all (95%)",
        ];
        let row = |name: &str, n: usize, ratio: Option<&Median>, gain: Option<&Median>| {
            let text = |median: Option<&Median>| median.map(Median::to_string).unwrap_or_default();
            vec![
                name.to_owned(),
                text(ratio),
                text(gain),
                format!("{:.2}", self.sharpness[n].value),
                self.total_sharpness[n].to_string(),
            ]
        };
        let rows = [
            row("bicubic", 0, Some(&self.bicubic), None),
            row("upsampled", 1, Some(&self.upsampled), Some(&self.gain)),
            row("drawn from captions", 2, None, None),
        ];
        table(&header, rows.into_iter())
    }
}
