//! Backdrops: a place under its sky, and what falls in front of it.

mod outdoors;

mod sky;
mod skyless;

use noise::Generator;

use crate::canvas::{Canvas, oval};
use crate::chance::Chance;
use crate::labels::{Labels, Place, Season, Time, Weather};
use crate::palette::{INK, Rgb, WHITE};
use crate::things::Home;

/// Everything behind the things and in front of them: labels as colours, and all that no label names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backdrop {
    pub place: Place,
    time: Time,
    weather: Weather,
    season: Option<Season>,
    /// Whether sun, moon and rainbow are left to the things.
    bare_sky: bool,
    /// Whether there is no thing: more of the place is shown.
    empty: bool,
    /// The height of the horizon.
    pub horizon: f32,
    sky_top: Rgb,
    sky_bottom: Rgb,
    pub ground: Rgb,
    /// The generator of all details.
    details: Generator,
}

impl Backdrop {
    /// The backdrop of these labels; `generator` draws what they do not name.
    pub(crate) fn new(labels: &Labels, generator: &mut Generator) -> Self {
        let g = generator;
        let horizon = g.between(0.56, 0.64);
        let shift = g.between(-1.0, 1.0);
        let time = labels.time.unwrap_or(Time::Day);
        let weather = labels.weather.unwrap_or(Weather::Clear);
        let (sky_top, sky_bottom) = sky::colours(time, weather, shift);
        let is_heavenly = |home| home == Home::Sky;
        let mut backdrop = Self {
            place: labels.place,
            time,
            weather,
            season: labels.season,
            bare_sky: labels.figures.iter().any(|figure| is_heavenly(figure.thing.home())),
            empty: labels.figures.is_empty(),
            horizon,
            sky_top,
            sky_bottom,
            ground: WHITE,
            details: g.clone(),
        };
        g.uniform();
        backdrop.ground = backdrop.ground_colour(shift);
        backdrop
    }

    /// The height at which things stand: (highest, lowest).
    pub(crate) fn standing(&self) -> (f32, f32) {
        match self.place {
            Place::Plain => (0.84, 0.9),
            Place::Table => (0.8, 0.86),
            Place::Road | Place::City => (0.86, 0.92),
            Place::Room => (0.84, 0.93),
            Place::River => (0.93, 0.97),
            Place::Beach => (0.86, 0.94),
            _ => (0.84, 0.94),
        }
    }

    /// The height of the water's surface where things swim; none where there is no open water.
    pub(crate) fn waterline(&self) -> Option<f32> {
        match self.place {
            Place::Sea => Some(0.80),
            Place::River => Some(0.77),
            _ => None,
        }
    }

    /// The colours that lie behind something from height `top` to height `bottom`.
    pub(crate) fn behind(&self, top: f32, bottom: f32) -> [Rgb; 3] {
        let at = |y: f32| match y > self.horizon {
            true => self.ground,
            false => self.sky_top.mix(self.sky_bottom, (y / self.horizon).clamp(0.0, 1.0)),
        };
        match self.place {
            Place::Sky => [self.sky_top, self.sky_bottom, self.sky_bottom],
            Place::Forest => [self.forest_colour(), at(bottom), at(bottom)],
            place if place.has_sky() => [at(top), at((top + bottom) / 2.0), at(bottom)],
            Place::Room | Place::Table => [self.sky_top, self.sky_bottom, at(bottom)],
            _ => [self.sky_top, self.sky_bottom, self.ground],
        }
    }

    /// Paints all that is behind the things.
    pub(crate) fn paint(&self, canvas: &mut Canvas) {
        let mut g = self.details.clone();
        if self.place.has_sky() {
            self.paint_sky(canvas, &mut g);
        }
        match self.place {
            Place::Plain => canvas.gradient(self.ground, self.ground, 1.0),
            Place::Sky => {}
            Place::Underwater => self.paint_underwater(canvas, &mut g),
            Place::Space => self.paint_space(canvas, &mut g),
            Place::Room => self.paint_room(canvas, &mut g),
            Place::Table => self.paint_table(canvas, &mut g),
            _ => self.paint_land(canvas, &mut g),
        }
        if self.place.has_sky() {
            self.paint_fog(canvas);
        }
    }

    /// Paints rain, snow, leaves or fog in front of the things.
    pub(crate) fn paint_front(&self, canvas: &mut Canvas) {
        let mut g = self.details.clone();
        if self.place.has_sky() {
            self.paint_weather(canvas, &mut g);
        }
    }

