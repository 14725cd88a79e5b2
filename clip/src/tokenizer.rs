//! CLIP's tokenizer: byte-level BPE, start and end tokens around every caption, truncation and padding to one length.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use files::gzip::gunzip;
use files::text;
use files::whole_file::LONGEST_TEXT;
use tch::Tensor;
use thiserror::Error;
use tokenizers::NormalizerWrapper;

use crate::known_words::KnownWords;
use crate::pre_tokenizer::{END, START};
use crate::text_cleaning::clean;
use crate::tokenizer_config::{ClipTokenizer, SpecialTokens, build, build_from_merges};
use crate::vocabulary::{FileProblem, Vocabulary};

/// The contents of a tokenizer's files; either `tokenizer.json` or both of `vocab.json` and `merges.txt` are needed.
#[derive(Clone, Copy, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`, which is preferred to the two older files.
    pub tokenizer_json: Option<&'a [u8]>,
    /// `vocab.json`: every token and its number.
    pub vocab_json: Option<&'a [u8]>,
    /// `merges.txt`: pairs of tokens, the first merged first.
    pub merges_txt: Option<&'a [u8]>,
    /// `tokenizer_config.json`: the context length and the special tokens.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`: the special tokens again.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `words.txt`: the words that the captions of the model's training had, one a line; our own models have it.
    pub words_txt: Option<&'a [u8]>,
    /// `nearest_words.txt`: for words that none had, the nearest of these; see [`KnownWords::read`].
    pub nearest_words_txt: Option<&'a [u8]>,
}

/// Why there is no tokenizer, or no tokens.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// Too few files.
    #[error("the tokenizer has neither tokenizer.json nor both vocab.json and merges.txt")]
    NoVocabulary,
    /// A file that cannot be read for what it should be.
    #[error("{} is not what a CLIP tokenizer needs: {}", .0.file, .0.problem)]
    File(FileProblem),
    /// A file that cannot be read for what GPT-2's tokenizer needs.
    #[error("{} is not what a GPT-2 tokenizer needs: {}", .0.file, .0.problem)]
    Gpt2File(FileProblem),
    /// Too few of GPT-2's files.
    #[error(
        "the tokenizer has neither tokenizer.json nor both encoder.json and vocab.bpe (or vocab.json and merges.txt)"
    )]
    NoGpt2Vocabulary,
    /// A special token without a number.
    #[error("the tokenizer's {role} token {token:?} is not in its vocabulary ({file})")]
    NoSuchToken {
        /// The file that holds the vocabulary.
        file: &'static str,
        /// The token's role: start, end, padding or unknown.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// No context length in the files and none given.
    #[error(
        "tokenizer_config.json names no usable model_max_length, and no other context length was given"
    )]
    NoContextLength,
    /// A context with no room for the start and the end.
    #[error("a context length of {0} tokens is outside 2 to 65536")]
    ContextLength(usize),
    /// A caption that the tokenizer cannot split.
    #[error("the caption {caption:?} cannot be split into tokens: {problem}")]
    Caption {
        /// The caption.
        caption: String,
        /// The tokenizer's message.
        problem: String,
    },
}

impl From<FileProblem> for TokenizerError {
    fn from(problem: FileProblem) -> Self {
        Self::File(problem)
    }
}

/// Captions as tokens, all padded to the context length.
#[derive(Debug)]
pub struct Tokens {
    /// The tokens' numbers, `[B, T]` (i64).
    pub ids: Tensor,
    /// True for the start, the caption and the end, false for padding, `[B, T]` (bool).
    pub mask: Tensor,
    /// For each caption, the words that truncation removed.
    pub cut_off: Vec<Option<String>>,
}

impl Tokens {
    /// Rows of numbers, none of which is longer than `length`, filled up with `pad`.
    pub(crate) fn new(
        rows: &[Vec<i64>],
        pad: i64,
        length: usize,
        cut_off: Vec<Option<String>>,
    ) -> Self {
        let shape = [rows.len() as i64, length as i64];
        let places = || rows.iter().flat_map(|row| (0..length).map(move |place| row.get(place)));
        let ids: Vec<i64> = places().map(|id| id.copied().unwrap_or(pad)).collect();
        let mask: Vec<bool> = places().map(|id| id.is_some()).collect();
        Self {
            ids: Tensor::from_slice(&ids).view(shape),
            mask: Tensor::from_slice(&mask).view(shape),
            cut_off,
        }
    }
}

