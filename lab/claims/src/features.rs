//! The judge's predictions and features, and CLIP's embeddings, of each setting's samples; comparisons of settings by them.

use evaluation::frechet::{Gaussian, frechet};
use evaluation::statistics::{Estimate, bootstrap, paired_difference};
use evaluation::{CaptionedScene, Error, Example};
use image::RgbImage;
use judge::{Judge, Proportion};
use pipeline::Pipeline;
use tch::Tensor;

use crate::hypothesis_tests::Claim;
use crate::samples::SampleStore;
use crate::systems::{PRIOR_SCALES, Setting};

/// Bootstrap samples of a distance.
const BOOTSTRAP: usize = 100;
/// Images that CLIP encodes at once.
const BATCH: usize = 100;

/// The features of some examples' images.
pub(crate) struct ImageFeatures {
    /// Whether each image shows everything that its caption says.
    right: Vec<bool>,
    judge: Tensor,
    /// CLIP's embeddings, of models that have it.
    clip: Option<Tensor>,
}

impl ImageFeatures {
    pub(crate) fn of(
        judge: &Judge,
        clip: Option<&Pipeline>,
        examples: &[Example],
        images: &[RgbImage],
    ) -> Result<Self, Error> {
        let predictions = judge.predict(images);
        let right = examples.iter().zip(&predictions);
        let embeddings = |clip: &Pipeline| {
            let embeddings = images.chunks(BATCH).map(|some| clip.encode_images(some));
            Ok::<_, Error>(Tensor::cat(&embeddings.collect::<Result<Vec<_>, _>>()?, 0))
        };
        Ok(Self {
            right: right.map(|(example, prediction)| example.is_all_right(prediction)).collect(),
            judge: judge.features(images),
            clip: clip.map(embeddings).transpose()?,
        })
    }

    /// The accuracy of the first `count` images.
    pub(crate) fn accuracy(&self, count: usize) -> Proportion {
        self.right.iter().take(count).copied().collect()
    }

    /// The Frechet distances of the first `count` images to as many others over the judge's features and over CLIP's; none
    /// of too few images.
    pub(crate) fn distances(&self, others: &Self, count: usize) -> [Option<f64>; 2] {
        let pairs =
            [Some((&self.judge, &others.judge)), self.clip.as_ref().zip(others.clip.as_ref())];
        pairs.map(|pair| {
            let (own, others) = pair?;
            frechet(&first(own, count), &first(others, count)).ok()
        })
    }
}

fn first(features: &Tensor, count: usize) -> Tensor {
    features.narrow(0, 0, count as i64)
}

/// The features of true images and of each setting's samples.
pub(crate) struct Features<'a> {
    pub(crate) judge: &'a Judge,
    pub(crate) store: &'a SampleStore<'a>,
    /// CLIP, where distances over its embeddings are measured too.
    pub(crate) clip: Option<&'a Pipeline>,
    pub(crate) truth: ImageFeatures,
    pub(crate) by_setting: Vec<(Setting, ImageFeatures)>,
}

impl Features<'_> {
    /// Samples the first examples by a setting, in the place of fewer of it.
    pub(crate) fn add(&mut self, setting: Setting, examples: &[Example]) -> Result<(), Error> {
        let images = self.store.of_examples(setting, examples)?;
        let features = ImageFeatures::of(self.judge, self.clip, examples, &images)?;
        self.by_setting.retain(|(known, _)| *known != setting);
        self.by_setting.push((setting, features));
        Ok(())
    }

    pub(crate) fn get(&self, setting: Setting) -> &ImageFeatures {
        let found = self.by_setting.iter().find(|(known, _)| *known == setting);
        &found.expect("the setting was sampled").1
    }

    /// The one of some settings with the highest accuracy in its first images; of equals the first.
    pub(crate) fn best(&self, settings: &[Setting], count: usize) -> Setting {
        let right = |setting: &Setting| self.get(*setting).accuracy(count).right;
        let most = settings.iter().map(right).max().expect("there are scales");
        *settings.iter().find(|s| right(s) == most).expect("one has the most")
    }

    /// The one of some settings whose first images have the smallest FID-J; none of too few images.
    pub(crate) fn nearest(&self, settings: &[Setting], count: usize) -> Option<Setting> {
        let distance = |setting: &Setting| self.get(*setting).distances(&self.truth, count)[0];
        let distances = settings.iter().map(|setting| Some((distance(setting)?, *setting)));
        let distances = distances.collect::<Option<Vec<_>>>()?;
        let nearest = distances.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        nearest.map(|(_, setting)| setting)
    }

    /// The first setting's accuracy less the second's, in points.
    pub(crate) fn accuracy(&self, settings: [Setting; 2], count: usize) -> Estimate {
        let [one, other] = settings.map(|setting| {
            let right = self.get(setting).right[..count].iter();
            right.map(|&right| f64::from(right)).collect::<Vec<f64>>()
        });
        paired_difference(&one, &other).percent()
    }

    /// The second setting's Frechet distance from true images less the first's.
    pub(crate) fn distance(&self, settings: [Setting; 2], count: usize) -> Estimate {
        let [one, other] = settings.map(|setting| &self.get(setting).judge);
        let difference = |rows: &Tensor| {
            let gaussian = |of: &Tensor| Gaussian::of(&first(of, count).index_select(0, rows));
            let truth = gaussian(&self.truth.judge)?;
            Ok::<_, Error>(gaussian(other)?.distance(&truth) - gaussian(one)?.distance(&truth))
        };
        bootstrap(count, BOOTSTRAP, |rows| difference(rows).unwrap_or(f64::NAN))
    }

    /// unCLIP's claims on what conditions the decoder (section 5.1) and on its two priors (sections 2.2 and 4), by `count`
    /// images of each setting.
    pub(crate) fn compare_systems(
        &self,
        best: Setting,
        captions: Setting,
        [text, nothing, codes]: [Setting; 3],
        count: usize,
    ) -> Vec<Claim> {
        let both = |claim: &str, other: Setting| {
            let (accuracy, distance) =
                (self.accuracy([best, other], count), self.distance([best, other], count));
            let right = "everything asked, in points";
            [
                Claim::test(&format!("{claim}: accuracy"), right, accuracy),
                Claim::test(&format!("{claim}: distance"), "FID-J", distance),
            ]
        };
        let to_captions = Claim::test(
            "the stack's pictures are nearer to true ones than those of a decoder of captions",
            "FID-J, each at its best scale",
            self.distance([best, captions], count),
        );
        let mut claims = Vec::new();
        claims.extend(both("a prior beats the text embedding as if it were a picture's", text));
        claims.extend(both("a prior beats the caption alone in the same decoder", nothing));
        claims.push(to_captions);
        claims.extend(both("the diffusion prior beats the autoregressive one", codes));
        claims
    }

    /// The claims on guidance: unCLIP's, and GLIDE's that it beats none (section 5).
    pub(crate) fn guidance(&self, best: Setting, captions: Setting, count: usize) -> Vec<Claim> {
        let helps = |claim: &str, setting: Setting| {
            let without = Setting { scale: 1.0, ..setting };
            let compared = "everything asked at the best scale less without, in points";
            Claim::test(claim, compared, self.accuracy([setting, without], count))
        };
        let strongest = Setting { prior_scale: PRIOR_SCALES[1], ..best };
        let distance = self.distance([best, strongest], count);
        let compared = "FID-J with a prior's scale of 4 less with 1";
        vec![
            helps("guidance of the decoder helps", best),
            Claim::test("guidance of the prior hurts", compared, distance),
            helps("classifier-free guidance beats none", captions),
        ]
    }
}
