//! The work that the worker does for a request.

use images::{EncoderFormat, RgbImage};
use pipeline::{Edit, InterpolationEnd, Pipeline, Settings};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::job::Job;

/// Something to ask a model.
pub(crate) type Question = Box<dyn FnOnce(&Pipeline, &Job) -> Result<Value, ApiError> + Send>;

/// The work of a job.
pub(crate) enum Work {
    Draw(Box<Drawing>),
    DrawWay(Box<WayDrawing>),
    /// An answer without pictures.
    Answer(Question),
    Search(Box<SearchQuery>),
}

/// Pictures that are drawn apart from each other.
pub(crate) struct Drawing {
    pub(crate) source: Source,
    pub(crate) caption: String,
    pub(crate) negative_caption: Option<String>,
    /// A picture for each.
    pub(crate) seeds: Vec<u64>,
    pub(crate) settings: Settings,
    pub(crate) previews: Previews,
    pub(crate) finish: Finish,
}

/// The thing that is drawn from.
pub(crate) enum Source {
    /// The caption alone.
    Caption,
    /// An image, for variations of it.
    Image(RgbImage),
    /// An image of which a part is painted anew.
    Edit(Box<Edit>),
}

/// Frames of a way.
pub(crate) struct WayDrawing {
    pub(crate) way: Way,
    pub(crate) frames: usize,
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    pub(crate) finish: Finish,
}

pub(crate) enum Way {
    /// From one picture or caption to another (2204.06125, section 3.2).
    Interpolation { ends: [InterpolationEnd; 2], shared_noise: bool },
    /// Along the difference of two captions (section 3.3).
    TextDiff { image: RgbImage, from: String, to: String, strength: f64, guidance_scale: f64 },
}

/// How an image becomes a file.
#[derive(Clone)]
pub(crate) struct Finish {
    /// The size that was asked for.
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) format: EncoderFormat,
    /// The command that draws the same, for the record.
    pub(crate) command: &'static str,
    pub(crate) caption: Option<String>,
    /// Its arguments.
    pub(crate) arguments: Map<String, Value>,
}

/// Which previews are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Previews {
    /// As many as are worth their time, while somebody watches.
    Live,
    /// So many of each picture, evenly over the steps of its base image.
    Count(usize),
}

/// A search in the folder that the operator named.
pub(crate) struct SearchQuery {
    pub(crate) query: Query,
    pub(crate) count: usize,
}

pub(crate) enum Query {
    Caption(String),
    Image(RgbImage),
}

impl Work {
    /// The pixels of the pictures that it brings.
    pub(crate) fn pixels(&self) -> u64 {
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        let of = |image: &RgbImage| area(image.dimensions());
        match self {
            Self::Draw(drawing) => match &drawing.source {
                Source::Caption => 0,
                Source::Image(image) => of(image),
                Source::Edit(edit) => area(edit.mask().dimensions()),
            },
            Self::DrawWay(drawing) => match &drawing.way {
                Way::Interpolation { ends, .. } => {
                    let end = |end: &InterpolationEnd| match end {
                        InterpolationEnd::Image(image) => of(image),
                        InterpolationEnd::Caption(_) => 0,
                    };
                    ends.iter().map(end).sum()
                }
                Way::TextDiff { image, .. } => of(image),
            },
            Self::Answer(_) | Self::Search(_) => 0,
        }
    }

    /// The caption that it is about; empty where there is none.
    pub(crate) fn caption(&self) -> &str {
        match self {
            Self::Draw(drawing) => &drawing.caption,
            Self::DrawWay(drawing) => drawing.finish.caption.as_deref().unwrap_or_default(),
            Self::Answer(_) | Self::Search(_) => "",
        }
    }
}

impl Drawing {
    /// Whether its pictures may lie in a batch with those of another request.
    pub(crate) fn can_share_a_batch(&self, other: &Self) -> bool {
        let is_edit = |drawing: &Self| matches!(drawing.source, Source::Edit(_));
        let is_equal = self.settings == other.settings
            && self.negative_caption.is_some() == other.negative_caption.is_some();
        is_equal && !is_edit(self) && !is_edit(other)
    }
}
