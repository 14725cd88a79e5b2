//! A checkpoint as the source of a model's tensors: strict loading, with one report.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use files::contents::Contents;
use kernels::{OutOfMemory, channels_last};
use layers::finite::norm;
use layers::{Init, Source};
use tch::{Device, Kind, Tensor};

use crate::blob::{Blob, StoredTensor};
use crate::numbers::Numbers;
use crate::{Error, Problems, pickle, safetensors};

/// The buffers of transformers' older files that no model needs: the indices of a sequence's positions.
pub(crate) const IGNORED: [&str; 2] =
    ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"];

/// The tensors of a checkpoint's files, given out by name.
///
/// On the CPU, a tensor that a file has in the requested kind is used in place, in the file's own pages, which stay mapped
/// as long as the tensor lives: whoever changes tensors copies them first. Others are converted, convolutions in bf16 are
/// copied into the order that their kernels read, and the matrices of large linear maps into the heap: a step reads them once,
/// as fast as memory is found, and the system has larger pages for the heap than for files.
pub struct Checkpoint {
    file: String,
    model: String,
    device: Device,
    /// The kind that tensors are given out in; `None` for that of the file.
    kind: Option<Kind>,
    /// The kind of the weights of linear maps and convolutions, where it is another.
    weight_kind: Option<Kind>,
    tensors: HashMap<String, StoredTensor>,
    /// Whether the numbers of tensors must be finite.
    checked: bool,
    report: RefCell<Report>,
}

/// Files of so many bytes are read in 3 ms: nothing beside the start of a command. Larger ones are mapped in less time than that,
/// and reading them would be most of the work of opening them.
const SMALL: usize = 1 << 24;

#[derive(Default)]
struct Report {
    problems: Problems,
    /// The names that a model asked for.
    names: Vec<String>,
    /// The norms of those whose numbers must be finite.
    norms: Vec<(String, Tensor)>,
    device_error: Option<Error>,
}

impl Checkpoint {
    /// The file at `path`, safetensors or a PyTorch state dict, for `model` (with its article, for messages: "the
    /// prior"), whose tensors are to lie on `device` in `kind`.
    pub fn open(
        path: impl AsRef<Path>,
        model: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Self, Error> {
        let blob = Blob::map(path.as_ref())?;
        let name = blob.name.clone();
        Self::of_blobs(name, vec![blob], model, device, kind)
    }

    /// As [`Checkpoint::open`] from bytes in memory, which messages call `file`.
    pub fn from_bytes(
        file: &str,
        bytes: &[u8],
        model: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Self, Error> {
        let blob = Blob::copied(file.to_owned(), bytes);
        Self::of_blobs(file.to_owned(), vec![blob], model, device, kind)
    }

    /// A checkpoint of one or several files that `file` is the name of.
    pub(crate) fn of_blobs(
        file: String,
        blobs: Vec<Blob>,
        model: &str,
        device: Device,
        kind: Kind,
    ) -> Result<Self, Error> {
        let checked = blobs.iter().map(Blob::len).sum::<usize>() <= SMALL;
        let mut tensors = HashMap::new();
        let mut problems = Problems::default();
        for blob in blobs {
            let blob = Rc::new(blob);
            for tensor in read_tensors(&blob)? {
                if tensors.contains_key(&tensor.name) {
                    problems.duplicate.push(tensor.name);
                } else {
                    tensors.insert(tensor.name.clone(), tensor);
                }
            }
        }
        Ok(Self {
            file,
            model: model.to_owned(),
            device,
            kind: Some(kind),
            weight_kind: None,
            tensors,
            checked,
            report: RefCell::new(Report { problems, ..Report::default() }),
        })
    }

    /// The same, and [`Checkpoint::finish`] also refuses numbers that are not finite, and those beyond [`layers::finite::LARGEST`]:
    /// every tensor of the model is read for it. Small files are always checked.
    pub fn checked(self, checked: bool) -> Self {
        let checked = checked || self.checked;
        Self { checked, ..self }
    }

    /// The same, and the weights of linear maps and convolutions are given out in another kind than the rest.
    pub fn with_weight_kind(self, weight_kind: Option<Kind>) -> Self {
        Self { weight_kind, ..self }
    }

    /// The same, and each tensor stays in the kind that its file has it in.
    pub fn as_stored(self) -> Self {
        Self { kind: None, ..self }
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors by their names, in order, each in the kind that its file has it in, on the CPU and in the file's own pages.
    /// An error where libtorch has no such kind.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>, Error> {
        let mut problems = Problems::default();
        let mut tensors = Vec::with_capacity(self.tensors.len());
        for (name, stored) in &self.tensors {
            match stored.tensor() {
                Some(tensor) => tensors.push((name.clone(), tensor)),
                None => problems.mistyped.push((name.clone(), stored.dtype.name)),
            }
        }
        if !problems.is_empty() {
            problems.mistyped.sort();
            let (file, model) = (self.file.clone(), self.model.clone());
            return Err(Error::Tensors { file, model, problems: Box::new(problems) });
        }
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(tensors)
    }

    /// A summary of its files, from their headers.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &StoredTensor> {
        self.tensors.values()
    }

    /// The name of each tensor and of its file, in order.
    pub(crate) fn locations(&self) -> Vec<(&str, &str)> {
        let tensors = self.tensors.iter();
        let mut locations: Vec<_> =
            tensors.map(|(name, stored)| (name.as_str(), stored.blob.name.as_str())).collect();
        locations.sort_unstable();
        locations
    }

    /// The same without the tensors whose names begin with one of `ignored_prefixes`: they belong to another model in the
    /// same file.
    pub fn ignore(mut self, ignored_prefixes: &[&str]) -> Self {
        let ignored = |name: &str| ignored_prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.tensors.retain(|name, _| !ignored(name));
        self
    }

    /// The same without the tensors whose names end in one of `suffixes`: buffers that no network computes with.
    pub fn ignore_suffixes(mut self, suffixes: &[&str]) -> Self {
        let ignored = |name: &str| suffixes.iter().any(|suffix| name.ends_with(suffix));
        self.tensors.retain(|name, _| !ignored(name));
        self
    }

    /// The same with the names of tensors that begin with `prefix` without it.
    pub fn strip_prefix(mut self, prefix: &str) -> Self {
        let strip = |(name, tensor): (String, StoredTensor)| match name.strip_prefix(prefix) {
            Some(rest) => (rest.to_owned(), tensor),
            None => (name, tensor),
        };
        self.tensors = self.tensors.into_iter().map(strip).collect();
        self
    }

    /// The same with the tensors of `other` too, whose numbers are looked at as they would be alone. A name that both have is
    /// reported.
    pub fn merge(mut self, other: Self) -> Self {
        let report = self.report.get_mut();
        report.problems.duplicate.extend(other.report.into_inner().problems.duplicate);
        for (name, stored) in other.tensors {
            if self.tensors.contains_key(&name) {
                report.problems.duplicate.push(name);
                continue;
            }
            let is_checked = other.checked && !self.checked && stored.dtype.float().is_some();
            if let Some(tensor) = stored.tensor().filter(|_| is_checked) {
                report.norms.push((name.clone(), norm(&tensor)));
            }
            self.tensors.insert(name, stored);
        }
        self
    }

    /// The same with the tensors of `base` that this one lacks, whose numbers are not looked at: a network that replaces some of
    /// another's.
    pub fn over(mut self, base: Self) -> Self {
        let report = self.report.get_mut();
        report.problems.duplicate.extend(base.report.into_inner().problems.duplicate);
        for (name, stored) in base.tensors {
            self.tensors.entry(name).or_insert(stored);
        }
        self
    }

    /// The shape of the tensor called `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.tensors.get(name).map(|stored| &stored.shape[..])
    }

