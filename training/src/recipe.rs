//! What is trained, as data: the models' shapes and each leg's length.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use clip::{TextConfig, VisionConfig};
use decoder::{ConditioningConfig, UNetConfig};
use diffusion::Prediction;
use prior::{AutoregressiveConfig, PriorConfig};
use weights::Shapes;
use weights::configs::{self, ConfigError};

use crate::{Error, RunSettings};

/// A whole unCLIP. Presets are files of this; see `training/presets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The byte pairs.
    pub tokenizer: TokenizerRecipe,
    /// The two encoders.
    pub clip: ClipRecipe,
    /// From captions to image embeddings.
    pub prior: PriorRecipe,
    /// The same by the other prior, code by code.
    pub autoregressive: AutoregressiveRecipe,
    /// From image embeddings to the base picture.
    pub decoder: DecoderRecipe,
    /// From the base picture to the full size.
    pub upsampler: UpsamplerRecipe,
    /// What the model draws with unless told otherwise.
    pub drawing: DrawingDefaults,
}

/// Steps and guidance that suit the trained models; its index carries them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawingDefaults {
    /// Steps of the prior.
    pub prior_steps: usize,
    /// Steps of the decoder.
    pub decoder_steps: usize,
    /// Steps of the upsampler.
    pub upsampler_steps: usize,
    /// Guidance of the prior.
    pub prior_guidance_scale: f64,
    /// Guidance of the decoder.
    pub decoder_guidance_scale: f64,
}

/// How the byte-level BPE is learned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Captions to learn from.
    pub captions: usize,
    /// Merges at most.
    pub merges: usize,
    /// Tokens of a caption, its start and end included.
    pub context_length: i64,
}

/// CLIP's two encoders and their leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipRecipe {
    /// The text transformer; its vocabulary follows from the tokenizer.
    pub text: TextConfig,
    /// The vision transformer.
    pub vision: VisionConfig,
    /// Its leg.
    pub run: RunSettings,
}

/// The prior and its leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorRecipe {
    /// The network.
    pub model: PriorConfig,
    /// Share of captions that are replaced by the empty one.
    pub drop_caption: f64,
    /// Training scenes whose embeddings give the mean and deviation that whiten.
    pub statistics_scenes: usize,
    /// Its leg.
    pub run: RunSettings,
}

/// The autoregressive prior and its leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoregressiveRecipe {
    /// The network and its codes.
    pub model: AutoregressiveConfig,
    /// Share of captions that are replaced by the empty one, and whose closeness is not told.
    pub drop_caption: f64,
    /// Training scenes on whose embeddings the principal components and the codes' buckets are measured.
    pub statistics_scenes: usize,
    /// Its leg.
    pub run: RunSettings,
}

/// The decoder with its conditioning, and their leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderRecipe {
    /// How embeddings and text reach the network.
    pub conditioning: ConditioningConfig,
    /// The network.
    pub unet: UNetConfig,
    /// Share of captions that are replaced by the empty one.
    pub drop_caption: f64,
    /// Share of image embeddings that are replaced by the learned vector.
    pub drop_embedding: f64,
    /// The noise-prediction loss is weighted by min(1 / alpha_bar, this): 1 is the plain loss, larger values lean
    /// towards the noisy steps, where layout and colour are decided.
    pub weight_limit: f64,
    /// Whether the network's blocks are computed a second time in the backward pass instead of being kept: less memory,
    /// a third more work.
    pub gradient_checkpointing: bool,
    /// Its leg.
    pub run: RunSettings,
}

/// The upsampler and its leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsamplerRecipe {
    /// The network; its sample size is the full picture's.
    pub unet: UNetConfig,
    /// What it predicts. Karlo's predicts the noise; at the first steps, which are next to nothing but noise, the clean
    /// picture is the easier to predict, because the base picture shows most of it.
    pub predicts: Prediction,
    /// Side of the square crops that it trains on.
    pub crop: i64,
    /// Standard deviation of the Gaussian blur, in base pixels, that the base picture gets at most.
    pub blur: f64,
    /// Standard deviation of the noise that the base picture gets at most, on the scale [-1, 1].
    pub noise: f64,
    /// As the decoder's: here it keeps the colours of the base picture. The loss of a predicted clean picture is weighted by
    /// min(1 / (1 - alpha_bar), this), which is the same up to the limits.
    pub weight_limit: f64,
    /// As the decoder's.
    pub gradient_checkpointing: bool,
    /// Its leg.
    pub run: RunSettings,
}

