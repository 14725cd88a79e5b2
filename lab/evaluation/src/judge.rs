//! The judge: says what it sees in a picture.
//!
//! It is a classifier of its own. It shares no weights with any model here, no generated picture was ever shown to it
//! in training, and no model is trained or chosen and no picture re-ranked by it.

use std::path::Path;

use files::digest::sha256;
use image::RgbImage;
use layers::Params;
use scenes::Labels;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};
use weights::Checkpoint;

use crate::Error;
use crate::learning::to_signed;
use crate::network::{Network, SIDE};
use crate::questions::{Question, Subject};

const SHIPPED: &[u8] = include_bytes!("../judge.safetensors");
const SHIPPED_OF_PAIRS: &[u8] = include_bytes!("../judge_of_pairs.safetensors");

/// The SHA-256 of the shipped judge's file, set down before it first looked at a generated picture.
pub const SHIPPED_SHA256: &str = "1a564619508bd9ffcf31864daf88fdccac44d568af6051b454069334a82519bd";
/// The same of the judge of pairs.
pub const SHIPPED_PAIRS_SHA256: &str =
    "6c170e0c4aa33303cfa42f261c819d599930aa6e48f92f2928ada95068b5fd09";

/// Answers to every question about one picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading([Option<usize>; Question::ALL.len()]);

impl Reading {
    /// What a judge that is never wrong sees in a scene with these labels.
    pub fn of(labels: &Labels) -> Self {
        Self(Question::ALL.map(|question| question.truth(labels)))
    }

    /// The answer to a question; `None` is 'none of these'.
    pub fn answer(&self, question: Question) -> Option<usize> {
        self.0[question as usize]
    }

    /// The answer's name.
    pub fn name(&self, question: Question) -> &'static str {
        question.answer_name(self.answer(question))
    }
}

/// Reads pictures.
pub struct Judge {
    network: Network,
    subject: Subject,
    sha256: String,
}

impl Judge {
    /// The judge that ships with the project.
    pub fn shipped(subject: Subject) -> Result<Self, Error> {
        match subject {
            Subject::Scene => Self::from_bytes("the shipped judge", SHIPPED, subject),
            Subject::Pair => {
                Self::from_bytes("the shipped judge of pairs", SHIPPED_OF_PAIRS, subject)
            }
        }
    }

    /// A judge that [`train_judge`](crate::train_judge) wrote.
    pub fn open(path: &Path, subject: Subject) -> Result<Self, Error> {
        let bytes = std::fs::read(path)
            .map_err(|error| Error::Read { path: path.to_owned(), cause: error.to_string() })?;
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

    /// What it looks at.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The SHA-256 of its file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What it sees in pictures of any size. What it is not asked it answers with 'none of these'.
    pub fn read(&self, pictures: &[RgbImage]) -> Vec<Reading> {
        batches(pictures).flat_map(|batch| self.read_tensor(&batch)).collect()
    }

    /// Its last hidden layer over pictures of any size, `[N, 256]` in f64: what a [`frechet`](crate::frechet) distance
    /// compares. At least one picture.
    pub fn features(&self, pictures: &[RgbImage]) -> Tensor {
        let features = |batch: Tensor| self.network.features(&to_signed(&batch));
        let features: Vec<Tensor> = no_grad(|| batches(pictures).map(features).collect());
        Tensor::cat(&features, 0).to_kind(Kind::Double)
    }

    /// As [`Judge::read`] for pictures of the network's own size, `[B, 3, 64, 64]`, u8.
    pub(crate) fn read_tensor(&self, pictures: &Tensor) -> Vec<Reading> {
        let logits = no_grad(|| self.network.forward(&to_signed(pictures))); // [B, L]
        let mut readings = vec![Reading([None; Question::ALL.len()]); pictures.size()[0] as usize];
        let mut start = 0;
        for &question in self.subject.questions() {
            let width = question.answers() as i64 + 1;
            let best: Vec<i64> = logits
                .narrow(1, start, width)
                .argmax(1, false)
                .try_into()
                .expect("a vector of classes");
            start += width;
            for (reading, class) in readings.iter_mut().zip(best) {
                reading.0[question as usize] =
                    Some(class as usize).filter(|&class| class < question.answers());
            }
        }
        readings
    }
}

/// Pictures at the network's size, some at a time: `[B, 3, 64, 64]`, u8.
fn batches(pictures: &[RgbImage]) -> impl Iterator<Item = Tensor> {
    pictures.chunks(50).map(|chunk| {
        let resized: Vec<Tensor> = chunk.iter().map(resized).collect();
        Tensor::stack(&resized, 0)
    })
}

/// A picture at the network's size, `[3, 64, 64]`, u8; smoothed as far as the new size asks for.
fn resized(picture: &RgbImage) -> Tensor {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let pixels =
        Tensor::from_slice(picture.as_raw()).view([1, height, width, 3]).permute([0, 3, 1, 2]);
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
