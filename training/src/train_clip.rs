//! Trains CLIP: captions and images in one space (2103.00020, figure 3).

use std::path::Path;

use clip::{TextConfig, TextEncoder, Tokenizer, VisionConfig, VisionEncoder};
use collectives::Group;
use families::karlo;
use layers::{Init, Params};
use tch::{Device, Kind, Tensor, no_grad};

use crate::contrastive::{FalseNegatives, backward, contrastive};
use crate::data::{Batch, SampleRequest, Stream, to_pixels};
use crate::init_from::Component;
use crate::run::{Loss, Objective, Observer, Weights};
use crate::trainer::{CLIP_SUBSET, request, without_prefix};
use crate::{Error, Trainer};

/// The temperature starts at 0.07 and its inverse never exceeds 100 (section 2.5).
pub(crate) const INITIAL_LOGIT_SCALE: f64 = 2.659_260_036_932_778;
pub(crate) const MAX_LOGIT_SCALE: f64 = 4.605_170_185_988_092;

const COMPONENTS: &[Component] = &[
    Component { prefix: "text.", folder: "text_encoder" },
    Component { prefix: "image.", folder: "image_encoder" },
];

/// Both encoders and the temperature.
pub struct Clip {
    /// Captions to embeddings.
    pub text: TextEncoder,
    /// Images to embeddings.
    pub image: VisionEncoder,
    /// The logarithm of the inverse temperature, a scalar.
    pub logit_scale: Tensor,
}

impl Clip {
    /// Takes `text.*`, `image.*` and `logit_scale`.
    pub fn new(p: &Params, text: &TextConfig, vision: &VisionConfig) -> Self {
        Self {
            text: TextEncoder::new(&(p / "text"), text),
            image: VisionEncoder::new(&(p / "image"), vision),
            logit_scale: p.take("logit_scale", &[], Init::Constant(INITIAL_LOGIT_SCALE)),
        }
    }
}

/// The contrastive objective.
pub struct ClipObjective {
    /// The encoders that are trained.
    pub model: Clip,
    /// Captions to tokens.
    pub tokenizer: Tokenizer,
    /// Batches of images as large as the image encoder's, a step's at once.
    pub stream: Stream,
    /// The pairs that are no negatives.
    pub false_negatives: FalseNegatives,
    /// The processes that the batch is spread over.
    pub group: Group,
    /// Parts that a batch is encoded in.
    pub accumulate: i64,
    /// The dtype that the image encoder computes in.
    pub kind: Kind,
    /// The device of the model.
    pub device: Device,
}

impl ClipObjective {
    /// Embeds the captions of images, `ids [B, 1 + N, T]`, and images: `[B, 1 + N, E]` and `[B, E]`.
    fn embed(&self, ids: &Tensor, images: &Tensor) -> [Tensor; 2] {
        let (batch, captions, _) = ids.size3().expect("ids are [B, 1 + N, T]");
        let pixels = to_pixels(&images.to_device(self.device));
        let text = self.model.text.forward(&ids.flatten(0, 1).to_device(self.device));
        let image = self.model.image.forward(&pixels.to_kind(self.kind));
        [text.embedding.view([batch, captions, -1]), image]
    }

    /// The tokens of each image's caption and of those that are wrong about it, `[B, 1 + N, T]`.
    fn encode(&self, captions: &[String], negative_captions: &[String]) -> Result<Tensor, Error> {
        let encode = |captions: &[String]| {
            let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
            self.tokenizer.encode(&texts).map_err(|e| Error::Tokenizer(e.to_string()))
        };
        let count = captions.len() as i64;
        let own = encode(captions)?.ids.unsqueeze(1);
        if negative_captions.is_empty() {
            return Ok(own);
        }
        let negatives = encode(negative_captions)?.ids;
        let negatives = negatives.view([count, -1, negatives.size()[1]]);
        Ok(Tensor::cat(&[own, negatives], 1))
    }
}

