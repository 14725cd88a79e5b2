//! The flags that complete a model, in the errors of libraries, which know no flags.

use std::error::Error;

use families::Completion;

/// An error as a sentence, with the flag that it is about or that would help.
pub fn with_flags(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(families::Error::Missing { completion: Some(completion), found: None, .. }) => {
            format!("{error}: {} {}", flag(*completion), advice(*completion))
        }
        Some(families::Error::NotTheComponent { completion, .. }) => {
            format!("{} {error}", flag(*completion))
        }
        _ => error.to_string(),
    }
}

fn flag(completion: Completion) -> &'static str {
    match completion {
        Completion::Prior => "--prior",
        Completion::ImageEncoder => "--image-encoder",
        Completion::Embeddings => "--embeddings",
    }
}

fn advice(completion: Completion) -> &'static str {
    match completion {
        Completion::Prior | Completion::ImageEncoder => {
            "DIR completes the model with one from elsewhere"
        }
        Completion::Embeddings => "FILE takes the components of embeddings that unclip embed wrote",
    }
}
