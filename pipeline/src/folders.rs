//! Where the parts of a model lie.

use weights::Folder;

use crate::Error;

/// A model's folder, and those that complete it.
pub struct ModelFolders {
    /// The model, in Karlo's layout.
    pub model: Folder,
    /// Where the prior comes from instead: a model, or a prior's own folder.
    pub prior: Option<Folder>,
    /// Whether the autoregressive prior draws embeddings unless told otherwise.
    pub autoregressive: bool,
    /// Where the image encoder comes from instead: a model, or an image encoder's own folder.
    pub image_encoder: Option<Folder>,
}

/// How a model that lacks a part is completed.
const PRIOR_FLAG: &str = "--prior";
const IMAGE_ENCODER_FLAG: &str = "--image-encoder";

/// The folders of CLIP. transformers' whole CLIP has all of them in one.
pub(crate) const CLIP: [&str; 4] =
    ["tokenizer", "text_encoder", "image_encoder", "feature_extractor"];

impl ModelFolders {
    /// Where a part lies: in the model, or in what was given to complete it.
    pub(crate) fn part(&self, part: &'static str) -> Result<Folder, Error> {
        let (given, whole, flag) = match part {
            "prior" | "prior_scheduler" => (&self.prior, "prior", PRIOR_FLAG),
            "prior_autoregressive" => (&self.prior, part, PRIOR_FLAG),
            "image_encoder" | "feature_extractor" => {
                (&self.image_encoder, "image_encoder", IMAGE_ENCODER_FLAG)
            }
            _ => (&None, "", ""),
        };
        let model = &self.model;
        let completed = match given {
            None => None,
            Some(given) if given.component(whole).exists() => found(given.component(part)),
            // What was given is the other prior.
            Some(_) if self.is_other_prior(part) => None,
            Some(given) if !given.has("config.json") => {
                return Err(Error::NotThePart {
                    flag,
                    folder: given.to_string(),
                    part: whole,
                    advice: described(given),
                });
            }
            Some(given) if part == whole => Some(given.clone()),
            Some(given) => given.beside(part),
        };
        // A part that is given without its companion makes do with the model's own.
        if let Some(folder) = completed.or_else(|| found(model.component(part))) {
            return Ok(folder);
        }
        if CLIP.contains(&part) && self.is_whole_clip() {
            return Ok(model.clone());
        }
        let completed = match flag {
            PRIOR_FLAG => ": --prior DIR completes the model with one from elsewhere",
            IMAGE_ENCODER_FLAG => {
                ": --image-encoder DIR completes the model with one from elsewhere"
            }
            _ if part == "image_pca" => {
                ": --embeddings FILE takes the components of embeddings that unclip embed wrote"
            }
            _ => "",
        };
        let advice = match &*described(model) {
            "" => completed.to_owned(),
            other => other.to_owned(),
        };
        Err(Error::Missing { folder: model.to_string(), part, advice })
    }

    /// Whether a part is that of the prior that does not draw unless told so.
    fn is_other_prior(&self, part: &str) -> bool {
        match part {
            "prior" | "prior_scheduler" => self.autoregressive,
            "prior_autoregressive" => !self.autoregressive,
            _ => false,
        }
    }

    /// Whether the model is no more than CLIP, in the one folder in which transformers publishes it.
    pub(crate) fn is_whole_clip(&self) -> bool {
        self.model.may_be_clip()
    }
}

/// Describes a folder that is no such model, as the end of a sentence.
fn described(folder: &Folder) -> String {
    let described = folder.describe();
    described.map_or_else(String::new, |held| format!(": {held}"))
}

fn found(folder: Folder) -> Option<Folder> {
    folder.exists().then_some(folder)
}
