//! GLIDE's two tokenizers, held to the tokens that its reference gives with the published tables, where they are at hand,
//! and with small ones (tests/golden/record_tokenizers.py).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clip::{Gpt2Files, Gpt2Tokenizer, Tokenizer, TokenizerFiles, Tokens};
use files::gzip::gunzip;
use files::whole_file::LONGEST_TEXT;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};

/// The tokens of every caption; none where the reference changes a caption first, and ours does not.
type Rows = Vec<Option<Vec<i64>>>;

#[derive(Deserialize)]
struct Recorded {
    captions: Vec<String>,
    gpt2: Tables,
    clip: Tables,
}

#[derive(Deserialize)]
struct Tables {
    small: Rows,
    published: Rows,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/tokenizers").join(name)
}

fn recorded() -> Recorded {
    serde_json::from_slice(&fs::read(golden("recorded.json")).unwrap()).unwrap()
}

/// A published table, unpacked; none where it is not at hand.
fn published(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(gunzip(&fs::read(path).unwrap(), LONGEST_TEXT).unwrap().into_owned())
}

/// The small table of GPT-2's format.
fn small() -> (String, String) {
    let read = |name| fs::read_to_string(golden(name)).unwrap();
    (read("encoder.json"), read("vocab.bpe"))
}

fn gpt2(encoder: &str, merges: &str) -> Result<Gpt2Tokenizer, clip::TokenizerError> {
    Gpt2Tokenizer::from_files(&Gpt2Files {
        encoder_json: Some(encoder.as_bytes()),
        vocab_bpe: Some(merges.as_bytes()),
        ..Gpt2Files::default()
    })
}

/// Each caption's tokens without padding, which is checked to be `pad` and masked.
fn unpadded(tokens: &Tokens, pad: i64) -> Vec<Vec<i64>> {
    let ids: Vec<Vec<i64>> = Vec::try_from(&tokens.ids).unwrap();
    let masks: Vec<Vec<bool>> = Vec::try_from(&tokens.mask).unwrap();
    let row = |(mut row, mask): (Vec<i64>, Vec<bool>)| {
        let length = mask.iter().filter(|real| **real).count();
        assert!(mask[..length].iter().all(|real| *real), "{mask:?}");
        assert!(row.split_off(length).into_iter().all(|id| id == pad));
        row
    };
    ids.into_iter().zip(masks).map(row).collect()
}

fn hold_gpt2(tokenizer: &Gpt2Tokenizer, captions: &[String], rows: &Rows) {
    let tokens = tokenizer.encode(captions).unwrap();
    assert_eq!(tokens.ids.size(), [captions.len() as i64, 128]);
    let found = unpadded(&tokens, tokenizer.pad_token_id());
    let mut cut = 0;
    for (((caption, row), found), lost) in captions.iter().zip(rows).zip(found).zip(tokens.cut_off)
    {
        let row = row.as_ref().unwrap();
        assert_eq!(found, row[..row.len().min(128)], "{caption:?}");
        assert!(row.len() > 128 || lost.is_none(), "{caption:?}: {lost:?}");
        if let Some(lost) = lost {
            assert!(caption.trim_end().ends_with(&lost), "{caption:?}: {lost:?}");
            cut += 1;
        }
    }
    assert!(cut >= 3, "{cut}");
}

#[test]
fn gpt2s_tokens_are_the_references() {
    let Recorded { captions, gpt2: rows, .. } = recorded();
    let (encoder, merges) = small();
    let tokenizer = gpt2(&encoder, &merges).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.pad_token_id()), (317, 316));
    hold_gpt2(&tokenizer, &captions, &rows.small);
}

#[test]
fn gpt2s_tokens_of_the_published_table_are_the_references() {
    let (Some(encoder), Some(merges)) =
        (published("gpt2/encoder.json.gz"), published("gpt2/vocab.bpe.gz"))
    else {
        return;
    };
    let Recorded { captions, gpt2: rows, .. } = recorded();
    let files =
        Gpt2Files { vocab_json: Some(&encoder), merges_txt: Some(&merges), ..Gpt2Files::default() };
    let tokenizer = Gpt2Tokenizer::from_files(&files).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.pad_token_id()), (50257, 50256));
    hold_gpt2(&tokenizer, &captions, &rows.published);
    let rows = unpadded(&tokenizer.encode(&["an oil painting of a corgi", ""]).unwrap(), 50256);
    assert_eq!(rows, [vec![272, 3056, 12036, 286, 257, 1162, 12397], vec![]]);
}

