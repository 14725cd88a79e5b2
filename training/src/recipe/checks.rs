//! Checks of a recipe: components that fit each other, and numbers that training can use.

use std::ops::RangeInclusive;

use clip::{ImageEncoderConfig, TextConfig};
use families::compatibility::{self, CONTEXT, EMBEDDING, LENGTH, OUTPUTS, STATE, TIME, TWO_IMAGES};
use families::configs::{self, ConfigError};
use families::{Mismatch, Shapes, StageShapes, TokenizerShape, karlo};

use super::{DrawingDefaults, Recipe};
use crate::{Error, RunSettings};

/// The quantities that a recipe can get wrong, each by its second component, in a recipe's words.
const QUANTITIES: [(&str, &str, &str); 15] = [
    (karlo::IMAGE_ENCODER, EMBEDDING, "the two encoders' embeddings"),
    (karlo::PRIOR, EMBEDDING, "the prior's embedding and CLIP's"),
    (karlo::PRIOR, STATE, "the prior's text width and the text encoder's"),
    (karlo::PRIOR, LENGTH, "the prior's context and the tokenizer's"),
    (karlo::AUTOREGRESSIVE_PRIOR, EMBEDDING, "the autoregressive prior's embedding and CLIP's"),
    (
        karlo::AUTOREGRESSIVE_PRIOR,
        STATE,
        "the autoregressive prior's text width and the text encoder's",
    ),
    (karlo::AUTOREGRESSIVE_PRIOR, LENGTH, "the autoregressive prior's context and the tokenizer's"),
    (karlo::TEXT_ENCODER, LENGTH, "the text encoder's context and the tokenizer's"),
    (karlo::CONDITIONING, EMBEDDING, "the decoder's embedding and CLIP's"),
    (karlo::CONDITIONING, STATE, "the decoder's text width and the text encoder's"),
    (karlo::DECODER, TIME, "the conditioning's time width and the decoder's"),
    (karlo::DECODER, CONTEXT, "the conditioning's context width and the decoder's"),
    (karlo::DECODER, OUTPUTS, "the decoder's input and output channels"),
    (karlo::UPSAMPLER, OUTPUTS, "the upsampler's input and output channels"),
    (karlo::UPSAMPLER, TWO_IMAGES, "the upsampler's input and output channels"),
];

