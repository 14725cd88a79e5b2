//! Timestep respacing: the timesteps that a sampler visits.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// One step of a sampler: from a timestep to the one before it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The timestep of the x_t that the denoiser sees.
    pub timestep: i64,
    /// The timestep that the step arrives at; `None` for the clean image.
    pub previous: Option<i64>,
}

impl Step {
    /// Whether the step ends at the clean image. Every other step of an ancestral sampler
    /// draws noise.
    pub fn is_last(&self) -> bool {
        self.previous.is_none()
    }
}

/// The timesteps that a sampler visits, spelt as guided-diffusion's `timestep_respacing` is, which GLIDE (2112.10741) has its
/// steps from. Serialised as a number where it is a count, and as a string where it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestepRespacing {
    /// A number of steps from the last timestep to 0 in even strides, each rounded, a half to the even side: `25`.
    ///
    /// A single step, for which there is no stride, goes from the last timestep straight to the clean image. Where a stride
    /// ends at a half, guided-diffusion, which adds strides up, may round to the other side (of 1,000 timesteps, with some
    /// odd numbers of steps); its single step starts at timestep 0.
    Count(usize),
    /// Numbers of steps in sections of the timesteps that are equally long, or one longer where they do not come out even,
    /// from timestep 0 on: `10,10,3,2,2`. Each section's strides go from its first timestep to its last; a single step is
    /// at its first.
    Sections(Vec<usize>),
    /// A number of steps in the smallest integer stride from timestep 0 that makes as many, as DDIM's authors take them
    /// (2010.02502, appendix D.2): `ddim25`.
    Ddim(usize),
    /// The 27 steps of GLIDE's upsampler, `fast27`: `10,10,3,2,2` with the last timestep moved down by two, against
    /// artefacts at the noisiest ones.
    Fast27,
}

/// The sections of `fast27`, and how far its last timestep is moved down.
const FAST27: [usize; 5] = [10, 10, 3, 2, 2];
const FAST27_MOVE: i64 = 2;

impl TimestepRespacing {
    /// The number of steps.
    pub fn count(&self) -> usize {
        match self {
            Self::Count(steps) | Self::Ddim(steps) => *steps,
            Self::Sections(sections) => sections.iter().fold(0, |sum, n| sum.saturating_add(*n)),
            Self::Fast27 => FAST27.iter().sum(),
        }
    }

    /// The steps through a schedule of `train_timesteps`, in the order they are taken: from the noisiest timestep to the
    /// clean image. An error where there is no step, or the timesteps are too few or have no such stride.
    pub fn steps(&self, train_timesteps: usize) -> Result<Vec<Step>, StepsError> {
        Ok(descending(&self.timesteps(train_timesteps)?))
    }

    /// The timesteps, ascending.
    fn timesteps(&self, train_timesteps: usize) -> Result<Vec<i64>, StepsError> {
        Ok(match self {
            Self::Count(steps) => even(*steps, train_timesteps)?,
            Self::Sections(sections) => sectioned(sections, train_timesteps)?,
            Self::Ddim(steps) => strided(*steps, train_timesteps)?,
            Self::Fast27 => {
                let mut timesteps = sectioned(&FAST27, train_timesteps)?;
                if let Some(last) = timesteps.last_mut() {
                    *last -= FAST27_MOVE;
                }
                timesteps
            }
        })
    }
}

/// The steps of ascending timesteps, in the order they are taken.
fn descending(timesteps: &[i64]) -> Vec<Step> {
    let previous = std::iter::once(None).chain(timesteps.iter().copied().map(Some));
    let steps = timesteps.iter().zip(previous);
    let mut steps: Vec<Step> =
        steps.map(|(&timestep, previous)| Step { timestep, previous }).collect();
    steps.reverse();
    steps
}

