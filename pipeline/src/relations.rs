//! What the parts of one model must agree in.

use clip::{ImageProcessor, TextConfig, Tokenizer, VisionConfig};
use decoder::{ConditioningConfig, UNetConfig};
use diffusion::{SchedulerConfig, Variance};
use prior::{AutoregressiveConfig, PriorConfig};

/// The shapes of the parts that a task runs through.
pub(crate) struct Relations<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) text_encoder: TextConfig,
    pub(crate) image_encoder: Option<(&'a ImageProcessor, VisionConfig)>,
    pub(crate) prior: Option<(&'a SchedulerConfig, PriorConfig)>,
    pub(crate) autoregressive_prior: Option<AutoregressiveConfig>,
    pub(crate) decoding: Option<Decoding<'a>>,
}

/// The shapes of the parts that draw a small picture from an embedding.
pub(crate) struct Decoding<'a> {
    pub(crate) conditioning: ConditioningConfig,
    pub(crate) scheduler: &'a SchedulerConfig,
    pub(crate) decoder: UNetConfig,
    pub(crate) upsampling: Option<Upsampling<'a>>,
}

/// The shapes of the parts that enlarge it.
pub(crate) struct Upsampling<'a> {
    pub(crate) scheduler: &'a SchedulerConfig,
    pub(crate) first: UNetConfig,
    pub(crate) last: UNetConfig,
}

/// Two parts, a quantity, and its value in the first and in the second.
pub(crate) type Relation = (&'static str, &'static str, &'static str, i64, i64);

impl Relations<'_> {
    /// Fails with the first two parts that do not fit each other.
    pub(crate) fn check(&self) -> Result<(), Relation> {
        check_captions(self.tokenizer, &self.text_encoder)?;
        all_equal(self.equalities())
    }

    /// What must be the same in both parts.
    fn equalities(&self) -> Vec<Relation> {
        let text = &self.text_encoder;
        let length = self.tokenizer.context_length().unwrap_or_default() as i64;
        let decoded = self.decoding.as_ref().map(|d| d.conditioning.embedding);
        let mut equal = Vec::new();
        // Each prior's caption in tokens, embedding and text states.
        let by_diffusion = self.prior.as_ref().map(|(_, prior)| prior);
        let by_diffusion =
            by_diffusion.map(|p| ("prior", p.context_length, p.embedding, p.text_width));
        let by_codes = self
            .autoregressive_prior
            .as_ref()
            .map(|p| ("prior_autoregressive", p.context_length, p.embedding, p.text_width));
        for (part, context, embedding, states) in by_diffusion.into_iter().chain(by_codes) {
            equal.extend([
                ("tokenizer", part, LENGTH, length, context),
                ("text_encoder", part, EMBEDDING, text.embedding, embedding),
                ("text_encoder", part, STATE, text.width, states),
            ]);
            equal.extend(decoded.map(|d| (part, "text_proj", EMBEDDING, embedding, d)));
        }
        if let Some((processor, encoder)) = &self.image_encoder {
            if let Some((width, height)) = processor.output_size() {
                equal.extend(sides((width.into(), height.into()), encoder));
            }
            let width = encoder.embedding;
            equal.extend(decoded.map(|d| ("image_encoder", "text_proj", EMBEDDING, width, d)));
        }
        if let Some((scheduler, prior)) = &self.prior {
            let width = outputs(scheduler, prior.embedding);
            equal.push(("prior_scheduler", "prior", OUTPUTS, width, prior.embedding));
        }
        if let Some(decoding) = &self.decoding {
            equal.extend(decoding.equalities(text));
            let enlarged = decoding.upsampling.as_ref();
            equal.extend(enlarged.into_iter().flat_map(|u| u.equalities(&decoding.decoder)));
        }
        equal
    }
}

impl Decoding<'_> {
    fn equalities(&self, text: &TextConfig) -> [Relation; 6] {
        let (conditioning, decoder) = (&self.conditioning, &self.decoder);
        let attended = decoder.attention.as_ref().map_or(0, |a| a.context_width);
        let drawn = outputs(self.scheduler, decoder.in_channels);
        let channels = "the number of channels";
        let time = "the width of the time embedding";
        let context = "the width of the context";
        let widths = (conditioning.time_width, conditioning.context_width);
        [
            ("text_encoder", "text_proj", EMBEDDING, text.embedding, conditioning.embedding),
            ("text_encoder", "text_proj", STATE, text.width, conditioning.text_width),
            ("text_proj", "decoder", time, widths.0, decoder.time_width()),
            ("text_proj", "decoder", context, widths.1, attended),
            ("decoder_scheduler", "decoder", OUTPUTS, drawn, decoder.out_channels),
            ("a picture", "decoder", channels, 3, decoder.in_channels),
        ]
    }
}