#[test]
fn the_words_that_a_long_caption_loses_are_its_own() {
    let (encoder, merges) = small();
    let tokenizer = gpt2(&encoder, &merges).unwrap().with_context_length(10).unwrap();
    assert_eq!(tokenizer.context_length(), 10);
    let long = ["ABCDEFGHI JKLM,  no", "İİİ ΑΣ ΟΔΟΣ!", "abcdefghij   ", "abcdefghij"];
    let tokens = tokenizer.encode(&long).unwrap();
    assert_eq!(tokens.ids.size(), [4, 10]);
    let lost: Vec<Option<&str>> = tokens.cut_off.iter().map(Option::as_deref).collect();
    assert_eq!(lost, [Some("JKLM,  no"), Some("ΑΣ ΟΔΟΣ!"), None, None]);
    assert!(tokenizer.with_context_length(1).is_err());
}

/// The newer file of a table, with merges as pairs or as texts.
fn tokenizer_json(encoder: &str, merges: &str, pairs: bool) -> Value {
    let vocab: Value = serde_json::from_str(encoder).unwrap();
    let merges = merges.lines().skip(1).map(|line| match pairs {
        true => json!(line.split(' ').collect::<Vec<_>>()),
        false => json!(line),
    });
    let end = json!({ "id": vocab["<|endoftext|>"], "content": "<|endoftext|>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": true, "special": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [end], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true },
        "post_processor": null, "decoder": null,
        "model": { "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "vocab": vocab, "merges": merges.collect::<Vec<_>>() },
    })
}

fn from_json(file: &str) -> Result<Gpt2Tokenizer, clip::TokenizerError> {
    Gpt2Tokenizer::from_files(&Gpt2Files {
        tokenizer_json: Some(file.as_bytes()),
        ..Gpt2Files::default()
    })
}

#[test]
fn gpt2s_newer_file_gives_the_same_tokens() {
    let Recorded { captions, gpt2: rows, .. } = recorded();
    let (encoder, merges) = small();
    for pairs in [true, false] {
        let file = tokenizer_json(&encoder, &merges, pairs).to_string();
        hold_gpt2(&from_json(&file).unwrap(), &captions, &rows.small);
    }
}

#[test]
fn a_broken_gpt2_table_is_an_error_that_names_its_file_and_what_is_wrong() {
    let (encoder, merges) = small();
    let refused = |encoder: &str, merges: &str, file: &str, problem: &str| {
        let error = gpt2(encoder, merges).err().unwrap_or_else(|| panic!("accepted: {problem}"));
        let error = error.to_string();
        let beginning = format!("{file} is not what a GPT-2 tokenizer needs: ");
        assert!(error.starts_with(&beginning) && error.contains(problem), "{error} / {problem}");
    };
    let encoders =
        |encoder: &str, problem: &str| refused(encoder, &merges, "encoder.json", problem);
    encoders("", "EOF");
    encoders("[]", "invalid type");
    encoders("GPT-2", "expected value at line 1");
    encoders(&encoder[..2000], "EOF while parsing");
    encoders(&encoder.replacen(": 7,", ": 6,", 1), "both have the number 6");
    encoders(&encoder.replacen(": 7,", ": -7,", 1), "-7");
    encoders(&encoder.replacen("\"(\": 7, ", "", 1), "it has no token '(', which is byte 40");
    encoders(&encoder.replacen("\"(\"", "\")\"", 1), "is there twice");
    encoders(&encoder.replacen("<|endoftext|>", "<|end|>", 1), "is \"<|end|>\" and not");
    encoders(&encoder.replacen(": 316", ": 400", 1), "no token has the number 316");
    let bpes = |merges: &str, problem: &str| refused(&encoder, merges, "vocab.bpe", problem);
    let lines: Vec<&str> = merges.lines().collect();
    let with = |line: &str| [&lines[..5], &[line], &lines[5..]].concat().join("\n");
    bpes(&with("a b c"), "line 6 is no pair of tokens");
    bpes(&with("ab"), "line 6 is no pair of tokens");
    bpes(&with("q z"), "line 6 needs the token \"qz\"");
    bpes(&with("q zz"), "line 6 needs the token \"zz\"");
    bpes(&with(lines[3]), "lines 4 and 6 are both");
    bpes(&lines[..lines.len() - 1].join("\n"), "no pair in it makes the token");
    bpes("", "no pair in it makes the token");
    bpes(&merges.repeat(9), "has more pairs than the 317 tokens of encoder.json");
    let bytes = Gpt2Files {
        encoder_json: Some(encoder.as_bytes()),
        vocab_bpe: Some(b"\xff\xfe\xfd"),
        ..Gpt2Files::default()
    };
    let problem = |files: &Gpt2Files| Gpt2Tokenizer::from_files(files).err().unwrap().to_string();
    assert!(problem(&bytes).starts_with("vocab.bpe is not what"), "{}", problem(&bytes));
    for files in [Gpt2Files::default(), Gpt2Files { vocab_bpe: None, ..bytes }] {
        assert!(problem(&files).contains("encoder.json and vocab.bpe"), "{}", problem(&files));
    }
}

