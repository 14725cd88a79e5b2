//! The upsampler: from the base picture to the full one, on random crops (2204.06125, section 2.1).

use decoder::{UNet, enlarge};
use diffusion::Prediction;
use noise::Generator;
use tch::{Device, Kind, Tensor};

use crate::data::{Stream, to_signed};
use crate::noising::Noising;
use crate::recipe::UpsamplerRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// Predicts the noise on a crop of the full picture, or the crop itself, beside the enlarged base picture.
pub struct UpsamplerLeg {
    model: UNet,
    noising: Noising,
    stream: Stream,
    base: i64,
    recipe: UpsamplerRecipe,
    kind: Kind,
    device: Device,
}

impl UpsamplerLeg {
    /// Trains `model` on the pictures of `stream`, which are of the full size and come with [`UpsamplerLeg::noise`];
    /// `base` is the base picture's side.
    pub fn new(
        model: UNet,
        stream: Stream,
        base: i64,
        recipe: &UpsamplerRecipe,
        (kind, device): (Kind, Device),
    ) -> Self {
        Self {
            model,
            noising: Noising::new(device),
            stream,
            base,
            recipe: recipe.clone(),
            kind,
            device,
        }
    }

    /// The normal numbers that a picture needs: its crop's noise, then its base picture's.
    pub fn noise(recipe: &UpsamplerRecipe, base: i64) -> usize {
        3 * (recipe.crop.pow(2) + base.pow(2)) as usize
    }
}

impl Leg for UpsamplerLeg {
    fn backward(&mut self, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        in_parts(self.recipe.run.accumulate, |share| self.part(share, generator))
    }
}

impl UpsamplerLeg {
    fn part(&self, share: f64, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        let (batch, noise) = self.stream.next_with_noise()?;
        let pictures = batch.pictures.to_device(self.device);
        let (full, crop) = (self.recipe.unet.sample_size, self.recipe.crop);
        let [own, of_base] = <[Tensor; 2]>::try_from(
            noise.split_with_sizes([3 * crop.pow(2), 3 * self.base.pow(2)], 1),
        )
        .expect("there are two parts");
        let base = to_signed(&pictures, self.base);
        let base = damage(&base, &of_base.view_as(&base), &self.recipe, generator);
        let low = enlarge(&base, full);
        let (top, left) =
            (generator.below((full - crop + 1) as u64), generator.below((full - crop + 1) as u64));
        let cut =
            |x: &Tensor| x.narrow(2, top as i64, crop).narrow(3, left as i64, crop).contiguous();
        let (clean, low) = (cut(&to_signed(&pictures, full)), cut(&low));

        let noised = self.noising.noise(&clean, &own.view_as(&clean), generator);
        let input = Tensor::cat(&[&noised.values, &low], 1).to_kind(self.kind); // [B, 6, crop, crop]
        let (predicted, recomputed) = self.model.forward_training(
            &input,
            &noised.timesteps,
            None,
            self.recipe.gradient_checkpointing,
        );
        let predicted = predicted.to_kind(Kind::Float);
        let limit = self.recipe.weight_limit;
        let prediction = self.recipe.predicts;
        let (loss, error) = self.noising.loss(prediction, &predicted, &clean, &noised, limit);
        let name = match prediction {
            Prediction::Epsilon => "noise_error",
            Prediction::Sample => "sample_error",
            Prediction::V => "v_error",
        };
        (&loss * share).backward();
        recomputed.backward();
        let figures = vec![(name, error.double_value(&[]))];
        Ok((loss.double_value(&[]), figures))
    }
}

/// A little blur and noise, so that a decoder's picture, which is never quite a true one, is familiar.
fn damage(
    base: &Tensor,
    noise: &Tensor,
    recipe: &UpsamplerRecipe,
    generator: &mut Generator,
) -> Tensor {
    let blurred = blur(base, recipe.blur * generator.uniform());
    blurred + noise.to_device(base.device()) * (recipe.noise * generator.uniform())
}

/// A Gaussian blur of `[B, 3, H, W]` with a kernel of three pixels.
fn blur(x: &Tensor, deviation: f64) -> Tensor {
    if deviation < 1e-3 {
        return x.shallow_clone();
    }
    let side = (-0.5 / deviation.powi(2)).exp();
    let total = 1.0 + 2.0 * side;
    let kernel = Tensor::from_slice(&[side / total, 1.0 / total, side / total])
        .to_kind(Kind::Float)
        .to_device(x.device());
    let channels = x.size()[1];
    let along = |x: &Tensor, shape: [i64; 4], pad: [i64; 4]| {
        let kernel = kernel.view(shape).repeat([channels, 1, 1, 1]);
        x.replication_pad2d(pad).conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], channels)
    };
    let rows = along(x, [1, 1, 1, 3], [1, 1, 0, 0]);
    along(&rows, [1, 1, 3, 1], [0, 0, 1, 1])
}
