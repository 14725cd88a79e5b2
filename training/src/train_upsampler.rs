//! Trains the upsampler: from the base image to the full one, on random crops (2204.06125, section 2.1).

use std::path::Path;

use decoder::{Interpolation, UNet};
use diffusion::Prediction;
use families::karlo;
use layers::Params;
use tch::{Device, Kind, Tensor};

use crate::data::{SampleRequest, Stream, StreamBatch, to_signed};
use crate::init_from::Component;
use crate::noising::Noising;
use crate::recipe::UpsamplerRecipe;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::sample_generators::SampleGenerators;
use crate::trainer::{UPSAMPLER_SUBSET, request};
use crate::{Error, Trainer};

const COMPONENTS: &[Component] = &[Component { prefix: "", folder: karlo::UPSAMPLER }];

/// Predicts the noise on a crop of the full image, or the crop itself, beside the enlarged base image.
pub struct UpsamplerObjective<'a> {
    /// The network that is trained.
    pub model: UNet,
    /// The forward process, on the device of the network.
    pub noising: Noising,
    /// Images of the full size, with the noise of [`UpsamplerObjective::noise`].
    pub stream: Stream,
    /// The base image's side.
    pub base: i64,
    /// The objective's numbers.
    pub recipe: &'a UpsamplerRecipe,
    /// The dtype that the network computes in.
    pub kind: Kind,
    /// The device of the network.
    pub device: Device,
}

impl UpsamplerObjective<'_> {
    /// The normal numbers that an image needs: its crop's noise, then its base image's.
    pub fn noise(recipe: &UpsamplerRecipe, base: i64) -> usize {
        3 * (recipe.crop.pow(2) + base.pow(2)) as usize
    }

    fn micro_batch(&self, weight: f64) -> Result<Loss, Error> {
        let StreamBatch { batch, noise, mut generators } = self.stream.next_batch()?;
        let images = batch.images.to_device(self.device);
        let (clean, low, own) = crops(&images, &noise, self.base, self.recipe, &mut generators);
        let noised = self.noising.noise(&clean, &own, &mut generators);
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
        (&loss * weight).backward();
        recomputed.backward();
        let metrics = vec![(name, error.double_value(&[]))];
        Ok(Loss { value: loss.double_value(&[]), metrics })
    }
}

impl Objective for UpsamplerObjective<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.recipe.run.accumulate, |weight| self.micro_batch(weight))
    }
}

/// Crops of the full `images [B, 3, S, S]` from -1 to 1, those of the enlarged base images, which are corrupted, and the crops'
/// own noise: `[B, 3, crop, crop]` each.
pub(crate) fn crops(
    images: &Tensor,
    noise: &Tensor,
    base_size: i64,
    recipe: &UpsamplerRecipe,
    generators: &mut SampleGenerators,
) -> (Tensor, Tensor, Tensor) {
    let (full, crop) = (recipe.unet.sample_size, recipe.crop);
    let parts = noise.split_with_sizes([3 * crop.pow(2), 3 * base_size.pow(2)], 1);
    let [own, of_base] = <[Tensor; 2]>::try_from(parts).expect("there are two parts");
    let base = to_signed(images, base_size);
    let base = corrupt(&base, &of_base.view_as(&base), recipe, generators);
    let low = Interpolation::Bicubic.enlarge(&base, full);
    let [top, left] = [(); 2].map(|()| generators.below((full - crop + 1) as u64));
    let cropped = |x: &Tensor| {
        let corners = top.iter().zip(&left);
        let crops = x.unbind(0).into_iter().zip(corners);
        let crops = crops.map(|(x, (&top, &left))| x.narrow(1, top, crop).narrow(2, left, crop));
        Tensor::stack(&crops.collect::<Vec<_>>(), 0) // [B, 3, crop, crop]
    };
    let clean = cropped(&to_signed(images, full));
    let own = own.view_as(&clean).to_device(images.device());
    (clean, cropped(&low), own)
}

/// Conditioning augmentation (2106.15282, section 4): a little blur and noise, so that a decoder's image, which is never
/// quite a true one, is familiar.
fn corrupt(
    base: &Tensor,
    noise: &Tensor,
    recipe: &UpsamplerRecipe,
    generators: &mut SampleGenerators,
) -> Tensor {
    let [blur, strength] = [recipe.blur, recipe.noise].map(|most| {
        let strengths: Vec<f64> = generators.uniform().iter().map(|share| most * share).collect();
        let strengths = Tensor::from_slice(&strengths).to_kind(Kind::Float);
        strengths.to_device(base.device()).view([-1, 1, 1, 1]) // [B, 1, 1, 1]
    });
    blurred(base, &blur) + noise.to_device(base.device()) * strength
}

/// A Gaussian blur of `[B, 3, H, W]` with a kernel of three pixels, each image by its own of the `deviations [B, 1, 1, 1]`.
fn blurred(x: &Tensor, deviations: &Tensor) -> Tensor {
    let side = (deviations.square().clamp_min(1e-6).reciprocal() * -0.5).exp(); // [B, 1, 1, 1]
    let along = |x: &Tensor, dimension: i64| {
        let (length, wide) = (x.size()[dimension as usize], dimension == 3);
        let pad = if wide { [1, 1, 0, 0] } else { [0, 0, 1, 1] };
        let padded = x.replication_pad2d(pad);
        let sides = padded.narrow(dimension, 0, length) + padded.narrow(dimension, 2, length);
        (x + sides * &side) / (1.0 + 2.0 * &side)
    };
    along(&along(x, 3), 2)
}

impl Trainer {
    /// Trains the upsampler, and writes it with its scheduler. The first network and the last are the one that is trained:
    /// Karlo's second, sharpened for the last step, is a refinement of its own.
    pub fn train_upsampler(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("upsampler")?;
        let recipe = &self.recipe.upsampler;
        let run = self.run("upsampler", &recipe.run, &[])?;
        let build = |p: &Params| UNet::new(p, &recipe.unet);
        let (model, optimizer) = self.build(&run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            for part in [karlo::UPSAMPLER, karlo::LAST_UPSAMPLER] {
                let predicts = recipe.predicts;
                families::save_upsampler(&folder.join(part), averaged, &recipe.unet, predicts)?;
            }
            self.save_index(folder, None)
        };
        self.train(run, optimizer, observer, save, |step| {
            let base = self.recipe.decoder.unet.sample_size;
            let request = SampleRequest {
                noise: UpsamplerObjective::noise(recipe, base),
                ..request(UPSAMPLER_SUBSET, recipe.unet.sample_size, &recipe.run)
            };
            Ok(UpsamplerObjective {
                model,
                noising: Noising::new(self.device),
                stream: self.stream(request, &recipe.run, step),
                base,
                recipe,
                kind: self.kind,
                device: self.device,
            })
        })
    }
}
