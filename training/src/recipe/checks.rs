//! Checks of a recipe: parts that fit each other, and numbers that a run can train with.

use std::ops::RangeInclusive;

use clip::TextConfig;
use weights::configs::{self, ConfigError};

use super::{DrawingDefaults, Recipe};
use crate::{Error, RunSettings};

impl Recipe {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_shapes()
            .map_err(|(part, problem)| Error::Recipe(format!("{part}: {problem}")))?;
        self.check_equalities()?;
        self.check_sizes()?;
        self.clip.run.check("clip")?;
        self.prior.run.check("prior")?;
        self.autoregressive.run.check("autoregressive")?;
        self.decoder.run.check("decoder")?;
        self.upsampler.run.check("upsampler")?;
        self.check_numbers()?;
        self.drawing.check()?;
        self.check_statistics()?;
        check_count("tokenizer.captions", self.tokenizer.captions, AT_LEAST_ONE)?;
        check_count("tokenizer.merges", self.tokenizer.merges, 0..=MAX_MERGES)
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

    /// The models must agree on what one gives and another takes.
    fn check_equalities(&self) -> Result<(), Error> {
        let (text, vision, prior) = (&self.clip.text, &self.clip.vision, &self.prior.model);
        let codes = &self.autoregressive.model;
        let (conditioning, base, full) =
            (&self.decoder.conditioning, &self.decoder.unet, &self.upsampler.unet);
        let context = self.tokenizer.context_length;
        let attended = base.attention.as_ref().map_or(0, |attention| attention.context_width);
        let of_codes = "the autoregressive prior's text width and the text encoder's";
        let of_conditioning = "the conditioning's context width and the decoder's";
        let channels = "the upsampler's input and output channels";
        for (what, one, other) in [
            ("the two encoders' embeddings", text.embedding, vision.embedding),
            ("the prior's embedding and CLIP's", prior.embedding, text.embedding),
            ("the prior's text width and the text encoder's", prior.text_width, text.width),
            ("the prior's context and the tokenizer's", prior.context_length, context),
            ("the autoregressive prior's embedding and CLIP's", codes.embedding, text.embedding),
            (of_codes, codes.text_width, text.width),
            (
                "the autoregressive prior's context and the tokenizer's",
                codes.context_length,
                context,
            ),
            ("the text encoder's context and the tokenizer's", text.context_length, context),
            ("the decoder's embedding and CLIP's", conditioning.embedding, text.embedding),
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
            (of_conditioning, conditioning.context_width, attended),
            ("the decoder's input and output channels", 2 * base.in_channels, base.out_channels),
            (channels, full.in_channels, 2 * full.out_channels),
        ] {
            if one != other {
                return Err(wrong(format!("{what} must agree, but are {one} and {other}")));
            }
        }
        Ok(())
    }

