//! Scenes of the crates `scenes` and `world`, as the data set draws and corrupts them.

use noise::Generator;
use scenes::{Labels, Place, Relation, Size};

use crate::dataset::FIRST_TEST_SEED;
use crate::questions::{Question, Target, Targets};

/// A scene of a judge seed.
pub trait JudgeScene: Sized {
    /// The questions about what is around the things.
    const AROUND: &'static [Question];
    /// The class of a thing's colour in an image without colours.
    const WITHOUT_COLOUR: Target;

    /// The scene of that seed, with two things at most.
    fn draw(seed: u64) -> Self;

    /// The scene of that seed with one thing, or one group of things.
    fn draw_alone(seed: u64) -> Self;

    /// Two scenes of one thing each, which is in the right or the left half and leaves the other one empty. Mostly both show
    /// the same surroundings. The second is of the same half of the judge's seeds as the first.
    fn draw_lonely(right: [bool; 2], seed: u64, generator: &mut Generator) -> [Self; 2];

    /// The number of things.
    fn things(&self) -> usize;

    /// Whether there is one thing, and one of it.
    fn is_single(&self) -> bool;

    /// The targets of the image.
    fn targets(&self) -> Targets;

    /// Renders the image, `side` pixels wide and high: RGB bytes, `[H, W, 3]`.
    fn render(&self, side: u32) -> Vec<u8>;

    /// Whether the thing is where the other scene's is.
    fn is_at_place_of(&self, other: &Self) -> bool;

    /// The x from 0 to 1 at which one half each of two different things can be put together; none where they do not cover
    /// each other.
    fn middle_with(&self, other: &Self) -> Option<f32>;

    /// The half with the second of two things that are in different halves of the image; none where they are not.
    fn second_half(&self) -> Option<SecondHalf>;
}

/// The half of an image with the second of two things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondHalf {
    /// Whether it is the right one.
    pub right: bool,
    /// The targets, of which the second thing's are those of the thing in this half.
    pub targets: Targets,
}

impl JudgeScene for scenes::Scene {
    const AROUND: &'static [Question] = &[Question::Sky, Question::Ground];
    const WITHOUT_COLOUR: Target = Target::None;

    fn draw(seed: u64) -> Self {
        Self::draw(seed, scenes::Split::Judge)
    }

    fn draw_alone(seed: u64) -> Self {
        Self::draw_alone(seed, scenes::Split::Judge)
    }

    fn draw_lonely(right: [bool; 2], seed: u64, generator: &mut Generator) -> [Self; 2] {
        let draw = |right, seed| {
            let place = if right { Place::Right } else { Place::Left };
            let scene: Self = JudgeScene::draw_alone(seed);
            let labels = scene.labels();
            (labels.size == Size::Small && labels.place == place).then_some(scene)
        };
        let first = search(seed, generator, |seed| draw(right[0], seed));
        let (any, labels) = (generator.uniform() < 0.15, first.labels());
        let second = partner(seed, generator, |seed| {
            let other = draw(right[1], seed)?;
            let theirs = other.labels();
            let same = theirs.sky == labels.sky && theirs.ground == labels.ground;
            (any || same).then_some(other)
        });
        [first, second]
    }

    fn things(&self) -> usize {
        1 + usize::from(self.labels().second.is_some())
    }

    fn is_single(&self) -> bool {
        self.labels().second.is_none()
    }

    fn targets(&self) -> Targets {
        Targets::of(&self.labels())
    }

    fn render(&self, side: u32) -> Vec<u8> {
        self.render(side)
    }

    fn is_at_place_of(&self, other: &Self) -> bool {
        self.labels().place == other.labels().place
    }

    fn middle_with(&self, other: &Self) -> Option<f32> {
        let (Labels { thing, place, size, .. }, theirs) = (self.labels(), other.labels());
        let covers = theirs.thing != thing && theirs.place == place && theirs.size == size;
        covers.then_some(match place {
            Place::Left => 0.27,
            Place::Middle => 0.5,
            Place::Right => 0.73,
        })
    }

    fn second_half(&self) -> Option<SecondHalf> {
        let labels = self.labels();
        let right = match (labels.place, labels.second?.relation) {
            (Place::Left, Relation::LeftOf) => true,
            (Place::Right, Relation::RightOf) => false,
            _ => return None,
        };
        let targets = Targets::of(&labels);
        (labels.size == Size::Small).then_some(SecondHalf { right, targets })
    }
}

