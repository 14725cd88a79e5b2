//! The words of the captions that a model was trained on, and for others the nearest of them.

use std::collections::{BTreeSet, HashMap};

use crate::pre_tokenizer::words;
use crate::vocabulary::FileProblem;

/// `words.txt`: the words, one a line.
pub(crate) const WORDS: &str = "words.txt";

/// `nearest_words.txt`: a word that training captions had and words that none had, those nearest to it in meaning, a line
/// each: `tiger: leopard, cheetah`. Lines that begin with `#` are passed over.
pub(crate) const NEAREST_WORDS: &str = "nearest_words.txt";

/// The words of a model's training captions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownWords {
    words: BTreeSet<String>,
    /// For words that are not among them, the one nearest in meaning.
    nearest: HashMap<String, String>,
}

impl KnownWords {
    /// Reads `words.txt`, and `nearest_words.txt` where there is one. Lines of the latter whose first word is not known are
    /// passed over.
    pub fn read(words_txt: &[u8], nearest_words_txt: Option<&[u8]>) -> Result<Self, FileProblem> {
        let words: BTreeSet<String> = text(WORDS, words_txt)?.lines().map(str::to_owned).collect();
        let mut nearest = HashMap::new();
        if let Some(bytes) = nearest_words_txt {
            for (number, line) in (1..).zip(text(NEAREST_WORDS, bytes)?.lines()) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (known, others) = line.split_once(':').ok_or_else(|| FileProblem {
                    file: NEAREST_WORDS,
                    problem: format!("line {number} has no colon between a word and those near it"),
                })?;
                if !words.contains(known) {
                    continue;
                }
                for other in others.split(',').map(str::trim) {
                    nearest.entry(other.to_owned()).or_insert_with(|| known.to_owned());
                }
            }
        }
        Ok(Self { words, nearest })
    }

    /// Whether there were such lines: words near those of captions are known by their meaning.
    pub fn has_nearest(&self) -> bool {
        !self.nearest.is_empty()
    }

    /// The caption's words that are not among them, each once.
    pub fn unknown(&self, caption: &str) -> Vec<String> {
        let mut named = BTreeSet::new();
        let all = words(caption).into_iter();
        all.filter(|word| !self.words.contains(word) && named.insert(word.clone())).collect()
    }

    /// Unknown words, each with the nearest known one where there is one: `elefant (nearest: elephant), quark`.
    pub fn describe(&self, unknown: &[String]) -> String {
        let named = unknown.iter().map(|word| match self.nearest(word) {
            Some(nearest) => format!("{word} (nearest: {nearest})"),
            None => word.clone(),
        });
        named.collect::<Vec<String>>().join(", ")
    }

    /// The known word nearest to an unknown one: in meaning, its singular's, or spelled alike; none where no word is near, or
    /// where it is known.
    pub fn nearest(&self, word: &str) -> Option<&str> {
        let word = word.to_lowercase();
        if self.words.contains(&word) {
            return None;
        }
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let by_meaning = self.nearest.get(&word).or_else(|| self.nearest.get(singular));
        by_meaning.map(String::as_str).or_else(|| nearest_spelling(self.words.iter(), &word))
    }
}

fn text<'a>(file: &'static str, bytes: &'a [u8]) -> Result<&'a str, FileProblem> {
    let problem = |error: std::str::Utf8Error| FileProblem { file, problem: error.to_string() };
    std::str::from_utf8(bytes).map_err(problem)
}

/// Of `words` in their order the first with the fewest letters changed from `word`, where those are few: one in words of up to
/// six letters, two in longer ones, and words of three letters are near to none.
pub fn nearest_spelling<'a, W: AsRef<str> + ?Sized + 'a>(
    words: impl IntoIterator<Item = &'a W>,
    word: &str,
) -> Option<&'a str> {
    let most = match word.chars().count() {
        0..=3 => return None,
        4..=6 => 1,
        _ => 2,
    };
    let words = words.into_iter().map(AsRef::as_ref);
    let of_length = |known: &&str| known.len() >= 4 && known.len().abs_diff(word.len()) <= most;
    let near = words.filter(of_length).map(|known| (distance(word, known), known));
    let near = near.filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// The number of letters to insert, leave out, replace or exchange with the next one that turns a word into another (optimal
/// string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let replaced = usize::from(one[i - 1] != other[j - 1]);
                    let least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let least = least.min(rows[i - 1][j - 1] + replaced);
                    let are_swapped =
                        i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
                    if are_swapped { least.min(rows[i - 2][j - 2] + 1) } else { least }
                }
            };
        }
    }
    rows[one.len()][other.len()]
}
