//! Zero-shot transfer: CLIP alone classifies images among labels that it was never trained on, and compares images with
//! captions (CLIP, 2103.00020, section 3.1).

use tch::{Kind, Tensor};

use crate::{Error, Pipeline};

/// The prompts that a label becomes unless a user brings others: the plain ones of the captions that our own model learned
/// from, which fit other models too.
pub const TEMPLATES: [&str; 4] = ["{}", "a {}", "a picture of a {}", "a drawing of a {}"];

/// The factor of cosines where a model does not say it: the bound that the published models' factor was clipped
/// to, and reached (CLIP, section 2.5).
pub const LOGIT_FACTOR: f64 = 100.0;

/// Prompts that the text encoder takes at once.
const BATCH: usize = 64;

/// A prompt with a place for a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    /// Reads a template such as "a picture of a {}". An error where it has `{}` not once.
    pub fn new(template: &str) -> Result<Self, Error> {
        match template.split("{}").collect::<Vec<_>>()[..] {
            [before, after] => Ok(Self { before: before.to_owned(), after: after.to_owned() }),
            ref parts => {
                Err(Error::Template { template: template.to_owned(), found: parts.len() - 1 })
            }
        }
    }

    /// The templates of [`TEMPLATES`].
    pub fn defaults() -> Vec<Self> {
        let new = |template| Self::new(template).expect("each has {} once");
        TEMPLATES.into_iter().map(new).collect()
    }

    /// The prompt for a label. An indefinite article before the label becomes the one that the label takes, and gives way
    /// to an article that the label brings.
    pub fn fill(&self, label: &str) -> String {
        let Self { before, after } = self;
        let words = before.trim_end();
        let word = words.rsplit(char::is_whitespace).next().unwrap_or_default();
        let stands_apart = words.len() < before.len();
        if !stands_apart || !["a", "an", "A", "An"].contains(&word) {
            return format!("{before}{label}{after}");
        }
        let others = words.strip_suffix(word).unwrap_or_default();
        let article = match (has_article(label), takes_an(label)) {
            (true, _) => "",
            (false, false) if word.starts_with('A') => "A ",
            (false, false) => "a ",
            (false, true) if word.starts_with('A') => "An ",
            (false, true) => "an ",
        };
        format!("{others}{article}{label}{after}")
    }
}

/// Whether a label begins with an article of its own.
fn has_article(label: &str) -> bool {
    let first = label.split_whitespace().next().unwrap_or_default();
    let first = first.to_lowercase();
    label.split_whitespace().nth(1).is_some() && ["a", "an", "the"].contains(&&*first)
}

/// Whether a label takes "an": by its first letter, but for beginnings that are written otherwise than they sound.
fn takes_an(label: &str) -> bool {
    const CONSONANTS: [&str; 11] =
        ["eu", "ewe", "one", "ufo", "uku", "unic", "unif", "unio", "unit", "univ", "use"];
    const VOWELS: [&str; 4] = ["heir", "honest", "honour", "hour"];
    let label = label.trim_start().to_lowercase();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|&b| label.starts_with(b));
    begins(&VOWELS) || (label.starts_with(['a', 'e', 'i', 'o', 'u']) && !begins(&CONSONANTS))
}

impl Pipeline {
    /// A hash that is another one where other files encode pictures.
    pub fn image_encoder_fingerprint(&self) -> Result<String, Error> {
        self.components.image_encoder_fingerprint()
    }

    /// The factor of cosines before their softmax, e to the power of CLIP's logit scale; none where the model
    /// does not say it.
    pub fn logit_factor(&self) -> Result<Option<f64>, Error> {
        let Some(scale) = self.components.logit_scale()? else {
            return Ok(None);
        };
        match scale.exp() {
            // Cosines are f32.
            factor if (factor as f32).is_finite() => Ok(Some(factor)),
            _ => Err(Error::LogitScale { folder: self.components.model().to_string(), scale }),
        }
    }

    /// The words of a caption that do not fit into the text encoder's context, if there are any.
    pub fn cut_off(&self, caption: &str) -> Result<Option<String>, Error> {
        Ok(self.components.tokenizer()?.encode(&[caption])?.cut_off.remove(0))
    }

    /// A unit vector for each label, `[L, E]`: the mean of the unit vectors of its prompts, one a template (CLIP, section
    /// 3.1.4). There must be a template.
    pub fn class_embeddings(
        &self,
        labels: &[impl AsRef<str>],
        templates: &[Template],
    ) -> Result<Tensor, Error> {
        let fill = |label| templates.iter().map(move |t| t.fill(label));
        let prompts: Vec<String> = labels.iter().flat_map(|l| fill(l.as_ref())).collect();
        let prompts = self.caption_embeddings(&prompts)?; // [L * templates, E]
        let (count, width) = (templates.len() as i64, prompts.size()[1]);
        let prompts = prompts.view([-1, count, width]); // [L, templates, E]
        Ok(normalised(&prompts.mean_dim(1, false, Kind::Float))) // [L, E]
    }

    /// Captions as unit vectors, `[B, E]` in f32, however many there are.
    pub fn caption_embeddings(&self, captions: &[impl AsRef<str>]) -> Result<Tensor, Error> {
        let batches = captions.chunks(BATCH);
        let embedded = batches.map(|batch| Ok(normalised(&self.encode_text(batch)?.embedding)));
        Ok(Tensor::cat(&embedded.collect::<Result<Vec<_>, Error>>()?, 0))
    }
}

/// Embeddings `[.., E]` as unit vectors in f32.
pub fn normalised(embeddings: &Tensor) -> Tensor {
    let embeddings = embeddings.to_kind(Kind::Float);
    let lengths = embeddings.norm_scalaropt_dim(2, -1, true); // [.., 1]
    embeddings / lengths.clamp_min(1e-12)
}

/// How probable each label is for each picture, `[B, L]`: the softmax of `factor` times the cosines of the pictures'
/// embeddings `[B, E]` and the labels' `[L, E]`, all of them unit vectors (CLIP, figure 3).
pub fn probabilities(pictures: &Tensor, classes: &Tensor, factor: f64) -> Tensor {
    (cosines(pictures, classes) * factor).softmax(-1, Kind::Float)
}

/// The cosines of unit vectors, `[B, E]` and `[L, E]` `->` `[B, L]`.
pub fn cosines(one: &Tensor, other: &Tensor) -> Tensor {
    // Rounding takes a vector's cosine with itself beyond 1.
    one.matmul(&other.transpose(0, 1)).clamp(-1.0, 1.0)
}
