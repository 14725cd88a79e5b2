//! Recipes: the models' shapes and the runs that train them, as data.

mod checks;
mod distillation;
mod glide_checks;

use serde::{Deserialize, Serialize};

use clip::{ImageEncoderConfig, NoisedImageConfig, NoisedTextConfig, TextConfig, VisionConfig};
use decoder::{ConditioningConfig, TextTransformerConfig, UNetConfig};
use diffusion::Prediction;
use families::Shapes;
use files::text::excerpt;
use prior::{AutoregressiveConfig, PriorConfig};

use crate::{Error, RunSettings};

pub use distillation::DistillationRecipe;

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
    /// From image embeddings to the base image.
    pub decoder: DecoderRecipe,
    /// From the base image to the full size.
    pub upsampler: UpsamplerRecipe,
    /// The decoder's student; none in a recipe without distillation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_distillation: Option<DistillationRecipe>,
    /// The upsampler's student; none in a recipe without distillation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upsampler_distillation: Option<DistillationRecipe>,
    /// GLIDE's base; none in a recipe of unCLIP alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glide: Option<GlideRecipe>,
    /// The CLIP of noised images; none in a recipe without CLIP guidance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noised_clip: Option<NoisedClipRecipe>,
    /// The model's defaults for sampling.
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

/// CLIP's two encoders and their run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipRecipe {
    /// The text transformer; its vocabulary follows from the tokenizer.
    pub text: TextConfig,
    /// The vision transformer.
    pub vision: VisionConfig,
    /// Its run.
    pub run: RunSettings,
}

/// The prior and its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorRecipe {
    /// The network.
    pub model: PriorConfig,
    /// Share of captions that are replaced by the empty one.
    pub drop_caption: f64,
    /// Training scenes whose embeddings give the mean and deviation that whiten.
    pub statistics_scenes: usize,
    /// Its run.
    pub run: RunSettings,
}

/// The autoregressive prior and its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoregressiveRecipe {
    /// The network and its codes.
    pub model: AutoregressiveConfig,
    /// Share of captions that are replaced by the empty one, and whose closeness is replaced by the unknown one.
    pub drop_caption: f64,
    /// Training scenes on whose embeddings the principal components and the codes' buckets are measured.
    pub statistics_scenes: usize,
    /// Its run.
    pub run: RunSettings,
}

/// The decoder with its conditioning, and their run.
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
    /// Gradient checkpointing: the network's blocks are recomputed in the backward pass instead of saving their activations:
    /// less memory, a third more work.
    pub gradient_checkpointing: bool,
    /// Its run.
    pub run: RunSettings,
}

/// The upsampler and its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsamplerRecipe {
    /// The network; its sample size is the full image's.
    pub unet: UNetConfig,
    /// Its parameterisation. Karlo's predicts the noise; at the first steps, which are next to nothing but noise, the clean
    /// image is the easier to predict, because the base image shows most of it.
    pub predicts: Prediction,
    /// Side of the square crops that it trains on.
    pub crop: i64,
    /// Standard deviation of the Gaussian blur, in base pixels, that the base image gets at most.
    pub blur: f64,
    /// Standard deviation of the noise that the base image gets at most, on the scale [-1, 1].
    pub noise: f64,
    /// As the decoder's: here it preserves the colours of the base image. The loss of a predicted clean image is weighted by
    /// min(1 / (1 - alpha_bar), this), which is the same up to the limits.
    pub weight_limit: f64,
    /// As the decoder's.
    pub gradient_checkpointing: bool,
    /// Its run.
    pub run: RunSettings,
}

/// GLIDE's base with its text transformer (2112.10741, section 3), and their runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlideRecipe {
    /// The text transformer; its vocabulary follows from the tokenizer.
    pub text: TextTransformerConfig,
    /// The network before it is fine-tuned to inpaint; with the channels for that where it was before.
    pub unet: UNetConfig,
    /// Share of captions that are replaced by the empty one.
    pub drop_caption: f64,
    /// As the decoder's.
    pub weight_limit: f64,
    /// As the decoder's.
    pub gradient_checkpointing: bool,
    /// The run on captions alone.
    pub run: RunSettings,
    /// The fine-tuning to inpaint.
    pub inpainting: InpaintingRecipe,
    /// The model's defaults for sampling.
    pub drawing: GlideDrawingDefaults,
}

/// Steps and guidance that suit a trained compact GLIDE; its index carries them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlideDrawingDefaults {
    /// Steps of the base.
    pub decoder_steps: usize,
    /// Steps of the upsampler.
    pub upsampler_steps: usize,
    /// Guidance of the base.
    pub decoder_guidance_scale: f64,
}

/// The fine-tuning of GLIDE's base to paint where an image is erased (2112.10741, section 3.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InpaintingRecipe {
    /// Share of images of which everything is erased, so that the network goes on to draw of captions alone.
    pub erase_all: f64,
    /// Its run.
    pub run: RunSettings,
}

