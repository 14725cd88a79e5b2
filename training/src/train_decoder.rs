//! Trains the decoder: from an image embedding and a caption to the base image (2204.06125, section 2.1).

use std::path::Path;

use decoder::{Conditioning, ConditioningConfig, UNet, UNetConfig};
use families::karlo;
use layers::Params;

use crate::data::{Batch, SampleRequest, Stream, StreamBatch, to_signed};
use crate::encoders::{FrozenImageEncoder, FrozenTextEncoder};
use crate::init_from::Component;
use crate::noising::{HybridObjective, Noising};
use crate::recipe::DecoderRecipe;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::trainer::{DECODER_SUBSET, ENCODERS, request, without_prefix};
use crate::{Error, Trainer};

const COMPONENTS: &[Component] = &[
    Component { prefix: karlo::CONDITIONING_PREFIX, folder: karlo::CONDITIONING },
    Component { prefix: "decoder.", folder: "decoder" },
];

/// The network and its conditioning, trained together.
pub(crate) struct Decoder {
    /// Embeddings and text to the conditions that the network takes.
    pub conditioning: Conditioning,
    /// Noised images to noise and variance.
    pub unet: UNet,
}

impl Decoder {
    /// Takes the conditioning's and the decoder's tensors, each below its component's name.
    pub(crate) fn new(p: &Params, conditioning: &ConditioningConfig, unet: &UNetConfig) -> Self {
        Self {
            conditioning: Conditioning::new(&(p / karlo::CONDITIONING), conditioning),
            unet: UNet::new(&(p / "decoder"), unet),
        }
    }
}

/// The hybrid objective of 2102.09672: the noise by its squared error, the variance by the variational bound.
struct DecoderObjective<'a> {
    model: Decoder,
    text_encoder: FrozenTextEncoder,
    image_encoder: FrozenImageEncoder,
    noising: Noising,
    /// Images at least as large as the decoder's and the image encoder's, with noise of the decoder's size.
    stream: Stream,
    recipe: &'a DecoderRecipe,
}

impl Objective for DecoderObjective<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.recipe.run.accumulate, |weight| self.micro_batch(weight))
    }
}

impl DecoderObjective<'_> {
    fn micro_batch(&self, weight: f64) -> Result<Loss, Error> {
        let StreamBatch { batch, noise: eps, mut generators } = self.stream.next_batch()?;
        let Batch { images, captions, .. } = batch;
        let (device, kind) = (self.text_encoder.device, self.text_encoder.kind);
        let dropped = generators.dropout_mask(self.recipe.drop_caption);
        let captions = self.text_encoder.encode(&captions, &dropped)?;
        let learned = self.model.conditioning.unconditional().unsqueeze(0);
        let dropped = generators.dropout_mask(self.recipe.drop_embedding);
        let dropped = dropped.to_device(device).unsqueeze(1); // [B, 1]
        let embedding = learned.where_self(&dropped, &self.image_encoder.encode(&images)); // [B, E]

        let clean = to_signed(&images.to_device(device), self.recipe.unet.sample_size);
        let noised = self.noising.noise(&clean, &eps.view_as(&clean), &mut generators);
        let conditions = self.model.conditioning.forward(
            &embedding,
            &captions.embedding,
            &captions.states,
            &captions.mask,
        );
        let input = noised.values.to_kind(kind);
        let hybrid = HybridObjective {
            noising: &self.noising,
            unet: &self.model.unet,
            weight_limit: self.recipe.weight_limit,
            checkpointing: self.recipe.gradient_checkpointing,
        };
        Ok(hybrid.backward(&input, &conditions, &clean, &noised, weight))
    }
}

impl Trainer {
    /// Trains the decoder with its conditioning, and writes both with the decoder's scheduler.
    pub fn train_decoder(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("decoder")?;
        let recipe = &self.recipe.decoder;
        let (text_encoder, image_encoder) = (self.text_encoder()?, self.image_encoder()?);
        let size = image_encoder.size().max(recipe.unet.sample_size);
        let run = self.run("decoder", &recipe.run, ENCODERS)?;
        let build = |p: &Params| Decoder::new(p, &recipe.conditioning, &recipe.unet);
        let (model, optimizer) = self.build(&run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let conditioning = without_prefix(averaged, karlo::CONDITIONING_PREFIX);
            let component = folder.join(karlo::CONDITIONING);
            families::save_conditioning(&component, &conditioning, &recipe.conditioning)?;
            let unet = without_prefix(averaged, "decoder.");
            families::save_decoder(&folder.join("decoder"), &unet, &recipe.unet)?;
            self.save_index(folder, None)
        };
        self.train(run, optimizer, observer, save, |step| {
            let noise = 3 * recipe.unet.sample_size.pow(2) as usize;
            let request = SampleRequest { noise, ..request(DECODER_SUBSET, size, &recipe.run) };
            let noising = Noising::new(self.device);
            let stream = self.stream(request, &recipe.run, step);
            Ok(DecoderObjective { model, text_encoder, image_encoder, noising, stream, recipe })
        })
    }
}
