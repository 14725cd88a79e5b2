//! Special tokens, vocabulary and merges from a tokenizer's files, and the tokenizer that they make.

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::{AddedToken, ModelWrapper};

use crate::pre_tokenizer::{END, START, normalizer, pre_tokenizer};
use crate::tokenizer::{TokenizerError, TokenizerFiles};
use crate::vocabulary::{FileProblem, SUFFIX, Vocabulary, byte_tokens, json, problem};

/// The special tokens and the context length.
pub(crate) struct SpecialTokens {
    pub(crate) start: AddedToken,
    pub(crate) end: AddedToken,
    pub(crate) pad: AddedToken,
    pub(crate) context_length: Option<usize>,
    unknown: AddedToken,
    /// The list that newer files have of every token outside the merges, in the order of their numbers.
    numbered: Vec<(u32, AddedToken)>,
}

impl SpecialTokens {
    /// `special_tokens_map.json` wins over `tokenizer_config.json`, unless the latter lists all added tokens itself.
    pub(crate) fn read(files: &TokenizerFiles) -> Result<Self, FileProblem> {
        let config = object("tokenizer_config.json", files.tokenizer_config)?;
        let map = object("special_tokens_map.json", files.special_tokens_map)?;
        check_class(&config)?;
        let numbered = added_tokens(&config)?;
        let others: Vec<AddedToken> = numbered.iter().map(|(_, token)| token.clone()).collect();
        let token = |key: &str, default: &str| {
            let newer = if others.is_empty() { map.get(key) } else { None };
            let named = newer.or_else(|| config.get(key)).filter(|value| !value.is_null());
            let problem = || FileProblem {
                file: if newer.is_some() {
                    "special_tokens_map.json"
                } else {
                    "tokenizer_config.json"
                },
                problem: format!("its {key} is no token"),
            };
            let token = named.map_or_else(
                || Ok(plain(default)),
                |value| added_token(value).ok_or_else(problem),
            )?;
            let listed = others.iter().find(|other| other.content == token.content);
            Ok(listed.cloned().unwrap_or(token).special(true))
        };
        let length = config
            .get("model_max_length")
            .or_else(|| config.get("max_len"))
            .and_then(Value::as_f64);
        Ok(Self {
            start: token("bos_token", START)?,
            end: token("eos_token", END)?,
            pad: token("pad_token", END)?,
            unknown: token("unk_token", END)?,
            context_length: length
                .filter(|length| (0.0..1e9).contains(length))
                .map(|length| length as usize),
            numbered,
        })
    }

    /// The named tokens, each once; where two roles give one token different properties, the last counts.
    fn named(&self) -> Vec<AddedToken> {
        let mut tokens: Vec<AddedToken> = Vec::new();
        for token in [&self.start, &self.end, &self.unknown, &self.pad] {
            tokens.retain(|earlier| earlier.content != token.content);
            tokens.push(token.clone());
        }
        tokens
    }
}

/// Refuses the configuration of another tokenizer; transformers' own are called by what they are made of.
fn check_class(config: &Map<String, Value>) -> Result<(), FileProblem> {
    let known = |name: &str| {
        name.starts_with("CLIP") || matches!(name, "PreTrainedTokenizerFast" | "TokenizersBackend")
    };
    match config.get("tokenizer_class") {
        Some(class) if !class.is_null() && !class.as_str().is_some_and(known) => Err(FileProblem {
            file: "tokenizer_config.json",
            problem: format!("its tokenizer_class is {class}, and CLIPTokenizer is read"),
        }),
        _ => Ok(()),
    }
}

/// The tokens outside the merges with their numbers, in order.
fn added_tokens(config: &Map<String, Value>) -> Result<Vec<(u32, AddedToken)>, FileProblem> {
    const FIELD: &str = "added_tokens_decoder";
    let problem = |problem: String| FileProblem { file: "tokenizer_config.json", problem };
    let list = match config.get(FIELD) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(list)) => list,
        Some(other) => return Err(problem(format!("its {FIELD} is {other}, and no object"))),
    };
    let token = |(number, token): (&String, &Value)| match (number.parse(), added_token(token)) {
        (Ok(number), Some(token)) => Ok((number, token)),
        _ => {
            Err(problem(format!("its {FIELD} has {number:?}: {token}, which is no numbered token")))
        }
    };
    let mut tokens: Vec<(u32, AddedToken)> = list.iter().map(token).collect::<Result<_, _>>()?;
    tokens.sort_by_key(|(number, _)| *number);
    Ok(tokens)
}

/// A token as a plain string or with its properties.
fn added_token(value: &Value) -> Option<AddedToken> {
    let content = value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .filter(|content| !content.is_empty())?;
    let is = |key| value.get(key).and_then(Value::as_bool);
    let special = is("special").unwrap_or(true);
    Some(
        AddedToken::from(content, special)
            .single_word(is("single_word").unwrap_or(false))
            .lstrip(is("lstrip").unwrap_or(false))
            .rstrip(is("rstrip").unwrap_or(false))
            .normalized(is("normalized").unwrap_or(!special)),
    )
}

fn plain(content: &str) -> AddedToken {
    AddedToken::from(content, true)
}

