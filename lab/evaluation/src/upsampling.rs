//! Upsampling: fidelity and sharpness of the upsampler beside bicubic interpolation, and the sharpness of the whole chain.

use image::RgbImage;
use judge::markdown::table;
use pipeline::{Silent, Task};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::Error;
use crate::evaluator::{Evaluator, Report, streams};
use crate::examples::{CaptionSet, captions};
use crate::image_metrics::{laplacian_variance, psnr};
use crate::statistics::{Estimate, Median, ratio_of_sums};

/// The number of the first scene.
const FIRST: u64 = 110_000;
/// Scenes, and captions that are sampled.
const SCENES: u64 = 1000;

/// The upsampler beside bicubic interpolation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpsamplingReport {
    /// The side of the base images and that of the upsampled ones.
    pub sides: [i64; 2],
    /// The peak signal-to-noise ratio of bicubic interpolation to the true image, in dB.
    pub bicubic: Median,
    /// The same of the upsampler.
    pub upsampled: Median,
    /// The upsampler's less bicubic interpolation's, image by image.
    pub gain: Median,
    /// The variance of the Laplacian over the true image's: of bicubic images, of upsampled ones, and of samples from the
    /// captions.
    pub sharpness: [Median; 3],
    /// The sum of the variances over that of the true images', in the same order.
    pub total_sharpness: [Estimate; 3],
}

/// Upsamples fresh scenes from the base size, and samples from their captions.
pub fn evaluate_upsampling(evaluator: &Evaluator) -> Result<UpsamplingReport, Error> {
    let Evaluator { pipeline, settings, .. } = evaluator;
    pipeline.prepare(Task::GENERATE, &settings.drawing)?;
    let count = evaluator.limited(SCENES);
    let side = i64::from(pipeline.side()?);
    let mut base_side = 0;
    let (mut bicubic, mut upsampled, mut gain) = (vec![], vec![], vec![]);
    let mut sharpness: [Vec<f64>; 4] = Default::default();
    for batch in CaptionSet::Seen.examples(FIRST..FIRST + count).chunks(settings.batch) {
        let truth = evaluator.true_images(batch)?;
        let base = pipeline.to_base_images(&truth)?; // [B, C, h, w]
        base_side = base.size()[3];
        let truth = signed(&truth); // [B, C, H, W]
        let interpolated = base.internal_upsample_bicubic2d_aa([side; 2], false, None, None);
        let seeds = evaluator.seeds(batch);
        let streams = &mut streams(&seeds);
        let large = pipeline.upsample(&base, &settings.drawing, streams, &mut Silent)?;
        let [interpolated, large] = [interpolated, large].map(|x| x.to_device(Device::Cpu));
        let [of_interpolated, of_upsampled] = [&interpolated, &large].map(|x| psnr(x, &truth));
        gain.extend(of_upsampled.iter().zip(&of_interpolated).map(|(own, other)| own - other));
        bicubic.extend(of_interpolated);
        upsampled.extend(of_upsampled);
        let samples = evaluator.sample(&captions(batch), None, &seeds, &settings.drawing)?;
        let all = [truth, interpolated, large, signed(&samples)];
        for (sharpness, images) in sharpness.iter_mut().zip(all) {
            sharpness.extend(laplacian_variance(&images));
        }
        (evaluator.progress)("upsampling", gain.len() as u64, count);
    }
    let [truth, others @ ..] = &sharpness;
    Ok(UpsamplingReport {
        sides: [base_side, side],
        bicubic: Median::of(bicubic),
        upsampled: Median::of(upsampled),
        gain: Median::of(gain),
        sharpness: others.each_ref().map(|values| {
            let ratios = values.iter().zip(truth).map(|(own, truth)| own / truth);
            Median::of(ratios.collect())
        }),
        total_sharpness: others.each_ref().map(|values| ratio_of_sums(values, truth)),
    })
}

/// Images of one size as `[B, C, H, W]` from -1 to 1.
fn signed(images: &[RgbImage]) -> Tensor {
    let one = |image: &RgbImage| {
        let (width, height) = (i64::from(image.width()), i64::from(image.height()));
        Tensor::from_slice(image.as_raw()).view([height, width, 3]).permute([2, 0, 1])
    };
    let all: Vec<Tensor> = images.iter().map(one).collect();
    Tensor::stack(&all, 0).to_kind(Kind::Float) / 127.5 - 1.0
}

impl Report for UpsamplingReport {
    fn to_markdown(&self) -> String {
        let [base, large] = self.sides;
        let header = format!(
            "{base} to {large} pixels | PSNR in dB, median (95%) | above bicubic \
             | Laplacian's variance over a true picture's, median | of all over that of all (95%)"
        );
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
        table(&header, rows)
    }
}
