//! Trains CLIP on noised images, whose gradient guides a sampler (2112.10741, section 4.4).

use std::path::Path;

use clip::{NoisedImageConfig, NoisedImageEncoder, NoisedTextConfig, NoisedTextEncoder, Tokenizer};
use collectives::Group;
use families::glide::{self, NetworkConfig};
use layers::{Init, Params};
use tch::{Device, Kind, Tensor};
use weights::Folder;

use crate::contrastive::{FalseNegatives, backward, contrastive};
use crate::data::{Batch, SampleRequest, Stream, StreamBatch, to_signed};
use crate::init_from::Component;
use crate::noising::Noising;
use crate::run::{Loss, Objective, Observer, Weights};
use crate::train_clip::{INITIAL_LOGIT_SCALE, MAX_LOGIT_SCALE};
use crate::trainer::{NOISED_CLIP_SUBSET, request, without_prefix};
use crate::{Error, Trainer};

const TEXT: &str = "text.";
const IMAGE: &str = "image.";
const COMPONENTS: &[Component] = &[
    Component { prefix: TEXT, folder: glide::CLIP_TEXT_ENCODER },
    Component { prefix: IMAGE, folder: glide::CLIP_IMAGE_ENCODER },
];

/// Both encoders and the temperature.
pub(crate) struct NoisedClip {
    text: NoisedTextEncoder,
    image: NoisedImageEncoder,
    logit_scale: Tensor,
}

impl NoisedClip {
    /// Takes `text.*`, `image.*` and `logit_scale`.
    pub(crate) fn new(p: &Params, text: &NoisedTextConfig, image: &NoisedImageConfig) -> Self {
        Self {
            text: NoisedTextEncoder::new(&(p / "text"), text),
            image: NoisedImageEncoder::new(&(p / "image"), image),
            logit_scale: p.take("logit_scale", &[], Init::Constant(INITIAL_LOGIT_SCALE)),
        }
    }
}

/// CLIP's objective over images at random timesteps of the base's noise schedule.
struct NoisedClipObjective {
    model: NoisedClip,
    tokenizer: Tokenizer,
    noising: Noising,
    stream: Stream,
    false_negatives: FalseNegatives,
    group: Group,
    size: i64,
    device: Device,
}

impl Objective for NoisedClipObjective {
    fn backward(&mut self) -> Result<Loss, Error> {
        let StreamBatch { batch, noise: eps, mut generators } = self.stream.next_batch()?;
        let Batch { images, captions, .. } = batch;
        let masks = self.false_negatives.next_masks(&captions, self.device)?;
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let tokens = self.tokenizer.encode(&texts).map_err(|e| Error::Tokenizer(e.to_string()))?;
        let lengths = Vec::<i64>::try_from(tokens.mask.sum_dim_intlist(
            [1i64].as_slice(),
            false,
            Kind::Int64,
        ))
        .expect("a number for each caption");
        let clean = to_signed(&images.to_device(self.device), self.size);
        let noised = self.noising.noise(&clean, &eps.view_as(&clean), &mut generators);
        let text = self.model.text.forward(&tokens.ids.to_device(self.device), &lengths);
        let image = self.model.image.forward(&noised.values, &noised.timesteps);
        let scale = self.model.logit_scale.to_kind(Kind::Float).clamp_max(MAX_LOGIT_SCALE).exp();
        let (loss, accuracy) =
            contrastive([&text.unsqueeze(1), &image], &scale, &masks, &self.group)?;
        backward(&loss, &self.group)?;
        let metrics = vec![
            ("accuracy", accuracy.double_value(&[])),
            ("logit_scale", scale.double_value(&[])),
        ];
        Ok(Loss { value: loss.double_value(&[]), metrics })
    }
}

impl Trainer {
    /// Trains both encoders of the noised CLIP, and writes them with their tokenizer.
    pub fn train_noised_clip(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("noised_clip")?;
        let recipe = self.recipe.noised_clip()?;
        let tokenizer = self.caption_tokenizer("noised_clip", recipe.text.context_length)?;
        let text =
            NoisedTextConfig { vocab_size: tokenizer.vocab_size() as i64, ..recipe.text.clone() };
        let run = self.run("noised_clip", &recipe.run, &[glide::TOKENIZER])?;
        let build = |p: &Params| NoisedClip::new(p, &text, &recipe.image);
        let (model, optimizer) = self.build(&run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let parts = [
                (glide::CLIP_TEXT_ENCODER, TEXT, NetworkConfig::NoisedText(text.clone())),
                (
                    glide::CLIP_IMAGE_ENCODER,
                    IMAGE,
                    NetworkConfig::NoisedImage(recipe.image.clone()),
                ),
            ];
            for (component, prefix, config) in parts {
                let weights = without_prefix(averaged, prefix);
                glide::save_network(&folder.join(component), &config, &weights, Kind::Half)?;
            }
            let (tokenizer, own) = (glide::TOKENIZER, folder.join(glide::CLIP_TOKENIZER));
            families::copy_component(&Folder::open(self.model.join(tokenizer))?, &own)?;
            Ok(families::save_model_index(folder, &families::compact_glide(), None)?)
        };
        self.train(run, optimizer, observer, save, |step| {
            let size = recipe.image.image_size;
            let noise = 3 * size.pow(2) as usize;
            let request = SampleRequest {
                noise,
                hard_negatives: true,
                ..request(NOISED_CLIP_SUBSET, size, &recipe.run)
            };
            let plan = self.plan(&recipe.run).whole();
            Ok(NoisedClipObjective {
                model,
                tokenizer,
                noising: Noising::new(self.device),
                stream: Stream::new(&self.data, request, plan, step),
                false_negatives: FalseNegatives::new(&self.data, request, plan, &self.group, step),
                group: self.group.clone(),
                size,
                device: self.device,
            })
        })
    }
}
