//! Trains a byte-level BPE vocabulary on captions, in the files that CLIP's tokenizer reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;

use crate::byte_level::alphabet;
use crate::pre_tokenizer::{END, START, pre_tokenize, words};
use crate::tokenizer::TokenizerFiles;
use crate::vocabulary::SUFFIX;

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
        }
    }

    /// Every file of the tokenizer's folder, by name.
    pub fn named_files(&self) -> [(&'static str, &str); 5] {
        [
            ("vocab.json", &self.vocab_json),
            ("merges.txt", &self.merges_txt),
            ("tokenizer_config.json", &self.tokenizer_config),
            ("special_tokens_map.json", &self.special_tokens_map),
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
    let mut seen = BTreeSet::new();
    for caption in captions {
        for piece in pre_tokenize(caption.as_ref())
            .into_iter()
            .filter(|piece| piece != START && piece != END)
        {
            *counts.entry(piece).or_default() += 1;
        }
        seen.extend(words(caption.as_ref()));
    }

    let mut tokens: Vec<String> = alphabet().into_iter().map(|(_, c)| c.to_string()).collect();
    tokens.extend(tokens.clone().into_iter().map(|token| token + SUFFIX));
    let merges = learn(&counts, &mut tokens, max_merges);
    let mut merges_txt = "#version: 0.2\n".to_owned();
    for (left, right) in merges {
        merges_txt += &format!("{} {}\n", tokens[left], tokens[right]);
    }
    tokens.extend([START.to_owned(), END.to_owned()]);
    let specials =
        json!({ "bos_token": START, "eos_token": END, "pad_token": tokens[0], "unk_token": END });
    TrainedBpe {
        vocab_json: vocabulary(&tokens),
        merges_txt,
        tokenizer_config: pretty(json!({
            "add_prefix_space": false,
            "bos_token": START,
            "do_lower_case": true,
            "eos_token": END,
            "model_max_length": context_length,
            "pad_token": tokens[0],
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": END,
        })),
        special_tokens_map: pretty(specials),
        words_txt: seen.into_iter().map(|word| word + "\n").collect(),
        vocab_size: tokens.len(),
    }
}

/// Merges the most frequent pair of neighbours, again and again; of equally frequent pairs, the one whose tokens have
/// the lower numbers. Appends the new tokens.
fn learn(
    counts: &BTreeMap<String, usize>,
    tokens: &mut Vec<String>,
    max_merges: usize,
) -> Vec<(usize, usize)> {
    let numbers: HashMap<u8, usize> =
        alphabet().into_iter().enumerate().map(|(i, (byte, _))| (byte, i)).collect();
    let mut spellings: Vec<(Vec<usize>, usize)> = counts
        .iter()
        .map(|(word, &count)| {
            let mut spelling: Vec<usize> = word.bytes().map(|byte| numbers[&byte]).collect();
            *spelling.last_mut().expect("a piece has a byte") += numbers.len(); // the same byte with the suffix
            (spelling, count)
        })
        .collect();
    let mut merges = Vec::new();
    while merges.len() < max_merges {
        let mut pairs: HashMap<(usize, usize), usize> = HashMap::new();
        for (spelling, count) in &spellings {
            for pair in spelling.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += count;
            }
        }
        // A token that two pairs spell would need two numbers; the first pair keeps it.
        let known: BTreeSet<&str> = tokens.iter().map(String::as_str).collect();
        let fresh = |(left, right): (usize, usize)| {
            !known.contains(format!("{}{}", tokens[left], tokens[right]).as_str())
        };
        let best = pairs
            .into_iter()
            .filter(|&(pair, count)| count > 1 && fresh(pair))
            .max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)));
        let Some((pair, _)) = best else { break };
        let merged = tokens.len();
        tokens.push(format!("{}{}", tokens[pair.0], tokens[pair.1]));
        spellings.iter_mut().for_each(|(spelling, _)| merge(spelling, pair, merged));
        merges.push(pair);
    }
    merges
}

/// Replaces `pair` by `merged` from left to right.
fn merge(spelling: &mut Vec<usize>, pair: (usize, usize), merged: usize) {
    let mut place = 0;
    while place + 1 < spelling.len() {
        if (spelling[place], spelling[place + 1]) == pair {
            spelling[place] = merged;
            spelling.remove(place + 1);
        }
        place += 1;
    }
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
