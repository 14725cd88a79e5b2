//! Checks that a vocabulary and its merges are whole: every number has one token, and every token that is
//! not a byte a pair that makes it.

use std::collections::{HashMap, HashSet};

use files::json;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};

use crate::byte_level::alphabet;

/// The end of a word's last token.
pub(crate) const SUFFIX: &str = "</w>";

/// The mark in the first line of a table of merges, and the name in that of CLIP's published one.
const VERSION: &str = "#version";
const PUBLISHED: &str = "bpe_simple_vocab_16e6";

/// The merges of CLIP's vocabulary: with twice the bytes and two marks they make 49,408 tokens.
const PUBLISHED_MERGES: usize = 48894;

/// The problem of one of a tokenizer's files.
#[derive(Debug)]
pub struct FileProblem {
    /// The file's name.
    pub file: &'static str,
    /// The problem.
    pub problem: String,
}

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
    pub(crate) fn of_tokenizer_json(bytes: &[u8]) -> Result<Self, FileProblem> {
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

    /// Reads the older pair of files, both by their names: `vocab.json` and `merges.txt`.
    pub(crate) fn of_pair(
        (file, vocab): (&'static str, &[u8]),
        (merges_file, merges): (&'static str, &[u8]),
    ) -> Result<Self, FileProblem> {
        let tokens: HashMap<String, u32> = json(file, vocab)?;
        let text = std::str::from_utf8(merges);
        let text = text.map_err(|error| problem(merges_file, error.to_string()))?;
        let mut pairs = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.starts_with("#version") || text.is_empty() {
                continue;
            }
            pairs.push((line, pair_on(merges_file, line, text)?));
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

    /// Reads OpenAI's table of CLIP's merges, from which the tokens follow: the bytes, the bytes that end a word, what each
    /// merge makes, and `marks`.
    pub(crate) fn of_merges(
        file: &'static str,
        table: &str,
        marks: [&str; 2],
    ) -> Result<Self, FileProblem> {
        let mut lines = (1..).zip(table.lines());
        let version = lines.next().map_or("", |(_, version)| version);
        if !version.contains(VERSION) {
            let reason = format!("line 1 has no {VERSION}, with which such a table begins");
            return Err(problem(file, reason));
        }
        // The published table goes on: the vocabulary has the first of its merges alone.
        let complete = version.contains(PUBLISHED);
        let mut merges = Vec::new();
        for (line, text) in lines.take(PUBLISHED_MERGES).filter(|(_, text)| !text.is_empty()) {
            merges.push((line, pair_on(file, line, text)?));
        }
        if complete && merges.len() < PUBLISHED_MERGES {
            let count = merges.len();
            let reason = format!("it has {count} merges, and {PUBLISHED_MERGES} are needed");
            return Err(problem(file, reason));
        }
        let [bytes, ends] = byte_tokens();
        let mut tokens: HashMap<String, u32> = bytes.into_iter().chain(ends).zip(0..).collect();
        for (line, (left, right)) in &merges {
            let (token, number) = (format!("{left}{right}"), tokens.len() as u32);
            if let Some(before) = tokens.insert(token.clone(), number) {
                let reason = format!(
                    "line {line} makes the token {token:?}, which is number {before} already"
                );
                return Err(problem(file, reason));
            }
        }
        for mark in marks {
            tokens.insert(mark.to_owned(), tokens.len() as u32);
        }
        Ok(Self { file, tokens, added: Vec::new(), merges_file: (file, "line"), merges })
    }

    /// Refuses a vocabulary that a token is missing from, or has one too many; `bytes` and `specials` are made by no pair.
    pub(crate) fn check(
        &self,
        bytes: impl IntoIterator<Item = String>,
        specials: &[String],
    ) -> Result<(), FileProblem> {
        self.check_numbers()?;
        self.check_merges(bytes.into_iter().collect(), specials)
    }

    /// The BPE that these tokens and merges make.
    pub(crate) fn bpe(&self) -> Result<BpeBuilder, FileProblem> {
        let (file, place) = self.merges_file;
        for (at, (left, right)) in &self.merges {
            let merged = format!("{left}{right}");
            for token in [left, right, &merged] {
                if !self.tokens.contains_key(token) {
                    let reason =
                        format!("{place} {at} needs the token {token:?}, and there is none");
                    return Err(problem(file, reason));
                }
            }
        }
        let tokens: Vocab = self.tokens.clone().into_iter().collect();
        let pairs = self.merges.iter().map(|(_, pair)| pair.clone());
        Ok(BPE::builder().vocab_and_merges(tokens, pairs.collect()))
    }

    fn check_numbers(&self) -> Result<(), FileProblem> {
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

    fn check_merges(
        &self,
        mut made: HashSet<String>,
        specials: &[String],
    ) -> Result<(), FileProblem> {
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

/// Every byte as a token, and as one that ends a word, in the order of CLIP's vocabulary.
pub(crate) fn byte_tokens() -> [Vec<String>; 2] {
    let bytes: Vec<String> = alphabet().into_iter().map(|(_, byte)| byte.to_string()).collect();
    let ends = bytes.iter().map(|byte| format!("{byte}{SUFFIX}")).collect();
    [bytes, ends]
}

/// Two tokens with one space between them.
fn pair(text: &str) -> Option<(String, String)> {
    let (left, right) = text.split_once(' ')?;
    let plain = !left.is_empty() && !right.is_empty() && !right.contains(' ');
    plain.then(|| (left.to_owned(), right.to_owned()))
}

fn pair_on(file: &'static str, line: usize, text: &str) -> Result<(String, String), FileProblem> {
    pair(text).ok_or_else(|| problem(file, format!("line {line} is no pair of tokens")))
}

pub(crate) fn json<T: DeserializeOwned>(
    file: &'static str,
    bytes: &[u8],
) -> Result<T, FileProblem> {
    json::parse(bytes, json::VOCABULARY).map_err(|error| problem(file, error.to_string()))
}

pub(crate) fn problem(file: &'static str, problem: String) -> FileProblem {
    FileProblem { file, problem }
}
