//! Trains GLIDE's base: from a caption, by a text transformer of its own, to the base image (2112.10741, section 3), and
//! fine-tunes it to paint where an image is erased (section 3.2).

use std::path::Path;

use clip::Tokenizer;
use decoder::{TextTransformer, TextTransformerConfig, UNet, UNetConfig};
use families::glide::{self, NetworkConfig};
use layers::Params;
use tch::{Device, Kind, Tensor};

use crate::data::{Batch, SampleRequest, Stream, StreamBatch, to_signed};
use crate::encoders::without_dropped;
use crate::init_from::Component;
use crate::noising::{HybridObjective, Noising};
use crate::recipe::{GlideRecipe, InpaintingRecipe};
use crate::regions::known_pixels;
use crate::run::{Loss, Objective, Observer, Weights, accumulate};
use crate::trainer::{GLIDE_INPAINTING_SUBSET, GLIDE_SUBSET, request, without_prefix};
use crate::{Error, RunSettings, Trainer};

/// The text transformer's and the U-Net's tensors, among those that are trained together.
const TEXT: &str = "text.";
const UNET: &str = "unet.";
const TEXT_TRANSFORMER: Component = Component { prefix: TEXT, folder: glide::DECODER_TEXT_ENCODER };
const COMPONENTS: &[Component] =
    &[TEXT_TRANSFORMER, Component { prefix: UNET, folder: glide::DECODER }];

/// The network and the transformer of its captions, trained together.
pub(crate) struct Glide {
    /// Captions to the conditions that the network takes.
    pub text: TextTransformer,
    /// Noised images to noise and variance.
    pub unet: UNet,
}

impl Glide {
    /// Takes `text.*` and `unet.*`.
    pub(crate) fn new(p: &Params, text: &TextTransformerConfig, unet: &UNetConfig) -> Self {
        Self {
            text: TextTransformer::new(&(p / "text"), text),
            unet: UNet::new(&(p / "unet"), unet),
        }
    }
}

/// The hybrid objective of 2102.09672 over captions, and over images of which a part is erased.
struct GlideObjective<'a> {
    model: Glide,
    tokenizer: Tokenizer,
    noising: Noising,
    /// Images of the base size, with their noise.
    stream: Stream,
    recipe: &'a GlideRecipe,
    /// How images are erased; `None` while the network sees no part of one.
    inpainting: Option<&'a InpaintingRecipe>,
    run: &'a RunSettings,
    kind: Kind,
    device: Device,
}

impl Objective for GlideObjective<'_> {
    fn backward(&mut self) -> Result<Loss, Error> {
        accumulate(self.run.accumulate, |weight| self.micro_batch(weight))
    }
}

impl GlideObjective<'_> {
    fn micro_batch(&self, weight: f64) -> Result<Loss, Error> {
        let StreamBatch { batch, noise: eps, mut generators } = self.stream.next_batch()?;
        let Batch { images, captions, .. } = batch;
        let dropped = generators.dropout_mask(self.recipe.drop_caption);
        let captions = without_dropped(&captions, &dropped);
        let tokens =
            self.tokenizer.encode(&captions).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let (ids, mask) = (tokens.ids.to_device(self.device), tokens.mask.to_device(self.device));
        let conditions = self.model.text.forward(&ids, &mask);

        let size = self.recipe.unet.sample_size;
        let clean = to_signed(&images.to_device(self.device), size);
        let noised = self.noising.noise(&clean, &eps.view_as(&clean), &mut generators);
        let input = match self.inpainting {
            // Nothing is known to a network that inpaints already.
            None => {
                let further = self.recipe.unet.in_channels - clean.size()[1];
                noised.values.constant_pad_nd([0, 0, 0, 0, 0, further])
            }
            Some(InpaintingRecipe { erase_all, .. }) => {
                let known = known_pixels(generators.iter_mut(), *erase_all, &clean); // [B, 1, H, W]
                let known = known.to_device(self.device);
                Tensor::cat(&[&noised.values, &(&clean * &known), &known], 1) // [B, 7, H, W]
            }
        };
        let hybrid = HybridObjective {
            noising: &self.noising,
            unet: &self.model.unet,
            weight_limit: self.recipe.weight_limit,
            checkpointing: self.recipe.gradient_checkpointing,
        };
        Ok(hybrid.backward(&input.to_kind(self.kind), &conditions, &clean, &noised, weight))
    }
}

