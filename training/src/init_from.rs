//! Initial weights from a model folder, under the names that training gives the parameters.

use std::cell::RefCell;

use layers::{Init, Source};
use tch::{Device, Kind, Tensor};
use weights::{Checkpoint, Folder};

use crate::Error;

/// The weights of the convolution of a U-Net's input.
const INPUT: &str = "conv_in.weight";

/// A part of what is trained at once, and where it lies in a model.
pub(crate) struct Component {
    /// The prefix of its parameters' names in training.
    pub(crate) prefix: &'static str,
    /// The folder that its own names stand in.
    pub(crate) folder: &'static str,
}

/// The components of a model folder as one source of f32 tensors, as strict as each of them.
pub(crate) struct InitialWeights {
    components: Vec<(&'static str, Checkpoint)>,
    logit_scale: Option<f64>,
    tensors: RefCell<Vec<(String, Tensor)>>,
}

impl InitialWeights {
    /// Opens `components` of `model`.
    pub(crate) fn open(model: &Folder, components: &[Component]) -> Result<Self, Error> {
        let open = |&Component { prefix, folder }: &Component| {
            let checkpoint =
                model.component(folder).checkpoint(folder, Device::Cpu, Kind::Float)?;
            Ok((prefix, checkpoint))
        };
        Ok(Self {
            components: components.iter().map(open).collect::<Result<_, Error>>()?,
            logit_scale: families::read_logit_scale(model)?,
            tensors: RefCell::default(),
        })
    }

    /// The tensors in the order that the layers took them; an error where some are missing, left over or of another shape.
    pub(crate) fn finish(self) -> Result<Vec<(String, Tensor)>, Error> {
        for (_, checkpoint) in self.components {
            checkpoint.finish()?;
        }
        Ok(self.tensors.into_inner())
    }
}

/// A tensor of `shape`. The convolution of a network's input may have fewer channels in the checkpoint than it takes: the
/// weights of new channels are 0.
fn widened(checkpoint: &Checkpoint, name: &str, shape: &[i64], init: Init) -> Tensor {
    match checkpoint.shape(name) {
        Some(&[outputs, inputs, height, width])
            if name == INPUT && shape[0] == outputs && inputs < shape[1] =>
        {
            let new = shape[1] - inputs;
            let weights = checkpoint.take(name, &[outputs, inputs, height, width], init);
            weights.constant_pad_nd([0, 0, 0, 0, 0, new])
        }
        _ => checkpoint.take(name, shape, init),
    }
}

impl Source for InitialWeights {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let component = self
            .components
            .iter()
            .find_map(|(prefix, checkpoint)| Some((name.strip_prefix(prefix)?, checkpoint)));
        let tensor = match (component, init) {
            (Some((name, checkpoint)), _) => widened(checkpoint, name, shape, init),
            // CLIP's temperature lies in the index, and in none where nobody trained it.
            (None, Init::Constant(usual)) => {
                Tensor::from(self.logit_scale.unwrap_or(usual)).to_kind(Kind::Float)
            }
            (None, _) => Tensor::zeros(shape, (Kind::Float, Device::Cpu)),
        };
        self.tensors.borrow_mut().push((name.to_owned(), tensor.shallow_clone()));
        tensor
    }
}