impl Recipe {
    /// A preset as it is: see [`Recipe::preset_text`].
    pub fn preset(name: &str) -> Result<Self, Error> {
        Self::read(Self::preset_text(name)?, &Shapes::default(), &[""; 0])
    }

    /// The text of a preset: `small` (the model that ships), `tiny` (for tests: seconds), `karlo` (the shapes of Karlo) or
    /// `paper` (table 3 of 2204.06125).
    pub fn preset_text(name: &str) -> Result<&'static str, Error> {
        let presets = [
            ("small", include_str!("../presets/small.toml")),
            ("tiny", include_str!("../presets/tiny.toml")),
            ("karlo", include_str!("../presets/karlo.toml")),
            ("paper", include_str!("../presets/paper.toml")),
        ];
        let found = presets.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| {
            Error::Recipe(format!(
                "there is no preset `{name}`; the presets are {}",
                presets.map(|(known, _)| known).join(", ")
            ))
        })?;
        Ok(text)
    }

    /// Reads a recipe, gives it the `shapes` of the model that is to be trained on, changes the fields that `changes` names
    /// ("decoder.run.batch=16", the value as in the recipe), and checks that its parts fit each other.
    pub fn read(text: &str, shapes: &Shapes, changes: &[impl AsRef<str>]) -> Result<Self, Error> {
        let mut recipe: Self = toml::from_str(text).map_err(|e| Error::Recipe(e.to_string()))?;
        recipe.take_shapes(shapes);
        if !changes.is_empty() {
            let mut table = toml::Table::try_from(&recipe).expect("a recipe is a table");
            for change in changes {
                let change = change.as_ref();
                set(&mut table, change)
                    .map_err(|why| Error::Recipe(format!("`{change}`: {why}")))?;
            }
            recipe = table.try_into().map_err(|error: toml::de::Error| {
                Error::Recipe(error.to_string().trim().replace('\n', " "))
            })?;
        }
        recipe.check()?;
        Ok(recipe)
    }

    fn take_shapes(&mut self, shapes: &Shapes) {
        let shapes = shapes.clone();
        if let Some(text) = shapes.text {
            self.tokenizer.context_length = text.context_length;
            // Where the model has no such prior yet, a new one must fit its encoders.
            let codes = &mut self.autoregressive.model;
            (codes.embedding, codes.text_width) = (text.embedding, text.width);
            codes.context_length = text.context_length;
            codes.dimensions = codes.dimensions.min(text.embedding);
            self.clip.text = text;
        }
        take(&mut self.clip.vision, shapes.vision);
        take(&mut self.prior.model, shapes.prior);
        take(&mut self.autoregressive.model, shapes.autoregressive);
        take(&mut self.decoder.conditioning, shapes.conditioning);
        take(&mut self.decoder.unet, shapes.decoder);
        take(&mut self.upsampler.predicts, shapes.upsampler_predicts);
        if let Some(unet) = shapes.upsampler {
            self.upsampler.crop = self.upsampler.crop.min(unet.sample_size);
            self.upsampler.unet = unet;
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.check_shapes()
            .map_err(|(part, problem)| Error::Recipe(format!("{part}: {problem}")))?;
        let (text, vision, prior) = (&self.clip.text, &self.clip.vision, &self.prior.model);
        let codes = &self.autoregressive.model;
        let (conditioning, base, full) = (
            &self.decoder.conditioning,
            &self.decoder.unet,
            &self.upsampler.unet,
        );
        let equal = [
            (
                "the two encoders' embeddings",
                text.embedding,
                vision.embedding,
            ),
            (
                "the prior's embedding and CLIP's",
                prior.embedding,
                text.embedding,
            ),
            (
                "the prior's text width and the text encoder's",
                prior.text_width,
                text.width,
            ),
            (
                "the prior's context and the tokenizer's",
                prior.context_length,
                self.tokenizer.context_length,
            ),
            (
                "the autoregressive prior's embedding and CLIP's",
                codes.embedding,
                text.embedding,
            ),
            (
                "the autoregressive prior's text width and the text encoder's",
                codes.text_width,
                text.width,
            ),
            (
                "the autoregressive prior's context and the tokenizer's",
                codes.context_length,
                self.tokenizer.context_length,
            ),
            (
                "the text encoder's context and the tokenizer's",
                text.context_length,
                self.tokenizer.context_length,
            ),
            (
                "the decoder's embedding and CLIP's",
                conditioning.embedding,
                text.embedding,
            ),
            (
                "the decoder's text width and the text encoder's",
                conditioning.text_width,
                text.width,
            ),
            (
                "the conditioning's time width and the decoder's",
                conditioning.time_width,
                base.time_width(),
            ),
            (
                "the conditioning's context width and the decoder's",
                conditioning.context_width,
                base.attention.as_ref().map_or(0, |a| a.context_width),
            ),
            (
                "the decoder's input and output channels",
                2 * base.in_channels,
                base.out_channels,
            ),
            (
                "the upsampler's input and output channels",
                full.in_channels,
                2 * full.out_channels,
            ),
        ];
        for (what, a, b) in equal {
            if a != b {
                return Err(Error::Recipe(format!(
                    "{what} must agree, but are {a} and {b}"
                )));
            }
        }
        for (what, whole, part) in [
            (
                "the full picture is no multiple of the base picture",
                full.sample_size,
                base.sample_size,
            ),
            (
                "the crop is no multiple of the upsampling factor",
                self.upsampler.crop,
                full.sample_size / base.sample_size,
            ),
        ] {
            if whole % part != 0 {
                return Err(Error::Recipe(format!("{what}: {whole} and {part}")));
            }
        }
        let legs = [
            ("clip", &self.clip.run),
            ("prior", &self.prior.run),
            ("autoregressive", &self.autoregressive.run),
            ("decoder", &self.decoder.run),
            ("upsampler", &self.upsampler.run),
        ];
        for (leg, run) in legs {
            check_count(&format!("{leg}.run.batch"), run.batch, 1..=LARGEST_BATCH)?;
            at_least_one(&format!("{leg}.run.accumulate"), run.accumulate)?;
            if run.batch % run.accumulate != 0 {
                let (batch, parts) = (run.batch, run.accumulate);
                return Err(Error::Recipe(format!(
                    "{leg}.run.batch is {batch}, which cannot be computed in {parts} equal parts"
                )));
            }
            let every = run.checkpoint_every as usize;
            at_least_one(&format!("{leg}.run.checkpoint_every"), every)?;
            run.check_numbers(leg)?;
        }
        let weight_limits = [
            ("decoder.weight_limit", self.decoder.weight_limit),
            ("upsampler.weight_limit", self.upsampler.weight_limit),
        ];
        for (field, limit) in weight_limits {
            check_number(field, limit, POSITIVE)?;
        }
        for (field, deviation) in [
            ("upsampler.blur", self.upsampler.blur),
            ("upsampler.noise", self.upsampler.noise),
        ] {
            check_number(field, deviation, NOT_NEGATIVE)?;
        }
        self.drawing.check()?;
        for (field, share) in [
            ("prior.drop_caption", self.prior.drop_caption),
            (
                "autoregressive.drop_caption",
                self.autoregressive.drop_caption,
            ),
            ("decoder.drop_caption", self.decoder.drop_caption),
            ("decoder.drop_embedding", self.decoder.drop_embedding),
        ] {
            check_number(field, share, SHARE)?;
        }
        let scenes = self.prior.statistics_scenes;
        if scenes < 2 {
            return Err(Error::Recipe(format!(
                "prior.statistics_scenes is {scenes}, and one embedding has no deviation: 2 at least"
            )));
        }
        let (scenes, buckets) = (self.autoregressive.statistics_scenes, codes.buckets);
        if (scenes as i64) < buckets {
            return Err(Error::Recipe(format!(
                "autoregressive.statistics_scenes is {scenes}, too few to fill the {buckets} buckets of a code"
            )));
        }
        at_least_one("tokenizer.captions", self.tokenizer.captions)?;
        check_count("tokenizer.merges", self.tokenizer.merges, 0..=MOST_MERGES)?;
        if full.attention.is_some() {
            return Err(Error::Recipe(
                "upsampler.unet has attention, which Karlo's upsamplers do without".to_owned(),
            ));
        }
        let crop = self.upsampler.crop;
        if !(1..=full.sample_size).contains(&crop) {
            let side = full.sample_size;
            return Err(Error::Recipe(format!(
                "upsampler.crop is {crop}, which must lie between 1 and the full picture's {side}"
            )));
        }
        Ok(())
    }

    /// Every model must be one that its folder's configuration can describe; the part that is not, and why.
    fn check_shapes(&self) -> Result<(), (&'static str, ConfigError)> {
        // The vocabulary follows from the tokenizer.
        let text = TextConfig {
            vocab_size: 2,
            eos_token_id: 1,
            ..self.clip.text.clone()
        };
        let named = |part: &'static str| move |problem: ConfigError| (part, problem);
        configs::check_text(&text).map_err(named("clip.text"))?;
        configs::check_vision(&self.clip.vision).map_err(named("clip.vision"))?;
        configs::check_prior(&self.prior.model).map_err(named("prior.model"))?;
        configs::check_autoregressive(&self.autoregressive.model)
            .map_err(named("autoregressive.model"))?;
        configs::check_conditioning(&self.decoder.conditioning)
            .map_err(named("decoder.conditioning"))?;
        configs::check_unet(&self.decoder.unet).map_err(named("decoder.unet"))?;
        configs::check_unet(&self.upsampler.unet).map_err(named("upsampler.unet"))
    }
}

