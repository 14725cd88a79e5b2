//! Labels of an image, and the pairs of them that are held out of training.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $synonym:literal)*,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of [`Self::index`].
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The number of values.
            pub const COUNT: usize = Self::ALL.len();
            /// The values' names, as `metadata.jsonl` spells them.
            pub const NAMES: &[&'static str] = &[$($word,)+];

            /// The value's place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The value's name and the synonyms of it that captions use.
            pub const fn words(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$word $(, $synonym)*],)+ }
            }

            /// The value's name.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self.index()]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

label! {
    /// The largest thing in an image.
    Thing {
        /// A house with a gable, a door and two windows.
        House = "house" | "cottage",
        /// A fir of three tiers.
        Tree = "tree" | "fir tree",
        /// A boat under sail.
        Boat = "boat" | "sailing boat",
        /// A hot-air balloon.
        Balloon = "balloon" | "hot-air balloon",
        /// A rocket with fins and a flame.
        Rocket = "rocket" | "spaceship",
        /// A mushroom with spots.
        Mushroom = "mushroom" | "toadstool",
        /// A fish from the side.
        Fish = "fish",
        /// A car from the side.
        Car = "car" | "motor car",
        /// A flower on a stem.
        Flower = "flower" | "blossom",
        /// An open umbrella.
        Umbrella = "umbrella" | "parasol",
        /// A kite with a tail of bows.
        Kite = "kite",
        /// A cat that sits.
        Cat = "cat" | "kitten",
        /// A cup with a handle.
        Cup = "cup" | "mug",
        /// A butterfly seen from above.
        Butterfly = "butterfly",
    }
}

label! {
    /// The colour of a thing's body.
    Colour {
        /// Red.
        Red = "red" | "scarlet",
        /// Orange.
        Orange = "orange" | "bright orange",
        /// Yellow.
        Yellow = "yellow" | "golden",
        /// Green, darker than grass.
        Green = "green" | "dark green",
        /// Blue, darker than the sky.
        Blue = "blue" | "deep blue",
        /// Purple.
        Purple = "purple" | "violet",
        /// Pink, paler than red.
        Pink = "pink" | "rosy",
        /// Brown, darker than orange.
        Brown = "brown" | "chestnut",
    }
}

label! {
    /// The size of the first thing.
    Size {
        /// About a third of the image's side.
        Small = "small" | "little" | "tiny",
        /// More than half of the image's side.
        Large = "large" | "big" | "huge",
    }
}

label! {
    /// The place of the first thing's centre.
    Place {
        /// In the left third.
        Left = "left",
        /// In the middle.
        Middle = "middle",
        /// In the right third.
        Right = "right",
    }
}

label! {
    /// The sky.
    Sky {
        /// A blue day.
        Clear = "clear",
        /// Gold and coral, with a low sun.
        Sunset = "sunset",
        /// Dark, with stars and a moon.
        Night = "night",
        /// Grey, with clouds and rain.
        Rain = "rain",
    }
}

label! {
    /// The ground.
    Ground {
        /// A pale green meadow.
        Grass = "grass",
        /// A beach.
        Sand = "sand",
        /// Snow.
        Snow = "snow",
        /// Water with waves; what cannot swim stands on a raft.
        Sea = "sea",
    }
}

label! {
    /// The drawing style.
    Style {
        /// Plain areas of colour.
        Flat = "flat",
        /// Dark lines around everything.
        Outlined = "outlined",
        /// Cut from paper: white edges and a shadow.
        Paper = "paper",
    }
}

label! {
    /// The place of the first thing, seen from the second.
    Relation {
        /// The first thing is left of the second.
        LeftOf = "left-of",
        /// The first thing is right of the second.
        RightOf = "right-of",
        /// The first thing is above the second.
        Above = "above",
        /// The first thing is below the second.
        Below = "below",
    }
}

impl Relation {
    /// The same relation with the things exchanged.
    pub const fn inverse(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }
}

/// The labels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// The largest thing.
    pub thing: Thing,
    /// The thing's colour.
    pub colour: Colour,
    /// The thing's size.
    pub size: Size,
    /// The place of the thing's centre.
    pub place: Place,
    /// The sky.
    pub sky: Sky,
    /// The ground.
    pub ground: Ground,
    /// The drawing style.
    pub style: Style,
    /// A second, clearly smaller thing, where there is one.
    pub second: Option<Second>,
}

/// A second thing, smaller than the first and never of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Second {
    /// The thing.
    pub thing: Thing,
    /// Its colour.
    pub colour: Colour,
    /// The place of the first thing, seen from this one.
    pub relation: Relation,
}

/// The held-out pairs, which no training image shows and no training caption names.
pub const HELD_OUT: &[(Thing, Colour)] = &[
    (Thing::House, Colour::Purple),
    (Thing::Tree, Colour::Pink),
    (Thing::Boat, Colour::Green),
    (Thing::Balloon, Colour::Brown),
    (Thing::Rocket, Colour::Yellow),
    (Thing::Mushroom, Colour::Blue),
    (Thing::Fish, Colour::Red),
    (Thing::Car, Colour::Orange),
    (Thing::Umbrella, Colour::Yellow),
    (Thing::Kite, Colour::Red),
    (Thing::Cat, Colour::Green),
    (Thing::Cup, Colour::Pink),
];

/// Whether the pair is in [`HELD_OUT`].
pub fn held_out(thing: Thing, colour: Colour) -> bool {
    HELD_OUT.contains(&(thing, colour))
}
