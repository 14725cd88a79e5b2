//! CLIP: captions and pictures in one space (2103.00020, figure 3).

use clip::{TextEncoder, Tokenizer, VisionEncoder};
use layers::{Init, Params};
use noise::Generator;
use tch::{Device, Kind, Tensor, no_grad};

use crate::data::{Batch, Stream, to_pixels};
use crate::run::Figures;
use crate::{Error, Leg};

/// The temperature starts at 0.07 and its inverse never exceeds 100 (section 2.5).
const INITIAL_LOGIT_SCALE: f64 = 2.659_260_036_932_778;
const MAX_LOGIT_SCALE: f64 = 4.605_170_185_988_092;

/// Both encoders and the temperature.
pub struct Clip {
    /// Captions to embeddings.
    pub text: TextEncoder,
    /// Pictures to embeddings.
    pub image: VisionEncoder,
    /// The logarithm of the inverse temperature, a scalar.
    pub logit_scale: Tensor,
}

impl Clip {
    /// Takes `text.*`, `image.*` and `logit_scale`.
    pub fn new(p: &Params, text: &clip::TextConfig, vision: &clip::VisionConfig) -> Self {
        Self {
            text: TextEncoder::new(&(p / "text"), text),
            image: VisionEncoder::new(&(p / "image"), vision),
            logit_scale: p.take("logit_scale", &[], Init::Constant(INITIAL_LOGIT_SCALE)),
        }
    }
}

/// The contrastive objective.
pub struct ClipLeg {
    model: Clip,
    tokenizer: Tokenizer,
    stream: Stream,
    parts: i64,
    kind: Kind,
    device: Device,
}

impl ClipLeg {
    /// Trains `model`, in `kind`, on the pictures of `stream`, which are as large as its picture; a batch is encoded in
    /// `parts`.
    pub fn new(
        model: Clip,
        tokenizer: Tokenizer,
        stream: Stream,
        parts: usize,
        (kind, device): (Kind, Device),
    ) -> Self {
        Self { model, tokenizer, stream, parts: parts as i64, kind, device }
    }

    /// Embeddings `[B, E]` of captions and of pictures.
    fn embed(&self, ids: &Tensor, pictures: &Tensor) -> [Tensor; 2] {
        let pixels = to_pixels(&pictures.to_device(self.device));
        let text = self.model.text.forward(&ids.to_device(self.device));
        let image = self.model.image.forward(&pixels.to_kind(self.kind));
        [text.embedding, image]
    }
}

impl Leg for ClipLeg {
    /// In parts, every caption still meets every picture of the batch: all are embedded first, and each part once more
    /// when the gradients of its embeddings are known (2101.06983, section 3.2).
    fn backward(&mut self, _: &mut Generator) -> Result<(f64, Figures), Error> {
        let Batch { pictures, captions, clashes } = self.stream.next_batch()?;
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        let ids = self.tokenizer.encode(&texts).map_err(|e| Error::Tokenizer(e.to_string()))?.ids;
        let scale = self.model.logit_scale.to_kind(Kind::Float).clamp_max(MAX_LOGIT_SCALE).exp();
        let clashes = clashes.to_device(self.device);
        let backward = |[text, image]: &[Tensor; 2]| {
            let (loss, accuracy) = contrastive(text, image, &scale, &clashes);
            loss.backward();
            (loss, accuracy)
        };

        let (loss, accuracy) = if self.parts == 1 {
            backward(&self.embed(&ids, &pictures))
        } else {
            let parts = ids.chunk(self.parts, 0).into_iter();
            let parts: Vec<_> = parts.zip(pictures.chunk(self.parts, 0)).collect();
            let embedded: Vec<[Tensor; 2]> =
                no_grad(|| parts.iter().map(|(ids, p)| self.embed(ids, p)).collect());
            let all = [0, 1].map(|side| {
                let parts: Vec<&Tensor> = embedded.iter().map(|part| &part[side]).collect();
                Tensor::cat(&parts, 0).set_requires_grad(true) // [B, E]
            });
            let told = backward(&all);
            let gradients = all.map(|embeddings| embeddings.grad().chunk(self.parts, 0));
            for (n, (ids, pictures)) in parts.iter().enumerate() {
                let [text, image] = self.embed(ids, pictures);
                let along = text * &gradients[0][n] + image * &gradients[1][n];
                along.sum(Kind::Float).backward();
            }
            told
        };
        let figures = vec![
            ("accuracy", accuracy.double_value(&[])),
            ("logit_scale", scale.double_value(&[])),
        ];
        Ok((loss.double_value(&[]), figures))
    }
}

/// The symmetric cross-entropy over `text, image [B, E]`, in f32; a pair marked in `clashes [B, B]` is no negative.
/// Also the share of captions whose own picture is the closest.
pub fn contrastive(
    text: &Tensor,
    image: &Tensor,
    scale: &Tensor,
    clashes: &Tensor,
) -> (Tensor, Tensor) {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Float);
        &x / x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt()
    };
    let logits = unit(text).matmul(&unit(image).tr()) * scale; // [B captions, B pictures]
    let logits = logits.masked_fill(clashes, f64::NEG_INFINITY);
    let own = Tensor::arange(logits.size()[0], (Kind::Int64, logits.device()));
    let loss =
        (logits.cross_entropy_for_logits(&own) + logits.tr().cross_entropy_for_logits(&own)) / 2.0;
    let accuracy = logits.argmax(1, false).eq_tensor(&own).to_kind(Kind::Float).mean(Kind::Float);
    (loss, accuracy.detach())
}
