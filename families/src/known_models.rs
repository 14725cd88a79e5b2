//! Models on the Hugging Face Hub that are known to open here: their licences, sizes and abilities, and those that complete
//! them.

use serde::Serialize;

use crate::{Ability, karlo};

/// A model on the Hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KnownModel {
    /// The repository: its owner and its name.
    pub repository: &'static str,
    /// The family.
    pub family: &'static str,
    /// The licence of its weights, as the repository names it.
    pub licence: &'static str,
    /// The bytes of the weights that are fetched: four a parameter, and of Kandinsky's CLIP two.
    pub bytes: u64,
    /// Its abilities, with the components of the repository that completes it.
    pub abilities: &'static [Ability],
    /// The repository that completes it: with an image encoder, or with all that its family's companion has.
    pub completed_by: Option<&'static str>,
}

const KANDINSKY_PRIOR: &str = "kandinsky-community/kandinsky-2-2-prior";
const VARIATIONS: &str = "kakaobrain/karlo-v1-alpha-image-variations";

/// All of them.
pub static KNOWN_MODELS: [KnownModel; 10] = [
    KnownModel {
        repository: karlo::EXAMPLE,
        family: "Karlo",
        licence: "creativeml-openrail-m",
        bytes: 13_688_630_064,
        abilities: &[
            Ability::Generate,
            Ability::Variations,
            Ability::Interpolate,
            Ability::Mix,
            Ability::Edit,
            Ability::Invert,
            Ability::Embed,
            Ability::Classify,
            Ability::Search,
            Ability::Inpaint,
        ],
        completed_by: Some(VARIATIONS),
    },
    KnownModel {
        repository: VARIATIONS,
        family: "Karlo",
        licence: "creativeml-openrail-m",
        bytes: 10_816_374_576,
        abilities: &[
            Ability::Variations,
            Ability::Edit,
            Ability::Invert,
            Ability::Embed,
            Ability::Classify,
            Ability::Search,
        ],
        completed_by: None,
    },
    KnownModel {
        repository: "kandinsky-community/kandinsky-2-2-decoder",
        family: "Kandinsky 2.2",
        licence: "apache-2.0",
        bytes: 5_283_559_132,
        abilities: &[
            Ability::Generate,
            Ability::Variations,
            Ability::Interpolate,
            Ability::Mix,
            Ability::Edit,
            Ability::Invert,
            Ability::Embed,
            Ability::Classify,
            Ability::Search,
        ],
        completed_by: Some(KANDINSKY_PRIOR),
    },
    KnownModel {
        repository: "kandinsky-community/kandinsky-2-2-decoder-inpaint",
        family: "Kandinsky 2.2",
        licence: "apache-2.0",
        bytes: 5_283_628_252,
        abilities: &[
            Ability::Generate,
            Ability::Variations,
            Ability::Interpolate,
            Ability::Mix,
            Ability::Edit,
            Ability::Invert,
            Ability::Embed,
            Ability::Classify,
            Ability::Search,
            Ability::Inpaint,
        ],
        completed_by: Some(KANDINSKY_PRIOR),
    },
    KnownModel {
        repository: "kandinsky-community/kandinsky-2-2-controlnet-depth",
        family: "Kandinsky 2.2",
        licence: "apache-2.0",
        bytes: 5_285_046_828,
        abilities: &[Ability::Generate, Ability::Embed, Ability::Classify, Ability::Search],
        completed_by: Some(KANDINSKY_PRIOR),
    },
    KnownModel {
        repository: KANDINSKY_PRIOR,
        family: "Kandinsky 2.2",
        licence: "apache-2.0",
        bytes: 9_184_037_888,
        abilities: &[Ability::Embed, Ability::Classify, Ability::Search],
        completed_by: None,
    },
    clip("openai/clip-vit-base-patch32", 605_109_252),
    clip("openai/clip-vit-base-patch16", 598_482_948),
    clip("openai/clip-vit-large-patch14", 1_710_466_052),
    clip("openai/clip-vit-large-patch14-336", 1_711_776_772),
];

/// A CLIP of OpenAI's as transformers lays it out.
const fn clip(repository: &'static str, bytes: u64) -> KnownModel {
    KnownModel {
        repository,
        family: "CLIP",
        licence: "mit",
        bytes,
        abilities: &[Ability::Embed, Ability::Classify, Ability::Search],
        completed_by: None,
    }
}

/// The known model of a repository, by its owner and name.
pub fn known_model(repository: &str) -> Option<&'static KnownModel> {
    KNOWN_MODELS.iter().find(|model| model.repository == repository)
}
