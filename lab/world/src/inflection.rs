//! Plurals and articles of English words.

/// A word with its plural, of `word` or `word/plural`.
pub(crate) fn with_plural(text: &str) -> (String, String) {
    match text.split_once('/') {
        Some((singular, plural)) => (singular.to_owned(), plural.to_owned()),
        None => (text.to_owned(), plural(text)),
    }
}

/// The regular plural.
pub(crate) fn plural(word: &str) -> String {
    let before_y = word.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match before_y {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "ch", "sh"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
        None => format!("{word}s"),
    }
}

/// The phrase with its article: "an hour" and "a unicorn" are by sound.
pub(crate) fn with_article(phrase: &str) -> String {
    let vowel = phrase.starts_with(['a', 'e', 'i', 'o', 'u']);
    let consonant_sound = ["uni", "ufo", "eu", "one"].iter().any(|start| phrase.starts_with(start));
    match vowel && !consonant_sound {
        true => format!("an {phrase}"),
        false => format!("a {phrase}"),
    }
}
