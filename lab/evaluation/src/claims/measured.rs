//! What the judge and CLIP see in the settings' pictures, and the claims on what it shows.

use image::RgbImage;
use pipeline::Pipeline;
use tch::Tensor;

use super::diversities::Diversities;
use super::drawn::Drawn;
use super::report::{Claim, Point};
use super::systems::{Setting, System};
use super::verdicts::paired;
use super::{Counts, PRIOR_SCALES, SCALES};
use crate::Error;
use crate::evaluate::EvaluationProgress;
use crate::examples::Example;
use crate::frechet::{Gaussian, frechet};
use crate::judge::{Judge, Reading};
use crate::statistics::{Estimate, Tally, resampled};

/// How often a distance is computed anew over pictures drawn with replacement.
const RESAMPLED: usize = 100;

/// What the judge and CLIP make of some examples' pictures.
pub(super) struct Seen {
    right: Vec<bool>,
    features: Tensor,
    embeddings: Tensor,
}

impl Seen {
    pub(super) fn of(
        judge: &Judge,
        clip: &Pipeline,
        examples: &[Example],
        pictures: Vec<RgbImage>,
    ) -> Result<Self, Error> {
        let readings = judge.read(&pictures);
        let right = |(example, reading): (&Example, &Reading)| example.all_right(reading);
        let embeddings: Vec<Tensor> = pictures
            .chunks(100)
            .map(|some| clip.encode_pictures(some))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            right: examples.iter().zip(&readings).map(right).collect(),
            features: judge.features(&pictures),
            embeddings: Tensor::cat(&embeddings, 0),
        })
    }

    pub(super) fn right(&self, count: usize) -> Tally {
        let mut tally = Tally::default();
        self.right.iter().take(count).for_each(|&right| tally.add(right));
        tally
    }

    fn first(features: &Tensor, count: usize) -> Tensor {
        features.narrow(0, 0, count as i64)
    }
}

/// What was drawn so far, and seen in it.
pub(super) struct Measured<'a> {
    pub(super) truth: Seen,
    pub(super) examples: Vec<Example>,
    pub(super) judge: &'a Judge,
    pub(super) drawn: &'a Drawn<'a>,
    pub(super) stack: &'a Pipeline,
    pub(super) seen: Vec<(Setting, Seen)>,
}

