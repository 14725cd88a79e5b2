//! The tasks that draw, with the tables of their fields.

use crate::fields::{Field, Kind};
use crate::models::Ability;
use crate::output::ResponseFormat;

/// The longest prompt, in characters: that of OpenAI's newest models. What the model's context cannot hold is cut off.
pub(crate) const LONGEST_PROMPT: usize = 32_000;

/// The largest size that is answered, in pixels a side.
const LARGEST_SIZE: u32 = 1024;

/// The largest seed: JSON's numbers are doubles.
const LARGEST_SEED: i64 = (1 << 53) - 1;

/// The most steps of a stage.
const MOST_STEPS: i64 = 1000;

/// The tasks that draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrawTask {
    Generations,
    Variations,
    Edits,
    Interpolations,
    TextEdits,
}

/// The fields of everything that draws.
const COMMON: &[Field] = &[
    Field::new(
        "model",
        Kind::Text(200),
        "The model's name, as /v1/models lists it; OpenAI's names and none mean the first that can.",
    ),
    Field::new(
        "size",
        Kind::Size(LARGEST_SIZE),
        "WIDTHxHEIGHT in pixels, or auto for the model's own; drawn at the model's nearest size and resized.",
    ),
    Field::new(
        "response_format",
        Kind::Choice(ResponseFormat::NAMES),
        "What of a picture is answered; both where it is absent.",
    ),
    Field::new(
        "output_format",
        Kind::Choice(&["png", "jpeg", "webp"]),
        "The format of the pictures: png where it is absent.",
    ),
    Field::new("user", Kind::Text(1000), "Who asks; nothing is made of it."),
    Field::new(
        "seed",
        Kind::Integer(0, LARGEST_SEED),
        "The first picture's seed, which fixes it; the next one's is one more. Random where it is absent.",
    ),
    Field::new(
        "preset",
        Kind::Choice(&["fast", "balanced", "quality"]),
        "How much time a picture may take: quality where it is absent.",
    ),
    Field::new(
        "decoder_num_inference_steps",
        Kind::Integer(1, MOST_STEPS),
        "Steps of the stage that draws the base image.",
    ),
    Field::new(
        "num_inference_steps",
        Kind::Integer(1, MOST_STEPS),
        "Another name of decoder_num_inference_steps.",
    ),
    Field::new(
        "super_res_num_inference_steps",
        Kind::Integer(1, MOST_STEPS),
        "Steps of the stage that upsamples.",
    ),
    Field::new(
        "decoder_guidance_scale",
        Kind::Number(-1000.0, 1000.0),
        "How strongly caption and embedding pull.",
    ),
    Field::new(
        "guidance_scale",
        Kind::Number(-1000.0, 1000.0),
        "Another name of decoder_guidance_scale.",
    ),
    Field::new("quality", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("style", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("background", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("output_compression", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("moderation", Kind::Ignored, "Of OpenAI's; ignored."),
    Field::new("input_fidelity", Kind::Ignored, "Of OpenAI's; ignored."),
];

/// The fields of several pictures of one request.
const SEVERAL: &[Field] = &[
    Field::new("n", Kind::Integer(1, i64::MAX), "How many pictures: 1 where it is absent."),
    Field::new(
        "candidates",
        Kind::Integer(1, 1000),
        "Base images of which CLIP chooses one, for each picture.",
    ),
    Field::new("stream", Kind::Switch, "Whether the pictures come as server-sent events."),
    Field::new("partial_images", Kind::Integer(0, 3), "Previews of each picture in the stream."),
];

/// The fields of a prior.
const PRIOR: &[Field] = &[
    Field::new("prior_num_inference_steps", Kind::Integer(1, MOST_STEPS), "Steps of the prior."),
    Field::new(
        "prior_guidance_scale",
        Kind::Number(-1000.0, 1000.0),
        "How strongly the caption pulls the prior.",
    ),
    Field::new(
        "prior_candidates",
        Kind::Integer(1, 1000),
        "Embeddings of which the one nearest the caption's is taken.",
    ),
    Field::new(
        "negative_prompt",
        Kind::Text(LONGEST_PROMPT),
        "What a picture should not show, for models that take it.",
    ),
];

const IMAGE: Field = Field::new("image", Kind::Image, "The picture: PNG, JPEG, WebP or GIF.");
const FRAMES: Field =
    Field::new("frames", Kind::Integer(1, i64::MAX), "How many frames, both ends included.");

const GENERATION: &[Field] =
    &[Field::new("prompt", Kind::Text(LONGEST_PROMPT), "The caption of the picture.").required()];
const VARIATION: &[Field] = &[IMAGE.required()];
const EDIT: &[Field] = &[
    IMAGE.required(),
    Field::new(
        "mask",
        Kind::Image,
        "Where to paint: its transparent pixels, or the white ones of one that has none; the picture's own transparent pixels where it is absent.",
    ),
    Field::new(
        "prompt",
        Kind::Text(LONGEST_PROMPT),
        "The caption of the whole picture as it shall be; without it what lies around the mask alone says what is painted.",
    ),
];
const INTERPOLATION: &[Field] = &[
    Field::new("image_a", Kind::Image, "The picture at which the way begins."),
    Field::new("image_b", Kind::Image, "The picture at which it ends."),
    Field::new(
        "prompt_a",
        Kind::Text(LONGEST_PROMPT),
        "The caption at which the way begins, in the place of a picture.",
    ),
    Field::new("prompt_b", Kind::Text(LONGEST_PROMPT), "The caption at which it ends."),
    FRAMES,
    Field::new(
        "shared_noise",
        Kind::Switch,
        "Whether all frames have the seed's noise, in the place of each picture's own, which inverting it finds.",
    ),
];
const TEXT_EDIT: &[Field] = &[
    IMAGE.required(),
    Field::new("from", Kind::Text(LONGEST_PROMPT), "The caption of the picture as it is.")
        .required(),
    Field::new("to", Kind::Text(LONGEST_PROMPT), "The caption that it should have.").required(),
    Field::new(
        "strength",
        Kind::Number(-10.0, 10.0),
        "How much of the difference of the captions is added to the embedding: 1 where it is absent.",
    ),
    FRAMES,
];

/// The fields of all of them, for a job, which may be any.
pub(crate) const JOB: &[&[Field]] =
    &[GENERATION, EDIT, INTERPOLATION, TEXT_EDIT, COMMON, SEVERAL, PRIOR];

impl DrawTask {
    pub(crate) const ALL: [Self; 5] =
        [Self::Generations, Self::Variations, Self::Edits, Self::Interpolations, Self::TextEdits];

    pub(crate) fn name(self) -> &'static str {
        self.ability().name()
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    pub(crate) fn ability(self) -> Ability {
        match self {
            Self::Generations => Ability::Generations,
            Self::Variations => Ability::Variations,
            Self::Edits => Ability::Edits,
            Self::Interpolations => Ability::Interpolations,
            Self::TextEdits => Ability::TextEdits,
        }
    }

    /// The fields of its route.
    pub(crate) const fn fields(self) -> &'static [&'static [Field]] {
        match self {
            Self::Generations => &[GENERATION, COMMON, SEVERAL, PRIOR],
            Self::Variations => &[VARIATION, COMMON, SEVERAL],
            Self::Edits => &[EDIT, COMMON, SEVERAL, PRIOR],
            Self::Interpolations => &[INTERPOLATION, COMMON, PRIOR],
            Self::TextEdits => &[TEXT_EDIT, COMMON],
        }
    }

    /// Whether its route streams.
    pub(crate) fn streams(self) -> bool {
        matches!(self, Self::Generations | Self::Edits | Self::Variations)
    }
}