fn object(file: &'static str, bytes: Option<&[u8]>) -> Result<Map<String, Value>, FileProblem> {
    bytes.map_or_else(|| Ok(Map::new()), |bytes| json(file, bytes))
}

/// A tokenizer with CLIP's rules around the files' vocabulary, and the numbers of three tokens in it.
pub(crate) struct ClipTokenizer {
    pub(crate) tokenizer: tokenizers::Tokenizer,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) pad: i64,
}

/// The tokenizer of the files' vocabulary.
pub(crate) fn build(
    files: &TokenizerFiles,
    specials: &SpecialTokens,
) -> Result<ClipTokenizer, TokenizerError> {
    let (tokenizer, vocabulary) = match (files.tokenizer_json, files.vocab_json, files.merges_txt) {
        (Some(bytes), _, _) => tokenizer_json(bytes, specials)?,
        (None, Some(vocab), Some(merges)) => {
            let pair = Vocabulary::of_pair(("vocab.json", vocab), ("merges.txt", merges))?;
            (around(&pair, specials)?, pair)
        }
        _ => return Err(TokenizerError::NoVocabulary),
    };
    add_rules(tokenizer, vocabulary, specials)
}

/// The tokenizer of the vocabulary of OpenAI's table of merges; token 0 pads.
pub(crate) fn build_from_merges(vocabulary: Vocabulary) -> Result<ClipTokenizer, TokenizerError> {
    let specials = SpecialTokens::read(&TokenizerFiles::default())?;
    let tokenizer = around(&vocabulary, &specials)?;
    Ok(ClipTokenizer { pad: 0, ..add_rules(tokenizer, vocabulary, &specials)? })
}

/// CLIP's rules around `tokenizer`.
fn add_rules(
    mut tokenizer: tokenizers::Tokenizer,
    mut vocabulary: Vocabulary,
    specials: &SpecialTokens,
) -> Result<ClipTokenizer, TokenizerError> {
    let file = vocabulary.file;
    let numbered = specials.numbered.iter();
    let numbered = numbered.map(|(number, token)| (token.content.clone(), *number));
    vocabulary.added.extend(numbered);
    let named = specials.named();
    let contents: Vec<String> = named.iter().map(|token| token.content.clone()).collect();
    vocabulary.check(byte_tokens().concat(), &contents)?;
    tokenizer.with_normalizer(Some(normalizer()));
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer()));
    let added = specials.numbered.iter().map(|(_, token)| token.clone());
    tokenizer.add_tokens(&added.collect::<Vec<_>>());
    // Adding a token that is not there would give it a number that no embedding has.
    let number = |role, token: &AddedToken| {
        let unknown = || TokenizerError::NoSuchToken { file, role, token: token.content.clone() };
        tokenizer.token_to_id(&token.content).map(i64::from).ok_or_else(unknown)
    };
    let (start, end) = (number("start", &specials.start)?, number("end", &specials.end)?);
    let pad = number("padding", &specials.pad)?;
    number("unknown", &specials.unknown)?;
    tokenizer.add_special_tokens(&named);
    Ok(ClipTokenizer { tokenizer, start, end, pad })
}

/// A tokenizer around a vocabulary with its merges, without any rule.
fn around(
    vocabulary: &Vocabulary,
    specials: &SpecialTokens,
) -> Result<tokenizers::Tokenizer, FileProblem> {
    let model = vocabulary
        .bpe()?
        .unk_token(specials.unknown.content.clone())
        .end_of_word_suffix(SUFFIX.to_owned())
        .build();
    let model = model.map_err(|error| problem(vocabulary.merges_file.0, error.to_string()))?;
    Ok(tokenizers::Tokenizer::new(model))
}

/// The newer single file, of which the vocabulary, the merges and the added tokens count.
fn tokenizer_json(
    bytes: &[u8],
    specials: &SpecialTokens,
) -> Result<(tokenizers::Tokenizer, Vocabulary), FileProblem> {
    let problem = |reason: String| problem("tokenizer.json", reason);
    let vocabulary = Vocabulary::of_tokenizer_json(bytes)?;
    let (mut tokenizer, mut model) = bpe(bytes)?;
    if model.end_of_word_suffix.as_deref() != Some(SUFFIX) {
        return Err(problem(format!(
            "its words end in {:?} instead of {SUFFIX:?}",
            model.end_of_word_suffix
        )));
    }
    model.unk_token = Some(specials.unknown.content.clone());
    model.continuing_subword_prefix = None;
    tokenizer.with_model(model);
    // The caller cuts, marks and pads.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| problem(error.to_string()))?;
    Ok((tokenizer, vocabulary))
}

/// The tokenizer of `tokenizer.json`, and its BPE, which does nothing but merge.
pub(crate) fn bpe(bytes: &[u8]) -> Result<(tokenizers::Tokenizer, BPE), FileProblem> {
    let problem = |reason: String| problem("tokenizer.json", reason);
    let tokenizer =
        tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| problem(error.to_string()))?;
    let ModelWrapper::BPE(mut model) = tokenizer.get_model().clone() else {
        return Err(problem("its model is not a BPE".to_owned()));
    };
    (model.dropout, model.fuse_unk, model.byte_fallback, model.ignore_merges) =
        (None, false, false, false);
    Ok((tokenizer, model))
}
