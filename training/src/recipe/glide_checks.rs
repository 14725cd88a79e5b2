//! Checks of a recipe's compact GLIDE and of its noised CLIP.

use families::configs;

use super::checks::{FINITE, POSITIVE, SHARE, check_count, check_number};
use super::{GlideRecipe, NoisedClipRecipe, Recipe};
use crate::Error;
use crate::noising::TIMESTEPS;

impl Recipe {
    /// Refuses a compact GLIDE, or a noised CLIP, whose parts do not fit each other or cannot be trained.
    pub(super) fn check_glide(&self) -> Result<(), Error> {
        if let Some(glide) = &self.glide {
            glide.check()?;
        }
        if let Some(clip) = &self.noised_clip {
            clip.check()?;
        }
        match (&self.glide, &self.noised_clip) {
            (Some(glide), Some(clip)) => agree(
                "noised_clip.image.image_size and glide.unet.sample_size",
                clip.image.image_size,
                glide.unet.sample_size,
            ),
            _ => Ok(()),
        }
    }
}

impl GlideRecipe {
    fn check(&self) -> Result<(), Error> {
        let Self { text, unet, inpainting, drawing, .. } = self;
        // The vocabulary follows from the tokenizer.
        let known = decoder::TextTransformerConfig { vocab_size: 1, ..text.clone() };
        named("glide.text", configs::check_text_transformer(&known))?;
        named("glide.unet", configs::check_unet(unet))?;
        let Some(attention) = &unet.attention else {
            return Err(Error::Recipe(
                "glide.unet has no attention, by which it reads a caption".to_owned(),
            ));
        };
        agree(
            "glide.text.width and glide.unet.attention.context_width",
            text.width,
            attention.context_width,
        )?;
        agree(
            "glide.text.time_width and the time embedding of glide.unet",
            text.time_width,
            unet.time_width(),
        )?;
        if unet.in_channels != self.inpainting_unet().in_channels {
            agree(
                "glide.unet.out_channels and twice its in_channels",
                unet.out_channels,
                2 * unet.in_channels,
            )?;
        }
        for (field, share) in [
            ("glide.drop_caption", self.drop_caption),
            ("glide.inpainting.erase_all", inpainting.erase_all),
        ] {
            check_number(field, share, SHARE)?;
        }
        check_number("glide.weight_limit", self.weight_limit, POSITIVE)?;
        for (field, steps) in [
            ("glide.drawing.decoder_steps", drawing.decoder_steps),
            ("glide.drawing.upsampler_steps", drawing.upsampler_steps),
        ] {
            check_count(field, steps, 1..=TIMESTEPS)?;
        }
        check_number(
            "glide.drawing.decoder_guidance_scale",
            drawing.decoder_guidance_scale,
            FINITE,
        )?;
        self.run.check("glide")?;
        inpainting.run.check("glide.inpainting")
    }
}

impl NoisedClipRecipe {
    fn check(&self) -> Result<(), Error> {
        let Self { text, image, run } = self;
        let known = clip::NoisedTextConfig { vocab_size: 1, ..text.clone() };
        named("noised_clip.text", configs::check_noised_text(&known))?;
        named("noised_clip.image", configs::check_noised_image(image))?;
        agree(
            "noised_clip.text.embedding and noised_clip.image.embedding",
            text.embedding,
            image.embedding,
        )?;
        agree("noised_clip.image.timesteps and the schedule's", image.timesteps, TIMESTEPS as i64)?;
        run.check("noised_clip")?;
        match run.accumulate {
            1 => Ok(()),
            parts => Err(Error::Recipe(format!(
                "noised_clip.run.accumulate is {parts}, and its batch is computed at once: 1"
            ))),
        }
    }
}

fn named(part: &str, checked: Result<(), configs::ConfigError>) -> Result<(), Error> {
    checked.map_err(|problem| Error::Recipe(format!("{part}: {problem}")))
}

/// Refuses two numbers that differ.
fn agree(what: &str, one: i64, other: i64) -> Result<(), Error> {
    match one == other {
        true => Ok(()),
        false => Err(Error::Recipe(format!("{what} must agree, but are {one} and {other}"))),
    }
}
