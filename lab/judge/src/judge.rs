//! Inference: a judge's weights, its predictions and its features.
//!
//! It shares no weights with any model here, it was trained on no generated image, and no model is trained or chosen and no
//! image reranked by it.

use std::path::Path;

use files::digest::sha256;
use image::RgbImage;
use layers::Params;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};
use weights::Checkpoint;

use crate::error::Error;
use crate::network::{Network, SIDE, to_signed};
use crate::questions::{Answers, Question, Subject};

const SHIPPED: &[u8] = include_bytes!("../judge.safetensors");
const SHIPPED_OF_PAIRS: &[u8] = include_bytes!("../judge_of_pairs.safetensors");

/// The SHA-256 of the shipped judge's file, set down before it first looked at a generated image.
pub const SHIPPED_SHA256: &str = "1a564619508bd9ffcf31864daf88fdccac44d568af6051b454069334a82519bd";
/// The same of the judge of pairs.
pub const SHIPPED_PAIRS_SHA256: &str =
    "6c170e0c4aa33303cfa42f261c819d599930aa6e48f92f2928ada95068b5fd09";

/// The judge of the crate `world`, once it is trained; see `docs/evaluation.md`.
const SHIPPED_OF_THE_WORLD: Option<&[u8]> = None;
/// The SHA-256 of its file.
pub const SHIPPED_WORLD_SHA256: Option<&str> = None;

/// A class for every question about one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction([Option<usize>; Question::ALL.len()]);

impl Prediction {
    /// The prediction of a judge that is never wrong about a scene with these labels.
    pub fn of(labels: &impl Answers) -> Self {
        Self(Question::ALL.map(|question| question.truth(labels)))
    }

    /// The answer to a question; `None` is 'none of these'.
    pub fn answer(&self, question: Question) -> Option<usize> {
        self.0[question as usize]
    }
}

/// A classifier of images.
pub struct Judge {
    network: Network,
    subject: Subject,
    sha256: String,
}

impl Judge {
    /// The judge that ships with the project. An error where there is none yet.
    pub fn shipped(subject: Subject) -> Result<Self, Error> {
        match subject {
            Subject::Scene => Self::from_bytes("the shipped judge", SHIPPED, subject),
            Subject::Pair => {
                Self::from_bytes("the shipped judge of pairs", SHIPPED_OF_PAIRS, subject)
            }
            Subject::World => {
                let bytes = SHIPPED_OF_THE_WORLD.ok_or(Error::NoWeights)?;
                Self::from_bytes("the shipped judge of everyday things", bytes, subject)
            }
        }
    }

    /// A judge whose weights [`train`](crate::train()) wrote.
    pub fn open(path: &Path, subject: Subject) -> Result<Self, Error> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&path.display().to_string(), &bytes, subject)
    }

    fn from_bytes(file: &str, bytes: &[u8], subject: Subject) -> Result<Self, Error> {
        let checkpoint =
            Checkpoint::from_bytes(file, bytes, "the judge", Device::Cpu, Kind::Float)?;
        let checkpoint = checkpoint.checked(true);
        let network = Network::new(&Params::root(&checkpoint), subject.logits());
        checkpoint.finish()?;
        Ok(Self { network, subject, sha256: sha256(bytes) })
    }

    /// The kind of images that it classifies.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The SHA-256 of its file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Classifies images of any size, each resized to [`SIDE`]. The answer to what is no question about its subject is 'none
    /// of these'.
    pub fn predict(&self, images: &[RgbImage]) -> Vec<Prediction> {
        batches(images).flat_map(|batch| self.predict_batch(&batch)).collect()
    }

    /// Features of images of any size, the last hidden layer: `[N, 256]` in f64. At least one image.
    pub fn features(&self, images: &[RgbImage]) -> Tensor {
        let features = |batch: Tensor| self.network.features(&to_signed(&batch));
        let features: Vec<Tensor> = no_grad(|| batches(images).map(features).collect());
        Tensor::cat(&features, 0).to_kind(Kind::Double)
    }

    /// As [`Judge::predict`] for images of the network's own size, `[B, 3, 64, 64]`, u8.
    pub(crate) fn predict_batch(&self, images: &Tensor) -> Vec<Prediction> {
        let logits = no_grad(|| self.network.forward(&to_signed(images))); // [B, L]
        let mut predictions =
            vec![Prediction([None; Question::ALL.len()]); images.size()[0] as usize];
        let mut start = 0;
        for &question in self.subject.questions() {
            let answers = self.subject.answers(question);
            let width = answers as i64 + 1;
            let best: Vec<i64> = logits
                .narrow(1, start, width)
                .argmax(1, false)
                .try_into()
                .expect("a vector of classes");
            start += width;
            for (prediction, class) in predictions.iter_mut().zip(best) {
                prediction.0[question as usize] =
                    Some(class as usize).filter(|&class| class < answers);
            }
        }
        predictions
    }
}

/// Images at the network's size, some at a time: `[B, 3, 64, 64]`, u8.
fn batches(images: &[RgbImage]) -> impl Iterator<Item = Tensor> {
    images.chunks(50).map(|chunk| {
        let resized: Vec<Tensor> = chunk.iter().map(resize).collect();
        Tensor::stack(&resized, 0)
    })
}

/// Resizes an image to the network's size, `[3, 64, 64]`, u8, bilinearly with antialiasing.
fn resize(image: &RgbImage) -> Tensor {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let pixels =
        Tensor::from_slice(image.as_raw()).view([1, height, width, 3]).permute([0, 3, 1, 2]);
    let side = i64::from(SIDE);
    if (width, height) == (side, side) {
        return pixels.squeeze_dim(0);
    }
    let resized = pixels.to_kind(Kind::Float).internal_upsample_bilinear2d_aa(
        [side, side],
        false,
        None,
        None,
    );
    resized.round().clamp(0.0, 255.0).to_kind(Kind::Uint8).squeeze_dim(0)
}