impl RunSettings {
    fn check_numbers(&self, leg: &str) -> Result<(), Error> {
        let (rate, own) = (self.learning_rate, &self.optimizer);
        check_number(&format!("{leg}.run.learning_rate"), rate, NOT_NEGATIVE)?;
        for (field, number, wanted) in [
            ("beta1", own.beta1, DECAY),
            ("beta2", own.beta2, DECAY),
            ("eps", own.eps, POSITIVE),
            ("weight_decay", own.weight_decay, NOT_NEGATIVE),
            ("clip_norm", own.clip_norm, POSITIVE),
            ("ema_decay", own.ema_decay, DECAY),
        ] {
            check_number(&format!("{leg}.run.optimizer.{field}"), number, wanted)?;
        }
        Ok(())
    }
}

impl DrawingDefaults {
    /// The schedulers have a thousand timesteps.
    fn check(&self) -> Result<(), Error> {
        for (field, steps) in [
            ("drawing.prior_steps", self.prior_steps),
            ("drawing.decoder_steps", self.decoder_steps),
            ("drawing.upsampler_steps", self.upsampler_steps),
        ] {
            check_count(field, steps, 1..=1000)?;
        }
        for (field, scale) in [
            ("drawing.prior_guidance_scale", self.prior_guidance_scale),
            (
                "drawing.decoder_guidance_scale",
                self.decoder_guidance_scale,
            ),
        ] {
            check_number(field, scale, FINITE)?;
        }
        Ok(())
    }
}