impl JudgeScene for world::Scene {
    const AROUND: &'static [Question] =
        &[Question::Surroundings, Question::Time, Question::Weather];
    /// Grey is a colour here.
    const WITHOUT_COLOUR: Target = Target::Open;

    fn draw(seed: u64) -> Self {
        let scene = Self::draw(seed, world::Split::Judge);
        match scene.labels().figures.len() {
            3.. => Self::draw_of(2, seed, world::Split::Judge),
            _ => scene,
        }
    }

    fn draw_alone(seed: u64) -> Self {
        Self::draw_of(1, seed, world::Split::Judge)
    }

    /// The things of two that are side by side, each by itself.
    fn draw_lonely(right: [bool; 2], seed: u64, generator: &mut Generator) -> [Self; 2] {
        let draw = |seed| {
            let scene = Self::draw_of(2, seed, world::Split::Judge);
            sides(&scene).map(|sides| sides.map(|figure| scene.with_only(&[figure])))
        };
        let of_half =
            |[in_left, in_right]: [Self; 2], right| if right { in_right } else { in_left };
        let pair = search(seed, generator, draw);
        let other = match generator.uniform() < 0.15 {
            true => partner(seed, generator, draw),
            false => pair.clone(),
        };
        [of_half(pair, right[0]), of_half(other, right[1])]
    }

    fn things(&self) -> usize {
        self.labels().figures.len()
    }

    fn is_single(&self) -> bool {
        matches!(self.labels().figures[..], [figure] if figure.count == 1)
    }

    fn targets(&self) -> Targets {
        Targets::of(self.labels())
    }

    fn render(&self, side: u32) -> Vec<u8> {
        self.render(side)
    }

    /// Always: no question is about the place of a thing.
    fn is_at_place_of(&self, _: &Self) -> bool {
        true
    }

    fn middle_with(&self, other: &Self) -> Option<f32> {
        let ([own], [theirs]) = (&self.labels().figures[..], &other.labels().figures[..]) else {
            return None;
        };
        // A group has several boxes.
        let [(_, own_box)] = self.boxes()[..] else { return None };
        let [(_, other_box)] = other.boxes()[..] else { return None };
        let centre =
            |[left, top, right, bottom]: [f32; 4]| [(left + right) / 2.0, (top + bottom) / 2.0];
        let height = |[_, top, _, bottom]: [f32; 4]| bottom - top;
        let ([x, y], [other_x, other_y]) = (centre(own_box), centre(other_box));
        let similar = (0.7..1.43).contains(&(height(own_box) / height(other_box)));
        let near = (x - other_x).abs() < 0.08 && (y - other_y).abs() < 0.12;
        (own.thing != theirs.thing && similar && near).then_some(x)
    }

    /// Of every second seed the left half: what a judge sees of two things if one cannot be recognised is always the first.
    fn second_half(&self) -> Option<SecondHalf> {
        sides(self)?;
        let (right, targets) = (self.seed().is_multiple_of(2), Targets::of(self.labels()));
        let targets = if right { targets } else { targets.with_things_exchanged() };
        Some(SecondHalf { right, targets })
    }
}

/// The places among its figures of the left and the right one of two things side by side.
fn sides(scene: &world::Scene) -> Option<[usize; 2]> {
    match scene.labels().relation? {
        world::Relation::LeftOf => Some([0, 1]),
        world::Relation::RightOf => Some([1, 0]),
        _ => None,
    }
}

/// A result of `draw` at `seed`, else at another one of the same half.
pub(crate) fn search<T>(
    seed: u64,
    generator: &mut Generator,
    draw: impl Fn(u64) -> Option<T>,
) -> T {
    draw(seed).unwrap_or_else(|| partner(seed, generator, draw))
}

/// The first result of `draw` at random seeds of the same half of the judge's, of those for training or those for testing, as
/// `seed`.
pub(crate) fn partner<T>(
    seed: u64,
    generator: &mut Generator,
    draw: impl Fn(u64) -> Option<T>,
) -> T {
    let start = if seed < FIRST_TEST_SEED { 0 } else { FIRST_TEST_SEED };
    loop {
        if let Some(found) = draw(start + generator.below(FIRST_TEST_SEED)) {
            return found;
        }
    }
}
