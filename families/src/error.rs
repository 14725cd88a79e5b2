//! Errors of a family's components.

use crate::configs::ConfigError;
use crate::repository_files::RepositoryError;

/// Why a component could not be found, opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of weights, or a folder.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A configuration describes nothing that can be made here.
    #[error("{file} cannot be used for {component}: {problem}")]
    Config {
        /// The file.
        file: String,
        /// The component that it should describe, with its article.
        component: &'static str,
        /// The problem.
        problem: ConfigError,
    },
    /// A distilled network beside another network than the one that it was distilled from.
    #[error(
        "{student} was not distilled from the weights in {teacher}: distil these anew, or draw without distilled networks"
    )]
    OtherTeacher {
        /// The folder of the distilled network.
        student: String,
        /// The folder of its teacher.
        teacher: String,
    },
    /// The list of a model's components, or a file of options for them, is wrong.
    #[error("{file} cannot be read: {reason}")]
    Index {
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
    /// The files of a tokenizer that is published apart from the networks are not beside them.
    #[error(
        "{folder} has no {missing}, which reading captions needs: the reference's repository ({repository}) has it in {place}"
    )]
    NoTokenizer {
        /// The folder.
        folder: String,
        /// The files.
        missing: String,
        /// The repository that has them.
        repository: &'static str,
        /// The place in it.
        place: &'static str,
    },
    /// A published file is not beside the others.
    #[error("{file} is missing: {noun} is published in it, beside the other files in that folder")]
    NoPublishedFile {
        /// The file.
        file: String,
        /// The component that it holds, with its article.
        noun: &'static str,
    },
    /// The image encoder's preprocessing is wrong.
    #[error("{folder} cannot be used to prepare pictures: {problem}")]
    ImageProcessor {
        /// The folder.
        folder: String,
        /// The problem.
        problem: crate::configs::ImageProcessorError,
    },
    /// A component that a task needs is not there.
    #[error("{folder} has no {component}/, which this needs{}{}", published(*.repository), end(.found))]
    Missing {
        /// The model's folder.
        folder: String,
        /// The component's folder in it.
        component: &'static str,
        /// The way to bring it from elsewhere, where the folder is such a model.
        completion: Option<Completion>,
        /// The repository that it is published in, where that is another than the model's.
        repository: Option<&'static str>,
        /// The folder's contents, where it is no such model.
        found: Option<String>,
    },
    /// A folder that holds no component of any family.
    #[error("{folder} is no model{}", end(.found))]
    NoComponent {
        /// The folder.
        folder: String,
        /// Its contents.
        found: Option<String>,
    },
    /// A repository whose files make no model.
    #[error("{repository}: {problem}")]
    Repository {
        /// The repository, and where its files were looked for.
        repository: String,
        /// The problem.
        problem: RepositoryError,
    },
    /// Files of a model that could not be brought from elsewhere.
    #[error("{}{source}", .purpose.as_ref().map_or_else(String::new, |purpose| format!("{purpose}: ")))]
    Download {
        /// Why they are needed, where the user did not ask for them.
        purpose: Option<String>,
        /// The problem.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder that a model cannot be written to.
    #[error("cannot write a model to {folder}: {reason}")]
    Destination {
        /// The folder.
        folder: String,
        /// The problem.
        reason: String,
    },
    /// The observer of a conversion stopped it.
    #[error("stopped: the observer asked for no more steps")]
    Stopped,
    /// A model that was brought for its prior, and is of another family.
    #[error("{folder}: it is a model of {found}, and this one takes a prior of {wanted}'s")]
    OtherFamily {
        /// The component that it was brought as.
        completion: Completion,
        /// The folder.
        folder: String,
        /// Its family.
        found: &'static str,
        /// The model's family.
        wanted: &'static str,
    },
    /// A folder that was brought to complete a model, and does not.
    #[error(
        "{folder}: this is neither a {component} (it has no config.json) nor a model with one in {component}/{}",
        end(.found)
    )]
    NotTheComponent {
        /// The component that it was brought as.
        completion: Completion,
        /// The folder.
        folder: String,
        /// The component's name.
        component: &'static str,
        /// The folder's contents, where it is no model.
        found: Option<String>,
    },
}

/// The way to complete a model that lacks a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The folder of another prior, or of a model with one.
    Prior,
    /// The folder of another image encoder, or of a model with one.
    ImageEncoder,
    /// The folder of another text encoder with its tokenizer, or of a model with both.
    TextEncoder,
    /// A file of image embeddings, whose principal components are computed.
    Embeddings,
}

/// The middle of a sentence about a component that is not there.
fn published(repository: Option<&str>) -> String {
    repository.map_or_else(String::new, |repository| format!(" and {repository} has"))
}

/// The end of a sentence.
fn end(found: &Option<String>) -> String {
    found.as_ref().map_or_else(String::new, |found| format!(": {found}"))
}
