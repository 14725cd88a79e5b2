//! Labels of an image: its things, their looks, the place.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::things::Thing;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of [`Self::index`].
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The number of values.
            pub const COUNT: usize = Self::ALL.len();
            /// The values' names.
            pub const NAMES: &[&'static str] = &[$($word,)+];

            /// The value's place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
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
    /// A colour that a thing can have.
    Colour {
        /// Hues about 358 degrees.
        Red = "red",
        /// Hues about 27 degrees, light.
        Orange = "orange",
        /// Hues about 51 degrees.
        Yellow = "yellow",
        /// Hues about 130 degrees.
        Green = "green",
        /// Hues about 178 degrees.
        Turquoise = "turquoise",
        /// Hues about 220 degrees.
        Blue = "blue",
        /// Hues about 276 degrees.
        Purple = "purple",
        /// Hues about 333 degrees, light.
        Pink = "pink",
        /// Hues about 25 degrees, dark.
        Brown = "brown",
        /// Without a hue, nearly the darkest.
        Black = "black",
        /// Without a hue, halfway.
        Grey = "grey",
        /// Without a hue, nearly the lightest.
        White = "white",
    }
}

label! {
    /// A pattern on a thing's colour.
    Texture {
        /// Stripes.
        Stripes = "stripes",
        /// Dots.
        Dots = "dots",
        /// Squares by turns.
        Checks = "checks",
    }
}

label! {
    /// A size that a caption can name.
    Size {
        /// A third of the side or less.
        Small = "small",
        /// Neither: captions say nothing of it.
        Medium = "medium",
        /// More than half of the side.
        Large = "large",
    }
}

label! {
    /// An action that changes the drawing.
    Action {
        /// In the air, where such a thing does not always fly.
        Flying = "flying",
        /// On the ground under three letters Z.
        Sleeping = "sleeping",
        /// Over its own shadow.
        Jumping = "jumping",
        /// Half in the water.
        Swimming = "swimming",
        /// With a top hat on.
        WearingHat = "wearing a hat",
        /// With a crown on.
        WearingCrown = "wearing a crown",
        /// A walk.
        Walking = "walking",
        /// A run.
        Running = "running",
        /// A dance.
        Dancing = "dancing",
        /// On a bicycle.
        Cycling = "cycling",
        /// On a surfboard.
        Surfing = "surfing",
        /// On skis.
        Skiing = "skiing",
        /// With crossed legs.
        Meditating = "meditating",
    }
}

label! {
    /// The place that a scene shows.
    Place {
        /// A plain ground of one pale colour.
        Plain = "plain",
        /// Grass and low hills.
        Meadow = "meadow",
        /// Grass with trees and a path.
        Park = "park",
        /// Grass with a fence and flowers.
        Garden = "garden",
        /// A wall of firs.
        Forest = "forest",
        /// Sand before the sea.
        Beach = "beach",
        /// The sea up to the horizon.
        Sea = "sea",
        /// A stream or lake between meadows.
        River = "river",
        /// Below the surface, with bubbles and weeds.
        Underwater = "underwater",
        /// A field of snow with firs.
        Snow = "snow",
        /// Dunes with cacti.
        Desert = "desert",
        /// Peaks with snow.
        Mountains = "mountains",
        /// A skyline behind a pavement.
        City = "city",
        /// A road through meadows.
        Road = "road",
        /// A field with a barn and rows.
        Farm = "farm",
        /// A wall with a window, and a floor.
        Room = "room",
        /// A table before a wall.
        Table = "table",
        /// Nothing but sky.
        Sky = "sky",
        /// Stars and planets on black.
        Space = "space",
    }
}

label! {
    /// The time of day.
    Time {
        /// A light sky.
        Day = "day",
        /// A red and yellow sky with a low sun: dawn or dusk.
        Sunset = "sunset",
        /// A dark sky with stars and a moon.
        Night = "night",
    }
}

label! {
    /// The weather.
    Weather {
        /// Sun, or stars.
        Clear = "clear",
        /// Clouds all over the sky.
        Cloudy = "cloudy",
        /// Rain in front of all.
        Rain = "rain",
        /// Flakes in front of all.
        Snowfall = "snowfall",
        /// Dark clouds with a flash.
        Storm = "storm",
        /// Veils of fog.
        Fog = "fog",
        /// A rainbow in a light sky.
        Rainbow = "rainbow",
    }
}

label! {
    /// The season of a place with plants.
    Season {
        /// Fresh green with blossoms.
        Spring = "spring",
        /// Green.
        Summer = "summer",
        /// Orange leaves, on trees and in the air.
        Autumn = "autumn",
        /// Snow on the ground.
        Winter = "winter",
    }
}

label! {
    /// The position of a thing, seen from the second one.
    Relation {
        /// Left of it.
        LeftOf = "left-of",
        /// Right of it.
        RightOf = "right-of",
        /// Over it, without touching it.
        Above = "above",
        /// Beneath it, perhaps covered by it.
        Under = "under",
        /// Standing on its top.
        On = "on",
        /// Nearer, covering a part of it.
        InFrontOf = "in-front-of",
        /// Farther, partly covered by it.
        Behind = "behind",
    }
}

impl Relation {
    /// The same relation seen from the first thing.
    pub const fn inverse(self) -> Option<Self> {
        match self {
            Self::LeftOf => Some(Self::RightOf),
            Self::RightOf => Some(Self::LeftOf),
            Self::Above => Some(Self::Under),
            Self::Under => Some(Self::Above),
            Self::InFrontOf => Some(Self::Behind),
            Self::Behind => Some(Self::InFrontOf),
            Self::On => None,
        }
    }

    /// Whether the two stand side by side.
    pub const fn is_beside(self) -> bool {
        matches!(self, Self::LeftOf | Self::RightOf)
    }
}

/// A thing of an image, or a group of up to three that look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Figure {
    /// The kind of thing.
    pub thing: Thing,
    /// Its colour: the [natural](Thing::natural_colour) one where it is drawn as usual; none where that has no name.
    pub colour: Option<Colour>,
    /// A pattern on it.
    pub texture: Option<Texture>,
    /// The number of them, from 1 to 3.
    pub count: u8,
    /// Its action.
    pub action: Option<Action>,
}

/// All labels of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Labels {
    /// No, one, two or three different things, from the left unless `relation` says otherwise.
    pub figures: Vec<Figure>,
    /// The first thing's size.
    pub size: Size,
    /// The relation of the first of two things to the second.
    pub relation: Option<Relation>,
    /// The place.
    pub place: Place,
    /// The time of day; none where no sky is seen.
    pub time: Option<Time>,
    /// The weather; none where no sky is seen.
    pub weather: Option<Weather>,
    /// The season; none where nothing shows it.
    pub season: Option<Season>,
}

impl Place {
    /// Whether the sky is seen, and with it time and weather.
    pub const fn has_sky(self) -> bool {
        !matches!(self, Self::Plain | Self::Underwater | Self::Room | Self::Table | Self::Space)
    }

    /// Whether seasons change it.
    pub const fn has_season(self) -> bool {
        matches!(
            self,
            Self::Meadow
                | Self::Park
                | Self::Garden
                | Self::Forest
                | Self::Mountains
                | Self::Road
                | Self::Farm
                | Self::River
        )
    }
}