/// OpenAI's table of CLIP's merges, and the context length that is CLIP's wherever no file says another.
const MERGES: &str = "bpe_simple_vocab_16e6.txt";
const CONTEXT_LENGTH: usize = 77;

/// The longest context that is believed; files write absurd numbers for "no limit".
const LONGEST_CONTEXT: usize = 65536;

/// CLIP's tokenizer (CLIP, section 2.4; rules as in transformers' `CLIPTokenizer`).
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    start: i64,
    end: i64,
    pad: i64,
    context_length: Option<usize>,
    words: Option<KnownWords>,
    /// Whether captions are cleaned before they are split.
    cleans: bool,
}

/// The vocabulary of OpenAI's table of merges, which may be packed by gzip.
pub(crate) fn vocabulary_of_merges(table: &[u8]) -> Result<Vocabulary, TokenizerError> {
    let problem = |problem: String| FileProblem { file: MERGES, problem };
    let table = gunzip(table, LONGEST_TEXT).map_err(|error| problem(error.to_string()))?;
    let table = text::decode(&table).map_err(|error| problem(error.to_string()))?;
    Ok(Vocabulary::of_merges(MERGES, &table, [START, END])?)
}

impl Tokenizer {
    /// Reads a tokenizer from its files' contents. Whatever `tokenizer.json` says, the rules for splitting are CLIP's:
    /// composed characters, single spaces, lower case, runs of letters.
    pub fn from_files(files: &TokenizerFiles) -> Result<Self, TokenizerError> {
        let specials = SpecialTokens::read(files)?;
        let file = if files.tokenizer_json.is_some() { "tokenizer.json" } else { "vocab.json" };
        let built = catch_panic(file, || build(files, &specials))?;
        let words = files.words_txt.map(|words| KnownWords::read(words, files.nearest_words_txt));
        let context_length =
            specials.context_length.filter(|length| (2..=LONGEST_CONTEXT).contains(length));
        Ok(Self::new(built, context_length, words.transpose()?))
    }

    /// Makes CLIP's tokenizer of its merges alone, OpenAI's `bpe_simple_vocab_16e6.txt`, as it is or packed by gzip: 49,408
    /// tokens, a context of 77, and zeros for padding. Of that table the first 48,894 merges count, and of any other with
    /// `#version` in its first line all. The rules for splitting are those of [`Self::from_files`]: what OpenAI's code does
    /// before it splits, [`Self::with_text_cleaning`] does.
    pub fn from_merges(table: &[u8]) -> Result<Self, TokenizerError> {
        let built = catch_panic(MERGES, || build_from_merges(vocabulary_of_merges(table)?))?;
        Ok(Self::new(built, Some(CONTEXT_LENGTH), None))
    }

    fn new(built: ClipTokenizer, context_length: Option<usize>, words: Option<KnownWords>) -> Self {
        let ClipTokenizer { tokenizer, start, end, pad } = built;
        Self { tokenizer, start, end, pad, context_length, words, cleans: false }
    }

    /// Cleans captions first, as OpenAI's own code does: see [`clean`].
    pub fn with_text_cleaning(mut self) -> Self {
        // A cleaned text has single spaces, small letters, and what it has of composed characters.
        self.tokenizer.with_normalizer(None::<NormalizerWrapper>);
        Self { cleans: true, ..self }
    }

    /// Forgets the context length that the files name: the text encoder has one.
    pub fn without_context_length(self) -> Self {
        Self { context_length: None, ..self }
    }

    /// Uses this context length instead of the files'.
    pub fn with_context_length(mut self, length: usize) -> Result<Self, TokenizerError> {
        self.context_length = Some(check_context_length(length)?);
        Ok(self)
    }

    /// T, to which captions are padded and cut; none where the files name no believable one.
    pub fn context_length(&self) -> Option<usize> {
        self.context_length
    }

    /// One more than the highest token's number: a text encoder needs an embedding for each.
    pub fn vocab_size(&self) -> usize {
        vocab_size(&self.tokenizer)
    }