impl Recipe {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_shapes()
            .map_err(|(part, problem)| Error::Recipe(format!("{part}: {problem}")))?;
        self.check_compatibility()?;
        let codes = &self.autoregressive.model;
        let (base, full) = (&self.decoder.unet, &self.upsampler.unet);
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
        let trainings = [
            ("clip", &self.clip.run),
            ("prior", &self.prior.run),
            ("autoregressive", &self.autoregressive.run),
            ("decoder", &self.decoder.run),
            ("upsampler", &self.upsampler.run),
        ];
        for (training, run) in trainings {
            run.check(training)?;
        }
        let weight_limits = [
            ("decoder.weight_limit", self.decoder.weight_limit),
            ("upsampler.weight_limit", self.upsampler.weight_limit),
        ];
        for (field, limit) in weight_limits {
            check_number(field, limit, POSITIVE)?;
        }
        for (field, deviation) in
            [("upsampler.blur", self.upsampler.blur), ("upsampler.noise", self.upsampler.noise)]
        {
            check_number(field, deviation, NOT_NEGATIVE)?;
        }
        self.drawing.check()?;
        self.check_glide()?;
        if let Some(student) = &self.decoder_distillation {
            student.check("decoder_distillation", true)?;
        }
        if let Some(student) = &self.upsampler_distillation {
            student.check("upsampler_distillation", false)?;
        }
        for (field, share) in [
            ("prior.drop_caption", self.prior.drop_caption),
            ("autoregressive.drop_caption", self.autoregressive.drop_caption),
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

    /// The components must agree in what [`compatibility`] compares, and captions must be as long as the text encoder reads.
    fn check_compatibility(&self) -> Result<(), Error> {
        let mut found = compatibility::mismatches(&self.shapes(), &karlo());
        let (one, other) = (self.tokenizer.context_length, self.clip.text.context_length);
        if one != other {
            let (first, second) = (karlo::TOKENIZER, karlo::TEXT_ENCODER);
            found.push(Mismatch { first, second, quantity: LENGTH, one, other });
        }
        for (second, quantity, words) in QUANTITIES {
            let fits = |m: &&Mismatch| m.second == second && m.quantity == quantity;
            let Some(&Mismatch { one, other, .. }) = found.iter().find(fits) else {
                continue;
            };
            let (one, other) = match quantity {
                OUTPUTS if second == karlo::UPSAMPLER => (2 * one, 2 * other),
                TIME | CONTEXT | OUTPUTS => (one, other),
                EMBEDDING if second == karlo::IMAGE_ENCODER => (one, other),
                // The words name the second component first.
                _ => (other, one),
            };
            return Err(Error::Recipe(format!("{words} must agree, but are {one} and {other}")));
        }
        match found.first() {
            Some(mismatch) => Err(Error::Recipe(mismatch.to_string())),
            None => Ok(()),
        }
    }

    fn shapes(&self) -> Shapes {
        let text = &self.clip.text;
        Shapes {
            tokenizer: Some(TokenizerShape {
                vocab_size: text.vocab_size,
                context_length: self.tokenizer.context_length,
            }),
            text_encoder: Some(text.clone()),
            image_encoder: Some(ImageEncoderConfig::VisionTransformer(self.clip.vision.clone())),
            prior: Some(self.prior.model.clone()),
            autoregressive_prior: Some(self.autoregressive.model.clone()),
            stages: vec![
                StageShapes {
                    conditioning: Some(self.decoder.conditioning.clone()),
                    network: Some(self.decoder.unet.clone()),
                    scheduler: Some(karlo::decoder_scheduler()),
                    ..StageShapes::default()
                },
                StageShapes {
                    network: Some(self.upsampler.unet.clone()),
                    scheduler: Some(karlo::upsampler_scheduler(self.upsampler.predicts)),
                    ..StageShapes::default()
                },
            ],
            ..Shapes::default()
        }
    }

    /// Every model must be one that its folder's configuration can describe; the part that is not, and why.
    fn check_shapes(&self) -> Result<(), (&'static str, ConfigError)> {
        // The vocabulary follows from the tokenizer.
        let text = TextConfig { vocab_size: 2, eos_token_id: 1, ..self.clip.text.clone() };
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
    /// Refuses a run that cannot be computed.
    pub(super) fn check(&self, training: &str) -> Result<(), Error> {
        check_count(&format!("{training}.run.batch"), self.batch, 1..=LARGEST_BATCH)?;
        at_least_one(&format!("{training}.run.accumulate"), self.accumulate)?;
        if !self.batch.is_multiple_of(self.accumulate) {
            let (batch, parts) = (self.batch, self.accumulate);
            return Err(Error::Recipe(format!(
                "{training}.run.batch is {batch}, which cannot be computed in {parts} equal parts"
            )));
        }
        let every = self.checkpoint_every as usize;
        at_least_one(&format!("{training}.run.checkpoint_every"), every)?;
        self.check_numbers(training)
    }

    fn check_numbers(&self, training: &str) -> Result<(), Error> {
        let (rate, own) = (self.learning_rate, &self.optimizer);
        check_number(&format!("{training}.run.learning_rate"), rate, NOT_NEGATIVE)?;
        for (field, number, wanted) in [
            ("beta1", own.beta1, DECAY),
            ("beta2", own.beta2, DECAY),
            ("eps", own.eps, POSITIVE),
            ("weight_decay", own.weight_decay, NOT_NEGATIVE),
            ("clip_norm", own.clip_norm, POSITIVE),
            ("ema_decay", own.ema_decay, DECAY),
        ] {
            check_number(&format!("{training}.run.optimizer.{field}"), number, wanted)?;
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
            ("drawing.decoder_guidance_scale", self.decoder_guidance_scale),
        ] {
            check_number(field, scale, FINITE)?;
        }
        Ok(())
    }
}

/// The most pictures of a step, and the most merges of a tokenizer; what is beyond is a slip of the pen.
const LARGEST_BATCH: usize = 1 << 20;
const MOST_MERGES: usize = 1 << 20;

/// A condition of a number, and its words.
pub(super) type Condition = (fn(f64) -> bool, &'static str);

pub(super) const FINITE: Condition = (f64::is_finite, "a finite number");
const NOT_NEGATIVE: Condition = (|x| x >= 0.0 && x.is_finite(), "0 or more");
pub(super) const POSITIVE: Condition = (|x| x > 0.0 && x.is_finite(), "above 0");
pub(super) const SHARE: Condition = (|x| (0.0..=1.0).contains(&x), "between 0 and 1");
const DECAY: Condition = (|x| (0.0..1.0).contains(&x), "between 0 and 1, and not 1");

pub(super) fn check_number(
    what: &str,
    number: f64,
    (fits, wanted): Condition,
) -> Result<(), Error> {
    match fits(number) {
        true => Ok(()),
        false => Err(Error::Recipe(format!("{what} is {number}, and must be {wanted}"))),
    }
}

pub(super) fn check_count(
    what: &str,
    count: usize,
    range: RangeInclusive<usize>,
) -> Result<(), Error> {
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
        Err(Error::Recipe(format!("{what} is 0, and must be at least 1")))
    }
}
