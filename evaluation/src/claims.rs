//! What the CLIP, GLIDE and unCLIP papers claim, tested in small: `docs/claims.md` says of each claim what the paper says,
//! how it is tested and when it holds, and was written before the first run.
//!
//! Read in this order: [`systems`] (what draws), [`drawn`] (the pictures, kept so that a run goes on where it stopped),
//! [`verdicts`] (differences with their intervals), [`probe`] (CLIP beside a classifier on its embeddings), [`plots`].

pub mod drawn;
pub mod plots;
pub mod probe;
pub mod systems;
pub mod verdicts;

use std::path::Path;

use pipeline::Pipeline;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::diversity::{Varied, open_captions};
use crate::evaluate::EvaluationProgress;
use crate::examples::{Asked, Example};
use crate::frechet::frechet;
use crate::judge::{Judge, Reading};
use crate::questions::Subject;
use crate::report::table;
use crate::statistics::Tally;
use crate::{Error, Question};
use drawn::{Drawn, true_bases};
use systems::{Setting, System, Systems};
use verdicts::{Difference, Verdict, paired, resampled};

/// Guidance scales of the curves; 1 is no guidance.
pub const SCALES: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Guidance scales of the prior that are compared with none.
const PRIOR_SCALES: [f64; 2] = [2.0, 4.0];
/// How often a distance is computed anew over pictures drawn with replacement.
const RESAMPLED: usize = 100;

/// How many pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// For each setting.
    pub each: usize,
    /// For the best setting of each system.
    pub best: usize,
    /// Captions whose diversity is measured.
    pub open: usize,
    /// Pictures of each of these.
    pub seeds: usize,
    /// Scenes that CLIP is asked about, and four times as many that a classifier learns from.
    pub scenes: u64,
}

impl Counts {
    /// Those of the documentation.
    pub const STANDARD: Self = Self {
        each: 1000,
        best: 5000,
        open: 40,
        seeds: 10,
        scenes: 1000,
    };

    /// No more than `most` of anything, to try something.
    pub fn limited(self, most: u64) -> Self {
        let few = |count: usize| count.min(most as usize);
        Self {
            each: few(self.each),
            best: few(self.best),
            open: few(self.open),
            seeds: few(self.seeds),
            scenes: self.scenes.min(most),
        }
    }
}

/// What one setting's pictures show.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// What drew them.
    pub system: System,
    /// The decoder's guidance scale.
    pub scale: f64,
    /// The prior's.
    pub prior_scale: f64,
    /// Pictures that show everything that their captions say.
    pub everything: Tally,
    /// The Frechet distance from as many true pictures over the judge's features; none of fewer pictures than features.
    pub fid_j: Option<f64>,
    /// The same over the embeddings of the CLIP that conditions the decoder, which is therefore no fair judge of it.
    pub fid_clip: Option<f64>,
    /// The entropy of what captions leave out over the renderer's, where it was measured.
    pub diversity: Option<f64>,
}

/// A claim and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Its name in `docs/claims.md`.
    pub name: String,
    /// What was compared.
    pub compared: String,
    /// What was found; none where it cannot be tested here.
    pub found: Option<Difference>,
    /// What follows.
    pub verdict: Verdict,
}

/// All that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimsReport {
    /// The claims.
    pub claims: Vec<Claim>,
    /// The settings' pictures.
    pub points: Vec<Point>,
    /// The judge on as many true pictures of the base's size: what the settings can reach.
    pub truth: Tally,
}

