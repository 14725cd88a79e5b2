//! What a state dict's pickle may make.

use std::rc::Rc;

use super::PickleError;
use crate::error::shown;
use crate::stored::Dtype;

/// A run of numbers, one file of the archive.
#[derive(Clone)]
pub(super) struct Storage {
    /// The file's name.
    pub key: Rc<str>,
    /// The numbers' type.
    pub dtype: Dtype,
    /// How many it should hold.
    pub count: i64,
}

/// A tensor as a view of a storage; nothing is checked yet.
#[derive(Clone)]
pub(super) struct View {
    /// The storage.
    pub storage: Storage,
    /// Its first number in the storage.
    pub offset: i64,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its strides in numbers.
    pub strides: Vec<i64>,
}

impl View {
    /// How many numbers it has, if libtorch can count them: sides beside one of 0 have a product too.
    pub fn count(&self) -> Option<i64> {
        let product = |count: i64, side: &i64| count.checked_mul((*side).max(1));
        let count = self.shape.iter().try_fold(1, product)?;
        match self.shape.iter().min() {
            Some(..=-1) => None,
            Some(0) => Some(0),
            _ => Some(count),
        }
    }

    /// From its first number to its last, both counted.
    pub fn span(&self) -> Option<i64> {
        if self.strides.len() != self.shape.len() || self.strides.iter().any(|stride| *stride < 0) {
            return None;
        }
        if self.count()? == 0 {
            return Some(0);
        }
        let sides = self.shape.iter().zip(&self.strides);
        sides
            .map(|(side, stride)| (side - 1).checked_mul(*stride))
            .try_fold(1i64, |span, step| span.checked_add(step?))
    }

    /// Whether its numbers lie one after the other.
    pub fn is_contiguous(&self) -> bool {
        let mut next = 1;
        let sides = self.shape.iter().zip(&self.strides).rev();
        sides.fold(true, |so_far, (&side, &stride)| {
            let fits = side <= 1 || stride == next;
            next *= side.max(1); // No overflow: the sides were counted before.
            so_far && fits
        })
    }
}

/// The functions and classes that a state dict may name.
#[derive(Clone, Copy)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    /// The function or class, if a state dict may name it.
    pub fn named(module: &str, name: &str) -> Result<Self, PickleError> {
        let storage = |dtype| Dtype::named(dtype).map(Self::Storage);
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", "DoubleStorage") => storage("F64"),
            ("torch", "FloatStorage") => storage("F32"),
            ("torch", "HalfStorage") => storage("F16"),
            ("torch", "BFloat16Storage") => storage("BF16"),
            ("torch", "LongStorage") => storage("I64"),
            ("torch", "IntStorage") => storage("I32"),
            ("torch", "ShortStorage") => storage("I16"),
            ("torch", "CharStorage") => storage("I8"),
            ("torch", "ByteStorage") => storage("U8"),
            ("torch", "BoolStorage") => storage("BOOL"),
            _ => None,
        };
        let unknown = || PickleError::Global(shown(&format!("{module}.{name}")));
        known.ok_or_else(unknown)
    }
}

/// A value, which names others by their place in the machine's list.
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    Tuple(Vec<usize>),
    List,
    Dict(Vec<(usize, usize)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

impl Value {
    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Text(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}