#[test]
fn a_broken_gpt2_tokenizer_json_is_an_error() {
    let (encoder, merges) = small();
    let sound = tokenizer_json(&encoder, &merges, true);
    let refused = |edit: &dyn Fn(&mut Value), problem: &str| {
        let mut file = sound.clone();
        edit(&mut file);
        let error = from_json(&file.to_string());
        let error = error.err().unwrap_or_else(|| panic!("accepted: {problem}")).to_string();
        let beginning = "tokenizer.json is not what a GPT-2 tokenizer needs: ";
        assert!(error.starts_with(beginning) && error.contains(problem), "{error} / {problem}");
    };
    refused(&|file| *file = json!({}), "missing field");
    refused(&|file| file["model"]["end_of_word_suffix"] = json!("</w>"), "end with \"</w>\"");
    refused(&|file| drop(file["model"]["merges"].as_array_mut().unwrap().pop()), "no pair in it");
    refused(&|file| file["added_tokens"][0]["id"] = json!(3), "and among the added ones 3");
    let another = json!({ "type": "WordLevel", "vocab": { "<|endoftext|>": 0 }, "unk_token": "<|endoftext|>" });
    refused(&|file| file["model"] = another.clone(), "not a BPE");
    // This panics inside the tokenizers crate.
    let long = json!("#".repeat(40));
    refused(
        &|file| file["model"]["continuing_subword_prefix"] = long.clone(),
        "inside the tokenizer",
    );
    refused(
        &|file| {
            let next = json!({ "id": 317, "content": "<|pad|>", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": true, "special": true });
            file["added_tokens"].as_array_mut().unwrap().push(next);
        },
        "its last token, number 317, is \"<|pad|>\"",
    );
}

fn hold_clip(tokenizer: &Tokenizer, captions: &[String], rows: &Rows) {
    let tokens = tokenizer.encode(captions).unwrap();
    assert_eq!(tokens.ids.size(), [captions.len() as i64, 77]);
    let mut checked = 0;
    for ((caption, row), found) in captions.iter().zip(rows).zip(unpadded(&tokens, 0)) {
        if let Some(row) = row {
            assert_eq!(found, *row, "{caption:?}");
            checked += 1;
        }
    }
    assert!(checked >= 25, "{checked}");
}

#[test]
fn clips_tokens_from_its_merges_are_the_references() {
    let Recorded { captions, clip: rows, .. } = recorded();
    let merges = fs::read(golden("merges.txt")).unwrap();
    for table in [Cow::Borrowed(&merges), Cow::Owned(gzip(&merges))] {
        let tokenizer = Tokenizer::from_merges(&table).unwrap();
        assert_eq!((tokenizer.vocab_size(), tokenizer.end_token_id()), (574, 573));
        hold_clip(&tokenizer, &captions, &rows.small);
    }
}

#[test]
fn clips_tokens_from_the_published_merges_are_the_references_and_those_of_the_published_pair() {
    let Some(table) = published("bpe_simple_vocab_16e6.txt.gz") else { return };
    let Recorded { captions, clip: rows, .. } = recorded();
    let tokenizer = Tokenizer::from_merges(&table).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_token_id()), (49408, 49407));
    hold_clip(&tokenizer, &captions, &rows.published);

    // The pair that transformers publishes beside the same vocabulary.
    let text = std::str::from_utf8(&table).unwrap();
    let merges: Vec<&str> = text.lines().skip(1).take(48894).collect();
    let empty = clip::bpe_training::train([""; 0], 0, 77);
    let mut vocab: HashMap<String, usize> = serde_json::from_str(&empty.vocab_json).unwrap();
    vocab.retain(|_, number| *number < 512);
    let marks = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    for token in merges.iter().map(|merge| merge.replace(' ', "")).chain(marks) {
        vocab.insert(token, vocab.len());
    }
    let (vocab, merges) = (json!(vocab).to_string(), merges.join("\n"));
    let pair = TokenizerFiles {
        vocab_json: Some(vocab.as_bytes()),
        merges_txt: Some(merges.as_bytes()),
        ..TokenizerFiles::default()
    };
    let pair = Tokenizer::from_files(&pair).unwrap().with_context_length(77).unwrap();
    let rows = |tokenizer: &Tokenizer, pad| unpadded(&tokenizer.encode(&captions).unwrap(), pad);
    assert_eq!(rows(&tokenizer, 0), rows(&pair, 49407));

    // A download that broke off.
    let cut = text.lines().take(48894).collect::<Vec<_>>().join("\n");
    let cut = Tokenizer::from_merges(cut.as_bytes()).err().unwrap().to_string();
    assert!(cut.contains("it has 48893 merges, and 48894 are needed"), "{cut}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn broken_merges_are_one_error() {
    let table = fs::read_to_string(golden("merges.txt")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let with = |line: &str| [&lines[..5], &[line], &lines[5..]].concat().join("\n");
    let refused = |table: &[u8], problem: &str| {
        let error = Tokenizer::from_merges(table);
        let error = error.err().unwrap_or_else(|| panic!("accepted: {problem}")).to_string();
        let beginning = "bpe_simple_vocab_16e6.txt is not what a CLIP tokenizer needs: ";
        assert!(error.starts_with(beginning) && error.contains(problem), "{error} / {problem}");
    };
    refused(b"", "line 1 has no #version");
    refused(lines[1..].join("\n").as_bytes(), "line 1 has no #version");
    refused(b"\x89PNG\r\n\x1a\n", "UTF-8");
    refused(with("a b c").as_bytes(), "line 6 is no pair of tokens");
    refused(with("q zz").as_bytes(), "line 6 needs the token \"zz\"");
    refused(with(lines[2]).as_bytes(), "line 6 makes the token");
    refused(with("< |startoftext|>").as_bytes(), "|startoftext|>");
    refused(
        table.replacen("#version", "\"bpe_simple_vocab_16e6.txt#version", 1).as_bytes(),
        "60 merges, and 48894",
    );
    let packed = gzip(table.as_bytes());
    refused(&packed[..packed.len() - 20], "it ends early");
    refused(&packed[..2], "it ends early");
    let mut damaged = packed.clone();
    *damaged.iter_mut().rev().nth(5).unwrap() ^= 1;
    refused(&damaged, "cannot be unpacked");
    refused(&gzip(&vec![b'\n'; 1 << 25]), "more than 16777216 bytes");
}

#[test]
fn gzip_is_unpacked_up_to_a_bound() {
    let packed = gzip(&[7; 1000]);
    assert!(packed.len() < 100);
    assert_eq!(*gunzip(&packed, 1000).unwrap(), [7; 1000]);
    let error = gunzip(&packed, 999).unwrap_err().to_string();
    assert!(error.contains("more than 999 bytes"), "{error}");
    assert!(matches!(gunzip(b"plain", 5).unwrap(), Cow::Borrowed(b"plain")));
    assert!(gunzip(b"plain", 4).is_err());
    // As `gzip` itself does, one packed file after another is their contents one after another.
    assert_eq!(*gunzip(&[gzip(b"a"), gzip(b"b")].concat(), 9).unwrap(), *b"ab");
}