/// Draws with the systems what is not in `folder` yet, and tests the claims. `batch` pictures are drawn at once.
pub fn evaluate_claims(
    (stack, captions): (&Pipeline, &Pipeline),
    folder: &Path,
    counts: Counts,
    batch: usize,
    progress: &mut EvaluationProgress,
) -> Result<ClaimsReport, Error> {
    let systems = Systems { stack, captions };
    systems.prepare()?;
    let judge = Judge::shipped(Subject::Scene)?;
    let drawn = Drawn::new(&systems, folder, batch);
    let examples = Asked::Seen.examples(0..counts.best.max(counts.each) as u64);
    let mut measured = Measured {
        truth: Seen::of(&judge, stack, &examples, true_bases(stack, &examples)?)?,
        examples,
        judge: &judge,
        drawn: &drawn,
        stack,
        seen: Vec::new(),
    };

    // The curves, each system's best scale, and the others at the stack's.
    for system in [System::Stack, System::Captions] {
        for scale in SCALES {
            measured.add(Setting::new(system, scale), counts.each, progress)?;
        }
    }
    let best = measured.best(System::Stack, counts.each);
    let best_of_captions = measured.best(System::Captions, counts.each);
    for prior_scale in PRIOR_SCALES {
        let setting = Setting {
            prior_scale,
            ..best
        };
        measured.add(setting, counts.each, progress)?;
    }
    let others = [System::TextEmbedding, System::NoEmbedding, System::Codes];
    let others = others.map(|system| Setting { system, ..best });
    for setting in others.into_iter().chain([best, best_of_captions]) {
        measured.add(setting, counts.best, progress)?;
    }

    let mut claims = measured.compare_systems(best, best_of_captions, &others, counts);
    let pairs = binding(&drawn, counts.each, [best, best_of_captions], progress)?;
    claims.push(pairs);
    let diversity = Diversities::measure(&drawn, &judge, counts, progress)?;
    claims.extend(diversity.claims(&measured, best_of_captions, counts.each));
    claims.extend(measured.guidance(best, best_of_captions, counts.each));
    claims.extend(probe::claims(stack, counts.scenes, batch, progress)?);
    claims.push(Claim {
        name: "guidance without a classifier beats CLIP guidance".to_owned(),
        compared: "no CLIP here was trained on noised pictures, so its gradient cannot guide"
            .to_owned(),
        found: None,
        verdict: Verdict::CannotBeTold,
    });
    Ok(ClaimsReport {
        claims,
        points: measured.points(&diversity, counts),
        truth: measured.truth.right(counts.each),
    })
}

/// What the judge and CLIP make of some examples' pictures.
struct Seen {
    right: Vec<bool>,
    features: Tensor,
    embeddings: Tensor,
}

impl Seen {
    fn of(
        judge: &Judge,
        clip: &Pipeline,
        examples: &[Example],
        pictures: Vec<image::RgbImage>,
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

    fn right(&self, count: usize) -> Tally {
        let mut tally = Tally::default();
        self.right
            .iter()
            .take(count)
            .for_each(|&right| tally.add(right));
        tally
    }

    fn first(features: &Tensor, count: usize) -> Tensor {
        features.narrow(0, 0, count as i64)
    }
}

/// What was drawn so far, and seen in it.
struct Measured<'a> {
    truth: Seen,
    examples: Vec<Example>,
    judge: &'a Judge,
    drawn: &'a Drawn<'a>,
    stack: &'a Pipeline,
    seen: Vec<(Setting, Seen)>,
}

