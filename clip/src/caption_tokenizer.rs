//! The tokenizer of a network that reads captions itself: CLIP's or GPT-2's.

use crate::{Gpt2Tokenizer, KnownWords, Tokenizer, TokenizerError, Tokens};

/// A tokenizer of captions.
pub enum CaptionTokenizer {
    /// CLIP's, with a start and an end around each caption.
    Clip(Tokenizer),
    /// GPT-2's, without (GLIDE, 2112.10741, section 4.1).
    Gpt2(Gpt2Tokenizer),
}

impl CaptionTokenizer {
    /// Uses this context length. An error for one that no caption fits into.
    pub fn with_context_length(self, length: usize) -> Result<Self, TokenizerError> {
        Ok(match self {
            Self::Clip(tokenizer) => Self::Clip(tokenizer.with_context_length(length)?),
            Self::Gpt2(tokenizer) => Self::Gpt2(tokenizer.with_context_length(length)?),
        })
    }

    /// T, to which captions are padded and cut; `None` for a tokenizer of CLIP's that does not say it.
    pub fn context_length(&self) -> Option<usize> {
        match self {
            Self::Clip(tokenizer) => tokenizer.context_length(),
            Self::Gpt2(tokenizer) => Some(tokenizer.context_length()),
        }
    }

    /// The number of tokens: a network needs an embedding for each.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Clip(tokenizer) => tokenizer.vocab_size(),
            Self::Gpt2(tokenizer) => tokenizer.vocab_size(),
        }
    }

    /// Captions `[B]` to tokens `[B, T]`. A caption that is too long loses its last words.
    pub fn encode(&self, captions: &[impl AsRef<str>]) -> Result<Tokens, TokenizerError> {
        match self {
            Self::Clip(tokenizer) => tokenizer.encode(captions),
            Self::Gpt2(tokenizer) => tokenizer.encode(captions),
        }
    }

    /// The words of a caption that no training caption had, where the tokenizer knows them.
    pub fn unknown_words(&self, caption: &str) -> Vec<String> {
        match self {
            Self::Clip(tokenizer) => tokenizer.unknown_words(caption),
            Self::Gpt2(_) => Vec::new(),
        }
    }

    /// The words that training captions had, where the tokenizer knows them.
    pub fn known_words(&self) -> Option<&KnownWords> {
        match self {
            Self::Clip(tokenizer) => tokenizer.known_words(),
            Self::Gpt2(_) => None,
        }
    }
}
