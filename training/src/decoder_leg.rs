//! The decoder: from an image embedding and a caption to the base picture (2204.06125, section 2.1).

use decoder::{Conditioning, ConditioningConfig, UNet, UNetConfig};
use diffusion::Output;
use diffusion::loss::variational_bound;
use families::karlo;
use layers::Params;
use noise::Generator;
use tch::Kind;

use crate::data::{Batch, Stream, drops, to_signed};
use crate::encoders::{CaptionEncoder, PictureEncoder};
use crate::noising::{Noised, Noising};
use crate::recipe::DecoderRecipe;
use crate::run::{Figures, in_parts};
use crate::{Error, Leg};

/// The network and its conditioning, trained together.
pub struct Decoder {
    /// Embeddings and text to what the network takes.
    pub conditioning: Conditioning,
    /// Noised pictures to noise and variance.
    pub unet: UNet,
}

impl Decoder {
    /// Takes the conditioning's tensors and the U-Net's, each below its folder's name.
    pub fn new(p: &Params, conditioning: &ConditioningConfig, unet: &UNetConfig) -> Self {
        Self {
            conditioning: Conditioning::new(&(p / karlo::CONDITIONING), conditioning),
            unet: UNet::new(&(p / "decoder"), unet),
        }
    }
}

/// The hybrid objective of 2102.09672: the noise by its squared error, the variance by the variational bound.
pub struct DecoderLeg {
    model: Decoder,
    captions: CaptionEncoder,
    pictures: PictureEncoder,
    noising: Noising,
    stream: Stream,
    recipe: DecoderRecipe,
}

impl DecoderLeg {
    /// Trains `model` on the pictures of `stream`, which are at least as large as its own and the image encoder's, and
    /// come with [`DecoderLeg::noise`].
    pub fn new(
        model: Decoder,
        (captions, pictures): (CaptionEncoder, PictureEncoder),
        stream: Stream,
        recipe: &DecoderRecipe,
    ) -> Self {
        Self {
            model,
            noising: Noising::new(captions.device),
            captions,
            pictures,
            stream,
            recipe: recipe.clone(),
        }
    }

    /// The normal numbers that a picture needs.
    pub fn noise(recipe: &DecoderRecipe) -> usize {
        3 * recipe.unet.sample_size.pow(2) as usize
    }
}

impl Leg for DecoderLeg {
    fn backward(&mut self, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        in_parts(self.recipe.run.accumulate, |share| self.part(share, generator))
    }
}

impl DecoderLeg {
    fn part(&self, share: f64, generator: &mut Generator) -> Result<(f64, Figures), Error> {
        let (batch, eps) = self.stream.next_with_noise()?;
        let Batch { pictures, captions, .. } = batch;
        let count = captions.len();
        let (device, kind) = (self.captions.device, self.captions.kind);
        let dropped = drops(generator, self.recipe.drop_caption, count);
        let captions = self.captions.encode(&captions, &dropped)?;
        let learned = self.model.conditioning.unconditional().unsqueeze(0);
        let without =
            drops(generator, self.recipe.drop_embedding, count).to_device(device).unsqueeze(1); // [B, 1]
        let embedding = learned.where_self(&without, &self.pictures.encode(&pictures)); // [B, E]

        let clean = to_signed(&pictures.to_device(device), self.recipe.unet.sample_size);
        let noised = self.noising.noise(&clean, &eps.view_as(&clean), generator);
        let conditions =
            self.model.conditioning.forward(&embedding, &captions.embedding, &captions.states);
        let mask = self.model.conditioning.context_mask(&captions.mask); // [B, extra + T]
        let input = noised.values.to_kind(kind);
        let (output, recomputed) = self.model.unet.forward_training(
            &input,
            &noised.timesteps,
            Some((&conditions, &mask)),
            self.recipe.gradient_checkpointing,
        );
        let Output { prediction, variance } = Output::with_variance(&output.to_kind(Kind::Float));

        let (simple, error) = self.noising.loss(&prediction, &noised, self.recipe.weight_limit);
        // The weight that 2102.09672 gives the bound beside the noise's error is 1 at 1,000 timesteps.
        let detached = Output { prediction: prediction.detach(), variance };
        let Noised { timesteps, values, .. } = &noised;
        let bound = variational_bound(&self.noising.process, &clean, values, timesteps, &detached);
        let bound = bound.mean(Kind::Float);
        let figures =
            vec![("noise_error", error.double_value(&[])), ("bound", bound.double_value(&[]))];
        let loss = simple + bound;
        (&loss * share).backward();
        recomputed.backward();
        Ok((loss.double_value(&[]), figures))
    }
}
