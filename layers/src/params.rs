//! The source of a layer's tensors: a checkpoint, or an initialiser. A checkpoint's name is written once, where the layer
//! is made: `Linear::new(&(p / "proj_in"), 768, 2048)`.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Div;

use noise::Generator;
use tch::{Device, Kind, Tensor};

/// The initialisation of a tensor that is not read from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every value 0.
    Zeros,
    /// Every value 1.
    Ones,
    /// Every value this number.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
}

/// A source of tensors by name.
///
/// A source never fails on the spot: it notes what is wrong (missing, mis-shaped, ...) and returns a placeholder of the
/// requested shape, so that whoever opened it can report everything at once.
pub trait Source {
    /// The tensor called `name`, of exactly `shape`; `init` is for sources that make tensors.
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor;

    /// As [`Source::take`], the weight of a linear map or of a convolution. Such layers take one in bf16 beside an input in f32.
    fn take_weight(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.take(name, shape, init)
    }
}

/// A source with the name prefix of the module that is being built.
#[derive(Clone)]
pub struct Params<'a> {
    source: &'a dyn Source,
    prefix: String,
}

impl<'a> Params<'a> {
    /// The whole of a source.
    pub fn root(source: &'a dyn Source) -> Self {
        Self { source, prefix: String::new() }
    }

    /// The tensor `leaf` of this module.
    pub fn take(&self, leaf: &str, shape: &[i64], init: Init) -> Tensor {
        self.source.take(&(self / leaf).prefix, shape, init)
    }

    /// The tensor `weight` of this module, that of a linear map or of a convolution.
    pub fn take_weight(&self, shape: &[i64], init: Init) -> Tensor {
        self.source.take_weight(&(self / "weight").prefix, shape, init)
    }
}

impl<'a, S: Display> Div<S> for &Params<'a> {
    type Output = Params<'a>;

    fn div(self, part: S) -> Params<'a> {
        let prefix = if self.prefix.is_empty() {
            part.to_string()
        } else {
            format!("{}.{part}", self.prefix)
        };
        Params { source: self.source, prefix }
    }
}

/// A source that initialises tensors from a seed and remembers them for an optimiser.
pub struct Initialiser {
    generator: RefCell<Generator>,
    parameters: RefCell<Vec<(String, Tensor)>>,
    device: Device,
    kind: Kind,
}

impl Initialiser {
    /// Tensors on `device` in `kind`, drawn from `seed`.
    pub fn new(seed: u64, device: Device, kind: Kind) -> Self {
        Self {
            generator: RefCell::new(Generator::new(seed)),
            parameters: RefCell::default(),
            device,
            kind,
        }
    }

    /// All tensors with their names, in the order in which layers took them; they share storage with the layers'.
    pub fn into_parameters(self) -> Vec<(String, Tensor)> {
        self.parameters.into_inner()
    }
}

impl Source for Initialiser {
    fn take(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let mut generator = self.generator.borrow_mut();
        let values: Vec<f32> = match init {
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
            Init::Constant(value) => vec![value as f32; count],
            Init::Normal(deviation) => {
                generator.normal(count).into_iter().map(|v| v * deviation as f32).collect()
            }
            Init::Uniform(bound) => {
                (0..count).map(|_| ((2.0 * generator.uniform() - 1.0) * bound) as f32).collect()
            }
        };
        let tensor =
            Tensor::from_slice(&values).reshape(shape).to_kind(self.kind).to_device(self.device);
        self.parameters.borrow_mut().push((name.to_owned(), tensor.shallow_clone()));
        tensor
    }
}