    /// Water in front of what is in it, from height `surface` on and as wide as `width`.
    pub(crate) fn paint_water_before(
        &self,
        canvas: &mut Canvas,
        (x, surface, bottom): (f32, f32, f32),
        width: f32,
    ) {
        let half = width * 0.56;
        let waves = 5;
        let step = 2.0 * half / waves as f32;
        let wave = |p: &mut tiny_skia::PathBuilder| {
            p.move_to(x - half, surface);
            for index in 0..waves {
                let left = x - half + index as f32 * step;
                p.quad_to(left + step / 2.0, surface - 0.035, left + step, surface);
            }
        };
        let water = crate::canvas::path(|p| {
            wave(p);
            p.line_to(x + half, bottom);
            p.line_to(x - half, bottom);
            p.close();
        });
        canvas.area(&water, self.ground);
        canvas.lines(&crate::canvas::path(wave), 0.014, self.ground.shade(0.55), 1.0);
    }

    /// The shadow of something that stands.
    pub(crate) fn paint_shadow(&self, canvas: &mut Canvas, (x, base): (f32, f32), width: f32) {
        canvas.wash(&oval(x, base - 0.004, width * 0.48, 0.022), INK, 0.22);
    }

    fn is_snowy(&self) -> bool {
        self.place == Place::Snow || self.season == Some(Season::Winter)
    }

    /// The light of the time of day on everything that is not painted for it.
    fn light(&self) -> Rgb {
        let time = match self.time {
            Time::Day => WHITE,
            Time::Sunset => Rgb(1.0, 0.84, 0.72),
            // Snow is light at night too.
            Time::Night if self.is_snowy() => Rgb(0.62, 0.66, 0.82),
            Time::Night => Rgb(0.48, 0.49, 0.60),
        };
        match self.weather {
            Weather::Storm => time.shade(-0.25),
            Weather::Rain => time.shade(-0.12),
            _ => time,
        }
    }

    fn ground_colour(&self, shift: f32) -> Rgb {
        let green = match self.season {
            Some(Season::Winter) => Rgb(0.94, 0.96, 0.99),
            Some(Season::Autumn) => Rgb(0.83, 0.66, 0.36),
            Some(Season::Spring) => Rgb(0.60, 0.84, 0.42),
            _ => Rgb::from_hsl(92.0 + 5.0 * shift, 0.48, 0.55),
        };
        let day = match self.place {
            Place::Plain => return Rgb(0.985, 0.985, 0.985),
            Place::Room => return Rgb::from_hsl(29.0, 0.42, 0.62),
            Place::Table => return Rgb::from_hsl(28.0, 0.46, 0.55),
            Place::Space => return Rgb(0.08, 0.07, 0.18),
            Place::Underwater => return Rgb(0.05, 0.40, 0.68),
            Place::Sky => self.sky_bottom,
            Place::Beach | Place::Desert => Rgb::from_hsl(41.0 + 3.0 * shift, 0.68, 0.74),
            Place::Sea => Rgb::from_hsl(203.0 + 5.0 * shift, 0.62, 0.48),
            Place::River => Rgb::from_hsl(202.0, 0.60, 0.58),
            Place::Snow => Rgb(0.94, 0.96, 0.99),
            Place::City => Rgb(0.72, 0.72, 0.75),
            Place::Road => Rgb(0.46, 0.46, 0.50),
            Place::Forest => match self.season {
                None | Some(Season::Summer) => Rgb(0.42, 0.62, 0.30),
                _ => green,
            },
            _ => green,
        };
        day.lit(self.light())
    }
}

impl Backdrop {
    /// The colour of grass and its like, lit.
    fn grass(&self) -> Rgb {
        let day = match self.season {
            Some(Season::Winter) => Rgb(0.94, 0.96, 0.99),
            Some(Season::Autumn) => Rgb(0.83, 0.66, 0.36),
            Some(Season::Spring) => Rgb(0.60, 0.84, 0.42),
            _ => Rgb(0.56, 0.77, 0.38),
        };
        day.lit(self.light())
    }

    /// The colour of broad leaves, unlit.
    fn leaves(&self) -> Rgb {
        match self.season {
            Some(Season::Spring) => Rgb(0.98, 0.70, 0.82),
            Some(Season::Autumn) => Rgb(0.90, 0.45, 0.12),
            Some(Season::Winter) => Rgb(0.84, 0.89, 0.95),
            _ => Rgb(0.27, 0.57, 0.20),
        }
    }

    /// The colour of the wall of trees of a forest, lit.
    fn forest_colour(&self) -> Rgb {
        let day = match self.season {
            Some(Season::Autumn) => Rgb(0.62, 0.32, 0.12),
            Some(Season::Winter) => Rgb(0.62, 0.70, 0.76),
            Some(Season::Spring) => Rgb(0.36, 0.60, 0.32),
            _ => Rgb(0.15, 0.36, 0.20),
        };
        day.lit(self.light())
    }
}
