//! GPT-2's tokenizer, as GLIDE reads captions with: byte-level BPE in lower case, without start and end.

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::byte_level::alphabet;
use crate::pre_tokenizer::END;
use crate::tokenizer::{
    TokenizerError, Tokens, catch_panic, check_context_length, split, word_start,
};
use crate::tokenizer_config::bpe;
use crate::vocabulary::{FileProblem, Vocabulary, byte_tokens, problem};

/// The contents of a tokenizer's files; either `tokenizer.json` or a vocabulary and its merges are needed, under OpenAI's
/// names or transformers'.
#[derive(Clone, Copy, Default)]
pub struct Gpt2Files<'a> {
    /// `tokenizer.json`, which is preferred to the two older files.
    pub tokenizer_json: Option<&'a [u8]>,
    /// `encoder.json`: every token and its number.
    pub encoder_json: Option<&'a [u8]>,
    /// `vocab.bpe`: pairs of tokens, the first merged first.
    pub vocab_bpe: Option<&'a [u8]>,
    /// `vocab.json`, transformers' name of `encoder.json`.
    pub vocab_json: Option<&'a [u8]>,
    /// `merges.txt`, transformers' name of `vocab.bpe`.
    pub merges_txt: Option<&'a [u8]>,
}

/// The context length of the published GLIDE (GLIDE, section 4.1).
const CONTEXT_LENGTH: usize = 128;

/// GPT-2's tokenizer with GLIDE's padding (GLIDE, section 4.1; the rules of GPT-2's `encoder.py`).
pub struct Gpt2Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    pad: i64,
    context_length: usize,
}

impl Gpt2Tokenizer {
    /// Reads a tokenizer from its files' contents, for captions of up to 128 tokens. Of `tokenizer.json` the tokens and the
    /// merges count: the rules for splitting are GPT-2's.
    pub fn from_files(files: &Gpt2Files) -> Result<Self, TokenizerError> {
        let vocabulary = files.encoder_json.map(|bytes| ("encoder.json", bytes));
        let vocabulary = vocabulary.or(files.vocab_json.map(|bytes| ("vocab.json", bytes)));
        let merges = files.vocab_bpe.map(|bytes| ("vocab.bpe", bytes));
        let merges = merges.or(files.merges_txt.map(|bytes| ("merges.txt", bytes)));
        let built = match (files.tokenizer_json, vocabulary, merges) {
            (Some(bytes), _, _) => catch_panic("tokenizer.json", || {
                let vocabulary = Vocabulary::of_tokenizer_json(bytes)?;
                let (_, model) = bpe(bytes)?;
                build(model, &vocabulary)
            }),
            (None, Some(tokens), Some(merges)) => catch_panic(tokens.0, || {
                let vocabulary = Vocabulary::of_pair(tokens, merges)?;
                let model = vocabulary.bpe()?.build();
                let model = model.map_err(|error| problem(merges.0, error.to_string()))?;
                build(model, &vocabulary)
            }),
            _ => return Err(TokenizerError::NoGpt2Vocabulary),
        };
        built.map_err(TokenizerError::Gpt2File)
    }

    /// Uses this context length instead of 128.
    pub fn with_context_length(mut self, length: usize) -> Result<Self, TokenizerError> {
        self.context_length = check_context_length(length)?;
        Ok(self)
    }

    /// T, to which captions are padded and cut.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// The number of tokens: a text encoder needs an embedding for each.
    pub fn vocab_size(&self) -> usize {
        self.pad as usize + 1
    }

    /// The number of `<|endoftext|>`, the last token, which fills up captions.
    pub fn pad_token_id(&self) -> i64 {
        self.pad
    }

    /// Captions `[B]` to tokens `[B, T]`: the caption in lower case, padding. A caption that is too long loses its last
    /// words. The empty caption is padding alone. No text is read as `<|endoftext|>`.
    pub fn encode(&self, captions: &[impl AsRef<str>]) -> Result<Tokens, TokenizerError> {
        let mut rows = Vec::with_capacity(captions.len());
        let mut cut_off = Vec::with_capacity(captions.len());
        for caption in captions {
            let caption = caption.as_ref();
            // The tokenizers crate lowers each letter alone, and would miss the sigma that ends a word.
            let encoding = split(&self.tokenizer, &caption.to_lowercase(), caption)?;
            let count = encoding.len().min(self.context_length);
            rows.push(encoding.get_ids()[..count].iter().map(|&id| i64::from(id)).collect());
            let lost = (count < encoding.len())
                .then(|| from_lowercase_offset(caption, word_start(&encoding, count)).trim());
            cut_off.push(lost.filter(|lost| !lost.is_empty()).map(str::to_owned));
        }
        Ok(Tokens::new(&rows, self.pad, self.context_length, cut_off))
    }
}

/// The caption from the character on that has byte `offset` of the caption in lower case.
fn from_lowercase_offset(caption: &str, offset: usize) -> &str {
    let mut end = 0;
    let found = caption.char_indices().find(|(_, c)| {
        // Both small sigmas have two bytes.
        end += c.to_lowercase().map(char::len_utf8).sum::<usize>();
        end > offset
    });
    found.map_or("", |(start, _)| &caption[start..])
}

/// GPT-2's rules around `model`, whose tokens and merges are `vocabulary`.
fn build(mut model: BPE, vocabulary: &Vocabulary) -> Result<Gpt2Tokenizer, FileProblem> {
    let problem = |reason: String| problem(vocabulary.file, reason);
    for (role, affix) in
        [("begin", &model.continuing_subword_prefix), ("end", &model.end_of_word_suffix)]
    {
        if let Some(affix) = affix.as_deref().filter(|affix| !affix.is_empty()) {
            return Err(problem(format!("tokens {role} with {affix:?}, and GPT-2's do not")));
        }
    }
    (model.continuing_subword_prefix, model.end_of_word_suffix) = (None, None);
    model.unk_token = None;
    let missing = |(_, token): &(u8, char)| !vocabulary.tokens.contains_key(&token.to_string());
    if let Some((byte, token)) = alphabet().into_iter().find(missing) {
        return Err(problem(format!("it has no token {token:?}, which is byte {byte}")));
    }
    let tokens = vocabulary.tokens.iter().map(|(token, number)| (token, *number));
    let added = vocabulary.added.iter().map(|(token, number)| (token, *number));
    let last = tokens.chain(added).max_by_key(|(_, number)| *number);
    let (token, number) = last.expect("every byte has a token");
    if token != END {
        let reason = format!("its last token, number {number}, is {token:?} and not {END:?}");
        return Err(problem(reason));
    }
    let [bytes, _] = byte_tokens();
    vocabulary.check(bytes, &[END.to_owned()])?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    Ok(Gpt2Tokenizer { tokenizer, pad: i64::from(number), context_length: CONTEXT_LENGTH })
}