impl Upsampling<'_> {
    fn equalities(&self, decoder: &UNetConfig) -> [Relation; 5] {
        let (first, last) = (&self.first, &self.last);
        let enlarged = outputs(self.scheduler, first.in_channels / 2);
        let pictures = "the number of channels of two pictures";
        let outputs = |part, network: &UNetConfig| {
            let given = network.out_channels;
            ("super_res_scheduler", part, OUTPUTS, enlarged, given)
        };
        let both = |quantity, one, other| {
            let (first, last) = ("super_res_first", "super_res_last");
            (first, last, quantity, one, other)
        };
        [
            outputs("super_res_first", first),
            outputs("super_res_last", last),
            ("decoder", "super_res_first", pictures, 2 * decoder.in_channels, first.in_channels),
            both("the number of channels", first.in_channels, last.in_channels),
            both("the size of a picture", first.sample_size, last.sample_size),
        ]
    }
}

/// How many numbers a scheduler reads for so many values: a learned variance comes beside the prediction.
fn outputs(scheduler: &SchedulerConfig, values: i64) -> i64 {
    match scheduler.variance {
        Variance::LearnedRange => 2 * values,
        Variance::FixedSmallLog => values,
    }
}

/// Whether CLIP's two halves can be compared, each half being what reads and what encodes.
pub(crate) fn check_clip(
    (tokenizer, text_encoder): (&Tokenizer, &TextConfig),
    (processor, image_encoder): (&ImageProcessor, &VisionConfig),
) -> Result<(), Relation> {
    check_captions(tokenizer, text_encoder)?;
    check_pictures(processor, image_encoder)?;
    let widths = (text_encoder.embedding, image_encoder.embedding);
    all_equal(vec![("text_encoder", "image_encoder", EMBEDDING, widths.0, widths.1)])
}

/// Whether the image encoder takes what the pictures are prepared as, as far as that does not depend on the pictures.
pub(crate) fn check_pictures(
    processor: &ImageProcessor,
    encoder: &VisionConfig,
) -> Result<(), Relation> {
    match processor.output_size() {
        Some((width, height)) => check_size((width.into(), height.into()), encoder),
        None => Ok(()),
    }
}

/// Whether the image encoder takes pictures of this width and height.
pub(crate) fn check_size(size: (i64, i64), encoder: &VisionConfig) -> Result<(), Relation> {
    all_equal(sides(size, encoder).to_vec())
}

fn sides((width, height): (i64, i64), encoder: &VisionConfig) -> [Relation; 2] {
    let side = encoder.image_size;
    let (first, second) = ("feature_extractor", "image_encoder");
    [(first, second, SIDES[0], width, side), (first, second, SIDES[1], height, side)]
}

/// Whether the text encoder takes every caption that the tokenizer makes tokens of.
pub(crate) fn check_captions(tokenizer: &Tokenizer, text: &TextConfig) -> Result<(), Relation> {
    let length = tokenizer.context_length().unwrap_or_default() as i64;
    let vocabulary = tokenizer.vocab_size() as i64;
    let (first, second) = ("tokenizer", "text_encoder");
    fit(vocabulary <= text.vocab_size, (first, second, TOKENS, vocabulary, text.vocab_size))?;
    fit(length <= text.context_length, (first, second, LENGTH, length, text.context_length))
}

fn all_equal(relations: Vec<Relation>) -> Result<(), Relation> {
    relations.into_iter().try_for_each(|relation| fit(relation.3 == relation.4, relation))
}

/// The quantities that may depend on the picture.
pub(crate) const SIDES: [&str; 2] = ["the width of a picture", "the height of a picture"];

const OUTPUTS: &str = "the number of outputs";
const TOKENS: &str = "the number of tokens";
const LENGTH: &str = "the length of a caption";
const EMBEDDING: &str = "the width of an embedding";
const STATE: &str = "the width of a text state";

fn fit(fits: bool, relation: Relation) -> Result<(), Relation> {
    if fits { Ok(()) } else { Err(relation) }
}
