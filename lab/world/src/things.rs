//! Things: a table of all, with their words, looks and homes.

use std::fmt;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use crate::labels::{Action, Colour, Place};
use crate::{drawings, inflection};

/// A kind of thing, of the table in `data/things.txt`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thing(u16);

/// The posture of a kind of thing, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    /// An animal on the ground.
    Land,
    /// An animal that stands and flies.
    Bird,
    /// It flies always.
    Flyer,
    /// It floats on water.
    Floats,
    /// It swims in water.
    Fish,
    /// It is in the sky, or the weather.
    Sky,
    /// It can be put on a table.
    Object,
    /// It stands on the ground and is no animal.
    Large,
    /// A person, drawn by what it does.
    Person,
    /// A person from the waist up, or somebody from a tale.
    Role,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: String,
    /// The key of its drawing.
    pub drawing: String,
    /// The colour that it has without being asked, where that has a name.
    pub natural: Option<Colour>,
    /// Whether that colour is painted on the drawing.
    pub painted: bool,
    pub home: Home,
    /// The frequency among all things.
    pub weight: u32,
    /// (singular, plural) words, the usual one first.
    pub words: Vec<(String, String)>,
    /// (singular, plural) words of what it is one of.
    pub kinds: Vec<(String, String)>,
    pub haunts: Vec<Place>,
    /// The middle of a hat's brim and its width, in units of the drawing's 32 by 32 box.
    pub hat: Option<[f32; 3]>,
}

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let rows = include_str!("../data/things.txt").lines();
    let rows = rows.filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| entry(row).expect("every row of data/things.txt is whole")).collect()
});

static ALL: LazyLock<Vec<Thing>> = LazyLock::new(|| (0..TABLE.len() as u16).map(Thing).collect());

impl Thing {
    /// All things, in the order of [`Self::index`].
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The thing of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|thing| thing.name() == name)
    }

    /// The thing's place in [`Self::all`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its usual word.
    pub fn name(self) -> &'static str {
        &self.entry().name
    }

    /// The singular of each word for it, the usual one first.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        self.entry().words.iter().map(|(singular, _)| singular.as_str())
    }

    /// The posture, and where it is.
    pub fn home(self) -> Home {
        self.entry().home
    }

    /// The colour that it has without being asked; none where that has no name.
    pub fn natural_colour(self) -> Option<Colour> {
        self.entry().natural
    }

    /// Whether it can have another colour than its natural one.
    pub fn takes_colours(self) -> bool {
        match self.home() {
            Home::Person => true,
            _ => self.drawing(None).takes_colours(),
        }
    }

    /// Whether a pattern can be seen on it.
    pub fn takes_textures(self) -> bool {
        self.home() != Home::Person && self.drawing(None).takes_textures()
    }

    /// Whether there can be several: "two cats", but not "two breads".
    pub fn is_countable(self) -> bool {
        let (singular, plural) = &self.entry().words[0];
        singular != plural || matches!(self.home(), Home::Land | Home::Fish)
    }

    /// The actions that it can be drawn in.
    pub fn actions(self) -> &'static [Action] {
        use Action::*;
        let hat = self.entry().hat.is_some();
        match self.home() {
            Home::Land if hat => &[Sleeping, Jumping, Swimming, WearingHat, WearingCrown],
            Home::Land => &[Sleeping, Jumping, Swimming],
            Home::Bird if hat => &[Flying, Flying, Sleeping, WearingHat, WearingCrown],
            Home::Bird => &[Flying, Flying, Sleeping],
            Home::Fish if hat => &[WearingHat, WearingCrown],
            Home::Role | Home::Object if hat => &[WearingHat, WearingCrown],
            Home::Person if self.is_female() => {
                &[Walking, Running, Dancing, Cycling, Surfing, Skiing, Meditating, WearingHat]
            }
            Home::Person => &[Walking, Running, Cycling, Surfing, Skiing, WearingHat],
            _ => &[],
        }
    }

    pub(crate) fn entry(self) -> &'static Entry {
        &TABLE[self.index()]
    }

    pub(crate) fn is_female(self) -> bool {
        matches!(self.name(), "woman" | "girl")
    }

    /// Its drawing in an action: a person's differ, and without any action a person is a face.
    pub(crate) fn drawing(self, action: Option<Action>) -> &'static drawings::Drawing {
        drawings::named(self.drawing_key(action))
    }

    fn drawing_key(self, action: Option<Action>) -> &'static str {
        let of_person = |man, woman, boy| match self.name() {
            "man" => man,
            "boy" => boy,
            _ => woman,
        };
        match action.filter(|_| self.home() == Home::Person) {
            None => &self.entry().drawing,
            Some(Action::Running) => of_person("man-running", "woman-running", "boy-running"),
            Some(Action::Cycling) => of_person("man-cycling", "woman-cycling", "boy-cycling"),
            Some(Action::Dancing) => of_person("man-dancing", "woman-dancing", "man-dancing"),
            Some(Action::Surfing) => "surfing",
            Some(Action::Skiing) => "skiing",
            Some(Action::Meditating) => "yoga",
            Some(_) => of_person("man-walking", "woman-walking", "boy-walking"),
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Debug for Thing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Thing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A row: `name | look | home | weight | words | kinds | haunts | hat`, where the last ones may be left out.
fn entry(row: &str) -> Option<Entry> {
    let mut cells = row.split('|').map(str::trim);
    let first = inflection::with_plural(cells.next()?);
    let look = cells.next()?;
    let colour = look.trim_end_matches('!');
    let natural = Colour::ALL.iter().copied().find(|value| value.name() == colour);
    if natural.is_none() && look != "-" {
        return None;
    }
    let home = home(cells.next()?)?;
    let weight = cells.next()?.parse().ok()?;
    let list = |cell: &str| -> Vec<_> {
        let words = cell.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(inflection::with_plural).collect()
    };
    let words = list(cells.next()?);
    let kinds = list(cells.next().unwrap_or_default());
    let haunts = cells.next().unwrap_or_default().split_whitespace();
    let haunts: Option<Vec<_>> =
        haunts.map(|name| Place::ALL.iter().copied().find(|place| place.name() == name)).collect();
    let numbers = cells.next().unwrap_or_default().split_whitespace();
    let numbers: Option<Vec<f32>> = numbers.map(|number| number.parse().ok()).collect();
    let drawing = first.0.replace(' ', "-");
    Some(Entry {
        name: first.0.clone(),
        drawing,
        natural,
        painted: look.ends_with('!'),
        home,
        weight,
        words: [vec![first], words].concat(),
        kinds,
        haunts: haunts?,
        hat: numbers?.try_into().ok(),
    })
}

fn home(name: &str) -> Option<Home> {
    Some(match name {
        "land" => Home::Land,
        "bird" => Home::Bird,
        "flyer" => Home::Flyer,
        "floats" => Home::Floats,
        "fish" => Home::Fish,
        "sky" => Home::Sky,
        "object" => Home::Object,
        "large" => Home::Large,
        "person" => Home::Person,
        "role" => Home::Role,
        _ => return None,
    })
}
