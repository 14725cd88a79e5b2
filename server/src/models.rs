//! Models that are served: what opens them, and what is known of them before their networks are read.

use pipeline::{Error, KnownWords, Pipeline, Record, Settings, Students, Task};
use serde_json::{Map, Value, json};

/// A model as the operator names it.
pub struct ServedModel {
    /// Its name in requests.
    pub name: String,
    /// Pictures that it draws at once, where so many are asked for with equal settings.
    pub batch: usize,
    /// Opens it; called again where it had to leave the memory.
    pub open: Box<dyn Fn() -> Result<OpenedModel, OpenError> + Send + Sync>,
}

/// Why a model was not opened.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// A model at work.
pub struct OpenedModel {
    /// The model.
    pub pipeline: Pipeline,
    /// The record of its pictures, but for what a request says.
    pub record: Record,
}

/// Something that a model may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    Generations,
    Variations,
    Interpolations,
    Edits,
    TextEdits,
    Embeddings,
    Classifications,
}

impl Ability {
    pub(crate) const ALL: [Self; 7] = [
        Self::Generations,
        Self::Variations,
        Self::Interpolations,
        Self::Edits,
        Self::TextEdits,
        Self::Embeddings,
        Self::Classifications,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Generations => "generations",
            Self::Variations => "variations",
            Self::Interpolations => "interpolations",
            Self::Edits => "edits",
            Self::TextEdits => "edits/text",
            Self::Embeddings => "embeddings",
            Self::Classifications => "classifications",
        }
    }

    /// The task whose components it takes.
    fn task(self) -> Task {
        match self {
            Self::Generations => Task::GENERATE,
            Self::Variations | Self::Interpolations => Task::VARY,
            Self::Edits => Task { inpaints: true, ..Task::GENERATE },
            Self::TextEdits => Task::EDIT,
            Self::Embeddings | Self::Classifications => CLIP,
        }
    }
}

/// Captions and images are embedded.
const CLIP: Task = Task {
    prior: false,
    text: true,
    image_encoder: true,
    stages: pipeline::Stages::None,
    ..Task::GENERATE
};

/// A model's properties.
pub(crate) struct ModelInfo {
    pub(crate) name: String,
    /// The side of its images in pixels.
    pub(crate) side: u32,
    /// The names of its stages, the prior's first.
    pub(crate) stages: Vec<&'static str>,
    pub(crate) defaults: Settings,
    /// The steps of its distilled networks, which the fast preset draws with.
    pub(crate) students: Students,
    pub(crate) abilities: Vec<Ability>,
    pub(crate) takes_negative_captions: bool,
    /// The words that its training captions had, where it knows them.
    pub(crate) words: Option<KnownWords>,
    /// Whether its images may have any size, in steps of [`LATENT_STEP`].
    pub(crate) denoises_latents: bool,
    /// Whether its network was trained to inpaint.
    pub(crate) takes_masks: bool,
}

/// Sides of images that are decoded from latents are multiples of this.
const LATENT_STEP: u32 = 64;

impl ModelInfo {
    /// The properties of an opened model. An error where it can draw nothing.
    pub(crate) fn new(name: &str, pipeline: &Pipeline) -> Result<Self, Error> {
        let defaults = pipeline.defaults()?;
        let can = |ability: &Ability| pipeline.find(ability.task(), &defaults).is_ok();
        let abilities: Vec<Ability> = Ability::ALL.into_iter().filter(can).collect();
        let draws = |ability| {
            matches!(ability, &Ability::Generations | &Ability::Variations | &Ability::Edits)
        };
        if !abilities.iter().any(draws) {
            pipeline.find(Task::GENERATE, &defaults)?;
        }
        let edits = abilities.contains(&Ability::Edits);
        Ok(Self {
            name: name.to_owned(),
            side: pipeline.side()?,
            students: pipeline.students()?,
            stages: pipeline.stages().collect(),
            takes_negative_captions: pipeline.takes_negative_captions(),
            words: pipeline.known_words().unwrap_or_default(),
            denoises_latents: pipeline.denoises_latents(),
            takes_masks: edits && !pipeline.repaints()?,
            abilities,
            defaults,
        })
    }

    /// The words of captions that no training caption had, each once and with the nearest that one had.
    pub(crate) fn unknown_words(&self, captions: &[&str]) -> Option<String> {
        let words = self.words.as_ref()?;
        let unknown = words.unknown(&captions.join(" "));
        (!unknown.is_empty()).then(|| words.describe(&unknown))
    }

    pub(crate) fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// The size that the model draws where `size` is asked for: that of its own images, or of latents the nearest, which the
    /// settings get.
    pub(crate) fn nearest_size(&self, (width, height): (u32, u32)) -> Option<(u32, u32)> {
        let nearest = |side: u32| (side.div_ceil(LATENT_STEP) * LATENT_STEP).max(LATENT_STEP);
        self.denoises_latents.then(|| (nearest(width), nearest(height)))
    }

    /// The model's entry in `/v1/capabilities`.
    pub(crate) fn json(&self, is_loaded: bool) -> Value {
        let mut can: Vec<&str> = self.abilities.iter().map(|ability| ability.name()).collect();
        if self.takes_negative_captions {
            can.push("negative_prompt");
        }
        json!({
            "id": self.name,
            "side": self.side,
            "stages": self.stages,
            "can": can,
            "defaults": serde_json::to_value(&self.defaults).unwrap_or_else(|_| Map::new().into()),
            "presets": pipeline::Preset::ALL.map(pipeline::Preset::name),
            "sizes": if self.denoises_latents { json!({ "step": LATENT_STEP }) } else { Value::Null },
            "loaded": is_loaded,
        })
    }
}
