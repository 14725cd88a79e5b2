//! What the parts of one model must agree in.

use clip::{TextEncoder, Tokenizer};
use decoder::{Conditioning, UNet};
use prior::Prior;

use crate::Error;
use crate::shapes::{ConditioningShape, PriorShape, UNetShape};

/// The parts that a picture from a caption runs through.
pub(crate) struct Relations<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) text_encoder: &'a TextEncoder,
    pub(crate) prior: &'a (Prior, PriorShape),
    pub(crate) conditioning: &'a (Conditioning, ConditioningShape),
    pub(crate) decoder: &'a (UNet, UNetShape),
    pub(crate) upsampler_first: &'a (UNet, UNetShape),
    pub(crate) upsampler_last: &'a (UNet, UNetShape),
}

impl Relations<'_> {
    /// Fails with the first two parts that do not fit each other. The published classes have text states as wide as the
    /// embedding, which `weights` and the networks' tensors hold the later parts to.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let text = self.text_encoder.config();
        let length = self.tokenizer.context_length().unwrap_or_default() as i64;
        let vocabulary = self.tokenizer.vocab_size() as i64;
        let (prior, prior_shape) = self.prior;
        let (conditioning, projected) = self.conditioning;
        let (first, last) = (&self.upsampler_first.1, &self.upsampler_last.1);
        let decoder = &self.decoder.1;
        let whitened = prior.mean.size()[1];
        let embedding = conditioning.unconditional().size()[0];

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
            (length, prior_shape.context_length),
        )?;
        fit(
            ("text_encoder", "prior"),
            "the width of an embedding",
            (text.embedding, whitened),
        )?;
        fit(
            ("text_encoder", "prior"),
            "the width of a text state",
            (text.width, whitened),
        )?;
        fit(
            ("prior", "text_proj"),
            "the width of an embedding",
            (whitened, embedding),
        )?;
        let time_widths = (projected.time_width, decoder.time_width());
        fit(
            ("text_proj", "decoder"),
            "the width of the time embedding",
            time_widths,
        )?;
        let context_widths = (projected.context_width, decoder.context_width());
        fit(
            ("text_proj", "decoder"),
            "the width of the context",
            context_widths,
        )?;
        let pairs = (2 * decoder.in_channels(4), first.in_channels(3));
        fit(
            ("decoder", "super_res_first"),
            "the number of channels of two pictures",
            pairs,
        )?;
        let channels = (first.in_channels(3), last.in_channels(3));
        fit(
            ("super_res_first", "super_res_last"),
            "the number of channels",
            channels,
        )?;
        let sizes = (first.sample_size(), last.sample_size());
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
