//! What the evaluation asks for: fresh scenes of one thing, with captions from the templates that training never saw.

use image::RgbImage;
use scenes::{Caption, Pairs, Scene, Split};

use crate::Reading;
use crate::questions::Question;

/// A caption and the scene it was written about.
#[derive(Clone, Debug)]
pub struct Example {
    /// The number of the example, which is its scene's evaluation seed and counts up the noise's.
    pub number: u64,
    /// The scene.
    pub scene: Scene,
    /// Its caption.
    pub caption: Caption,
}

impl Example {
    /// The example of this number, of seen, held-out or all pairs.
    pub fn draw(number: u64, pairs: Pairs) -> Self {
        let scene = Scene::draw_alone(number, Split::Evaluation(pairs));
        let caption = scene.own_caption();
        Self {
            number,
            scene,
            caption,
        }
    }

    /// The questions that the caption answers, with its answers.
    pub fn asked(&self) -> Vec<(Question, usize)> {
        asked(&self.caption)
    }

    /// Whether every label that the caption mentions is what was read.
    pub fn all_right(&self, reading: &Reading) -> bool {
        self.asked()
            .into_iter()
            .all(|(question, answer)| reading.answer(question) == Some(answer))
    }
}

/// A scene as a picture of `side` pixels.
pub fn render(scene: &Scene, side: u32) -> RgbImage {
    RgbImage::from_raw(side, side, scene.render(side)).expect("a scene has three bytes a pixel")
}

/// The questions that a caption answers, with its answers.
pub fn asked(caption: &Caption) -> Vec<(Question, usize)> {
    let said = &caption.mentioned;
    let answers = [
        (Question::Thing, said.thing.map(|label| label.index())),
        (Question::Colour, said.colour.map(|label| label.index())),
        (Question::Size, said.size.map(|label| label.index())),
        (Question::Place, said.place.map(|label| label.index())),
        (Question::Sky, said.sky.map(|label| label.index())),
        (Question::Ground, said.ground.map(|label| label.index())),
        (Question::Style, said.style.map(|label| label.index())),
    ];
    answers
        .into_iter()
        .filter_map(|(question, answer)| Some((question, answer?)))
        .collect()
}
