//! CLIP's normalizer and pre-tokenizer: the pieces of a caption that BPE merges within.

use std::sync::LazyLock;

use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::{
    NormalizedString, Normalizer, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
};
use tokenizers::{NormalizerWrapper, OffsetReferential, OffsetType};

/// The start-of-text token.
pub(crate) const START: &str = "<|startoftext|>";
/// The end-of-text token.
pub(crate) const END: &str = "<|endoftext|>";

/// CLIP's pieces: the two marks, English contractions, runs of letters, single digits, runs of anything else.
const PIECES: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Composed characters, single spaces, lower case.
pub(crate) fn normalizer() -> NormalizerWrapper {
    let spaces = Replace::new(
        tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned()),
        " ",
    );
    let spaces = spaces.expect("the pattern for spaces is valid");
    NormalizerWrapper::Sequence(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()]))
}

fn splitter() -> Split {
    Split::new(SplitPattern::Regex(PIECES.to_owned()), SplitDelimiterBehavior::Removed, true)
        .expect("the pattern for pieces is valid")
}

/// [`PIECES`], spelled in bytes.
pub(crate) fn pre_tokenizer() -> PreTokenizerWrapper {
    let bytes = ByteLevel::new(false, true, true);
    PreTokenizerWrapper::Sequence(PreTokenizers::new(vec![splitter().into(), bytes.into()]))
}

/// Splits a caption into its normalised pieces, in order.
pub(crate) fn pre_tokenize(caption: &str) -> Vec<String> {
    static RULES: LazyLock<(NormalizerWrapper, Split)> =
        LazyLock::new(|| (normalizer(), splitter()));
    let mut text = NormalizedString::from(caption);
    RULES.0.normalize(&mut text).expect("normalising a string cannot fail");
    let mut pieces = PreTokenizedString::from(text);
    RULES.1.pre_tokenize(&mut pieces).expect("splitting a string cannot fail");
    pieces
        .get_splits(OffsetReferential::Normalized, OffsetType::Byte)
        .into_iter()
        .map(|(piece, _, _)| piece.to_owned())
        .collect()
}

/// The caption's words in order.
pub fn words(caption: &str) -> Vec<String> {
    pre_tokenize(caption).into_iter().filter(|piece| is_word(piece)).collect()
}

/// Whether a piece is a word: no mark, no contraction's tail and no plain punctuation.
pub(crate) fn is_word(piece: &str) -> bool {
    piece != START
        && piece != END
        && !piece.starts_with('\'')
        && !piece.chars().all(|c| c.is_ascii_punctuation())
}
