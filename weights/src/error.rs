//! What can be wrong with a checkpoint, one clear sentence each.

use std::fmt;

use files::contents::Contents;
use files::text::excerpt;
use kernels::OutOfMemory;

use crate::configs::ConfigError;
use crate::pickle::PickleError;
use crate::safetensors::HeaderError;

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is another kind than its name promises.
    #[error("{file} is {found}, and {wanted} should be there{}", advice(*.found))]
    Contents {
        /// The file.
        file: String,
        /// Its kind.
        found: Contents,
        /// The file that should be there.
        wanted: &'static str,
    },
    /// A safetensors file's header is damaged or lies.
    #[error("{file} is not a sound safetensors file: {problem}")]
    Safetensors {
        /// The file.
        file: String,
        /// The problem.
        problem: HeaderError,
    },
    /// A PyTorch file is damaged, or holds more than tensors.
    #[error("{file} cannot be read as a PyTorch state dict: {problem}")]
    Pickle {
        /// The file.
        file: String,
        /// The problem.
        problem: PickleError,
    },
    /// The tensors are not those of the model.
    #[error("{file} does not fit {model}: {problems}")]
    Tensors {
        /// The file, or the folder of a checkpoint in several files.
        file: String,
        /// The model that was to be made, with its article.
        model: String,
        /// Everything that is wrong.
        problems: Box<Problems>,
    },
    /// A configuration describes nothing that can be made here.
    #[error("{file} cannot be used for {part}: {problem}")]
    Config {
        /// The file.
        file: String,
        /// What it should describe, with its article.
        part: &'static str,
        /// The problem.
        problem: ConfigError,
    },
    /// A file that a component needs is not there.
    #[error("{file} is missing")]
    NoFile {
        /// The file.
        file: String,
    },
    /// A component has no weights.
    #[error("{folder} has no weights for {model}: none of {names} is there, only {files}")]
    NoWeights {
        /// The component's folder.
        folder: String,
        /// What they should be of, with its article.
        model: String,
        /// The files that were looked for.
        names: String,
        /// Those that are there.
        files: String,
    },
    /// A component's weights are there in several variants.
    #[error(
        "the weights of {model} in {folder} are there as {variants}: one of them must be named"
    )]
    Variants {
        /// The component's folder.
        folder: String,
        /// The part that they are of, with its article.
        model: String,
        /// The variants.
        variants: String,
    },
    /// No component has weights of the variant that was asked for.
    #[error("no part of {folder} has weights of the variant {variant}: {found}")]
    NoVariant {
        /// The model's folder.
        folder: String,
        /// The variant.
        variant: String,
        /// Those that are there, as a sentence.
        found: String,
    },
    /// A path that a model should be at holds something else.
    #[error("{path} is {found}: {advice}")]
    NoModel {
        /// The path.
        path: String,
        /// Its kind.
        found: String,
        /// The advice.
        advice: String,
    },
    /// The list of a model's parts, or of a checkpoint's shards, is wrong.
    #[error("{file} cannot be read: {reason}")]
    Index {
        /// The file.
        file: String,
        /// The problem.
        reason: String,
    },
    /// A file holds no embeddings.
    #[error("{file} holds no embeddings: {reason}")]
    Embeddings {
        /// The file.
        file: String,
        /// The problem.
        reason: String,
    },
    /// The tokenizer's files are wrong.
    #[error("the tokenizer in {folder} cannot be used: {problem}")]
    Tokenizer {
        /// The folder.
        folder: String,
        /// The problem.
        problem: clip::TokenizerError,
    },
    /// The image encoder's preprocessing is wrong.
    #[error("{folder} cannot be used to prepare pictures: {problem}")]
    ImageProcessor {
        /// The folder.
        folder: String,
        /// The problem.
        problem: crate::configs::ImageProcessorError,
    },
    /// A tensor could not be put on its device.
    #[error("tensor {tensor} of {file} cannot be put on {device}: {message}")]
    Place {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The device.
        device: String,
        /// libtorch's reason.
        message: String,
    },
    /// Less memory than a tensor takes.
    #[error("{file} cannot be opened: {problem}")]
    Memory {
        /// The file.
        file: String,
        /// The allocation that failed.
        problem: OutOfMemory,
    },
    /// A tensor cannot be written as asked.
    #[error("tensor {tensor} cannot be written to {file}: {reason}")]
    Save {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: what was tried with which file, as in "read" or "write".
    pub fn io(
        action: &'static str,
        path: impl fmt::Display,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_string();
        move |source| Self::Io { action, path, source }
    }
}

/// Advice for whoever has such a file, as the end of a sentence.
fn advice(found: Contents) -> String {
    match found.advice() {
        "" => String::new(),
        advice => format!(": {advice}"),
    }
}

/// Everything that sets a checkpoint's tensors apart from those that its model wants.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Problems {
    /// Wanted, and not in the file.
    pub missing: Vec<String>,
    /// In the file, and wanted by nothing.
    pub unused: Vec<String>,
    /// `(name, shape in the file, shape wanted)`
    pub misshapen: Vec<(String, Vec<i64>, Vec<i64>)>,
    /// `(name, type in the file)` where a floating-point type is wanted.
    pub mistyped: Vec<(String, &'static str)>,
    /// In the checkpoint more than once.
    pub duplicate: Vec<String>,
    /// `(name, its numbers)` where they are not finite, or larger than any network's.
    pub not_finite: Vec<(String, String)>,
}

impl Problems {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// As many names of one kind of problem as a sentence bears; the rest is counted.
const NAMED: usize = 8;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let misshapen = |(name, found, wanted): &(String, Vec<i64>, Vec<i64>)| {
            format!("{} is {found:?} where {wanted:?} is wanted", excerpt(name))
        };
        let mistyped = |(name, found): &(String, &str)| {
            format!("{} is {found} where a float is wanted", excerpt(name))
        };
        let not_finite =
            |(name, numbers): &(String, String)| format!("{}: {numbers}", excerpt(name));
        let parts = [
            list("missing", &self.missing, |name| excerpt(name)),
            list("unused", &self.unused, |name| excerpt(name)),
            list("of another shape", &self.misshapen, misshapen),
            list("of another type", &self.mistyped, mistyped),
            list("duplicate", &self.duplicate, |name| excerpt(name)),
            list("damaged", &self.not_finite, not_finite),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

/// Names of files as a sentence bears them.
pub(crate) fn listed(names: &[String]) -> String {
    let mut named: Vec<String> = names.iter().take(NAMED).map(|name| excerpt(name)).collect();
    if names.len() > NAMED {
        named.push(format!("{} more", names.len() - NAMED));
    }
    match named.is_empty() {
        true => "no file".to_owned(),
        false => named.join(", "),
    }
}

fn list<T>(what: &str, items: &[T], sentence: impl Fn(&T) -> String) -> Option<String> {
    let count = items.len();
    let mut named: Vec<String> = items.iter().take(NAMED).map(sentence).collect();
    if count > NAMED {
        named.push(format!("and {} more", count - NAMED));
    }
    let noun = if count == 1 { "tensor" } else { "tensors" };
    (count > 0).then(|| format!("{count} {noun} {what} ({})", named.join(", ")))
}