    /// The upsampler must enlarge by a whole factor, from crops that are whole, and without attention.
    fn check_sizes(&self) -> Result<(), Error> {
        let (base, full) = (self.decoder.unet.sample_size, self.upsampler.unet.sample_size);
        let crop = self.upsampler.crop;
        for (what, whole, part) in [
            ("the full picture is no multiple of the base picture", full, base),
            ("the crop is no multiple of the upsampling factor", crop, full / base),
        ] {
            if whole % part != 0 {
                return Err(wrong(format!("{what}: {whole} and {part}")));
            }
        }
        if self.upsampler.unet.attention.is_some() {
            return Err(wrong("upsampler.unet has attention, which Karlo's upsamplers do without"));
        }
        if !(1..=full).contains(&crop) {
            return Err(wrong(format!(
                "upsampler.crop is {crop}, which must lie between 1 and the full picture's {full}"
            )));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Error> {
        for (field, number, constraint) in [
            ("decoder.weight_limit", self.decoder.weight_limit, POSITIVE),
            ("upsampler.weight_limit", self.upsampler.weight_limit, POSITIVE),
            ("upsampler.blur", self.upsampler.blur, NOT_NEGATIVE),
            ("upsampler.noise", self.upsampler.noise, NOT_NEGATIVE),
            ("prior.drop_caption", self.prior.drop_caption, SHARE),
            ("autoregressive.drop_caption", self.autoregressive.drop_caption, SHARE),
            ("decoder.drop_caption", self.decoder.drop_caption, SHARE),
            ("decoder.drop_embedding", self.decoder.drop_embedding, SHARE),
        ] {
            check_number(field, number, constraint)?;
        }
        Ok(())
    }

    /// There must be embeddings enough to measure statistics on.
    fn check_statistics(&self) -> Result<(), Error> {
        let scenes = self.prior.statistics_scenes;
        if scenes < 2 {
            return Err(wrong(format!(
                "prior.statistics_scenes is {scenes}, and one embedding has no deviation: 2 at least"
            )));
        }
        let (scenes, buckets) =
            (self.autoregressive.statistics_scenes, self.autoregressive.model.buckets);
        if (scenes as i64) < buckets {
            return Err(wrong(format!(
                "autoregressive.statistics_scenes is {scenes}, too few to fill the {buckets} buckets of a code"
            )));
        }
        Ok(())
    }
}

impl RunSettings {
    /// Checks the settings of `model`'s run.
    fn check(&self, model: &str) -> Result<(), Error> {
        let &Self { batch, accumulate: parts, .. } = self;
        let every = self.checkpoint_every as usize;
        check_count(&format!("{model}.run.batch"), batch, 1..=MAX_BATCH)?;
        check_count(&format!("{model}.run.accumulate"), parts, AT_LEAST_ONE)?;
        if batch % parts != 0 {
            return Err(wrong(format!(
                "{model}.run.batch is {batch}, which cannot be computed in {parts} equal parts"
            )));
        }
        check_count(&format!("{model}.run.checkpoint_every"), every, AT_LEAST_ONE)?;
        let optimizer = &self.optimizer;
        for (field, number, constraint) in [
            ("learning_rate", self.learning_rate, NOT_NEGATIVE),
            ("optimizer.beta1", optimizer.beta1, DECAY),
            ("optimizer.beta2", optimizer.beta2, DECAY),
            ("optimizer.eps", optimizer.eps, POSITIVE),
            ("optimizer.weight_decay", optimizer.weight_decay, NOT_NEGATIVE),
            ("optimizer.clip_norm", optimizer.clip_norm, POSITIVE),
            ("optimizer.ema_decay", optimizer.ema_decay, DECAY),
        ] {
            check_number(&format!("{model}.run.{field}"), number, constraint)?;
        }
        Ok(())
    }
}

impl DrawingDefaults {
    /// The schedulers have a thousand timesteps.
    fn check(&self) -> Result<(), Error> {
        check_count("drawing.prior_steps", self.prior_steps, 1..=1000)?;
        check_count("drawing.decoder_steps", self.decoder_steps, 1..=1000)?;
        check_count("drawing.upsampler_steps", self.upsampler_steps, 1..=1000)?;
        check_number("drawing.prior_guidance_scale", self.prior_guidance_scale, FINITE)?;
        check_number("drawing.decoder_guidance_scale", self.decoder_guidance_scale, FINITE)
    }
}

/// The most images of a step, and the most merges of a tokenizer; more is a slip of the pen.
const MAX_BATCH: usize = 1 << 20;
const MAX_MERGES: usize = 1 << 20;

const AT_LEAST_ONE: RangeInclusive<usize> = 1..=usize::MAX;

/// A condition on a number, and its words.
type Constraint = (fn(f64) -> bool, &'static str);

const FINITE: Constraint = (f64::is_finite, "a finite number");
const NOT_NEGATIVE: Constraint = (|x| x >= 0.0 && x.is_finite(), "0 or more");
const POSITIVE: Constraint = (|x| x > 0.0 && x.is_finite(), "above 0");
const SHARE: Constraint = (|x| (0.0..=1.0).contains(&x), "between 0 and 1");
const DECAY: Constraint = (|x| (0.0..1.0).contains(&x), "between 0 and 1, and not 1");

fn wrong(why: impl Into<String>) -> Error {
    Error::Recipe(why.into())
}

fn check_number(field: &str, number: f64, (holds, words): Constraint) -> Result<(), Error> {
    match holds(number) {
        true => Ok(()),
        false => Err(wrong(format!("{field} is {number}, and must be {words}"))),
    }
}

fn check_count(field: &str, count: usize, range: RangeInclusive<usize>) -> Result<(), Error> {
    if range.contains(&count) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(wrong(match *most == usize::MAX {
        true => format!("{field} is {count}, and must be at least {least}"),
        false => format!("{field} is {count}, and must be between {least} and {most}"),
    }))
}
