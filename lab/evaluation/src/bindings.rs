//! Attribute binding: whether CLIP prefers the caption of two things to captions that differ from it in one respect.

use judge::markdown::table;
use judge::{Proportion, Question};
use noise::Generator;
use pipeline::Pipeline;
use pipeline::zero_shot::cosines;
use scenes::Scene;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Error;
use crate::examples::Example;

/// The difference of a caption of two things and its rivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The answer to a question.
    Label(Question),
    /// Which thing has which colour.
    Exchange,
}

/// How often the caption of two things is closer to its image than all rivals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BindingRow {
    /// The difference.
    pub difference: String,
    /// Captions to choose among, all scenes together.
    pub captions: usize,
    /// How often the image's own is the closest, of the scenes that have rivals.
    pub closest: Proportion,
}

impl Difference {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let labels = Question::OF_A_PAIR.into_iter().map(Self::Label);
        labels.chain([Self::Exchange]).collect()
    }

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label(question) => question.name(),
            Self::Exchange => "colours exchanged",
        }
    }

    /// All scenes that differ in it and in nothing else, as far as the scene's split and its image allow.
    fn others(self, scene: &Scene) -> Vec<Scene> {
        match self {
            Self::Label(question) => {
                let siblings = question.aspect().map(|aspect| scene.siblings(aspect));
                let mut others = siblings.unwrap_or_default();
                let own = question.truth(&scene.labels());
                others.retain(|other| question.truth(&other.labels()) != own);
                others
            }
            Self::Exchange => scene.with_colours_exchanged().into_iter().collect(),
        }
    }

    /// The captions, in the same template, of all scenes that differ from the example in it.
    pub fn rivals(self, example: &Example) -> Vec<String> {
        let aspects: Vec<_> = example.answers().iter().filter_map(|(q, _)| q.aspect()).collect();
        let caption = |scene: Scene| {
            let words = &mut Generator::new(example.number);
            let caption = scene.caption_about(&aspects, words);
            caption.expect("they have a template").text
        };
        let others = self.others(&example.scene).into_iter();
        others.map(caption).collect()
    }
}

impl BindingRow {
    /// A row for each difference; `images [B, E]` are the normalised embeddings of the examples'.
    pub(crate) fn all(
        pipeline: &Pipeline,
        examples: &[Example],
        images: &Tensor,
    ) -> Result<Vec<Self>, Error> {
        let row = |difference: Difference| {
            let (mut captions, mut closest) = (0, Proportion::default());
            for (i, example) in (0..).zip(examples) {
                let rivals = difference.rivals(example);
                if rivals.is_empty() {
                    continue;
                }
                let texts = [vec![example.caption.text.clone()], rivals].concat();
                let embedded = pipeline.caption_embeddings(&texts)?; // [1 + rivals, E]
                let near = cosines(&images.narrow(0, i, 1), &embedded); // [1, 1 + rivals]
                let nearest_rival = near.slice(1, 1, None, 1).max();
                captions += texts.len();
                // A rival that a model reads as the same caption, cut short, is no worse.
                closest.add(near.double_value(&[0, 0]) > nearest_rival.double_value(&[]));
            }
            Ok(Self { difference: difference.name().to_owned(), captions, closest })
        };
        Difference::all().into_iter().map(row).collect()
    }

    /// A markdown table of some.
    pub(crate) fn table(rows: &[Self]) -> String {
        let header =
            "zero-shot: two things, captions that differ in | of, in the mean | the right one";
        let lines = rows.iter().map(|row| {
            let mean = row.captions as f64 / row.closest.total.max(1) as f64;
            vec![row.difference.clone(), format!("{mean:.1}"), row.closest.to_string()]
        });
        table(header, lines)
    }
}
