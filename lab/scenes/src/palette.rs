//! Colours: the range of each name, and a distance between two.

use noise::Generator;

use crate::chance::Chance;
use crate::labels::Colour;

/// A colour, each channel from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rgb(pub f32, pub f32, pub f32);

pub(crate) const INK: Rgb = Rgb(0.11, 0.09, 0.13);
pub(crate) const PAPER: Rgb = Rgb(0.99, 0.98, 0.95);
pub(crate) const WHITE: Rgb = Rgb(1.0, 1.0, 1.0);
pub(crate) const WOOD: Rgb = Rgb(0.36, 0.23, 0.15);
pub(crate) const CREAM: Rgb = Rgb(1.0, 0.95, 0.82);
pub(crate) const GLASS: Rgb = Rgb(0.83, 0.93, 0.97);
pub(crate) const RUBBER: Rgb = Rgb(0.17, 0.17, 0.2);
pub(crate) const LEAF: Rgb = Rgb(0.2, 0.45, 0.2);

impl Rgb {
    /// From hue in degrees, saturation and lightness from 0 to 1.
    pub(crate) fn from_hsl(hue: f32, saturation: f32, lightness: f32) -> Self {
        let reach = saturation * lightness.min(1.0 - lightness);
        let channel = |offset: f32| {
            let k = (offset + hue / 30.0).rem_euclid(12.0);
            lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
        };
        Self(channel(0.0), channel(8.0), channel(4.0))
    }

    /// The part `amount` of the way to `other`.
    pub(crate) fn mix(self, other: Self, amount: f32) -> Self {
        let between = |from: f32, to: f32| from + (to - from) * amount;
        Self(between(self.0, other.0), between(self.1, other.1), between(self.2, other.2))
    }

    /// Lighter for a positive amount, darker for a negative one, of the same hue.
    pub(crate) fn shade(self, amount: f32) -> Self {
        let goal = if amount < 0.0 { Self(0.0, 0.0, 0.0) } else { WHITE };
        self.mix(goal, amount.abs())
    }

    /// How far apart two colours look, 0 to about 1: channels weighed as eyes weigh them.
    pub(crate) fn distance(self, other: Self) -> f32 {
        let (r, g, b) = (self.0 - other.0, self.1 - other.1, self.2 - other.2);
        (0.3 * r * r + 0.5 * g * g + 0.2 * b * b).sqrt()
    }
}

/// A colour within the range of its name.
pub(crate) fn body(colour: Colour, generator: &mut Generator) -> Rgb {
    let (hue, saturation, lightness) = match colour {
        Colour::Red => ((353.0, 364.0), (0.76, 0.92), (0.42, 0.50)),
        Colour::Orange => ((23.0, 32.0), (0.92, 1.0), (0.49, 0.55)),
        Colour::Yellow => ((48.0, 55.0), (0.92, 1.0), (0.50, 0.58)),
        Colour::Green => ((118.0, 148.0), (0.55, 0.80), (0.27, 0.37)),
        Colour::Blue => ((214.0, 230.0), (0.72, 0.92), (0.40, 0.50)),
        Colour::Purple => ((269.0, 284.0), (0.50, 0.70), (0.38, 0.48)),
        Colour::Pink => ((326.0, 341.0), (0.80, 0.98), (0.70, 0.77)),
        Colour::Brown => ((21.0, 29.0), (0.48, 0.62), (0.27, 0.34)),
    };
    Rgb::from_hsl(
        generator.between(hue.0, hue.1),
        generator.between(saturation.0, saturation.1),
        generator.between(lightness.0, lightness.1),
    )
}
