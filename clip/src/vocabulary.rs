//! Checks that a vocabulary and its merges are whole: every number has one token, and every token that is
//! not a byte a pair that makes it.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::byte_level::alphabet;
use crate::tokenizer::TokenizerError;
use crate::tokenizer_config::json;

/// The end of a word's last token.
pub(crate) const SUFFIX: &str = "</w>";

/// A vocabulary with its merges.
pub(crate) struct Vocabulary {
    /// The file that holds the tokens.
    pub file: &'static str,
    /// Every token and its number.
    pub tokens: HashMap<String, u32>,
    /// The tokens that stand outside the merges, and their numbers.
    pub added: Vec<(String, u32)>,
    /// The file that holds the merges, and how it calls one: "line" or "merge".
    pub merges_file: (&'static str, &'static str),
    /// The merges by their places in that file.
    pub merges: Vec<(usize, (String, String))>,
}

impl Vocabulary {
    /// Reads `tokenizer.json`.
    pub(crate) fn of_tokenizer_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            added_tokens: Vec<AddedToken>,
            model: Model,
        }
        #[derive(Deserialize)]
        struct AddedToken {
            id: u32,
            content: String,
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: HashMap<String, u32>,
            #[serde(default)]
            merges: Vec<Merge>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(String, String),
            Text(String),
        }
        let file = "tokenizer.json";
        let read: File = json(file, bytes)?;
        let mut merges = Vec::with_capacity(read.model.merges.len());
        for (place, merge) in (1..).zip(read.model.merges) {
            let pair = match merge {
                Merge::Pair(left, right) => Some((left, right)),
                Merge::Text(text) => pair(&text),
            };
            let problem = || problem(file, format!("merge {place} is no pair of tokens"));
            merges.push((place, pair.ok_or_else(problem)?));
        }
        let added = |token: AddedToken| (token.content, token.id);
        Ok(Self {
            file,
            tokens: read.model.vocab,
            added: read.added_tokens.into_iter().map(added).collect(),
            merges_file: (file, "merge"),
            merges,
        })
    }

    /// Reads `vocab.json` and `merges.txt`.
    pub(crate) fn of_pair(vocab: &[u8], merges: &[u8]) -> Result<Self, TokenizerError> {
        let (file, merges_file) = ("vocab.json", "merges.txt");
        let tokens: HashMap<String, u32> = json(file, vocab)?;
        let text = std::str::from_utf8(merges);
        let text = text.map_err(|error| problem(merges_file, error.to_string()))?;
        let mut pairs = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.starts_with("#version") || text.is_empty() {
                continue;
            }
            let no_pair = || problem(merges_file, format!("line {line} is no pair of tokens"));
            pairs.push((line, pair(text).ok_or_else(no_pair)?));
            if pairs.len() > tokens.len() {
                let most = tokens.len();
                let reason = format!("it has more pairs than the {most} tokens of {file}");
                return Err(problem(merges_file, reason));
            }
        }
        Ok(Self {
            file,
            tokens,
            added: Vec::new(),
            merges_file: (merges_file, "line"),
            merges: pairs,
        })
    }

    /// Refuses a vocabulary that a token is missing from, or has one too many; `specials` are made by no pair.
    pub(crate) fn check(&self, specials: &[String]) -> Result<(), TokenizerError> {
        self.check_numbers()?;
        self.check_merges(specials)
    }

    fn check_numbers(&self) -> Result<(), TokenizerError> {
        let refused = |reason: String| Err(problem(self.file, reason));
        let mut numbers: Vec<(u32, &str)> = self.tokens.iter().map(|(t, n)| (*n, &**t)).collect();
        for (token, number) in &self.added {
            match self.tokens.get(token) {
                Some(other) if other != number => {
                    return refused(format!(
                        "token {token:?} has the number {other}, and among the added ones {number}"
                    ));
                }
                Some(_) => {}
                None => numbers.push((*number, token)),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        for (place, (number, token)) in (0..).zip(&numbers) {
            if *number == place {
                continue;
            }
            return refused(match numbers[..place as usize].last() {
                Some((before, other)) if before == number => {
                    format!("tokens {other:?} and {token:?} both have the number {number}")
                }
                _ => format!("no token has the number {place}, and {token:?} has {number}"),
            });
        }
        Ok(())
    }

    fn check_merges(&self, specials: &[String]) -> Result<(), TokenizerError> {
        let (file, place) = self.merges_file;
        let mut pairs: HashMap<&(String, String), usize> = HashMap::new();
        for (at, pair) in &self.merges {
            if let Some(before) = pairs.insert(pair, *at) {
                let (left, right) = pair;
                return Err(problem(
                    file,
                    format!("{place}s {before} and {at} are both {left:?} with {right:?}"),
                ));
            }
        }
        let bytes = alphabet().into_iter().map(|(_, byte)| byte.to_string());
        let mut made: HashSet<String> =
            bytes.flat_map(|byte| [byte.clone() + SUFFIX, byte]).collect();
        // Vocabularies that do not begin with every byte are somebody's trials, and not all of CLIP's rules are theirs.
        if !made.iter().all(|byte| self.tokens.contains_key(byte)) {
            return Ok(());
        }
        made.extend(pairs.into_keys().map(|(left, right)| format!("{left}{right}")));
        let added = self.added.iter().map(|(token, _)| token);
        made.extend(added.chain(specials).cloned());
        let unmade = self.tokens.iter().filter(|(token, _)| !made.contains(*token));
        match unmade.map(|(token, number)| (number, token)).min() {
            None => Ok(()),
            Some((number, token)) => Err(problem(
                file,
                format!(
                    "no pair in it makes the token {token:?}, number {number} of {}",
                    self.file
                ),
            )),
        }
    }
}

/// Two tokens with one space between them.
fn pair(text: &str) -> Option<(String, String)> {
    let (left, right) = text.split_once(' ')?;
    let plain = !left.is_empty() && !right.is_empty() && !right.contains(' ');
    plain.then(|| (left.to_owned(), right.to_owned()))
}

fn problem(file: &'static str, problem: String) -> TokenizerError {
    TokenizerError::File { file, problem }
}