impl Measured<'_> {
    fn add(
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

    fn get(&self, setting: Setting) -> &Seen {
        let found = self.seen.iter().find(|(known, _)| *known == setting);
        &found.expect("it was drawn").1
    }

    /// The setting of a system that shows everything in the most of its first pictures; of equals the lowest scale.
    fn best(&self, system: System, count: usize) -> Setting {
        let settings = SCALES.map(|scale| Setting::new(system, scale));
        let right = |setting: &Setting| self.get(*setting).right(count).right;
        let most = settings.iter().map(right).max().expect("there are scales");
        *settings
            .iter()
            .find(|s| right(s) == most)
            .expect("one has the most")
    }

    fn points(&self, diversity: &Diversities, counts: Counts) -> Vec<Point> {
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
            let order = |p: &Point| {
                (
                    p.system,
                    (p.prior_scale * 100.0) as u64,
                    (p.scale * 100.0) as u64,
                )
            };
            order(a).cmp(&order(b))
        });
        points
    }

    /// How much more often the first setting's pictures show everything.
    fn accuracy(&self, [one, other]: [Setting; 2], count: usize) -> Difference {
        let [one, other] = [one, other].map(|setting| {
            let right = self.get(setting).right[..count].iter();
            right.map(|&right| f64::from(right)).collect::<Vec<f64>>()
        });
        paired(&one, &other)
    }

    /// How much farther from true pictures the second setting's are.
    fn distance(&self, [one, other]: [Setting; 2], count: usize) -> Difference {
        let truth = &self.truth.features;
        let [one, other] = [one, other].map(|setting| &self.get(setting).features);
        let farther = |rows: &Tensor| {
            let rows = |features: &Tensor| Seen::first(features, count).index_select(0, rows);
            let of = |features: &Tensor| frechet(&rows(features), &rows(truth));
            Ok(of(other)? - of(one)?)
        };
        resampled(count, RESAMPLED, farther)
    }

    /// unCLIP's claims on what conditions the decoder (section 5.1) and on its two priors (sections 2.2 and 4).
    fn compare_systems(
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
    fn guidance(&self, best: Setting, captions: Setting, count: usize) -> Vec<Claim> {
        let right = "everything asked at the best scale less without, in points";
        let helps = |setting: Setting| {
            let without = Setting {
                scale: 1.0,
                ..setting
            };
            self.accuracy([setting, without], count).percent()
        };
        let strongest = Setting {
            prior_scale: PRIOR_SCALES[1],
            ..best
        };
        vec![
            Claim::tested("guidance of the decoder helps", right, helps(best), 0.0),
            Claim::tested(
                "guidance of the prior hurts",
                "FID-J with a prior's scale of 4 less with 1",
                self.distance([best, strongest], count),
                0.0,
            ),
            Claim::tested(
                "classifier-free guidance beats none",
                right,
                helps(captions),
                0.0,
            ),
        ]
    }
}

/// unCLIP's section 7: a decoder of captions binds colours to things better.
fn binding(
    drawn: &Drawn,
    count: usize,
    settings: [Setting; 2],
    progress: &mut EvaluationProgress,
) -> Result<Claim, Error> {
    let judge = Judge::shipped(Subject::Pair)?;
    let examples = Asked::Pairs.examples(0..count as u64);
    let both = [
        Question::Thing,
        Question::Colour,
        Question::SecondThing,
        Question::SecondColour,
    ];
    let mut bound = |setting: Setting| -> Result<Vec<f64>, Error> {
        let pictures = drawn.of_examples(setting, &examples, progress)?;
        let readings = judge.read(&pictures);
        let right = |(example, reading): (&Example, &Reading)| {
            f64::from(example.right(&both, reading) == Some(true))
        };
        Ok(examples.iter().zip(&readings).map(right).collect())
    };
    let (stack, captions) = (bound(settings[0])?, bound(settings[1])?);
    Ok(Claim::tested(
        "a decoder of captions binds attributes better",
        "two things, each with its own colour, captions' less stack's, in points",
        paired(&captions, &stack).percent(),
        0.0,
    ))
}

/// The variety of each open caption's pictures over the renderer's, by setting.
struct Diversities {
    found: Vec<(Setting, Vec<[f64; 2]>)>,
}

impl Diversities {
    fn measure(
        drawn: &Drawn,
        judge: &Judge,
        counts: Counts,
        progress: &mut EvaluationProgress,
    ) -> Result<Self, Error> {
        let captions = open_captions(counts.open);
        let varied = Varied::new(captions, counts.seeds);
        let mut found = Vec::new();
        for system in [System::Stack, System::Captions] {
            for scale in SCALES {
                let setting = Setting::new(system, scale);
                let pictures =
                    drawn.of_captions(setting, varied.texts(), counts.seeds, progress)?;
                found.push((setting, varied.variety(&judge.read(&pictures))));
            }
        }
        Ok(Self { found })
    }

    fn get(&self, setting: Setting) -> Option<&[[f64; 2]]> {
        let found = self.found.iter().find(|(known, _)| *known == setting);
        found.map(|(_, varieties)| &varieties[..])
    }

    fn ratio(&self, setting: Setting) -> Option<f64> {
        self.get(setting).map(|varieties| ratio(varieties.iter()))
    }

