//! Captions as OpenAI's code cleans them (golden/record_text_cleaning.py).

use std::fs;
use std::path::Path;

use ::clip::Tokenizer;
use ::clip::text_cleaning::clean;
use serde::Deserialize;
use tch::Kind;

/// A text as the reference cleans it, and where that is another, as it does without repairing its encoding.
#[derive(Deserialize)]
struct Row {
    text: String,
    whole: String,
    without: Option<String>,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/text_cleaning.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn texts_are_cleaned_as_the_reference_cleans_them() {
    let rows = rows();
    assert!(rows.len() > 400, "{}", rows.len());
    for Row { text, whole, .. } in rows.iter().filter(|row| row.without.is_none()) {
        assert_eq!(clean(text), *whole, "{text:?}");
    }
}

#[test]
fn most_texts_in_another_encoding_are_decoded_again() {
    let mut others = Vec::new();
    let rows = rows();
    let broken = rows.iter().filter_map(|row| Some((row, row.without.as_ref()?)));
    for (Row { text, whole, .. }, without) in broken.clone() {
        let cleaned = clean(text);
        if cleaned != *whole {
            // The rest of the cleaning is done.
            assert_eq!(cleaned, *without, "{text:?}");
            others.push(text.as_str());
        }
    }
    let partly = ["Ã la mode", "voilÃ le travail", "â€œ like this â€\u{fffd}"];
    assert_eq!((broken.count(), others), (19, partly.to_vec()));
    // Capitals before signs are no broken pair.
    for sound in ["CAFÉ® 5 °C", "Ø 3 mm", "ÀÉ»", "TOUCHÉ§", "naïve"] {
        assert_eq!(clean(sound), sound.to_lowercase());
    }
}

#[test]
fn a_tokenizer_cleans_where_it_is_asked_to() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/clip_files/openai/bpe_simple_vocab_16e6.txt.gz");
    let table = fs::read(table).unwrap();
    let plain = || Tokenizer::from_merges(&table).unwrap().with_context_length(16).unwrap();
    let ids = |tokenizer: &Tokenizer, text: &str| {
        let ids = tokenizer.encode(&[text]).unwrap().ids.squeeze_dim(0).to_kind(Kind::Int64);
        Vec::<i64>::try_from(ids).unwrap()
    };
    let cleaning = plain().with_text_cleaning();
    for (text, clean) in [
        ("a “red” house", "a \"red\" house"),
        ("ﬁsh &amp;amp; A", "fish & a"),
        ("ｓｅａ\u{200e}", "sea\u{200e}"),
    ] {
        assert_eq!(ids(&cleaning, text), ids(&plain(), clean), "{text}");
        assert_ne!(ids(&plain(), text), ids(&plain(), clean), "{text}");
    }
    // Composed characters are the cleaning's business.
    for decomposed in ["e&#769;", "e\u{301}"] {
        assert_eq!(ids(&cleaning, decomposed), ids(&cleaning, "é"));
    }
    assert_ne!(ids(&cleaning, "e"), ids(&cleaning, "é"));
    let cut = cleaning.encode(&["the sea ".repeat(20) + "&amp; the end"]).unwrap().cut_off;
    assert!(cut[0].as_deref().unwrap().ends_with("& the end"), "{cut:?}");
}