fn take<T>(ours: &mut T, theirs: Option<T>) {
    if let Some(theirs) = theirs {
        *ours = theirs;
    }
}

/// Changes a field that is there already.
fn set(table: &mut toml::Table, change: &str) -> Result<(), String> {
    let (path, value) = change
        .split_once('=')
        .ok_or("a change reads `decoder.run.batch=16`")?;
    let (path, value) = (path.trim(), value.trim());
    // What is no number, truth value or table is a string.
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (parents, field) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = table;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let found = table.get_mut(parent).and_then(toml::Value::as_table_mut);
        table = found.ok_or_else(|| format!("the recipe has no part `{parent}`"))?;
    }
    let known = table.keys().cloned().collect::<Vec<_>>().join(", ");
    let old = table
        .get_mut(field)
        .ok_or_else(|| format!("the recipe has no `{field}` there, but {known}"))?;
    *old = value;
    Ok(())
}

/// The most pictures of a step, and the most merges of a tokenizer; what is beyond is a slip of the pen.
const LARGEST_BATCH: usize = 1 << 20;
const MOST_MERGES: usize = 1 << 20;

/// What a number must be, and how that is said.
type Wanted = (fn(f64) -> bool, &'static str);

const FINITE: Wanted = (f64::is_finite, "a finite number");
const NOT_NEGATIVE: Wanted = (|x| x >= 0.0 && x.is_finite(), "0 or more");
const POSITIVE: Wanted = (|x| x > 0.0 && x.is_finite(), "above 0");
const SHARE: Wanted = (|x| (0.0..=1.0).contains(&x), "between 0 and 1");
const DECAY: Wanted = (|x| (0.0..1.0).contains(&x), "between 0 and 1, and not 1");

fn check_number(what: &str, number: f64, (fits, wanted): Wanted) -> Result<(), Error> {
    match fits(number) {
        true => Ok(()),
        false => Err(Error::Recipe(format!(
            "{what} is {number}, and must be {wanted}"
        ))),
    }
}

fn check_count(what: &str, count: usize, range: RangeInclusive<usize>) -> Result<(), Error> {
    match range.contains(&count) {
        true => Ok(()),
        false => Err(Error::Recipe(format!(
            "{what} is {count}, and must be between {} and {}",
            range.start(),
            range.end()
        ))),
    }
}

fn at_least_one(what: &str, count: usize) -> Result<(), Error> {
    if count > 0 {
        Ok(())
    } else {
        Err(Error::Recipe(format!(
            "{what} is 0, and must be at least 1"
        )))
    }
}
