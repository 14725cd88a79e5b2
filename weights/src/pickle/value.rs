//! The values that a state dict's pickle may make.

use std::rc::Rc;

use files::text::excerpt;

use super::PickleError;
use crate::blob::Dtype;

/// The bytes of a place in a list of values, with the list's room to grow.
pub(super) const PLACE: usize = 8;
/// The bytes of a thing on the heap beside its contents, and of an entry of a table of places.
pub(super) const ENTRY: usize = 32;

/// A run of numbers of a file.
pub(super) struct Storage {
    /// Its name.
    pub key: Rc<str>,
    /// The numbers' type.
    pub dtype: Dtype,
    /// How many it should hold.
    pub count: i64,
    /// Where a view of it begins, in numbers: before PyTorch 0.4 storages could share their numbers.
    pub first: i64,
}

impl Storage {
    /// Whether both are views of one run of numbers.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        (self.dtype, self.count) == (other.dtype, other.count)
    }
}

/// A tensor as a view of a storage; nothing is checked yet.
pub(super) struct View {
    /// The storage.
    pub storage: Rc<Storage>,
    /// Its first number in the storage.
    pub offset: i64,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its strides in numbers.
    pub strides: Vec<i64>,
}

impl View {
    /// The bytes that its shape and its strides take.
    pub(crate) fn extent(&self) -> usize {
        8 * (self.shape.len() + self.strides.len()) + 4 * ENTRY
    }

    /// How many numbers it has, if libtorch can count them: sides beside one of 0 have a product too.
    pub(crate) fn count(&self) -> Option<i64> {
        let product = |count: i64, side: &i64| count.checked_mul((*side).max(1));
        let count = self.shape.iter().try_fold(1, product)?;
        match self.shape.iter().min() {
            Some(..=-1) => None,
            Some(0) => Some(0),
            _ => Some(count),
        }
    }

    /// From its first number to its last, both counted.
    pub(crate) fn span(&self) -> Option<i64> {
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
    pub(crate) fn is_contiguous(&self) -> bool {
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
    /// A dict, whatever else it can do.
    Dict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// One whose values are no tensors, which are never looked into, and what they are.
    Plain(&'static str),
    /// A class of a TorchScript archive's own code, whatever its name: the code is not read, and its objects are no more than
    /// their attributes.
    Module,
}

impl Global {
    /// The function or class, if a state dict may name it.
    pub(crate) fn named(module: &str, name: &str) -> Result<Self, PickleError> {
        let known = match (module, name) {
            ("collections", "OrderedDict" | "defaultdict" | "Counter") => Some(Self::Dict),
            // The hyperparameters beside a state dict of Lightning's.
            (
                "pytorch_lightning.utilities.parsing"
                | "lightning_fabric.utilities.data"
                | "lightning.fabric.utilities.data",
                "AttributeDict",
            ) => Some(Self::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Self::RebuildParameter)
            }
            ("torch" | "torch.cuda", storage) if storage.ends_with("Storage") => {
                storage_dtype(storage).and_then(Dtype::named).map(Self::Storage)
            }
            ("__torch__", _) => Some(Self::Module),
            (module, _) if module.starts_with("__torch__.") => Some(Self::Module),
            _ => plain(module, name).map(Self::Plain),
        };
        let unknown = || PickleError::Global(excerpt(&format!("{module}.{name}")));
        known.ok_or_else(unknown)
    }
}

fn storage_dtype(storage: &str) -> Option<&'static str> {
    Some(match storage {
        "DoubleStorage" => "F64",
        "FloatStorage" => "F32",
        "HalfStorage" => "F16",
        "BFloat16Storage" => "BF16",
        "LongStorage" => "I64",
        "IntStorage" => "I32",
        "ShortStorage" => "I16",
        "CharStorage" => "I8",
        "ByteStorage" => "U8",
        "BoolStorage" => "BOOL",
        "ComplexFloatStorage" => "C64",
        _ => return None,
    })
}

/// The values of plain classes and functions. Python 2 calls its built-in ones by another module's name.
fn plain(module: &str, name: &str) -> Option<&'static str> {
    const DTYPES: [&str; 15] = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "complex32",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "float8_e5m2",
    ];
    Some(match (module, name) {
        ("builtins" | "__builtin__", "set" | "frozenset") => "a set",
        ("builtins" | "__builtin__", "complex") => "a complex number",
        ("builtins" | "__builtin__", "bytearray" | "bytes") | ("_codecs", "encode") => "bytes",
        ("builtins" | "__builtin__", "int" | "long" | "float" | "list" | "dict" | "tuple") => {
            "a class"
        }
        ("builtins" | "__builtin__", "range" | "xrange" | "slice") => "a range",
        ("argparse", "Namespace") => "a namespace",
        ("typing", "Any") => "a class",
        (module, _) if module.starts_with("omegaconf.") => "omegaconf's",
        ("torch", "Size") => "a torch.Size",
        ("torch", "device") => "a torch.device",
        ("torch", dtype) if DTYPES.contains(&dtype) => "a torch.dtype",
        ("torch.serialization", "_get_layout") => "a torch.layout",
        (
            "torch.jit._pickle",
            "build_boollist"
            | "build_doublelist"
            | "build_intlist"
            | "build_tensorlist"
            | "build_tensor_from_id"
            | "restore_type_tag",
        ) => "a list",
        ("numpy", "dtype") => "a type of numpy's",
        ("numpy", "ndarray")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => "numpy's",
        _ => return None,
    })
}

/// A value, which names others by their place in the machine's list.
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Text(Rc<str>),
    Tuple(Vec<u32>),
    List(Vec<u32>),
    Dict(Vec<(u32, u32)>),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
    /// An object of a TorchScript class, and its attributes, a dict, once it has them.
    Module(Option<u32>),
    /// No tensor, by its kind.
    Plain(&'static str),
}

impl Value {
    /// The bytes that it points to, but for a string's, which are paid for before it is read.
    pub(crate) fn extent(&self) -> usize {
        match self {
            Self::Tuple(items) | Self::List(items) => items.len() * PLACE + ENTRY,
            Self::Dict(entries) => entries.len() * 2 * PLACE + ENTRY,
            Self::Storage(_) => 6 * ENTRY, // And its entry in the machine's table.
            Self::Tensor(view) => view.extent(),
            _ => 0,
        }
    }

    /// Its kind, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an integer",
            Self::Text(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Module(_) => "a module",
            Self::Plain(what) => what,
        }
    }
}
