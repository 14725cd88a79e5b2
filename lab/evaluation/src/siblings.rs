//! Pairs of scenes, and of captions, that differ in one label.

use judge::Question;
use noise::Generator;
use scenes::{Aspect, Pairs, Scene, Split};

/// The questions whose answers scenes differ in. The style is left out: the judge is not sure enough of it.
pub const SIBLING_QUESTIONS: [Question; 6] = [
    Question::Thing,
    Question::Colour,
    Question::Size,
    Question::Place,
    Question::Sky,
    Question::Ground,
];
/// The questions whose answers captions differ in: no template of evaluation names the size.
pub const CAPTION_QUESTIONS: [Question; 5] =
    [Question::Thing, Question::Colour, Question::Place, Question::Sky, Question::Ground];

/// A scene and its sibling.
pub struct Siblings {
    /// The pair's number, which counts up the noise's seed.
    pub number: u64,
    /// The question whose answers differ.
    pub question: Question,
    /// The scene.
    pub from: Scene,
    /// Its sibling.
    pub to: Scene,
}

impl Siblings {
    /// The pair of this number; its question goes round `questions`.
    pub fn draw(number: u64, questions: &[Question]) -> Self {
        let question = questions[(number % questions.len() as u64) as usize];
        let from = Scene::draw_alone(number, Split::Evaluation(Pairs::Seen));
        let aspect = question.aspect().expect("the question is about scenes");
        let to = from
            .sibling(aspect, &mut Generator::new(number))
            .expect("every label has another value that the split allows");
        Self { number, question, from, to }
    }

    /// Captions of both, with the same words but for what they differ in.
    pub fn captions(&self) -> [String; 2] {
        let aspect = self.question.aspect().expect("the question is about scenes");
        let aspects = shortest_about(aspect);
        [&self.from, &self.to].map(|scene| {
            let generator = &mut Generator::new(self.number);
            let caption = scene.caption_about(&aspects, generator);
            caption.expect("the aspects come from a template").text
        })
    }

    /// The answers of both to a question about a scene of one thing.
    pub(crate) fn truth(&self, question: Question) -> [usize; 2] {
        [&self.from, &self.to].map(|scene| {
            question.truth(&scene.labels()).expect("the question is about scenes of one thing")
        })
    }
}

/// The fewest aspects with this one and the thing that a caption of an evaluation scene can mention.
fn shortest_about(aspect: Aspect) -> Vec<Aspect> {
    let offered = Aspect::offered(true).into_iter();
    let fitting = offered.filter(|aspects| {
        aspects.contains(&aspect)
            && aspects.contains(&Aspect::Thing)
            && !aspects.contains(&Aspect::Second)
    });
    fitting.min_by_key(Vec::len).expect("every aspect has a template")
}
