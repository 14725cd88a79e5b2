//! A checkpoint as the source of a model's tensors, strict to the last one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use files::contents::Contents;
use kernels::OutOfMemory;
use layers::finite::norm;
use layers::{Init, Source};
use tch::{Device, Kind, Tensor};

use crate::lazy_tensor::{Blob, LazyTensor};
use crate::numbers::Numbers;
use crate::{Error, Problems, pickle, safetensors};

/// Buffers that older publishers' files hold and no model needs: the numbers 0, 1, 2, ... of a sequence's places.
const HARMLESS: [&str; 2] =
    ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"];

/// The tensors of a checkpoint's files, given out by name.
///
/// On the CPU, a tensor that is stored in the kind that is asked for is used in place, in the file's own pages, which
/// stay mapped as long as the tensor lives: whoever changes tensors copies them first. Others are converted.
pub struct Checkpoint {
    file: String,
    model: String,
    device: Device,
    kind: Kind,
    tensors: HashMap<String, LazyTensor>,
    /// Whether the numbers of tensors are looked at.
    checked: bool,
    report: RefCell<LoadReport>,
}

/// Files of so many bytes are read in 3 ms: nothing beside the start of a command. Larger ones are mapped in less time than that,
/// and reading them would be most of the work of opening them.
const SMALL: usize = 1 << 24;

#[derive(Default)]
struct LoadReport {
    problems: Problems,
    taken: Vec<String>,
    /// The norms of those whose numbers are looked at.
    norms: Vec<(String, Tensor)>,
    unplaced: Option<Error>,
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
            kind,
            tensors,
            checked,
            report: RefCell::new(LoadReport { problems, ..LoadReport::default() }),
        })
    }

    /// The same, and [`Checkpoint::finish`] also refuses numbers that are not finite, and those beyond [`layers::finite::LARGEST`]:
    /// every tensor that is taken is read for it. In small files they are refused without being asked for.
    pub fn checked(self, checked: bool) -> Self {
        let checked = checked || self.checked;
        Self { checked, ..self }
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The name of each tensor and of its file, in order.
    pub(crate) fn locations(&self) -> Vec<(&str, &str)> {
        let tensors = self.tensors.iter();
        let mut locations: Vec<_> =
            tensors.map(|(name, stored)| (name.as_str(), stored.blob.name.as_str())).collect();
        locations.sort_unstable();
        locations
    }

    /// Leaves out the tensors whose names begin in one of these ways: they belong to another model in the same file.
    pub fn set_aside(&mut self, beginnings: &[&str]) {
        let other = |name: &str| beginnings.iter().any(|begin| name.starts_with(begin));
        self.tensors.retain(|name, _| !other(name));
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
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Says whether the model that was made took every tensor of this checkpoint and found all that it wanted.
    pub fn finish(self) -> Result<(), Error> {
        let LoadReport { mut problems, taken, norms, unplaced } = self.report.into_inner();
        for name in not_finite(norms) {
            let numbers = Numbers::of(&self.tensors[&name]);
            let found = numbers.map_or_else(String::new, |numbers| numbers.to_string());
            problems.not_finite.push((name, found));
        }
        let taken: std::collections::HashSet<String> = taken.into_iter().collect();
        let spare = |name: &&String| !taken.contains(*name) && !HARMLESS.contains(&name.as_str());
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
        unplaced.map_or(Ok(()), Err)
    }

    fn placed(&self, name: &str, tensor: Tensor) -> Result<Tensor, Error> {
        let place = || tensor.f_to_device(self.device)?.f_to_kind(self.kind);
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

/// The endings of PyTorch's files, for those whose first bytes say nothing.
const PYTORCH: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];

/// The tensors of a file, whose format its first bytes say, whatever its name promises.
pub(crate) fn read_tensors(blob: &Rc<Blob>) -> Result<Vec<LazyTensor>, Error> {
    match blob.contents() {
        Some(Contents::Zip | Contents::Pickle) => pickle::read(blob),
        Some(Contents::Safetensors) => safetensors::read(blob),
        Some(found) => Err(Error::Contents { file: blob.name.clone(), found, wanted: "weights" }),
        None if PYTORCH.iter().any(|ending| blob.name.ends_with(ending)) => pickle::read(blob),
        None => safetensors::read(blob),
    }
}

impl Source for Checkpoint {
    fn take(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        let report = &mut *self.report.borrow_mut();
        report.taken.push(name.to_owned());
        // One number, seen as many: a stand-in takes no memory, however large the shape.
        let stand_in =
            || Tensor::from(0.0f32).to_device(self.device).to_kind(self.kind).expand(shape, false);
        let Some(stored) = self.tensors.get(name) else {
            report.problems.missing.push(name.to_owned());
            return stand_in();
        };
        if stored.shape != shape {
            let (found, wanted) = (stored.shape.clone(), shape.to_vec());
            report.problems.misshapen.push((name.to_owned(), found, wanted));
            return stand_in();
        }
        if stored.dtype.float().is_none() {
            let found = (name.to_owned(), stored.dtype.name);
            report.problems.mistyped.push(found);
            return stand_in();
        }
        let tensor = stored.tensor().expect("libtorch has every float");
        match self.placed(name, tensor) {
            Ok(tensor) => {
                if self.checked {
                    report.norms.push((name.to_owned(), norm(&tensor)));
                }
                tensor
            }
            Err(error) => {
                report.unplaced.get_or_insert(error);
                stand_in()
            }
        }
    }
}
