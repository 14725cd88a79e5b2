//! Sources over others: an adapter between two layouts of one model, which takes tensors by our names from a source that has
//! them by others, and a recorder of what a model takes.

use std::cell::RefCell;
use std::collections::HashMap;

use layers::{Init, Source};
use tch::Tensor;

/// How tensors of ours are made of another layout's.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Our names. Each `*` stands for a part of a name without dots, as the number of a block.
    ours: String,
    /// Theirs, with as many `*`, each for the same part.
    theirs: String,
    /// The operations on their tensor, the first one first.
    operations: Vec<Operation>,
}

/// An operation on a tensor of another layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One of several tensors that are packed along the first dimension: `[parts * C, ..] -> [C, ..]`.
    Unpack {
        /// Which one, from 0.
        part: i64,
        /// How many there are: three for queries, keys and values.
        parts: i64,
        /// Their order.
        packing: Packing,
    },
    /// `[I, O] -> [O, I]`, for a matrix that stands on the right of its product.
    Transpose,
    /// `[O, I, 1] -> [O, I]`, for a convolution over single positions that is a linear map here.
    Squeeze,
    /// `[C] -> [1, C]`, for a vector that is a batch of one here.
    Unsqueeze,
}

/// The order of packed tensors along their dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One after another, as in torch's `MultiheadAttention`: `[parts, C]`.
    Stacked,
    /// Head by head, as in OpenAI's guided-diffusion and GLIDE: `[heads, parts, head_width]`.
    PerHead {
        /// The width of a head.
        head_width: i64,
    },
}

impl Rule {
    /// Tensors that differ in their names alone.
    pub fn rename(ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        Self { ours: ours.into(), theirs: theirs.into(), operations: Vec::new() }
    }

    /// The same, after another operation on their tensor.
    pub fn then(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Several tensors of ours that are packed in one of theirs, in their order.
    pub fn unpack(ours: &[String], theirs: &str, packing: Packing) -> Vec<Self> {
        let parts = ours.len() as i64;
        let rule = |(part, ours): (i64, &String)| {
            Self::rename(ours, theirs).then(Operation::Unpack { part, parts, packing })
        };
        (0..).zip(ours).map(rule).collect()
    }

    /// Their name of the tensor that we call `name`, where this rule is about it.
    fn their_name(&self, name: &str) -> Option<String> {
        let captured = captures(&self.ours, name)?;
        let mut parts = self.theirs.split('*');
        let mut theirs = parts.next().unwrap_or_default().to_owned();
        for (capture, part) in captured.into_iter().zip(parts) {
            theirs.push_str(capture);
            theirs.push_str(part);
        }
        Some(theirs)
    }
}

/// The parts of `name` that the `*` of `pattern` stand for, where it fits.
fn captures<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut literals = pattern.split('*');
    let mut rest = name.strip_prefix(literals.next()?)?;
    let mut captured = Vec::new();
    for literal in literals {
        let length = rest.find('.').unwrap_or(rest.len());
        let (capture, after) = rest.split_at(length);
        rest = after.strip_prefix(literal)?;
        captured.push(capture);
    }
    let complete = rest.is_empty() && captured.iter().all(|capture| !capture.is_empty());
    complete.then_some(captured)
}

impl Operation {
    /// The shape that becomes `shape`.
    fn shape_before(self, mut shape: Vec<i64>) -> Vec<i64> {
        match self {
            Self::Unpack { parts, .. } => shape[0] *= parts,
            Self::Transpose => shape.reverse(),
            Self::Squeeze => shape.push(1),
            Self::Unsqueeze => drop(shape.remove(0)),
        }
        shape
    }

    fn apply(self, tensor: Tensor) -> Tensor {
        match self {
            Self::Unpack { part, parts, packing } => {
                let size = tensor.size();
                let channels = size[0] / parts;
                match packing {
                    Packing::Stacked => tensor.narrow(0, part * channels, channels),
                    Packing::PerHead { head_width } => {
                        let heads = channels / head_width;
                        let rest = &size[1..];
                        let packed = tensor.view(&*[&[heads, parts, head_width], rest].concat());
                        packed.select(1, part).reshape([&[channels], rest].concat()) // [C, ..]
                    }
                }
            }
            Self::Transpose => tensor.tr(),
            Self::Squeeze => tensor.squeeze_dim(-1),
            Self::Unsqueeze => tensor.unsqueeze(0),
        }
    }
}

/// A source by our names over one by another layout's. Names that no rule is about are the same in both. The source
/// reports what is missing or left over, in its own names.
pub struct SourceAdapter<S> {
    source: S,
    rules: Vec<Rule>,
    /// The packed tensors, each of which is taken once, by its name and shape.
    packed: RefCell<HashMap<(String, Vec<i64>), Tensor>>,
}

impl<S: Source> SourceAdapter<S> {
    /// `source` by our names.
    pub fn new(source: S, rules: Vec<Rule>) -> Self {
        Self { source, rules, packed: RefCell::default() }
    }

    /// The source, which reports.
    pub fn into_inner(self) -> S {
        self.source
    }
}

impl<S: Source> Source for SourceAdapter<S> {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.take_by(|name, shape| self.source.take(name, shape, init), name, shape)
    }

    fn take_weight(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.take_by(|name, shape| self.source.take_weight(name, shape, init), name, shape)
    }
}

impl<S> SourceAdapter<S> {
    /// Our tensor of their tensors, which `take` takes of the source.
    fn take_by(&self, take: impl Fn(&str, &[i64]) -> Tensor, name: &str, shape: &[i64]) -> Tensor {
        let of = |rule: &Rule| Some((rule.their_name(name)?, rule.operations.clone()));
        let Some((theirs, operations)) = self.rules.iter().find_map(of) else {
            return take(name, shape);
        };
        let before = operations.iter().rev();
        let before = before.fold(shape.to_vec(), |shape, operation| operation.shape_before(shape));
        let take = || take(&theirs, &before);
        let packed = |operation: &Operation| matches!(operation, Operation::Unpack { .. });
        let tensor = match operations.iter().any(packed) {
            true => {
                let mut packed = self.packed.borrow_mut();
                packed.entry((theirs.clone(), before.clone())).or_insert_with(take).shallow_clone()
            }
            false => take(),
        };
        let tensor =
            operations.into_iter().fold(tensor, |tensor, operation| operation.apply(tensor));
        // A placeholder takes no memory, however large its shape.
        let placeholder = tensor.stride().iter().all(|&stride| stride == 0);
        if placeholder { tensor } else { tensor.contiguous() }
    }
}

/// A source that records the tensors that a model takes of another: all of the model by its own names.
pub struct Recorder<S> {
    source: S,
    tensors: RefCell<Vec<(String, Tensor)>>,
}

impl<S: Source> Recorder<S> {
    /// Nothing taken of `source` yet.
    pub fn new(source: S) -> Self {
        Self { source, tensors: RefCell::default() }
    }

    /// The source, which reports, and the tensors in the order in which layers took them.
    pub fn into_parts(self) -> (S, Vec<(String, Tensor)>) {
        (self.source, self.tensors.into_inner())
    }
}

impl<S: Source> Source for Recorder<S> {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let tensor = self.source.take(name, shape, init);
        self.tensors.borrow_mut().push((name.to_owned(), tensor.shallow_clone()));
        tensor
    }

    fn take_weight(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let tensor = self.source.take_weight(name, shape, init);
        self.tensors.borrow_mut().push((name.to_owned(), tensor.shallow_clone()));
        tensor
    }
}
