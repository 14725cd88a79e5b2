//! The words of training captions, and for others the nearest of them.

use clip::{Tokenizer, TokenizerFiles};

use super::tokenizer::{tokenizer, trained};

#[test]
fn words_that_no_training_caption_had_are_named_once() {
    let tokenizer = tokenizer();
    assert_eq!(
        tokenizer.unknown_words("A RED zebra's house, zebra! 7 cafés 🎈"),
        ["zebra", "7", "cafés", "🎈"]
    );
    assert!(tokenizer.unknown_words("the big red house (above)!").is_empty());
    let bpe = trained();
    let silent = Tokenizer::from_files(&TokenizerFiles { words_txt: None, ..bpe.files() }).unwrap();
    assert!(silent.unknown_words("zebra").is_empty(), "a model without the list names nothing");
}

#[test]
fn a_word_that_no_training_caption_had_has_a_nearest_one() {
    let bpe = trained();
    let nearest = "# a comment\nhouse: cottage, hut\nballoon: zeppelin\ncastle: fort\n";
    let files = TokenizerFiles { nearest_words_txt: Some(nearest.as_bytes()), ..bpe.files() };
    let read = Tokenizer::from_files(&files).unwrap();
    let known = read.known_words().unwrap();
    for (word, wanted) in [
        ("cottage", Some("house")),
        ("Cottages", Some("house")),
        ("zeppelin", Some("balloon")),
        // One letter too many, too few, another, two exchanged; in longer words two.
        ("housse", Some("house")),
        ("huose", Some("house")),
        ("baloon", Some("balloon")),
        ("bulluon", Some("balloon")),
        ("stromy", Some("stormy")),
        ("hoose", Some("house")),
        ("house", None),
        ("teapot", None),
        ("rad", None),
        ("", None),
        // Its nearest word is none that captions had.
        ("fort", None),
    ] {
        assert_eq!(known.nearest(word), wanted, "{word}");
    }
    // A word of six letters is not near one that two changes make of it.
    assert_eq!(known.nearest("storyy"), Some("stormy"));
    assert_eq!(known.nearest("sturyy"), None);
    let unknown = ["huose", "teapot", "zeppelin"].map(str::to_owned);
    assert_eq!(
        known.describe(&unknown),
        "huose (nearest: house), teapot, zeppelin (nearest: balloon)"
    );
    let plain = tokenizer();
    let plain = plain.known_words().unwrap();
    assert_eq!((known.has_nearest(), plain.has_nearest()), (true, false));
    assert_eq!((plain.nearest("cottage"), plain.nearest("huose")), (None, Some("house")));
    let silent = Tokenizer::from_files(&TokenizerFiles { words_txt: None, ..files }).unwrap();
    assert!(silent.known_words().is_none(), "a model without the list has no near words");
}