impl Measured<'_> {
    pub(super) fn add(
        &mut self,
        setting: Setting,
        count: usize,
        progress: &mut EvaluationProgress,
    ) -> Result<(), Error> {
        let examples = &self.examples[..count];
        let pictures = self.drawn.of_examples(setting, examples, progress)?;
        let seen = Seen::of(self.judge, self.stack, examples, pictures)?;
        self.seen.retain(|(known, _)| *known != setting);
        self.seen.push((setting, seen));
        Ok(())
    }

    pub(super) fn get(&self, setting: Setting) -> &Seen {
        let found = self.seen.iter().find(|(known, _)| *known == setting);
        &found.expect("it was drawn").1
    }

    /// The setting of a system that shows everything in the most of its first pictures; of equals the lowest scale.
    pub(super) fn best(&self, system: System, count: usize) -> Setting {
        let settings = SCALES.map(|scale| Setting::new(system, scale));
        let right = |setting: &Setting| self.get(*setting).right(count).right;
        let most = settings.iter().map(right).max().expect("there are scales");
        *settings.iter().find(|s| right(s) == most).expect("one has the most")
    }

    pub(super) fn points(&self, diversity: &Diversities, counts: Counts) -> Vec<Point> {
        let mut points = Vec::new();
        for (setting, seen) in &self.seen {
            let count = counts.each;
            let distance = |own: &Tensor, truth: &Tensor| {
                frechet(&Seen::first(own, count), &Seen::first(truth, count)).ok()
            };
            points.push(Point {
                system: setting.system,
                scale: setting.scale,
                prior_scale: setting.prior_scale,
                everything: seen.right(count),
                fid_j: distance(&seen.features, &self.truth.features),
                fid_clip: distance(&seen.embeddings, &self.truth.embeddings),
                diversity: diversity.ratio(*setting),
            });
        }
        points.sort_by(|a, b| {
            let order =
                |p: &Point| (p.system, (p.prior_scale * 100.0) as u64, (p.scale * 100.0) as u64);
            order(a).cmp(&order(b))
        });
        points
    }

    /// How much more often the first setting's pictures show everything.
    fn accuracy(&self, [one, other]: [Setting; 2], count: usize) -> Estimate {
        let [one, other] = [one, other].map(|setting| {
            let right = self.get(setting).right[..count].iter();
            right.map(|&right| f64::from(right)).collect::<Vec<f64>>()
        });
        paired(&one, &other)
    }

    /// How much farther from true pictures the second setting's are.
    fn distance(&self, [one, other]: [Setting; 2], count: usize) -> Estimate {
        let truth = &self.truth.features;
        let [one, other] = [one, other].map(|setting| &self.get(setting).features);
        let farther = |rows: &Tensor| {
            let rows = |features: &Tensor| Seen::first(features, count).index_select(0, rows);
            let truth = Gaussian::of(&rows(truth))?;
            let of =
                |features: &Tensor| Ok::<_, Error>(Gaussian::of(&rows(features))?.distance(&truth));
            Ok(of(other)? - of(one)?)
        };
        resampled(count, RESAMPLED, farther)
    }

    /// unCLIP's claims on what conditions the decoder (section 5.1) and on its two priors (sections 2.2 and 4).
    pub(super) fn compare_systems(
        &self,
        best: Setting,
        captions: Setting,
        [text, nothing, codes]: &[Setting; 3],
        counts: Counts,
    ) -> Vec<Claim> {
        let claim = |name: &str, what: &str, found| Claim::tested(name, what, found, 0.0);
        let (count, right) = (counts.best, "everything asked, in points");
        let accuracy = |other| self.accuracy([best, other], count).percent();
        let distance = |other| self.distance([best, other], count);
        vec![
            claim(
                "a prior beats the text embedding as if it were a picture's: accuracy",
                right,
                accuracy(*text),
            ),
            claim(
                "a prior beats the text embedding as if it were a picture's: distance",
                "FID-J",
                distance(*text),
            ),
            claim(
                "a prior beats the caption alone in the same decoder: accuracy",
                right,
                accuracy(*nothing),
            ),
            claim(
                "a prior beats the caption alone in the same decoder: distance",
                "FID-J",
                distance(*nothing),
            ),
            claim(
                "the stack's pictures are nearer to true ones than those of a decoder of captions",
                "FID-J, each at its best scale",
                distance(captions),
            ),
            claim(
                "the diffusion prior beats the autoregressive one: accuracy",
                right,
                accuracy(*codes),
            ),
            claim(
                "the diffusion prior beats the autoregressive one: distance",
                "FID-J",
                distance(*codes),
            ),
        ]
    }

    /// The claims on guidance: unCLIP's, and GLIDE's that it beats none (section 4).
    pub(super) fn guidance(&self, best: Setting, captions: Setting, count: usize) -> Vec<Claim> {
        let right = "everything asked at the best scale less without, in points";
        let helps = |setting: Setting| {
            let without = Setting { scale: 1.0, ..setting };
            self.accuracy([setting, without], count).percent()
        };
        let strongest = Setting { prior_scale: PRIOR_SCALES[1], ..best };
        vec![
            Claim::tested("guidance of the decoder helps", right, helps(best), 0.0),
            Claim::tested(
                "guidance of the prior hurts",
                "FID-J with a prior's scale of 4 less with 1",
                self.distance([best, strongest], count),
                0.0,
            ),
            Claim::tested("classifier-free guidance beats none", right, helps(captions), 0.0),
        ]
    }
}
