//! Colours: the range of each name, and tones of them.

use noise::Generator;

use crate::chance::Chance;
use crate::labels::Colour;

/// A colour, each channel from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rgb(pub f32, pub f32, pub f32);

pub(crate) const INK: Rgb = Rgb(0.13, 0.11, 0.15);
pub(crate) const WHITE: Rgb = Rgb(1.0, 1.0, 1.0);

impl Rgb {
    /// From six hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let bits = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6)?;
        let channel = |shift: u32| f32::from((bits >> shift) as u8) / 255.0;
        Some(Self(channel(16), channel(8), channel(0)))
    }

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

    /// Each channel times that of `light`.
    pub(crate) fn lit(self, light: Self) -> Self {
        Self(self.0 * light.0, self.1 * light.1, self.2 * light.2)
    }

    /// The lightness as eyes see it, 0 to 1.
    pub(crate) fn luma(self) -> f32 {
        0.3 * self.0 + 0.59 * self.1 + 0.11 * self.2
    }

    /// The difference of two colours, 0 to about 1: channels weighed as eyes weigh them.
    pub(crate) fn distance(self, other: Self) -> f32 {
        let (r, g, b) = (self.0 - other.0, self.1 - other.1, self.2 - other.2);
        (0.3 * r * r + 0.5 * g * g + 0.2 * b * b).sqrt()
    }
}

/// A colour within the range of its name.
pub(crate) fn body(colour: Colour, generator: &mut Generator) -> Rgb {
    let (hue, saturation, lightness) = match colour {
        Colour::Red => ((354.0, 361.0), (0.80, 0.90), (0.47, 0.53)),
        Colour::Orange => ((25.0, 31.0), (0.94, 1.0), (0.52, 0.56)),
        Colour::Yellow => ((47.0, 52.0), (0.94, 1.0), (0.54, 0.60)),
        Colour::Green => ((122.0, 140.0), (0.55, 0.70), (0.33, 0.41)),
        Colour::Turquoise => ((176.0, 183.0), (0.65, 0.80), (0.46, 0.52)),
        Colour::Blue => ((215.0, 224.0), (0.75, 0.90), (0.46, 0.54)),
        Colour::Purple => ((270.0, 282.0), (0.50, 0.62), (0.42, 0.50)),
        Colour::Pink => ((328.0, 338.0), (0.85, 1.0), (0.72, 0.78)),
        Colour::Brown => ((22.0, 27.0), (0.48, 0.58), (0.30, 0.37)),
        Colour::Black => ((240.0, 260.0), (0.03, 0.08), (0.12, 0.16)),
        Colour::Grey => ((220.0, 240.0), (0.02, 0.06), (0.50, 0.57)),
        Colour::White => ((210.0, 230.0), (0.15, 0.30), (0.965, 0.985)),
    };
    let mut between = |(low, high)| generator.between(low, high);
    Rgb::from_hsl(between(hue), between(saturation), between(lightness))
}

/// The tone of `painted` that stands to it as `shape` to `main`: a darker fill of a drawing becomes darker paint.
pub(crate) fn tone(painted: Rgb, shape: Rgb, main: Rgb) -> Rgb {
    let (from, to) = (main.luma(), shape.luma());
    let amount = match to < from {
        true => -(1.0 - to / from.max(0.01)) * 0.75,
        false => (to - from) / (1.0 - from).max(0.01) * 0.75,
    };
    // White has no lighter tone, black no darker one, and neither may look like another colour.
    let amount = match painted.luma() {
        light if light > 0.9 => amount.clamp(-0.2, 0.0),
        dark if dark < 0.2 => amount.clamp(-0.3, 0.16),
        _ => amount.clamp(-0.35, 0.4),
    };
    painted.shade(amount)
}