impl Trainer {
    /// Trains GLIDE's base on captions alone, and writes it with its text transformer and its scheduler.
    pub fn train_glide(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = self.recipe.glide()?;
        self.train_glide_base("glide", recipe, None, observer)
    }

    /// Fine-tunes GLIDE's base to paint where an image is erased: the known pixels and their mask are new channels of its
    /// input, whose weights begin at 0. Waits, with a warning, for the base's own training to have taken all of its steps.
    pub fn train_glide_inpainting(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = self.recipe.glide()?;
        let (step, steps) = (self.steps_taken("glide"), recipe.run.steps);
        if step < steps {
            tracing::warn!(
                "glide_inpainting: it begins when `glide` has taken its {steps} steps, and it has taken {step}"
            );
            return Ok(());
        }
        self.train_glide_base("glide_inpainting", recipe, Some(&recipe.inpainting), observer)
    }

    /// The tokenizer with which a model reads captions of so many tokens.
    pub(crate) fn caption_tokenizer(
        &self,
        model: &'static str,
        length: i64,
    ) -> Result<Tokenizer, Error> {
        let tokenizer = self.tokenizer(model)?;
        let fitted = tokenizer.with_context_length(length as usize);
        fitted.map_err(|error| Error::Tokenizer(error.to_string()))
    }

    fn train_glide_base(
        &self,
        name: &'static str,
        recipe: &GlideRecipe,
        inpainting: Option<&InpaintingRecipe>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.data.check_images(name)?;
        let tokenizer = self.caption_tokenizer(name, recipe.text.context_length)?;
        let text = TextTransformerConfig {
            vocab_size: tokenizer.vocab_size() as i64,
            ..recipe.text.clone()
        };
        let (subset, settings, unet) = match inpainting {
            None => (GLIDE_SUBSET, &recipe.run, recipe.unet.clone()),
            Some(InpaintingRecipe { run, .. }) => {
                (GLIDE_INPAINTING_SUBSET, run, recipe.inpainting_unet())
            }
        };
        let run = self.run(name, settings, &[glide::TOKENIZER])?;
        let build = |p: &Params| Glide::new(p, &text, &unet);
        let init = match inpainting {
            // An unCLIP has a decoder too, of embeddings; the text transformer is GLIDE's.
            None => self.init_with(&[TEXT_TRANSFORMER])?,
            Some(_) => Some(weights::Folder::open(&self.model)?),
        };
        let (model, optimizer) = self.build_from(init, &run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let parts = [
                (glide::DECODER_TEXT_ENCODER, TEXT, NetworkConfig::TextTransformer(text.clone())),
                (glide::DECODER, UNET, NetworkConfig::UNet(unet.clone())),
            ];
            for (component, prefix, config) in parts {
                let weights = without_prefix(averaged, prefix);
                glide::save_network(&folder.join(component), &config, &weights, Kind::Half)?;
            }
            let scheduler = folder.join(glide::DECODER_SCHEDULER);
            glide::write_scheduler(&scheduler, glide::DECODER_SCHEDULER)?;
            let family = families::compact_glide();
            families::save_model_index(folder, &family, None)?;
            Ok(families::save_model_defaults(folder, &family, &recipe.drawing)?)
        };
        self.train(run, optimizer, observer, save, |step| {
            let size = recipe.unet.sample_size;
            let noise = 3 * size.pow(2) as usize;
            let request = SampleRequest { noise, ..request(subset, size, settings) };
            Ok(GlideObjective {
                model,
                tokenizer,
                noising: Noising::new(self.device),
                stream: self.stream(request, settings, step),
                recipe,
                inpainting,
                run: settings,
                kind: self.kind,
                device: self.device,
            })
        })
    }
}