/// The timesteps that a number of steps visits, by diffusers' names (2305.08891, table 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TimestepSpacing {
    /// Those of [`TimestepRespacing::Count`].
    #[default]
    Linspace,
    /// From a first timestep on in a whole stride, that of as many steps without an offset.
    Leading {
        /// The first timestep.
        #[serde(rename = "steps_offset")]
        offset: i64,
    },
}

impl TimestepSpacing {
    /// The steps through a schedule of `train_timesteps`, in the order they are taken. An error where there is no step, the
    /// timesteps are too few, or an offset leads beyond them.
    pub fn steps(self, steps: usize, train_timesteps: usize) -> Result<Vec<Step>, StepsError> {
        let Self::Leading { offset } = self else {
            return TimestepRespacing::Count(steps).steps(train_timesteps);
        };
        let timesteps = train_timesteps - offset as usize;
        if steps == 0 || steps > timesteps {
            return Err(StepsError::Count { steps, timesteps });
        }
        let stride = train_timesteps / steps;
        let last = (steps - 1) * stride + offset as usize;
        if last >= train_timesteps {
            return Err(StepsError::Leading { steps, stride, offset, last, train_timesteps });
        }
        let visited: Vec<i64> = (0..steps).map(|i| (i * stride) as i64 + offset).collect();
        Ok(descending(&visited))
    }

    pub(crate) fn is_linspace(&self) -> bool {
        *self == Self::Linspace
    }
}

/// The timesteps of a count, ascending.
fn even(steps: usize, timesteps: usize) -> Result<Vec<i64>, StepsError> {
    if steps == 0 || steps > timesteps {
        return Err(StepsError::Count { steps, timesteps });
    }
    let last = timesteps as f64 - 1.0;
    if steps == 1 {
        return Ok(vec![last as i64]);
    }
    let stride = last / (steps as f64 - 1.0);
    Ok((0..steps).map(|i| (i as f64 * stride).round_ties_even() as i64).collect())
}

/// The timesteps of sections, ascending. Strides are added up, as guided-diffusion does: a rounding at a half hangs on it.
fn sectioned(sections: &[usize], timesteps: usize) -> Result<Vec<i64>, StepsError> {
    let (length, longer) = match sections.len() {
        0 => return Err(StepsError::Empty),
        count => (timesteps / count, timesteps % count),
    };
    let (mut start, mut visited) = (0, Vec::new());
    for (index, &steps) in sections.iter().enumerate() {
        let length = length + usize::from(index < longer);
        if steps > length {
            return Err(StepsError::Section { section: index + 1, steps, timesteps: length });
        }
        let stride = (length.max(1) - 1) as f64 / (steps.max(2) - 1) as f64;
        let mut position = 0.0f64;
        for _ in 0..steps {
            visited.push(start + position.round_ties_even() as i64);
            position += stride;
        }
        start += length as i64;
    }
    if visited.is_empty() { Err(StepsError::Empty) } else { Ok(visited) }
}

/// The timesteps of DDIM's stride, ascending.
fn strided(steps: usize, timesteps: usize) -> Result<Vec<i64>, StepsError> {
    let counts = || (1..timesteps).map(|stride| (stride, timesteps.div_ceil(stride)));
    match counts().find(|(_, count)| *count == steps) {
        Some((stride, _)) => Ok((0..timesteps as i64).step_by(stride).collect()),
        None => {
            let fewer = counts().map(|(_, count)| count).filter(|count| *count < steps).max();
            let more = counts().map(|(_, count)| count).filter(|count| *count > steps).min();
            Err(StepsError::Stride { steps, timesteps, fewer, more })
        }
    }
}

impl From<usize> for TimestepRespacing {
    fn from(steps: usize) -> Self {
        Self::Count(steps)
    }
}

impl fmt::Display for TimestepRespacing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Count(steps) => write!(f, "{steps}"),
            Self::Sections(sections) => {
                let sections: Vec<String> = sections.iter().map(usize::to_string).collect();
                f.write_str(&sections.join(","))
            }
            Self::Ddim(steps) => write!(f, "ddim{steps}"),
            Self::Fast27 => f.write_str("fast27"),
        }
    }
}

