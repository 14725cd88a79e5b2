//! Examples of edits: fresh scenes, masks that cover their things, and captions of the same scenes with another thing or
//! colour.

use std::thread::{self, ScopedJoinHandle, available_parallelism};

use image::RgbImage;
use judge::Question;
use noise::Generator;
use scenes::{Pairs, Scene, Split};

use crate::edit_masks::{EditMask, MaskShape, SIZES};
use crate::examples::Example;

/// The labels that captions change, in turn.
const QUESTIONS: [Question; 2] = [Question::Thing, Question::Colour];
/// The kinds of examples: a size and a shape of the mask, and the label that changes.
const KINDS: u64 = (SIZES.len() * MaskShape::ALL.len() * QUESTIONS.len()) as u64;
/// The scenes that are tried for an example of a kind, at most.
const TRIES: u64 = 5000;

/// A scene, a mask that covers its thing, and what should be painted there.
#[derive(Clone, Debug)]
pub struct EditExample {
    /// The scene.
    pub scene: Scene,
    /// The pixels that are painted anew, which cover the things of both scenes.
    pub mask: EditMask,
    /// The class of the mask's share among [`SIZES`].
    pub size: usize,
    /// The mask's shape.
    pub shape: MaskShape,
    /// The label that the caption changes: the thing's or its colour's.
    pub question: Question,
    /// The caption, and the scene that it describes: that of the same seed with another thing or colour, which is the same
    /// outside of the mask.
    pub target: Example,
}

impl EditExample {
    /// The example of this number at `side` pixels: its kind, the number modulo [`KINDS`], says the size and the shape of the
    /// mask and the label that changes. `None` where both things do not fit into a mask of that size.
    fn draw(number: u64, kind: u64, side: u32) -> Option<Self> {
        let place = |count: usize, of: u64| (of % count as u64) as usize;
        let shape = MaskShape::ALL[place(2, kind)];
        let size = place(SIZES.len(), kind / 2);
        // The first ten kinds ask for both labels, and so do the others, the other way round.
        let question = QUESTIONS[place(2, kind + kind / 10)];
        let generator = &mut Generator::new(number);
        let scene = Scene::draw_alone(number, Split::Evaluation(Pairs::Seen));
        let target = scene.sibling(question.aspect()?, generator)?;
        let pixels = [&scene, &target].map(|scene| scene.thing_pixels(side));
        let either: Vec<bool> =
            pixels[0].iter().zip(&pixels[1]).map(|(one, other)| one | other).collect();
        let mask = EditMask::draw(&either, side, shape, SIZES[size], generator)?;
        let caption = target.own_caption();
        let target = Example { number, scene: target, caption };
        Some(Self { scene, mask, size, shape, question, target })
    }
}

/// `count` examples at `side` pixels of the scenes from number `first` on, kind after kind in turn. An example of a kind is the
/// next scene of that kind into whose mask both things fit; a kind of which none is found is left out.
pub fn edit_examples(first: u64, count: u64, side: u32) -> Vec<EditExample> {
    let of_kind = |kind: u64| {
        let mut tried = 0;
        let example = |_| {
            let numbers = tried..tried + TRIES;
            let mut numbers = numbers.inspect(|&number| tried = number + 1);
            numbers.find_map(|number| EditExample::draw(first + kind + number * KINDS, kind, side))
        };
        (kind..count).step_by(KINDS as usize).map(example).collect::<Vec<_>>()
    };
    // Many scenes are drawn for an example, so each processor takes some of the kinds.
    let threads = available_parallelism().map_or(1, |threads| threads.get() as u64);
    let mut kinds: Vec<_> = thread::scope(|scope| {
        let own = |thread| (thread..KINDS).step_by(threads as usize);
        let spawn = |thread| {
            scope.spawn(move || own(thread).map(|kind| (kind, of_kind(kind))).collect::<Vec<_>>())
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        let join = |handle: ScopedJoinHandle<_>| handle.join().expect("no scene panics");
        handles.into_iter().flat_map(join).collect()
    });
    kinds.sort_by_key(|(kind, _)| *kind);
    let mut kinds: Vec<_> = kinds.into_iter().map(|(_, examples)| examples.into_iter()).collect();
    (0..count).filter_map(|n| kinds[(n % KINDS) as usize].next().flatten()).collect()
}

/// The scenes of examples as images of `side` pixels.
pub fn originals(examples: &[EditExample], side: u32) -> Vec<RgbImage> {
    examples.iter().map(|example| example.scene.to_image(side)).collect()
}

/// The scenes that the captions of examples describe.
pub fn truths(examples: &[EditExample], side: u32) -> Vec<RgbImage> {
    examples.iter().map(|example| example.target.scene.to_image(side)).collect()
}