    /// The tensor with numbers that are not finite, or else that with the largest number, and its numbers.
    pub(crate) fn worst(&self) -> Option<(&str, Numbers)> {
        let numbers = self.tensors.iter();
        let numbers = numbers.filter_map(|(name, stored)| Some((&**name, Numbers::of(stored)?)));
        numbers.max_by(|(_, one), (_, other)| one.cmp_damage(other))
    }

    /// The file, or the folder of several.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Fails where the model did not take every tensor of this checkpoint, or did not find one as it should be.
    pub fn finish(self) -> Result<(), Error> {
        let Report { mut problems, names, norms, device_error } = self.report.into_inner();
        for name in not_finite(norms) {
            let numbers = Numbers::of(&self.tensors[&name]);
            let found = numbers.map_or_else(String::new, |numbers| numbers.to_string());
            problems.not_finite.push((name, found));
        }
        let names: HashSet<String> = names.into_iter().collect();
        let spare = |name: &&String| !names.contains(*name) && !IGNORED.contains(&name.as_str());
        problems.unused = self.tensors.keys().filter(spare).cloned().collect();
        problems.unused.sort();
        problems.duplicate.sort();
        if !problems.is_empty() {
            return Err(Error::Tensors {
                file: self.file,
                model: self.model,
                problems: Box::new(problems),
            });
        }
        device_error.map_or(Ok(()), Err)
    }

    fn placed(&self, name: &str, tensor: Tensor, kind: Option<Kind>) -> Result<Tensor, Error> {
        let kind = kind.unwrap_or_else(|| tensor.kind());
        let place = || tensor.f_to_device(self.device)?.f_to_kind(kind);
        place().map_err(|error| {
            let (file, message) = (self.file.clone(), error.to_string());
            match OutOfMemory::from_message(&message) {
                Some(problem) => Error::Memory { file, problem },
                None => Error::Place {
                    file,
                    tensor: name.to_owned(),
                    device: format!("{:?}", self.device),
                    message,
                },
            }
        })
    }
}