impl FromStr for TimestepRespacing {
    type Err = RespacingError;

    fn from_str(text: &str) -> Result<Self, RespacingError> {
        let number = |text: &str| text.trim().parse::<usize>();
        let parsed = match text.trim() {
            "fast27" => Ok(Self::Fast27),
            text => match text.strip_prefix("ddim") {
                Some(steps) => number(steps).map(Self::Ddim),
                None if text.contains(',') => {
                    text.split(',').map(number).collect::<Result<_, _>>().map(Self::Sections)
                }
                None => number(text).map(Self::Count),
            },
        };
        parsed.map_err(|_| RespacingError { text: text.to_owned() })
    }
}

impl Serialize for TimestepRespacing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(steps) => steps.serialize(serializer),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for TimestepRespacing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrString;

        impl Visitor<'_> for NumberOrString {
            type Value = TimestepRespacing;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of steps, or a timestep respacing in quotes")
            }

            fn visit_u64<E: de::Error>(self, steps: u64) -> Result<TimestepRespacing, E> {
                let unexpected = de::Unexpected::Unsigned(steps);
                let steps = steps.try_into().map_err(|_| E::invalid_value(unexpected, &self))?;
                Ok(TimestepRespacing::Count(steps))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimestepRespacing, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(NumberOrString)
    }
}

/// A string that is no timestep respacing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no timestep respacing, which is a number of steps (25), numbers of steps in equal sections of the timesteps, \
     separated by commas (10,10,3,2,2), ddim with a number of steps (ddim25), or fast27"
)]
pub struct RespacingError {
    /// The string.
    pub text: String,
}

/// Steps that a schedule cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// No step, or more than timesteps.
    #[error("{steps} sampling steps were asked for, but this schedule can take 1 to {timesteps}")]
    Count {
        /// The steps asked for.
        steps: usize,
        /// The timesteps of the schedule.
        timesteps: usize,
    },
    /// Whole strides that lead beyond the end.
    #[error(
        "{steps} sampling steps, every {stride} timesteps from steps_offset {offset} on, lead to timestep {last} of a schedule of {train_timesteps}: more steps, in shorter strides, or fewer may fit"
    )]
    Leading {
        /// The steps asked for.
        steps: usize,
        /// The timesteps from one to the next.
        stride: usize,
        /// The first timestep.
        offset: i64,
        /// The last timestep.
        last: usize,
        /// The timesteps of the schedule.
        train_timesteps: usize,
    },
    /// Sections without any step.
    #[error("no section of the timesteps has a step: one of them must have 1 at least")]
    Empty,
    /// A section with more steps than timesteps.
    #[error(
        "section {section} of the timesteps was asked for {steps} steps, but it has {timesteps} timesteps"
    )]
    Section {
        /// The section, counted from 1.
        section: usize,
        /// The steps asked for.
        steps: usize,
        /// The timesteps of the section.
        timesteps: usize,
    },
    /// No integer stride that makes as many steps.
    #[error("no integer stride makes {steps} steps of {timesteps} timesteps{}", nearby(*.fewer, *.more))]
    Stride {
        /// The steps asked for.
        steps: usize,
        /// The timesteps of the schedule.
        timesteps: usize,
        /// The most steps below that a stride makes.
        fewer: Option<usize>,
        /// The least steps above that a stride makes.
        more: Option<usize>,
    },
    /// A respacing that is no count, for a solver that places its steps itself.
    #[error("DPM-Solver++ places its steps itself: it takes a number of steps, as 20, and not {0}")]
    Solver(TimestepRespacing),
}

/// The strides that there are.
fn nearby(fewer: Option<usize>, more: Option<usize>) -> String {
    match (fewer, more) {
        (Some(fewer), Some(more)) => format!("; ddim{fewer} and ddim{more} have one"),
        (Some(one), None) | (None, Some(one)) => format!("; ddim{one} has one"),
        (None, None) => String::new(),
    }
}
