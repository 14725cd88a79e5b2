//! The diversity of the settings' samples of open captions, and unCLIP's claims on it.

use evaluation::Error;
use evaluation::diversity::{OpenCaptions, open_captions};
use evaluation::statistics::{Estimate, bootstrap};
use judge::Judge;
use tch::Tensor;

use crate::features::Features;
use crate::hypothesis_tests::Claim;
use crate::samples::{SampleCounts, SampleStore};
use crate::systems::{SCALES, Setting, System};

/// The variety of each open caption's samples, and the renderer's.
type Varieties = Vec<[f64; 2]>;

/// The varieties by setting.
pub(crate) struct Diversity(Vec<(Setting, Varieties)>);

impl Diversity {
    /// Samples open captions by the settings without guidance of the prior.
    pub(crate) fn measure(
        store: &SampleStore,
        judge: &Judge,
        counts: SampleCounts,
    ) -> Result<Self, Error> {
        let open = OpenCaptions::new(open_captions(counts.open), counts.seeds);
        let mut by_setting = Vec::new();
        for system in [System::Stack, System::Captions] {
            for setting in SCALES.map(|scale| Setting::new(system, scale)) {
                let images = store.of_captions(setting, open.texts(), counts.seeds)?;
                by_setting.push((setting, open.variety(&judge.predict(&images))));
            }
        }
        Ok(Self(by_setting))
    }

    fn get(&self, setting: Setting) -> Option<&Varieties> {
        let found = self.0.iter().find(|(known, _)| *known == setting);
        found.map(|(_, varieties)| varieties)
    }

    /// A setting's summed variety over the renderer's.
    pub(crate) fn ratio(&self, setting: Setting) -> Option<f64> {
        self.get(setting).map(|varieties| ratio(varieties.iter()))
    }

    /// unCLIP's claims on diversity (section 5.3); `captions` is the best setting of a decoder of captions, and accuracies
    /// are those of `count` images.
    pub(crate) fn claims(
        &self,
        features: &Features,
        captions: Setting,
        count: usize,
    ) -> Vec<Claim> {
        let of = |system, scale, rows: &[usize]| {
            let varieties = self.get(Setting::new(system, scale)).expect("the setting was sampled");
            ratio(rows.iter().map(|&row| &varieties[row]))
        };
        let more = |[stack, captions]: [f64; 2], rows: &[usize]| {
            of(System::Stack, stack, rows) - of(System::Captions, captions, rows)
        };
        let equal_scale = self.estimate(|rows| {
            SCALES.map(|scale| more([scale; 2], rows)).iter().sum::<f64>() / SCALES.len() as f64
        });
        // The stack's setting whose images are right the most nearly as often.
        let right = |setting: Setting| features.get(setting).accuracy(count).right;
        let nearest = SCALES
            .into_iter()
            .min_by_key(|&s| right(Setting::new(System::Stack, s)).abs_diff(right(captions)))
            .expect("there are scales");
        let equal_accuracy = self.estimate(|rows| more([nearest, captions.scale], rows));
        let last = SCALES[SCALES.len() - 1];
        let rising = self.estimate(|rows| {
            let change = |system| of(system, last, rows) - of(system, SCALES[0], rows);
            change(System::Stack) - change(System::Captions)
        });
        vec![
            Claim::test(
                "the stack is more diverse at equal guidance",
                "entropy ratio, mean over the scales, stack's less captions'",
                equal_scale,
            ),
            Claim::test(
                "the stack is more diverse at equal accuracy",
                "entropy ratio, stack's less captions'",
                equal_accuracy,
            ),
            Claim::test(
                "the stack keeps more of it as guidance rises",
                "change of the entropy ratio from scale 1 to 6, stack's less captions'",
                rising,
            ),
        ]
    }

    /// The bootstrap of a statistic of the captions by their rows.
    fn estimate(&self, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
        let captions = self.0.first().map_or(0, |(_, varieties)| varieties.len());
        bootstrap(captions, 1000, |rows: &Tensor| {
            let rows = Vec::<i64>::try_from(rows).expect("numbers of captions");
            statistic(&rows.into_iter().map(|row| row as usize).collect::<Vec<_>>())
        })
    }
}

/// The samples' summed variety over the renderer's.
fn ratio<'a>(varieties: impl Iterator<Item = &'a [f64; 2]>) -> f64 {
    let [own, renderers] = varieties.fold([0.0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
    own / renderers
}