/// Whether a tensor of this shape is the matrix of a linear map that takes longer to read than to multiply with few rows.
fn is_large_matrix(shape: &[i64]) -> bool {
    matches!(shape, [outputs, inputs] if outputs * inputs >= 1 << 20)
}

/// Whether kernels take a tensor of this shape in another order than files have: a convolution's weights in bf16 on the CPU,
/// which oneDNN would else reorder at every step.
fn is_reordered(shape: &[i64], kind: Option<Kind>, device: Device) -> bool {
    device == Device::Cpu
        && kind == Some(Kind::BFloat16)
        && kernels::has_bf16()
        && matches!(shape, [_, _, height, width] if height * width > 1)
}

/// The names of the tensors whose norms are not finite. They are read together: each by itself, a GPU would be waited for.
fn not_finite(norms: Vec<(String, Tensor)>) -> Vec<String> {
    if norms.is_empty() {
        return Vec::new();
    }
    let (names, norms): (Vec<String>, Vec<Tensor>) = norms.into_iter().unzip();
    let norms = Vec::<f32>::try_from(Tensor::stack(&norms, 0)).expect("a vector of norms");
    let damaged = names.into_iter().zip(norms).filter(|(_, norm)| !norm.is_finite());
    damaged.map(|(name, _)| name).collect()
}

/// The names of the tensors in the file at `path`, in its order. No number is read.
pub fn tensor_names(path: &Path) -> Result<Vec<String>, Error> {
    let blob = Rc::new(Blob::map(path)?);
    match blob.contents() {
        Some(Contents::Zip) => pickle::names(&blob),
        _ => Ok(read_tensors(&blob)?.into_iter().map(|tensor| tensor.name).collect()),
    }
}

/// The endings of PyTorch's files, for those whose first bytes say nothing.
const PYTORCH: [&str; 5] = [".bin", ".pt", ".pth", ".th", ".ckpt"];

/// The tensors of a file, whose format its first bytes say, whatever its name promises.
pub(crate) fn read_tensors(blob: &Rc<Blob>) -> Result<Vec<StoredTensor>, Error> {
    match blob.contents() {
        Some(Contents::Zip | Contents::Pickle) => pickle::read(blob),
        Some(Contents::Safetensors) => safetensors::read(blob),
        Some(found) => Err(Error::Contents { file: blob.name.clone(), found, expected: "weights" }),
        None if PYTORCH.iter().any(|ending| blob.name.ends_with(ending)) => pickle::read(blob),
        None => safetensors::read(blob),
    }
}

impl Source for Checkpoint {
    fn take(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        self.take_in(self.kind, false, name, shape)
    }

    fn take_weight(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        self.take_in(self.weight_kind.or(self.kind), is_large_matrix(shape), name, shape)
    }
}

impl Checkpoint {
    /// The tensor in `kind`, or else in that of the file; where `copies`, never in the file's pages.
    fn take_in(&self, kind: Option<Kind>, copies: bool, name: &str, shape: &[i64]) -> Tensor {
        let report = &mut *self.report.borrow_mut();
        report.names.push(name.to_owned());
        // A zero-stride placeholder of the requested shape takes no memory.
        let placeholder = || {
            let zero = Tensor::from(0.0f32).to_device(self.device);
            zero.to_kind(kind.unwrap_or(Kind::Float)).expand(shape, false)
        };
        let Some(stored) = self.tensors.get(name) else {
            report.problems.missing.push(name.to_owned());
            return placeholder();
        };
        if stored.shape != shape {
            let (found, expected) = (stored.shape.clone(), shape.to_vec());
            report.problems.misshapen.push((name.to_owned(), found, expected));
            return placeholder();
        }
        if stored.dtype.float().is_none() {
            let found = (name.to_owned(), stored.dtype.name);
            report.problems.mistyped.push(found);
            return placeholder();
        }
        // What is converted, moved or reordered is read, so that it is not in memory twice.
        let reorders = self.weight_kind.is_none() && is_reordered(shape, kind, self.device);
        let converts = kind.is_some_and(|kind| Some(kind) != stored.dtype.kind);
        let stays = self.device == Device::Cpu && !converts && !reorders && !copies;
        let tensor = match stays {
            true => Ok(stored.tensor()),
            // A GPU converts faster.
            false => stored.copy(kind.filter(|_| self.device == Device::Cpu)),
        };
        let tensor = tensor.map(|tensor| tensor.expect("libtorch has every float"));
        match tensor.and_then(|tensor| self.placed(name, tensor, kind)) {
            Ok(tensor) => {
                if self.checked {
                    report.norms.push((name.to_owned(), norm(&tensor)));
                }
                if reorders { channels_last(&tensor) } else { tensor }
            }
            Err(error) => {
                report.device_error.get_or_insert(error);
                placeholder()
            }
        }
    }
}