    /// The number of the token that fills up captions.
    pub fn pad_token_id(&self) -> i64 {
        self.pad
    }

    /// The number of the token that ends captions.
    pub fn end_token_id(&self) -> i64 {
        self.end
    }

    /// Captions `[B]` to tokens `[B, T]`: start, caption, end, padding. A caption that is too long loses its last words
    /// and keeps the end. The empty caption is start and end alone.
    pub fn encode(&self, captions: &[impl AsRef<str>]) -> Result<Tokens, TokenizerError> {
        let length = self.context_length.ok_or(TokenizerError::NoContextLength)?;
        let mut rows = Vec::with_capacity(captions.len());
        let mut cut_off = Vec::with_capacity(captions.len());
        for caption in captions {
            let (caption, text) = (caption.as_ref(), self.prepare(caption.as_ref()));
            let encoding = split(&self.tokenizer, &text, caption)?;
            let count = encoding.len().min(length - 2);
            let ids = encoding.get_ids()[..count].iter().map(|&id| i64::from(id));
            rows.push([self.start].into_iter().chain(ids).chain([self.end]).collect());
            cut_off.push((count < encoding.len()).then(|| words_from(&text, &encoding, count)));
        }
        Ok(Tokens::new(&rows, self.pad, length, cut_off))
    }

    /// The text that is split.
    fn prepare<'a>(&self, caption: &'a str) -> Cow<'a, str> {
        match self.cleans {
            true => clean(caption).into(),
            false => caption.into(),
        }
    }

    /// The caption's words that no caption of the model's training had, each once; none where the model does not say
    /// which it had.
    pub fn unknown_words(&self, caption: &str) -> Vec<String> {
        self.words.as_ref().map_or_else(Vec::new, |known| known.unknown(caption))
    }

    /// The words that captions of the model's training had, where the model says which.
    pub fn known_words(&self) -> Option<&KnownWords> {
        self.words.as_ref()
    }
}

/// The highest token's number and one.
pub(crate) fn vocab_size(tokenizer: &tokenizers::Tokenizer) -> usize {
    tokenizer.get_vocab(true).into_values().max().map_or(0, |highest| highest as usize + 1)
}

/// A context length that can be used.
pub(crate) fn check_context_length(length: usize) -> Result<usize, TokenizerError> {
    let usable = (2..=LONGEST_CONTEXT).contains(&length);
    usable.then_some(length).ok_or(TokenizerError::ContextLength(length))
}

/// The tokens of `text`, which is `caption` or made of it.
pub(crate) fn split(
    tokenizer: &tokenizers::Tokenizer,
    text: &str,
    caption: &str,
) -> Result<tokenizers::Encoding, TokenizerError> {
    let failed = |problem: String| TokenizerError::Caption { caption: caption.to_owned(), problem };
    match catch(|| tokenizer.encode(text, false)) {
        Ok(encoding) => encoding.map_err(|problem| failed(problem.to_string())),
        Err(panic) => Err(failed(panic)),
    }
}

/// Builds a tokenizer of `file`: on some damaged files the tokenizers crate panics, and that is a problem of the file.
pub(crate) fn catch_panic<T, E: From<FileProblem>>(
    file: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch(work).unwrap_or_else(|panic| {
        let problem = format!("reading it failed inside the tokenizer ({panic})");
        Err(FileProblem { file, problem }.into())
    })
}

/// Runs `work`, or returns the message of its panic.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let message = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("it panicked").to_owned(),
    };
    catch_unwind(AssertUnwindSafe(work)).map_err(message)
}

/// The place in the text of the word that token `token` belongs to.
pub(crate) fn word_start(encoding: &tokenizers::Encoding, token: usize) -> usize {
    let numbers = encoding.get_word_ids();
    let first = numbers[..token]
        .iter()
        .rposition(|number| *number != numbers[token])
        .map_or(0, |before| before + 1);
    encoding.get_offsets()[first].0
}

/// The caption from the word on that token `token` belongs to.
fn words_from(caption: &str, encoding: &tokenizers::Encoding, token: usize) -> String {
    let mut start = word_start(encoding, token);
    while !caption.is_char_boundary(start) {
        start -= 1; // a token can begin inside a character
    }
    caption[start..].trim().to_owned()
}
