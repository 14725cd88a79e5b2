//! Weights to begin with: those of a model folder, under the names that a leg gives its parameters.

use std::cell::RefCell;

use layers::{Init, Source};
use tch::{Device, Kind, Tensor};
use weights::{Checkpoint, Folder};

use crate::Error;

/// Where a leg's parameters lie in a model: the prefix of their names in the leg, and the component.
pub(crate) type Components = &'static [(&'static str, &'static str)];

/// A model's components as one source in f32, as strict as each of them.
pub(crate) struct Beginning {
    components: Vec<(&'static str, Checkpoint)>,
    logit_scale: Option<f64>,
    taken: RefCell<Vec<(String, Tensor)>>,
}

impl Beginning {
    /// The components of a model.
    pub(crate) fn open(model: &Folder, components: Components) -> Result<Self, Error> {
        let open = |&(prefix, component): &(&'static str, &'static str)| {
            let folder = model.component(component);
            Ok((prefix, folder.checkpoint(component, Device::Cpu, Kind::Float)?))
        };
        Ok(Self {
            components: components.iter().map(open).collect::<Result<_, Error>>()?,
            logit_scale: families::read_logit_scale(model)?,
            taken: RefCell::default(),
        })
    }

    /// What was taken, if nothing was missing, left over or of another shape.
    pub(crate) fn finish(self) -> Result<Vec<(String, Tensor)>, Error> {
        for (_, checkpoint) in self.components {
            checkpoint.finish()?;
        }
        Ok(self.taken.into_inner())
    }
}

impl Source for Beginning {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let component = self
            .components
            .iter()
            .find_map(|(prefix, checkpoint)| Some((name.strip_prefix(prefix)?, checkpoint)));
        let tensor = match (component, init) {
            (Some((name, checkpoint)), _) => checkpoint.take(name, shape, init),
            // CLIP's temperature lies in the index, and in none where nobody trained it.
            (None, Init::Constant(usual)) => {
                Tensor::from(self.logit_scale.unwrap_or(usual)).to_kind(Kind::Float)
            }
            (None, _) => Tensor::zeros(shape, (Kind::Float, Device::Cpu)),
        };
        let kept = (name.to_owned(), tensor.shallow_clone());
        self.taken.borrow_mut().push(kept);
        tensor
    }
}
