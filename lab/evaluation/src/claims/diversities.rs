//! How varied the settings' pictures of open captions are, and unCLIP's claims on it.

use tch::Tensor;

use super::drawn::Drawn;
use super::measured::Measured;
use super::report::Claim;
use super::systems::{Setting, System};
use super::{Counts, SCALES};
use crate::Error;
use crate::diversity::{Varied, open_captions};
use crate::evaluate::EvaluationProgress;
use crate::judge::Judge;
use crate::statistics::resampled;

/// The variety of each open caption's pictures over the renderer's, by setting.
pub(super) struct Diversities {
    found: Vec<(Setting, Vec<[f64; 2]>)>,
}

impl Diversities {
    pub(super) fn measure(
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

    pub(super) fn ratio(&self, setting: Setting) -> Option<f64> {
        self.get(setting).map(|varieties| ratio(varieties.iter()))
    }

    /// unCLIP's claims on diversity (section 5.3).
    pub(super) fn claims(
        &self,
        measured: &Measured,
        captions: Setting,
        count: usize,
    ) -> Vec<Claim> {
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