/// The CLIP of noised images (2112.10741, section 4.4) and its run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisedClipRecipe {
    /// The text encoder; its vocabulary follows from the tokenizer.
    pub text: NoisedTextConfig,
    /// The image encoder, of images as large as the base's.
    pub image: NoisedImageConfig,
    /// Its run; a batch is computed at once.
    pub run: RunSettings,
}

impl GlideRecipe {
    /// The network that inpaints: the known pixels and their mask follow the noised image.
    pub fn inpainting_unet(&self) -> UNetConfig {
        UNetConfig { in_channels: self.unet.out_channels + 1, ..self.unet.clone() }
    }
}

impl Recipe {
    /// The part on the decoder's student.
    pub fn decoder_distillation(&self) -> Result<&DistillationRecipe, Error> {
        self.decoder_distillation.as_ref().ok_or(Error::NoPart("decoder_distillation"))
    }

    /// The part on the upsampler's student.
    pub fn upsampler_distillation(&self) -> Result<&DistillationRecipe, Error> {
        self.upsampler_distillation.as_ref().ok_or(Error::NoPart("upsampler_distillation"))
    }

    /// The part on GLIDE's base.
    pub fn glide(&self) -> Result<&GlideRecipe, Error> {
        self.glide.as_ref().ok_or(Error::NoPart("glide"))
    }

    /// The part on the CLIP of noised images.
    pub fn noised_clip(&self) -> Result<&NoisedClipRecipe, Error> {
        self.noised_clip.as_ref().ok_or(Error::NoPart("noised_clip"))
    }

    /// A preset as it is: see [`Recipe::preset_text`].
    pub fn preset(name: &str) -> Result<Self, Error> {
        Self::read(Self::preset_text(name)?, &Shapes::default(), &[""; 0])
    }

    /// The text of a preset: `small` (the model that ships), `world` (a model of everyday captions), `tiny` (for tests:
    /// seconds), `karlo` (the shapes of Karlo) or `paper` (table 3 of 2204.06125).
    pub fn preset_text(name: &str) -> Result<&'static str, Error> {
        let presets = [
            ("small", include_str!("../presets/small.toml")),
            ("world", include_str!("../presets/world.toml")),
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
        let mut recipe: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            Error::Recipe(format!("{place}{}", excerpt(error.message().trim())))
        })?;
        recipe.take_shapes(shapes);
        if !changes.is_empty() {
            let mut table = toml::Table::try_from(&recipe).expect("a recipe is a table");
            for change in changes {
                let change = change.as_ref();
                set(&mut table, change)
                    .map_err(|why| Error::Recipe(format!("`{}`: {why}", excerpt(change))))?;
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
        if let Some(text) = shapes.text_encoder {
            self.tokenizer.context_length = text.context_length;
            // Where the model has no such prior yet, a new one must fit its encoders.
            let codes = &mut self.autoregressive.model;
            (codes.embedding, codes.text_width) = (text.embedding, text.width);
            codes.context_length = text.context_length;
            codes.dimensions = codes.dimensions.min(text.embedding);
            self.clip.text = text;
        }
        if let Some(ImageEncoderConfig::VisionTransformer(vision)) = shapes.image_encoder {
            self.clip.vision = vision;
        }
        take(&mut self.prior.model, shapes.prior);
        take(&mut self.autoregressive.model, shapes.autoregressive_prior);
        let mut stages = shapes.stages.into_iter();
        let (decoder, upsampler) = (stages.next(), stages.next());
        let (decoder, upsampler) = (decoder.unwrap_or_default(), upsampler.unwrap_or_default());
        if let Some(clip) = &mut self.noised_clip {
            // Where the model has no such CLIP yet, a new one must fit its base.
            if let (Some(_), Some(base)) = (&decoder.text_encoder, &decoder.network) {
                clip.image.image_size = base.sample_size;
            }
            take(&mut clip.text, shapes.noised_text_encoder);
            take(&mut clip.image, shapes.noised_image_encoder);
        }
        if let Some(text) = decoder.text_encoder {
            if let Some(glide) = &mut self.glide {
                glide.text = text;
                take(&mut glide.unet, decoder.network);
            }
            return;
        }
        take(&mut self.decoder.conditioning, decoder.conditioning);
        take(&mut self.decoder.unet, decoder.network);
        take(&mut self.upsampler.predicts, upsampler.scheduler.map(|s| s.prediction));
        if let Some(unet) = upsampler.network {
            self.upsampler.crop = self.upsampler.crop.min(unet.sample_size);
            self.upsampler.unet = unet;
        }
    }
}

fn take<T>(ours: &mut T, theirs: Option<T>) {
    if let Some(theirs) = theirs {
        *ours = theirs;
    }
}

/// Changes a field that is there already.
fn set(table: &mut toml::Table, change: &str) -> Result<(), String> {
    let (path, value) = change.split_once('=').ok_or("a change reads `decoder.run.batch=16`")?;
    let (path, value) = (path.trim(), value.trim());
    // A value that is no number, truth value or table is a string.
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
