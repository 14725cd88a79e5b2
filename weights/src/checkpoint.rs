//! A checkpoint as the source of a model's tensors, strict to the last one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use files::contents::Contents;
use layers::{Init, Source};
use tch::{Device, Kind, Tensor};

use crate::stored::{Blob, Stored};
use crate::{Error, Problems, pickle, safetensors};

/// Buffers that older publishers' files hold and no model needs: the numbers 0, 1, 2, ... of a sequence's places.
const HARMLESS: [&str; 2] = [
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
];

/// The tensors of a checkpoint's files, given out by name.
///
/// On the CPU, a tensor that is stored in the kind that is asked for is used in place, in the file's own pages, which
/// stay mapped as long as the tensor lives: whoever changes tensors copies them first. Others are converted.
pub struct Checkpoint {
    file: String,
    model: String,
    device: Device,
    kind: Kind,
    tensors: HashMap<String, Stored>,
    noted: RefCell<Noted>,
}

#[derive(Default)]
struct Noted {
    problems: Problems,
    taken: Vec<String>,
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
            noted: RefCell::new(Noted {
                problems,
                ..Noted::default()
            }),
        })
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The name of each tensor and of its file, in order.
    pub(crate) fn locations(&self) -> Vec<(&str, &str)> {
        let tensors = self.tensors.iter();
        let mut locations: Vec<_> = tensors
            .map(|(name, stored)| (name.as_str(), stored.blob.name.as_str()))
            .collect();
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

    /// Says whether the model that was made took every tensor of this checkpoint and found all that it wanted.
    pub fn finish(self) -> Result<(), Error> {
        let Noted {
            mut problems,
            taken,
            unplaced,
        } = self.noted.into_inner();
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
        place().map_err(|error| Error::Place {
            file: self.file.clone(),
            tensor: name.to_owned(),
            device: format!("{:?}", self.device),
            message: error.to_string(),
        })
    }
}

/// The endings of PyTorch's files, for those whose first bytes say nothing.
const PYTORCH: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];

/// The tensors of a file, whose format its first bytes say, whatever its name promises.
pub(crate) fn read_tensors(blob: &Rc<Blob>) -> Result<Vec<Stored>, Error> {
    match blob.contents() {
        Some(Contents::Zip | Contents::Pickle) => pickle::read(blob),
        Some(Contents::Safetensors) => safetensors::read(blob),
        Some(found) => Err(Error::Contents {
            file: blob.name.clone(),
            found,
            wanted: "weights",
        }),
        None if PYTORCH.iter().any(|ending| blob.name.ends_with(ending)) => pickle::read(blob),
        None => safetensors::read(blob),
    }
}

impl Source for Checkpoint {
    fn take(&self, name: &str, shape: &[i64], _: Init) -> Tensor {
        let noted = &mut *self.noted.borrow_mut();
        noted.taken.push(name.to_owned());
        // One number, seen as many: a stand-in takes no memory, however large the shape.
        let stand_in = || {
            Tensor::from(0.0f32)
                .to_device(self.device)
                .to_kind(self.kind)
                .expand(shape, false)
        };
        let Some(stored) = self.tensors.get(name) else {
            noted.problems.missing.push(name.to_owned());
            return stand_in();
        };
        if stored.shape != shape {
            let (found, wanted) = (stored.shape.clone(), shape.to_vec());
            noted
                .problems
                .misshapen
                .push((name.to_owned(), found, wanted));
            return stand_in();
        }
        if stored.dtype.float().is_none() {
            let found = (name.to_owned(), stored.dtype.name);
            noted.problems.mistyped.push(found);
            return stand_in();
        }
        let tensor = stored.tensor().expect("libtorch has every float");
        self.placed(name, tensor).unwrap_or_else(|error| {
            noted.unplaced.get_or_insert(error);
            stand_in()
        })
    }
}
