//! clap value parsers for numbers, with messages that say what would be right.

use images::{Margins, Rect};
use pipeline::TimestepRespacing;
use pipeline::mix::LARGEST_WEIGHT;
use pipeline::repaint::MOST_RESAMPLE;

/// A seed: any number that 64 bits hold.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// Steps of a stage; what the model's schedule allows is checked when it is known.
pub(crate) fn steps(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "steps are a whole number from 1 on".to_owned())
}

/// Steps of a stage, or a timestep respacing.
pub(crate) fn respacing(text: &str) -> Result<TimestepRespacing, String> {
    text.parse().map_err(|_| {
        "steps are a whole number from 1 on, or a respacing: 10,10,3,2,2 for steps in equal sections, ddim25, or fast27"
            .to_owned()
    })
}

/// How many candidates the prior chooses among.
pub(crate) fn candidates(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err("one is chosen among 1 to 1000 candidates".to_owned()),
    }
}

/// A side of an image in pixels, which the model limits further.
pub(crate) fn side(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(pixels) if pixels > 0 => Ok(pixels),
        _ => Err("a side is a whole number of pixels from 1 on".to_owned()),
    }
}

/// Images that are sampled at a time.
pub(crate) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err("1 to 1000 pictures are drawn at a time".to_owned()),
    }
}

/// A time of the server's in seconds.
#[cfg(feature = "server")]
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    const YEAR: u64 = 365 * 24 * 3600;
    match text.parse() {
        Ok(seconds) if seconds <= YEAR => Ok(seconds),
        _ => Err(format!("a whole number of seconds from 0 to {YEAR} is wanted")),
    }
}

/// A bound of the server's.
#[cfg(feature = "server")]
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=usize::MAX >> 1).contains(&count) => Ok(count),
        _ => Err("a whole number from 1 on is wanted".to_owned()),
    }
}

/// A quantile of a distribution.
pub(crate) fn quantile(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a quantile lies above 0 and is 1 at most, 0.95 say".to_owned()),
    }
}

/// The share of the steps that an image is noised by.
pub(crate) fn denoising_strength(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a strength lies above 0 and is 1 at most, 0.3 say".to_owned()),
    }
}

/// A guidance scale.
pub(crate) fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("a guidance scale is a finite number".to_owned()),
    }
}

/// The weight of something that is mixed.
pub(crate) fn weight(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.abs() <= LARGEST_WEIGHT => Ok(value),
        _ => Err(format!("a weight is a number from -{LARGEST_WEIGHT} to {LARGEST_WEIGHT}")),
    }
}

/// Two ends of an interval within 0 and 1.
pub(crate) fn interval(text: &str) -> Result<[f64; 2], String> {
    let ends = text.split_once(',').and_then(|(low, high)| {
        let ends: [f64; 2] = [low.trim().parse().ok()?, high.trim().parse().ok()?];
        Some(ends).filter(|[low, high]| 0.0 <= *low && low < high && *high <= 1.0)
    });
    ends.ok_or_else(|| "two numbers from 0 to 1 are wanted, the smaller one first".to_owned())
}

/// A rectangle of an image, which its size limits further: left, top, width and height.
pub(crate) fn rect(text: &str) -> Result<Rect, String> {
    let rect = || {
        let [x, y, width, height] = whole_numbers::<i64>(text)?;
        let side = |length: i64| u32::try_from(length).ok().filter(|&length| length > 0);
        Some(Rect { x, y, width: side(width)?, height: side(height)? })
    };
    rect().ok_or_else(|| {
        "a rectangle is four whole numbers of pixels, X,Y,W,H: 40,90,120,60 begins 40 pixels from the left and 90 from the top, \
         and is 120 pixels wide and 60 high, at least 1"
            .to_owned()
    })
}

/// The pixels that are added on each side of an image.
pub(crate) fn margins(text: &str) -> Result<Margins, String> {
    let margins = || {
        let [left, top, right, bottom] = whole_numbers::<u32>(text)?;
        Some(Margins { left, top, right, bottom }).filter(|&margins| margins != Margins::default())
    };
    margins().ok_or_else(|| {
        "four whole numbers of pixels are wanted, LEFT,TOP,RIGHT,BOTTOM, and one of them above 0: 0,0,128,0 adds 128 on the right"
            .to_owned()
    })
}

/// Four numbers with commas between.
fn whole_numbers<T: std::str::FromStr>(text: &str) -> Option<[T; 4]> {
    let numbers = text.split(',').map(|number| number.trim().parse().ok());
    numbers.collect::<Option<Vec<T>>>()?.try_into().ok()
}

/// The widest seam.
const MOST_FEATHER: u16 = 1000;

/// The width of a seam in pixels.
pub(crate) fn feather(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(pixels) if pixels <= MOST_FEATHER => Ok(pixels),
        _ => Err(format!("a seam is 0 to {MOST_FEATHER} pixels wide")),
    }
}

/// How many times a step is taken.
pub(crate) fn resample(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(times) if (1..=MOST_RESAMPLE).contains(&times) => Ok(times),
        _ => Err(format!("each step is taken 1 to {MOST_RESAMPLE} times")),
    }
}

/// A softmax temperature.
pub(crate) fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a temperature is a finite number above 0".to_owned()),
    }
}

/// The probability mass of nucleus sampling (top-p).
pub(crate) fn top_p(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a number above 0 and up to 1 is wanted".to_owned()),
    }
}

/// A fraction of 1.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1 is wanted".to_owned()),
    }
}

/// The scale of a text diff.
pub(crate) fn strength(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=10.0).contains(&value) => Ok(value),
        _ => Err("a strength is a number from 0 to 10".to_owned()),
    }
}

/// How many pictures are drawn at most in one run.
pub(crate) const MOST_IMAGES: u64 = 10_000;

/// A number of pictures.
pub(crate) fn images(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if (1..=MOST_IMAGES).contains(&count) => Ok(count),
        _ => Err(format!("a run draws 1 to {MOST_IMAGES} pictures")),
    }
}

/// The most scenes that anything counts: the training of a model learns from no more.
pub(crate) const MOST_SCENES: u64 = 1 << 26;

/// A number of scenes.
pub(crate) fn scenes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if (1..=MOST_SCENES).contains(&count) => Ok(count),
        _ => Err(format!("scenes are counted from 1 to {MOST_SCENES}")),
    }
}

/// A count that its command limits further.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a count is a whole number from 1 on".to_owned()),
    }
}

/// A time.
pub(crate) fn milliseconds(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(time) if time > 0 => Ok(time),
        _ => Err(format!("a time is 1 to {} milliseconds", u16::MAX)),
    }
}

/// A width in pixels, which its command limits further.
#[cfg(feature = "lab")]
pub(crate) fn pixels(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a size is a whole number of pixels".to_owned())
}

/// A number of principal components, which the model's embeddings limit further.
pub(crate) fn dimensions(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("components are counted from 1 on".to_owned()),
    }
}