impl Objective for ClipObjective {
    /// In parts, every caption still meets every image of the batch: all are embedded first, and each part once more when
    /// the gradients of its embeddings are known (2101.06983, section 3.2).
    fn backward(&mut self) -> Result<Loss, Error> {
        let Batch { images, captions, negative_captions } = self.stream.next_batch()?.batch;
        let masks = self.false_negatives.next_masks(&captions, self.device)?;
        let ids = self.encode(&captions, &negative_captions)?;
        let scale = self.model.logit_scale.to_kind(Kind::Float).clamp_max(MAX_LOGIT_SCALE).exp();
        let backward = |embeddings: &[Tensor; 2]| -> Result<(Tensor, Tensor), Error> {
            let (loss, accuracy) = contrastive(embeddings.each_ref(), &scale, &masks, &self.group)?;
            backward(&loss, &self.group)?;
            Ok((loss, accuracy))
        };

        let (loss, accuracy) = if self.accumulate == 1 {
            backward(&self.embed(&ids, &images))?
        } else {
            let parts = ids.chunk(self.accumulate, 0).into_iter();
            let parts: Vec<_> = parts.zip(images.chunk(self.accumulate, 0)).collect();
            let embeddings: Vec<[Tensor; 2]> =
                no_grad(|| parts.iter().map(|(ids, images)| self.embed(ids, images)).collect());
            let all = [0, 1].map(|side| {
                let parts: Vec<&Tensor> = embeddings.iter().map(|part| &part[side]).collect();
                Tensor::cat(&parts, 0).set_requires_grad(true) // [B, E]
            });
            let result = backward(&all)?;
            let gradients = all.map(|embeddings| embeddings.grad().chunk(self.accumulate, 0));
            for (n, (ids, images)) in parts.iter().enumerate() {
                let [text, image] = self.embed(ids, images);
                let along = |x: Tensor, side: usize| (x * &gradients[side][n]).sum(Kind::Float);
                (along(text, 0) + along(image, 1)).backward();
            }
            result
        };
        let metrics = vec![
            ("accuracy", accuracy.double_value(&[])),
            ("logit_scale", scale.double_value(&[])),
        ];
        Ok(Loss { value: loss.double_value(&[]), metrics })
    }
}

impl Trainer {
    /// Trains both encoders, and writes them with the image processor and the logit scale.
    pub fn train_clip(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        self.data.check_images("clip")?;
        let tokenizer = self.tokenizer("clip")?;
        let recipe = &self.recipe.clip;
        let text = TextConfig {
            vocab_size: tokenizer.vocab_size() as i64,
            eos_token_id: tokenizer.end_token_id(),
            ..recipe.text.clone()
        };
        let size = recipe.vision.image_size;
        let processor = self.model.join(karlo::IMAGE_PROCESSOR);
        self.first(|| Ok(families::write_image_processor(&processor, size)?))?;
        let run = self.run("clip", &recipe.run, &["tokenizer"])?;
        let build = |p: &Params| Clip::new(p, &text, &recipe.vision);
        let (model, optimizer) = self.build(&run, COMPONENTS, build, |_| true)?;
        let save = |folder: &Path, averaged: &Weights| {
            let text_encoder = folder.join("text_encoder");
            let weights = without_prefix(averaged, "text.");
            families::save_text_encoder(&text_encoder, &weights, &text)?;
            let image_encoder = folder.join("image_encoder");
            let weights = without_prefix(averaged, "image.");
            families::save_image_encoder(&image_encoder, &weights, &recipe.vision)?;
            let (_, logit_scale) =
                averaged.iter().find(|(n, _)| n == "logit_scale").expect("CLIP has a temperature");
            self.save_index(folder, Some(logit_scale.double_value(&[])))
        };
        self.train(run, optimizer, observer, save, |step| {
            let request =
                SampleRequest { hard_negatives: true, ..request(CLIP_SUBSET, size, &recipe.run) };
            let plan = self.plan(&recipe.run).whole();
            Ok(ClipObjective {
                model,
                tokenizer,
                stream: Stream::new(&self.data, request, plan, step),
                false_negatives: FalseNegatives::new(&self.data, request, plan, &self.group, step),
                group: self.group.clone(),
                accumulate: recipe.run.accumulate as i64,
                kind: self.kind,
                device: self.device,
            })
        })
    }
}
