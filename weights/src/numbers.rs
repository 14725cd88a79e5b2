//! Describes damaged numbers of a tensor or of a file.

use std::cmp::Ordering;
use std::fmt;

use layers::finite::{LARGEST, norm};
use tch::{Device, Kind, Tensor};

use crate::lazy_tensor::LazyTensor;
use crate::{Error, Folder};

/// How many numbers of a tensor are not finite, and how large the others are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Numbers {
    not_finite: i64,
    count: i64,
    /// The largest, without its sign.
    largest: f64,
}

impl Numbers {
    /// Those of a tensor of floats; `None` of another.
    pub(crate) fn of(stored: &LazyTensor) -> Option<Self> {
        stored.dtype.float()?;
        let tensor = stored.tensor()?;
        if tensor.numel() == 0 {
            return None;
        }
        let finite = tensor.isfinite();
        let sound = tensor.nan_to_num(0.0, 0.0, 0.0);
        Some(Self {
            not_finite: finite.logical_not().sum(Kind::Int64).int64_value(&[]),
            count: tensor.numel() as i64,
            largest: sound.abs().max().double_value(&[]),
        })
    }

    /// Which of two is damaged more.
    pub(crate) fn cmp_damage(&self, other: &Self) -> Ordering {
        let not_finite = self.not_finite.cmp(&other.not_finite);
        not_finite.then(self.largest.total_cmp(&other.largest))
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.not_finite {
            0 => write!(f, "one of its {} numbers is {:e}", self.count, self.largest as f32),
            bad => write!(f, "{bad} of its {} numbers are NaN or infinite", self.count),
        }
    }
}

/// The tensor among the weights in `folder` that has numbers which are not finite, or else that with the largest number, as a
/// sentence; for whoever has seen that what they compute is not finite.
pub fn describe_numbers(folder: &Folder) -> Result<Option<String>, Error> {
    let checkpoint = folder.checkpoint("a model", Device::Cpu, Kind::Float)?;
    let worst = checkpoint.worst();
    let worst = worst.filter(|(_, numbers)| numbers.not_finite > 0 || numbers.largest > SUSPECT);
    Ok(worst.map(|(name, numbers)| {
        format!("tensor {} of {}: {numbers}", files::text::excerpt(name), checkpoint.file())
    }))
}

/// Weights are smaller, by far.
const SUSPECT: f64 = 1e6;

/// Describes the first row `[.., E]` that has numbers which are not finite or too large, as the end of a sentence
/// about a file; `None` where all are sound.
pub fn damaged_row(rows: &Tensor) -> Option<String> {
    if rows.numel() == 0 || norm(rows).double_value(&[]).is_finite() {
        return None;
    }
    let width = rows.size().last().copied().unwrap_or(1);
    let rows = rows.reshape([-1, width]);
    let row = (0..rows.size()[0]).find(|&row| !layers::is_finite(&rows.get(row)))?;
    let sound = bool::try_from(rows.get(row).isfinite().all()).unwrap_or(false);
    Some(match sound {
        true => format!("row {row} has numbers of {LARGEST:e} or more"),
        false => format!("row {row} has numbers that are not finite"),
    })
}
