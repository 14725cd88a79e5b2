//! CLIP's claims: labels of pairs that it never saw, several prompts beside one, and a classifier on its embeddings beside
//! none (2103.00020, sections 3.1 and 3.2).

use pipeline::Pipeline;
use pipeline::zero_shot::{cosines, normalised};
use tch::{Kind, Tensor, no_grad};

use super::report::Claim;
use super::verdicts::paired;
use crate::Error;
use crate::evaluate::{EvaluationProgress, true_pictures};
use crate::examples::{Asked, Example};
use crate::statistics::{Estimate, Tally};
use crate::zero_shot::{SIDE, Task};

/// The numbers of the first scenes: those that a classifier learns from, and those that all are asked about.
const FIRST_LEARNED: u64 = 400_000;
const FIRST_ASKED: u64 = 500_000;
/// Scenes that a classifier learns from, for each that is asked about.
const LEARNED: u64 = 4;
/// The share of pairs never seen that must be right for the claim on them to hold.
const HALF: f64 = 50.0;
/// Steps of a classifier, and how much they pull weights to 0.
const STEPS: usize = 400;
const DECAY: f64 = 1e-4;

/// Asks CLIP about `count` scenes of seen pairs and as many of held-out ones.
pub fn claims(
    pipeline: &Pipeline,
    count: u64,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<Vec<Claim>, Error> {
    pipeline.prepare_clip()?;
    let mut embedded = |first: u64, count: u64, asked: Asked| -> Result<_, Error> {
        let scenes = asked.examples(first..first + count);
        let mut embeddings = Vec::new();
        for (done, some) in (1..).zip(scenes.chunks(batch.max(1))) {
            embeddings.push(normalised(&pipeline.encode_pictures(&true_pictures(some, SIDE))?));
            progress("CLIP", (done * batch as u64).min(count), count);
        }
        Ok((scenes, Tensor::cat(&embeddings, 0))) // [N, E]
    };
    let learned = embedded(FIRST_LEARNED, LEARNED * count, Asked::Seen)?;
    let seen = embedded(FIRST_ASKED, count, Asked::Seen)?;
    let unseen = embedded(FIRST_ASKED, count, Asked::HeldOut)?;

    let (mut one, mut several, mut classifier) = (vec![], vec![], vec![]);
    let mut transfer = Tally::default();
    for task in Task::all() {
        let single = std::slice::from_ref(&task.single);
        let classes = [
            pipeline.class_embeddings(&task.labels, single)?,
            pipeline.class_embeddings(&task.labels, &task.ensemble)?,
        ];
        let right = |(scenes, embeddings): &(Vec<Example>, Tensor), classes: &Tensor| {
            rights(&task, scenes, &cosines(embeddings, classes))
        };
        if task.name == "thing and colour" {
            let rights = right(&unseen, &classes[1]);
            rights.iter().for_each(|&right| transfer.add(right == 1.0));
            // A classifier has no examples of pairs that it never saw.
            continue;
        }
        for scenes in [&seen, &unseen] {
            one.extend(right(scenes, &classes[0]));
            several.extend(right(scenes, &classes[1]));
        }
        let probe = Probe::learn(&task, &learned.0, &learned.1);
        for (scenes, embeddings) in [&seen, &unseen] {
            classifier.extend(rights(&task, scenes, &probe.logits(embeddings)));
        }
    }
    let (low, high) = transfer.interval();
    let transfer = Estimate { value: transfer.share().unwrap_or_default(), interval: (low, high) };
    let claim = |name: &str, what: &str, found| Claim::tested(name, what, found, 0.0);
    Ok(vec![
        Claim::tested(
            "zero-shot transfer to pairs never seen",
            "right among all 112 pairs, in percent; more than 50",
            transfer.percent(),
            HALF,
        ),
        claim(
            "several prompts beat one",
            "right labels of six kinds, in points",
            paired(&several, &one).percent(),
        ),
        claim(
            "a linear classifier on the embeddings beats zero-shot",
            "right labels of six kinds, in points",
            paired(&classifier, &several).percent(),
        ),
    ])
}

/// 1 where the largest of `scores [N, L]` is the scene's own label, else 0.
fn rights(task: &Task, scenes: &[Example], scores: &Tensor) -> Vec<f64> {
    task.rights(scenes, scores).map(f64::from).collect()
}

/// Multinomial logistic regression on embeddings.
struct Probe {
    weight: Tensor,
    bias: Tensor,
}

impl Probe {
    /// Learns the labels of a task from all scenes at once, by Adam from zeros.
    fn learn(task: &Task, scenes: &[Example], embeddings: &Tensor) -> Self {
        let truth =
            |example: &Example| (task.truth)(&example.scene.labels()).expect("a label") as i64;
        let labels: Vec<i64> = scenes.iter().map(truth).collect();
        let device = embeddings.device();
        let labels = Tensor::from_slice(&labels).to_device(device);
        let embeddings = scaled(embeddings);
        let (width, classes) = (embeddings.size()[1], task.labels.len() as i64);
        let zeros =
            |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, device)).set_requires_grad(true);
        let mut probe = Self { weight: zeros(&[width, classes]), bias: zeros(&[classes]) };
        let moments = |x: &Tensor| [x.zeros_like().detach(), x.zeros_like().detach()];
        let mut moments = [moments(&probe.weight), moments(&probe.bias)];
        for step in 1..=STEPS as i32 {
            let logits = embeddings.matmul(&probe.weight) + &probe.bias;
            let decay = probe.weight.square().sum(Kind::Float) * DECAY;
            (logits.cross_entropy_for_logits(&labels) + decay).backward();
            for (x, [mean, square]) in
                [&mut probe.weight, &mut probe.bias].into_iter().zip(&mut moments)
            {
                no_grad(|| {
                    let gradient = x.grad();
                    *mean = &*mean * 0.9 + &gradient * 0.1;
                    *square = &*square * 0.99 + gradient.square() * 0.01;
                    let (first, second) = (1.0 - 0.9f64.powi(step), 1.0 - 0.99f64.powi(step));
                    let denominator = (&*square / second).sqrt() + 1e-8;
                    let _ = x.subtract_(&(&*mean / first / denominator * 0.05));
                });
                x.zero_grad();
            }
        }
        probe
    }

    /// `[N, E] -> [N, L]`
    fn logits(&self, embeddings: &Tensor) -> Tensor {
        no_grad(|| scaled(embeddings).matmul(&self.weight) + &self.bias)
    }
}

/// Unit vectors as vectors whose values are about 1.
fn scaled(embeddings: &Tensor) -> Tensor {
    embeddings * (embeddings.size()[1] as f64).sqrt()
}
