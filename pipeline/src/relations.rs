//! What the parts of one model must agree in.

use clip::{TextEncoder, Tokenizer};
use decoder::{Conditioning, UNet};
use prior::Prior;

use crate::Error;

/// The parts that a picture from a caption runs through.
pub(crate) struct Relations<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) text_encoder: &'a TextEncoder,
    pub(crate) prior: &'a Prior,
    pub(crate) conditioning: &'a Conditioning,
    pub(crate) decoder: &'a UNet,
    pub(crate) upsampler_first: &'a UNet,
    pub(crate) upsampler_last: &'a UNet,
}

impl Relations<'_> {
    /// Fails with the first two parts that do not fit each other. The published classes have text states as wide as the
    /// embedding, which `weights` and the networks' tensors hold the later parts to.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let text = self.text_encoder.config();
        let length = self.tokenizer.context_length().unwrap_or_default() as i64;
        let vocabulary = self.tokenizer.vocab_size() as i64;
        let (prior, conditioning) = (self.prior.config(), self.conditioning.config());
        let decoder = self.decoder.config();
        let (first, last) = (self.upsampler_first.config(), self.upsampler_last.config());

        let fit = |parts, quantity, (one, other): (i64, i64)| {
            fit(one == other, parts, quantity, (one, other))
        };
        self::fit(
            vocabulary <= text.vocab_size,
            ("tokenizer", "text_encoder"),
            "the number of tokens",
            (vocabulary, text.vocab_size),
        )?;
        self::fit(
            length <= text.context_length,
            ("tokenizer", "text_encoder"),
            "the length of a caption",
            (length, text.context_length),
        )?;
        fit(
            ("tokenizer", "prior"),
            "the length of a caption",
            (length, prior.context_length),
        )?;
        fit(
            ("text_encoder", "prior"),
            "the width of an embedding",
            (text.embedding, prior.embedding),
        )?;
        fit(
            ("text_encoder", "prior"),
            "the width of a text state",
            (text.width, prior.text_width),
        )?;
        fit(
            ("prior", "text_proj"),
            "the width of an embedding",
            (prior.embedding, conditioning.embedding),
        )?;
        let time_widths = (conditioning.time_width, decoder.time_width());
        fit(
            ("text_proj", "decoder"),
            "the width of the time embedding",
            time_widths,
        )?;
        let attended = decoder.attention.as_ref().map_or(0, |a| a.context_width);
        fit(
            ("text_proj", "decoder"),
            "the width of the context",
            (conditioning.context_width, attended),
        )?;
        let pairs = (2 * decoder.in_channels, first.in_channels);
        fit(
            ("decoder", "super_res_first"),
            "the number of channels of two pictures",
            pairs,
        )?;
        let channels = (first.in_channels, last.in_channels);
        fit(
            ("super_res_first", "super_res_last"),
            "the number of channels",
            channels,
        )?;
        let sizes = (first.sample_size, last.sample_size);
        fit(
            ("super_res_first", "super_res_last"),
            "the size of a picture",
            sizes,
        )
    }
}

fn fit(
    fits: bool,
    (first, second): (&'static str, &'static str),
    quantity: &'static str,
    (one, other): (i64, i64),
) -> Result<(), Error> {
    if fits {
        Ok(())
    } else {
        Err(Error::Mismatch {
            first,
            second,
            quantity,
            one,
            other,
        })
    }
}