    /// unCLIP's claims on diversity (section 5.3).
    fn claims(&self, measured: &Measured, captions: Setting, count: usize) -> Vec<Claim> {
        let at = |system, scale| self.get(Setting::new(system, scale)).expect("it was drawn");
        let open = at(System::Stack, 1.0).len();
        let difference = |of: &dyn Fn(&[usize]) -> f64| {
            let rows = |rows: &Tensor| {
                let rows = Vec::<i64>::try_from(rows).expect("numbers of captions");
                let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
                Ok(of(&rows))
            };
            resampled(open, 1000, rows)
        };
        let of =
            |varieties: &[[f64; 2]], rows: &[usize]| ratio(rows.iter().map(|&row| &varieties[row]));
        let equal_scale = difference(&|rows| {
            let more =
                |scale| of(at(System::Stack, scale), rows) - of(at(System::Captions, scale), rows);
            SCALES.map(more).iter().sum::<f64>() / SCALES.len() as f64
        });
        // The stack's setting whose pictures are right the most nearly as often.
        let right = |setting: Setting| measured.get(setting).right(count).right;
        let wanted = right(captions);
        let nearest = SCALES
            .map(|scale| Setting::new(System::Stack, scale))
            .into_iter()
            .min_by_key(|setting| right(*setting).abs_diff(wanted))
            .expect("there are scales");
        let equal_accuracy = difference(&|rows| {
            of(at(System::Stack, nearest.scale), rows)
                - of(at(System::Captions, captions.scale), rows)
        });
        let last = SCALES[SCALES.len() - 1];
        let rising = difference(&|rows| {
            let kept = |system| of(at(system, last), rows) - of(at(system, SCALES[0]), rows);
            kept(System::Stack) - kept(System::Captions)
        });
        let claim = |name: &str, what: &str, found| Claim::tested(name, what, found, 0.0);
        vec![
            claim(
                "the stack is more diverse at equal guidance",
                "entropy ratio, mean over the scales, stack's less captions'",
                equal_scale,
            ),
            claim(
                "the stack is more diverse at equal accuracy",
                "entropy ratio, stack's less captions'",
                equal_accuracy,
            ),
            claim(
                "the stack keeps more of it as guidance rises",
                "change of the entropy ratio from scale 1 to 6, stack's less captions'",
                rising,
            ),
        ]
    }
}

/// The pictures' summed variety over the renderer's.
fn ratio<'a>(varieties: impl Iterator<Item = &'a [f64; 2]>) -> f64 {
    let [own, renderers] = varieties.fold([0.0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
    own / renderers
}

impl Claim {
    /// A claim that a difference is larger than a margin.
    fn tested(name: &str, compared: &str, found: Difference, margin: f64) -> Self {
        Self {
            name: name.to_owned(),
            compared: compared.to_owned(),
            found: Some(found).filter(|found| !found.value.is_nan()),
            verdict: found.verdict(margin),
        }
    }
}

impl ClaimsReport {
    /// Markdown tables.
    pub fn to_markdown(&self) -> String {
        let claims = self.claims.iter().map(|claim| {
            let found = claim
                .found
                .map(|found| found.to_string())
                .unwrap_or_default();
            vec![
                claim.name.clone(),
                claim.compared.clone(),
                found,
                claim.verdict.name().to_owned(),
            ]
        });
        let claims = table(&["claim", "compared", "found (95%)", "verdict"], claims);
        let header = [
            "drawn by",
            "decoder's scale",
            "prior's",
            "everything asked",
            "FID-J",
            "CLIP's own",
            "diversity",
        ];
        let points = self.points.iter().map(|point| {
            let number = |value: Option<f64>| value.map(|v| format!("{v:.2}")).unwrap_or_default();
            vec![
                point.system.name().to_owned(),
                point.scale.to_string(),
                point.prior_scale.to_string(),
                crate::report::percent(point.everything),
                number(point.fid_j),
                number(point.fid_clip.map(|distance| distance * 1000.0)),
                number(point.diversity),
            ]
        });
        let truth = vec![
            "true pictures".to_owned(),
            String::new(),
            String::new(),
            crate::report::percent(self.truth),
        ];
        let points = table(&header, [truth].into_iter().chain(points));
        format!("{claims}\n{points}")
    }
}
