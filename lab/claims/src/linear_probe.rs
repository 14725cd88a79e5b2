//! CLIP's claims: zero-shot labels of pairs that it never saw, several prompts beside one, and a linear probe of its embeddings
//! beside zero-shot classification (2103.00020, sections 3.1 and 3.2).

use evaluation::statistics::{Estimate, paired_difference};
use evaluation::zero_shot::{Task, image_embeddings};
use evaluation::{CaptionSet, Error, EvaluationProgress, Example};
use judge::Proportion;
use pipeline::Pipeline;
use pipeline::zero_shot::cosines;
use tch::{Kind, Tensor, no_grad};

use crate::hypothesis_tests::Claim;

/// The numbers of the first scenes that a classifier is trained and tested on.
const FIRST_TRAINING: u64 = 400_000;
const FIRST_TEST: u64 = 500_000;
/// Scenes that a classifier is trained on, for each of the test.
const TRAINING: u64 = 4;
/// The share of pairs never seen that must be right for the claim on them to hold.
const HALF: f64 = 50.0;
/// Steps of a classifier, and its weight decay.
const STEPS: usize = 400;
const DECAY: f64 = 1e-4;

/// Examples and the normalised embeddings of their scenes, `[N, E]`.
struct Embeddings {
    examples: Vec<Example>,
    images: Tensor,
}

impl Embeddings {
    /// 1 for each example whose own label has the largest of `scores [N, L]`, else 0.
    fn rights(&self, task: &Task, scores: &Tensor) -> Vec<f64> {
        task.rights(&self.examples, scores).map(f64::from).collect()
    }
}

/// Tests CLIP on `count` scenes of seen pairs and as many of held-out ones, encoded `batch` at once.
pub(crate) fn claims(
    pipeline: &Pipeline,
    count: u64,
    batch: usize,
    progress: &EvaluationProgress,
) -> Result<Vec<Claim>, Error> {
    pipeline.prepare_clip()?;
    let embed = |first: u64, count: u64, captions: CaptionSet| -> Result<_, Error> {
        let examples = captions.examples(first..first + count);
        let progress = |done| progress("CLIP", done, count);
        let images = image_embeddings(pipeline, &examples, batch, &progress)?;
        Ok(Embeddings { examples, images })
    };
    let training = embed(FIRST_TRAINING, TRAINING * count, CaptionSet::Seen)?;
    let seen = embed(FIRST_TEST, count, CaptionSet::Seen)?;
    let unseen = embed(FIRST_TEST, count, CaptionSet::HeldOut)?;

    let (mut one, mut several, mut classifier) = (vec![], vec![], vec![]);
    let mut transfer = Proportion::default();
    for task in Task::all() {
        let [single, ensemble] = task.class_embeddings(pipeline)?;
        if task.name == "thing and colour" {
            let scores = cosines(&unseen.images, &ensemble);
            transfer = task.rights(&unseen.examples, &scores).collect();
            // A classifier has no examples of pairs that it never saw.
            continue;
        }
        let probe = LinearProbe::train(&task, &training);
        for test in [&seen, &unseen] {
            one.extend(test.rights(&task, &cosines(&test.images, &single)));
            several.extend(test.rights(&task, &cosines(&test.images, &ensemble)));
            classifier.extend(test.rights(&task, &probe.logits(&test.images)));
        }
    }
    let transfer =
        Estimate { value: transfer.value().unwrap_or_default(), interval: transfer.interval() };
    let labels = "right labels of six kinds, in points";
    Ok(vec![
        Claim::test_margin(
            "zero-shot transfer to pairs never seen",
            "right among all 112 pairs, in percent; more than 50",
            transfer.percent(),
            HALF,
        ),
        Claim::test(
            "several prompts beat one",
            labels,
            paired_difference(&several, &one).percent(),
        ),
        Claim::test(
            "a linear classifier on the embeddings beats zero-shot",
            labels,
            paired_difference(&classifier, &several).percent(),
        ),
    ])
}

/// Multinomial logistic regression on embeddings.
struct LinearProbe {
    weight: Tensor,
    bias: Tensor,
}

impl LinearProbe {
    /// Trains on the labels of a task, full batch, by Adam from zeros.
    fn train(task: &Task, data: &Embeddings) -> Self {
        let truth =
            |example: &Example| (task.truth)(&example.scene.labels()).expect("a label") as i64;
        let labels: Vec<i64> = data.examples.iter().map(truth).collect();
        let device = data.images.device();
        let labels = Tensor::from_slice(&labels).to_device(device);
        let embeddings = scaled(&data.images);
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
