//! The flags that help, in the errors of libraries, which know no flags.

use std::error::Error;

use families::Completion;
use pipeline::finite::Cause;

/// An error as a sentence, with the flag that it is about or that would help.
pub(crate) fn with_flags(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref() {
        return of_family(error);
    }
    match error.downcast_ref() {
        Some(pipeline::Error::Memory(failure)) => format!(
            "{failure}; --low-memory holds one network at a time, and --dtype bf16 takes half of what f32 does"
        ),
        Some(pipeline::Error::NotFinite { quantity, cause: Cause::HalfPrecision }) => format!(
            "{} has numbers that are NaN, infinite or too large: f16 holds no number above 65504: --dtype bf16 or f32 does",
            quantity.name()
        ),
        Some(pipeline::Error::OtherPrior { autoregressive: false, .. }) => {
            format!("{error}: --prior autoregressive has")
        }
        Some(error @ pipeline::Error::NoNoisedClip { .. }) => {
            error.to_string().replacen("clip_guidance_scale", "--clip-guidance-scale", 1)
        }
        Some(
            error @ (pipeline::Error::NoNegativeCaption { .. }
            | pipeline::Error::WithoutPrior { .. }
            | pipeline::Error::NoDiffusionPrior
            | pipeline::Error::UnreadHint { .. }),
        ) => {
            let text = error.to_string();
            let inputs = [
                ("negative_caption", "--negative"),
                ("first_embedding", "--prior-image"),
                ("hint", "--hint"),
            ];
            let named = inputs.iter().find_map(|(input, flag)| {
                text.strip_prefix(input).map(|rest| format!("{flag}{rest}"))
            });
            named.unwrap_or(text)
        }
        Some(pipeline::Error::NoHint { .. }) => {
            format!("{error}: unclip generate takes it as --hint FILE")
        }
        Some(error @ pipeline::Error::NoImageToImage { .. }) => format!("--image: {error}"),
        Some(pipeline::Error::NoBuiltInModel) => format!("{error} with --model MODEL"),
        _ => error.to_string(),
    }
}

fn of_family(error: &families::Error) -> String {
    match error {
        families::Error::Missing {
            completion: Some(completion), found: None, repository, ..
        } => {
            let advice = format!("{} {}", flag(*completion), advice(*completion));
            match (completion, repository) {
                // CLIP is in the repository of the prior.
                (Completion::Prior, Some(_)) => {
                    format!(
                        "{error}: {advice}; classify, search and embed take that as --model, edit as --text-encoder"
                    )
                }
                _ => format!("{error}: {advice}"),
            }
        }
        families::Error::NotTheComponent { completion, .. }
        | families::Error::OtherFamily { completion, .. } => {
            format!("{} {error}", flag(*completion))
        }
        _ => error.to_string(),
    }
}

pub(crate) fn flag(completion: Completion) -> &'static str {
    match completion {
        Completion::Prior => "--prior",
        Completion::ImageEncoder => "--image-encoder",
        Completion::TextEncoder => "--text-encoder",
        Completion::Embeddings => "--embeddings",
    }
}

fn advice(completion: Completion) -> &'static str {
    match completion {
        Completion::Prior | Completion::ImageEncoder | Completion::TextEncoder => {
            "MODEL completes the model with one from elsewhere"
        }
        Completion::Embeddings => "FILE takes the components of embeddings that unclip embed wrote",
    }
}
