//! Slips of the finger.

use noise::Generator;

use crate::chance::Chance;

/// The rows of a keyboard.
const ROWS: &[&str] = &["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// The text with one letter of a word of four letters or more left out, doubled, exchanged with the next or hit beside.
pub(super) fn misspell(text: &str, g: &mut Generator) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let is_long = |word: &String| word.len() >= 4 && word.bytes().all(|b| b.is_ascii_lowercase());
    let long: Vec<usize> = (0..words.len()).filter(|&index| is_long(&words[index])).collect();
    if long.is_empty() {
        return text.to_owned();
    }
    let word = &mut words[g.pick(&long)];
    let mut letters: Vec<char> = word.chars().collect();
    let index = 1 + g.below(letters.len() as u64 - 1) as usize;
    match g.below(4) {
        0 => _ = letters.remove(index),
        1 => letters.insert(index, letters[index]),
        2 => letters.swap(index - 1, index),
        _ => letters[index] = beside(letters[index], g),
    }
    *word = letters.into_iter().collect();
    words.join(" ")
}

/// A letter beside this one on the keyboard.
fn beside(letter: char, g: &mut Generator) -> char {
    let row = ROWS.iter().find(|row| row.contains(letter)).unwrap_or(&ROWS[0]);
    let letters: Vec<char> = row.chars().collect();
    let index = letters.iter().position(|&one| one == letter).unwrap_or(0);
    let last = letters.len() - 1;
    match g.chance(0.5) {
        true => letters[if index == 0 { 1 } else { index - 1 }],
        false => letters[if index == last { last - 1 } else { index + 1 }],
    }
}
