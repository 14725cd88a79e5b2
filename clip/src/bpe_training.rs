//! BPE training: learns a byte-level vocabulary from captions, in the files that CLIP's tokenizer reads.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{AddedToken, Trainer};

use crate::byte_level::alphabet;
use crate::pre_tokenizer::{END, START, is_word, pre_tokenize};
use crate::tokenizer::{TokenizerError, TokenizerFiles, vocabulary_of_merges};
use crate::vocabulary::SUFFIX;

/// The names of a tokenizer's files.
const TOKENIZER_FILES: [&str; 4] =
    ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

/// A trained vocabulary, as the contents of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainedBpe {
    /// `vocab.json`: every token and its number, in the order of CLIP's: 256 bytes, the same with `</w>`, merges, marks.
    pub vocab_json: String,
    /// `merges.txt`: pairs of tokens, the first merged first.
    pub merges_txt: String,
    /// `tokenizer_config.json`, with the context length and `!`, token 0, for padding.
    pub tokenizer_config: String,
    /// `special_tokens_map.json`.
    pub special_tokens_map: String,
    /// `words.txt`: every word that a caption had, sorted, one a line.
    pub words_txt: String,
    /// How many tokens there are.
    pub vocab_size: usize,
}

impl TrainedBpe {
    /// The files as a tokenizer takes them.
    pub fn files(&self) -> TokenizerFiles<'_> {
        TokenizerFiles {
            tokenizer_json: None,
            vocab_json: Some(self.vocab_json.as_bytes()),
            merges_txt: Some(self.merges_txt.as_bytes()),
            tokenizer_config: Some(self.tokenizer_config.as_bytes()),
            special_tokens_map: Some(self.special_tokens_map.as_bytes()),
            words_txt: Some(self.words_txt.as_bytes()),
            nearest_words_txt: None,
        }
    }

    /// Every file of the tokenizer's folder, by name.
    pub fn named_files(&self) -> [(&'static str, &str); 5] {
        [
            (TOKENIZER_FILES[0], &self.vocab_json),
            (TOKENIZER_FILES[1], &self.merges_txt),
            (TOKENIZER_FILES[2], &self.tokenizer_config),
            (TOKENIZER_FILES[3], &self.special_tokens_map),
            ("words.txt", &self.words_txt),
        ]
    }
}

/// Learns up to `max_merges` merges from `captions`, fewer where no pair occurs twice any more, for captions of up to
/// `context_length` tokens, start and end included. The same captions give the same files, whatever their order.
pub fn train<C: AsRef<str>>(
    captions: impl IntoIterator<Item = C>,
    max_merges: usize,
    context_length: usize,
) -> TrainedBpe {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for caption in captions {
        for piece in pre_tokenize(caption.as_ref()) {
            *counts.entry(piece).or_default() += 1;
        }
    }
    counts.retain(|piece, _| piece != START && piece != END);
    let bpe = learn(&counts, max_merges);
    let model = serde_json::to_value(&bpe).expect("a model of strings and numbers");
    let merges = model["merges"].as_array().into_iter().flatten();
    let merges = merges.filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)));
    let merges: String = merges.map(|(left, right)| format!("{left} {right}\n")).collect();
    let mut tokens: Vec<(String, u32)> = bpe.get_vocab().into_iter().collect();
    tokens.sort_unstable_by_key(|(_, number)| *number);
    let mut tokens: Vec<String> = tokens.into_iter().map(|(token, _)| token).collect();
    tokens.extend([START.to_owned(), END.to_owned()]);
    let [vocab_json, merges_txt, tokenizer_config, special_tokens_map] =
        file_texts(&tokens, &merges, context_length);
    TrainedBpe {
        vocab_json,
        merges_txt,
        tokenizer_config,
        special_tokens_map,
        words_txt: counts.keys().filter(|piece| is_word(piece)).map(|w| format!("{w}\n")).collect(),
        vocab_size: tokens.len(),
    }
}

/// The texts of [`TOKENIZER_FILES`]: for tokens in the order of their numbers, of which the first pads, and merges, one a line.
fn file_texts(tokens: &[String], merges: &str, context_length: usize) -> [String; 4] {
    let pad = &tokens[0];
    let specials =
        json!({ "bos_token": START, "eos_token": END, "pad_token": pad, "unk_token": END });
    let config = json!({
        "add_prefix_space": false,
        "bos_token": START,
        "do_lower_case": true,
        "eos_token": END,
        "model_max_length": context_length,
        "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": END,
    });
    let merges = format!("#version: 0.2\n{merges}");
    [vocabulary(tokens), merges, pretty(config), pretty(specials)]
}

/// The files of transformers' `CLIPTokenizer`, by name, for OpenAI's table of merges, as it is or packed by gzip, and captions of
/// `context_length` tokens. As with that table, token 0 pads.
pub fn tokenizer_files(
    table: &[u8],
    context_length: usize,
) -> Result<[(&'static str, String); 4], TokenizerError> {
    let vocabulary = vocabulary_of_merges(table)?;
    let mut tokens: Vec<(&String, &u32)> = vocabulary.tokens.iter().collect();
    tokens.sort_unstable_by_key(|(_, number)| **number);
    let tokens: Vec<String> = tokens.into_iter().map(|(token, _)| token.clone()).collect();
    let pairs = vocabulary.merges.iter();
    let merges: String = pairs.map(|(_, (left, right))| format!("{left} {right}\n")).collect();
    let mut texts = file_texts(&tokens, &merges, context_length).into_iter();
    Ok(TOKENIZER_FILES.map(|name| (name, texts.next().unwrap_or_default())))
}

/// Merges the most frequent pair of neighbours, again and again; of equally frequent pairs, the one whose tokens have the
/// lower numbers.
fn learn(counts: &BTreeMap<String, usize>, max_merges: usize) -> BPE {
    let characters: HashMap<u8, char> = alphabet().into_iter().collect();
    let mut bytes: Vec<String> = alphabet().into_iter().map(|(_, c)| c.to_string()).collect();
    bytes.extend(bytes.clone().into_iter().map(|token| token + SUFFIX));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(bytes.len() + max_merges)
        .min_frequency(2)
        .end_of_word_suffix(SUFFIX.to_owned())
        .show_progress(false)
        // Only these have the numbers that they are given; others with a suffix would have any.
        .special_tokens(bytes.into_iter().map(|token| AddedToken::from(token, true)).collect())
        .build();
    let spell = |piece: &str| piece.bytes().map(|byte| characters[&byte]).collect::<String>();
    let occurrences = |piece: &str| Ok(vec![spell(piece); counts[piece]]);
    let mut bpe = BPE::default();
    let result = trainer.feed(counts.keys(), occurrences).and_then(|()| trainer.train(&mut bpe));
    result.expect("counting and merging cannot fail");
    bpe
}

/// A JSON object in the order of the numbers, one token a line.
fn vocabulary(tokens: &[String]) -> String {
    let entry = |(number, token): (usize, &String)| format!("  {}: {number}", json!(token));
    let entries: Vec<String> = tokens.iter().enumerate().map(entry).collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}

fn pretty(value: serde_json::Value) -> String {
    format!("{value:#}\n")
}
