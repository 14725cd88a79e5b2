//! Trains CLIP: captions and images in one space (2103.00020, figure 3).

use std::path::Path;

use clip::{TextConfig, TextEncoder, Tokenizer, VisionConfig, VisionEncoder};
use families::karlo;
use layers::{Init, Params};
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

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
    /// Batches of images as large as the image encoder's.
    pub stream: Stream,
    /// Parts that a batch is encoded in.
    pub accumulate: i64,
    /// The dtype that the image encoder computes in.
    pub kind: Kind,
    /// The device of the model.
    pub device: Device,
}

impl ClipObjective {
    /// Embeds captions and images: `[B, E]` each.
    fn embed(&self, ids: &Tensor, images: &Tensor) -> [Tensor; 2] {
        let pixels = to_pixels(&images.to_device(self.device));
        let text = self.model.text.forward(&ids.to_device(self.device));
        let image = self.model.image.forward(&pixels.to_kind(self.kind));
        [text.embedding, image]
    }
}

impl Objective for ClipObjective {
    /// In parts, every caption still meets every image of the batch: all are embedded first, and each part once more when
    /// the gradients of its embeddings are known (2101.06983, section 3.2).
    fn backward(&mut self, _: &mut Generator) -> Result<Loss, Error> {
        let Batch { images, captions, false_negative_mask } = self.stream.next_batch()?;
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let ids = self.tokenizer.encode(&texts).map_err(|e| Error::Tokenizer(e.to_string()))?.ids;
        let scale = self.model.logit_scale.to_kind(Kind::Float).clamp_max(MAX_LOGIT_SCALE).exp();
        let mask = false_negative_mask.to_device(self.device);
        let backward = |[text, image]: &[Tensor; 2]| {
            let (loss, accuracy) = contrastive(text, image, &scale, &mask);
            loss.backward();
            (loss, accuracy)
        };

        let (loss, accuracy) = if self.accumulate == 1 {
            backward(&self.embed(&ids, &images))
        } else {
            let parts = ids.chunk(self.accumulate, 0).into_iter();
            let parts: Vec<_> = parts.zip(images.chunk(self.accumulate, 0)).collect();
            let embeddings: Vec<[Tensor; 2]> =
                no_grad(|| parts.iter().map(|(ids, images)| self.embed(ids, images)).collect());
            let all = [0, 1].map(|side| {
                let parts: Vec<&Tensor> = embeddings.iter().map(|part| &part[side]).collect();
                Tensor::cat(&parts, 0).set_requires_grad(true) // [B, E]
            });
            let result = backward(&all);
            let gradients = all.map(|embeddings| embeddings.grad().chunk(self.accumulate, 0));
            for (n, (ids, images)) in parts.iter().enumerate() {
                let [text, image] = self.embed(ids, images);
                let along = text * &gradients[0][n] + image * &gradients[1][n];
                along.sum(Kind::Float).backward();
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

/// The symmetric cross-entropy over `text, image [B, E]`, in f32; a pair marked in `false_negative_mask [B, B]` is no
/// negative. Also the share of captions whose own image is the closest.
pub fn contrastive(
    text: &Tensor,
    image: &Tensor,
    scale: &Tensor,
    false_negative_mask: &Tensor,
) -> (Tensor, Tensor) {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Float);
        &x / x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt()
    };
    let logits = unit(text).matmul(&unit(image).tr()) * scale; // [B captions, B images]
    let logits = logits.masked_fill(false_negative_mask, f64::NEG_INFINITY);
    let own = Tensor::arange(logits.size()[0], (Kind::Int64, logits.device()));
    let loss =
        (logits.cross_entropy_for_logits(&own) + logits.tr().cross_entropy_for_logits(&own)) / 2.0;
    let accuracy = logits.argmax(1, false).eq_tensor(&own).to_kind(Kind::Float).mean(Kind::Float);
    (loss, accuracy.detach())
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
        families::write_image_processor(&self.model.join(karlo::IMAGE_PROCESSOR), size)?;
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
            Ok(ClipObjective {
                model,
                tokenizer,
                stream: Stream::new(&self.data, request, recipe.run.batch, step),
                accumulate: recipe.run.accumulate as i64,
                kind: self.kind,
                device: self.device,
            })
        })
    }
}
