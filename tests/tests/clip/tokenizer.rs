//! Captions to tokens.

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};

use clip::bpe_training::{TrainedBpe, train};
use clip::{Tokenizer, TokenizerFiles};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use training::SyntheticDataset;

const CAPTIONS: [&str; 5] = [
    "a red house under a stormy sky",
    "a tiny red boat, and a big house",
    "the big balloon above the house",
    "a café in the snow",
    "a big red balloon",
];

pub(super) fn trained() -> TrainedBpe {
    train(CAPTIONS, 100, 12)
}

pub(super) fn tokenizer() -> Tokenizer {
    Tokenizer::from_files(&trained().files()).unwrap()
}

fn ids(tokenizer: &Tokenizer, caption: &str) -> Vec<i64> {
    let tokens = tokenizer.encode(&[caption]).unwrap();
    Vec::try_from(tokens.ids.flatten(0, 1)).unwrap()
}

/// What tokens spell, without marks and padding.
fn spelled(bpe: &TrainedBpe, ids: &[i64]) -> String {
    let vocab: HashMap<String, i64> = serde_json::from_str(&bpe.vocab_json).unwrap();
    let names: HashMap<i64, &String> = vocab.iter().map(|(name, id)| (*id, name)).collect();
    let text: String =
        ids.iter().map(|id| names[id].as_str()).filter(|name| !name.starts_with("<|")).collect();
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let hidden: Vec<u8> = (0..=255).filter(|byte| !printable(*byte)).collect();
    let bytes = text.replace("</w>", "\u{120}"); // the character that spells a space
    let byte = |c: char| {
        if c < '\u{100}' { c as u8 } else { hidden[c as usize - 0x100] }
    };
    String::from_utf8(bytes.chars().map(byte).collect()).unwrap().trim().to_owned()
}

#[test]
fn a_caption_is_marked_padded_and_masked() {
    let (bpe, tokenizer) = (trained(), tokenizer());
    let tokens = tokenizer.encode(&["a red house", ""]).unwrap();
    assert_eq!(tokens.ids.size(), [2, 12]);
    let (start, end) = (bpe.vocab_size as i64 - 2, bpe.vocab_size as i64 - 1);
    let rows: Vec<Vec<i64>> = Vec::try_from(&tokens.ids).unwrap();
    let masks: Vec<Vec<bool>> = Vec::try_from(&tokens.mask).unwrap();
    assert_eq!(
        (rows[0][0], rows[0][4]),
        (start, end),
        "every word of the training captions is one token"
    );
    assert_eq!(rows[1][..2], [start, end]);
    assert_eq!((tokenizer.pad_token_id(), tokenizer.end_token_id()), (0, end));
    for (row, mask, real) in [(&rows[0], &masks[0], 5), (&rows[1], &masks[1], 2)] {
        assert!(row[real..].iter().all(|id| *id == 0), "{row:?}");
        assert_eq!(*mask, (0..12).map(|place| place < real).collect::<Vec<_>>());
    }
    assert_eq!(tokens.cut_off, [None, None]);
    assert_eq!(tokenizer.vocab_size(), bpe.vocab_size);
}

#[test]
fn a_long_caption_keeps_its_end_and_the_lost_words_are_named() {
    let tokenizer = tokenizer().with_context_length(5).unwrap();
    let captions = ["a red house", "a red house under a  STORMY sky", "a red zeppelin, 🎈"];
    let tokens = tokenizer.encode(&captions).unwrap();
    let rows: Vec<Vec<i64>> = Vec::try_from(&tokens.ids).unwrap();
    assert!(rows.iter().all(|row| row[4] == tokenizer.end_token_id()), "{rows:?}");
    assert_eq!(tokens.cut_off[0], None);
    assert_eq!(tokens.cut_off[1].as_deref(), Some("under a  STORMY sky"));
    assert_eq!(
        tokens.cut_off[2].as_deref(),
        Some("zeppelin, 🎈"),
        "a word cut in its middle is lost"
    );
    let mask: Vec<bool> = Vec::try_from(tokens.mask.select(0, 1)).unwrap();
    assert_eq!(mask, [true; 5]);
}

#[test]
fn any_text_is_spelled_by_bytes() {
    let bpe = trained();
    let tokenizer = Tokenizer::from_files(&bpe.files()).unwrap().with_context_length(99).unwrap();
    for (caption, normalised) in [
        ("A Red  HOUSE", "a red house"),
        ("e\u{301}te\u{301} naïve ÀÉ", "été naïve àé"),
        ("🏠 👩‍👩‍👧 中文", "🏠 👩‍👩‍👧 中 文"),
        ("it's 42", "it 's 4 2"),
    ] {
        let row = ids(&tokenizer, caption);
        let mask: Vec<bool> =
            Vec::try_from(tokenizer.encode(&[caption]).unwrap().mask.flatten(0, 1)).unwrap();
        let real: Vec<i64> =
            row.into_iter().zip(mask).filter(|(_, real)| *real).map(|(id, _)| id).collect();
        let without_spaces = |text: &str| text.replace(' ', "");
        assert_eq!(without_spaces(&spelled(&bpe, &real)), without_spaces(normalised), "{caption}");
    }
}

#[test]
fn a_vocabulary_is_the_same_whatever_the_order_of_the_captions() {
    let mut reversed = CAPTIONS;
    reversed.reverse();
    assert_eq!(trained(), train(reversed, 100, 12));
    let merges = trained().merges_txt.lines().count() - 1;
    assert_eq!(trained().vocab_size, 512 + merges + 2);
    assert!((10..100).contains(&merges), "{merges}: it stops where no pair occurs twice");
    assert_eq!(train(CAPTIONS, 7, 12).vocab_size, 512 + 7 + 2);
    assert_eq!(train([""; 0], 7, 12).vocab_size, 514);
    let first = trained().merges_txt.lines().nth(1).unwrap().to_owned();
    assert_eq!(first, "b i", "of the most frequent pairs, the one with the lowest numbers");
}

/// BPE by its definition: all pairs are counted anew before each merge, of equally frequent ones that with the lower numbers
/// is merged, and a token is not spelled in two ways.
fn merges_by_definition(words: &[&str], max_merges: usize) -> Vec<String> {
    let letters: Vec<String> = (b'!'..=b'~').map(|byte| char::from(byte).to_string()).collect();
    // Numbered as in the vocabulary, where other bytes lie between.
    let mut tokens = vec![String::new(); 512];
    for (n, letter) in letters.iter().enumerate() {
        (tokens[n], tokens[256 + n]) = (letter.clone(), format!("{letter}</w>"));
    }
    let spell =
        |word: &&str| -> Vec<usize> { word.bytes().map(|b| usize::from(b - b'!')).collect() };
    let mut spellings: Vec<Vec<usize>> = words.iter().map(spell).collect();
    spellings.iter_mut().for_each(|word| *word.last_mut().unwrap() += 256);
    let mut merges = Vec::new();
    while merges.len() < max_merges {
        let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
        for pair in spellings.iter().flat_map(|word| word.windows(2)) {
            *counts.entry((pair[0], pair[1])).or_default() += 1;
        }
        let merged = |(left, right): (usize, usize)| format!("{}{}", tokens[left], tokens[right]);
        let best = counts
            .into_iter()
            .filter(|&(pair, count)| count > 1 && !tokens.contains(&merged(pair)))
            .max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)));
        let Some((pair, _)) = best else { break };
        for word in &mut spellings {
            let mut place = 0;
            while place + 1 < word.len() {
                if (word[place], word[place + 1]) == pair {
                    word[place] = tokens.len();
                    word.remove(place + 1);
                }
                place += 1;
            }
        }
        merges.push(format!("{} {}", tokens[pair.0], tokens[pair.1]));
        tokens.push(merged(pair));
    }
    merges
}

#[test]
fn merges_are_those_of_the_definition() {
    let mut generator = noise::Generator::new(5);
    for case in 0..40 {
        let mut word = || -> String {
            let length = 1 + generator.below(12);
            (0..length).map(|_| char::from(b'a' + generator.below(1 + case % 4) as u8)).collect()
        };
        let words: Vec<String> = (0..60).map(|_| word()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ours = train([words.join(" ")], 150, 77).merges_txt;
        let ours: Vec<&str> = ours.lines().skip(1).collect();
        assert_eq!(ours, merges_by_definition(&words, 150), "{words:?}");
    }
}

#[test]
fn the_files_of_the_scenes_stay_the_same() {
    let bpe = train(scenes::SceneDataset.captions(20_000), 1200, 32);
    let mut hash = Sha256::new();
    bpe.named_files().iter().for_each(|(_, file)| hash.update(file));
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "927166ea2132e815b2c9371753f1ac6756e3ed90660fd38174a45daff997eb59");
}

/// The newer file with the same vocabulary.
fn tokenizer_json(bpe: &TrainedBpe) -> Value {
    let vocab: Value = serde_json::from_str(&bpe.vocab_json).unwrap();
    let merges: Vec<&str> = bpe.merges_txt.lines().skip(1).collect();
    let special = |name: &str| {
        json!({ "id": vocab[name], "content": name, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special("<|startoftext|>"), special("<|endoftext|>")],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": { "type": "BPE", "dropout": null, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocab, "merges": merges },
    })
}

#[test]
fn both_generations_of_files_give_the_same_tokens() {
    let bpe = trained();
    let newer = tokenizer_json(&bpe).to_string();
    let files = TokenizerFiles {
        tokenizer_json: Some(newer.as_bytes()),
        vocab_json: None,
        merges_txt: None,
        ..bpe.files()
    };
    let (newer, older) = (Tokenizer::from_files(&files).unwrap(), tokenizer());
    for caption in ["", "a red house!", "<|endoftext|>x <|ENDOFTEXT|>", "été 🏠 don't"] {
        assert_eq!(ids(&newer, caption), ids(&older, caption), "{caption}");
    }
}

#[test]
fn padding_and_context_are_the_checkpoints() {
    let bpe = trained();
    let open = |config: &str, map: &str| {
        let files = TokenizerFiles {
            tokenizer_config: Some(config.as_bytes()),
            special_tokens_map: Some(map.as_bytes()),
            ..bpe.files()
        };
        Tokenizer::from_files(&files).unwrap()
    };
    let end = bpe.vocab_size as i64 - 1;
    assert_eq!(open(r#"{"pad_token": "!"}"#, "{}").pad_token_id(), 0);
    assert_eq!(open("{}", "{}").pad_token_id(), end);
    assert_eq!(
        open(r#"{"pad_token": "!"}"#, r#"{"pad_token": {"content": "<|endoftext|>"}}"#)
            .pad_token_id(),
        end
    );
    assert_eq!(open(r#"{"model_max_length": 77}"#, "{}").context_length(), Some(77));
    let huge = open(r#"{"model_max_length": 1000000000000000019884624838656}"#, "{}");
    assert_eq!(huge.context_length(), None);
    let error = huge.encode(&["a"]).unwrap_err().to_string();
    assert!(error.contains("model_max_length"), "{error}");
    assert!(huge.with_context_length(1).is_err());
}

#[test]
fn a_broken_tokenizer_is_an_error_that_names_its_file() {
    let bpe = trained();
    let change = |edit: &dyn Fn(&mut Value)| {
        let mut file = tokenizer_json(&bpe);
        edit(&mut file);
        file.to_string()
    };
    let long = "#".repeat(40);
    let hostile = [
        ("empty", String::new()),
        ("not JSON", "\u{0}\u{1}garbage".to_owned()),
        ("a list", "[]".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("deep", "[".repeat(100_000)),
        ("cut", tokenizer_json(&bpe).to_string()[..2000].to_owned()),
        // This and the next panic inside the tokenizers crate.
        ("prefix", change(&|file| file["model"]["continuing_subword_prefix"] = json!(long))),
        (
            "half a character",
            change(&|file| {
                file["model"]["continuing_subword_prefix"] = json!("#");
                file["model"]["vocab"]["é"] = json!(9000);
                file["model"]["merges"] = json!(["a é"]);
            }),
        ),
        ("merge of nothing", change(&|file| file["model"]["merges"] = json!(["q zzz"]))),
        ("merge of one", change(&|file| file["model"]["merges"] = json!(["q"]))),
        ("dropout", change(&|file| file["model"]["dropout"] = json!(7.0))),
        (
            "another model",
            change(&|file| {
                file["model"] = json!({ "type": "WordLevel", "vocab": { "<|endoftext|>": 0 }, "unk_token": "<|endoftext|>" });
            }),
        ),
        ("no suffix", change(&|file| file["model"]["end_of_word_suffix"] = json!(null))),
        (
            "no end",
            change(&|file| {
                file["model"]["vocab"] = json!({ "a": 0 });
                file["model"]["merges"] = json!([]);
                file["added_tokens"] = json!([]);
            }),
        ),
        (
            "charsmap",
            change(&|file| {
                file["normalizer"] =
                    json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" })
            }),
        ),
        (
            "pattern",
            change(&|file| {
                file["pre_tokenizer"] = json!({ "type": "Split", "pattern": { "Regex": "(" }, "behavior": "Removed", "invert": false });
            }),
        ),
    ];
    let mut panics = 0;
    for (name, file) in &hostile {
        let files = TokenizerFiles { tokenizer_json: Some(file.as_bytes()), ..bpe.files() };
        let error = Tokenizer::from_files(&files)
            .err()
            .unwrap_or_else(|| panic!("{name} was accepted"))
            .to_string();
        assert!(error.contains("tokenizer.json") || *name == "no end", "{name}: {error}");
        panics += usize::from(error.contains("failed inside the tokenizer"));
    }
    assert!(panics >= 2, "only {panics} of the files panicked inside the crate");

    let part = |files: TokenizerFiles, wanted: &str| {
        let error = Tokenizer::from_files(&files).err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    part(TokenizerFiles { vocab_json: None, ..bpe.files() }, "neither tokenizer.json nor both");
    part(TokenizerFiles { vocab_json: Some(b"{\"a\": -1}"), ..bpe.files() }, "vocab.json");
    part(
        TokenizerFiles { vocab_json: Some(b"{\"a\": 0}"), merges_txt: Some(b""), ..bpe.files() },
        "start token \"<|startoftext|>\"",
    );
    part(TokenizerFiles { merges_txt: Some(b"#version: 0.2\na b c\n"), ..bpe.files() }, "line 2");
    part(TokenizerFiles { merges_txt: Some(b"q zzz\n"), ..bpe.files() }, "merges.txt");
    part(TokenizerFiles { tokenizer_config: Some(b"7"), ..bpe.files() }, "tokenizer_config.json");
    part(
        TokenizerFiles {
            tokenizer_config: Some(br#"{"pad_token": 7}"#),
            special_tokens_map: None,
            ..bpe.files()
        },
        "pad_token",
    );
    part(TokenizerFiles { words_txt: Some(b"\xff"), ..bpe.files() }, "words.txt");
    part(
        TokenizerFiles { nearest_words_txt: Some(b"house cottage"), ..bpe.files() },
        "nearest_words.txt is not what a CLIP tokenizer needs: line 1 has no colon",
    );
}

#[test]
fn a_vocabulary_or_merges_with_a_hole_are_refused() {
    let bpe = trained();
    let sound: HashMap<String, i64> = serde_json::from_str(&bpe.vocab_json).unwrap();
    let last = sound.len() as i64 - 1;
    let by_number = |number: i64| sound.iter().find(|(_, n)| **n == number).unwrap().0.clone();
    let lines: Vec<&str> = bpe.merges_txt.lines().collect();
    let refused = |edit: &dyn Fn(&mut HashMap<String, i64>), merges: &[&str], wanted: &str| {
        let mut vocab = sound.clone();
        edit(&mut vocab);
        let (vocab, merges) = (json!(vocab).to_string(), merges.join("\n"));
        let files = TokenizerFiles {
            vocab_json: Some(vocab.as_bytes()),
            merges_txt: Some(merges.as_bytes()),
            ..bpe.files()
        };
        let error =
            Tokenizer::from_files(&files).err().unwrap_or_else(|| panic!("accepted: {wanted}"));
        assert!(error.to_string().contains(wanted), "{error} / {wanted}");
    };
    let twice = |vocab: &mut HashMap<String, i64>| *vocab.get_mut(&by_number(5)).unwrap() = 4;
    refused(&twice, &lines, "vocab.json is not what a CLIP tokenizer needs: tokens ");
    refused(&twice, &lines, "both have the number 4");
    let lost = |vocab: &mut HashMap<String, i64>| assert!(vocab.remove(&by_number(513)).is_some());
    refused(&lost, &[lines[0]], "no token has the number 513");
    let beyond =
        |vocab: &mut HashMap<String, i64>| *vocab.get_mut(&by_number(last)).unwrap() = 9000;
    refused(
        &beyond,
        &lines,
        &format!("no token has the number {last}, and \"<|endoftext|>\" has 9000"),
    );
    let same = |_: &mut HashMap<String, i64>| {};
    let cut = &lines[..lines.len() - 1];
    refused(
        &same,
        cut,
        "merges.txt is not what a CLIP tokenizer needs: no pair in it makes the token",
    );
    let doubled = [&lines[..], &lines[1..2]].concat();
    refused(&same, &doubled, &format!("lines 2 and {} are both", doubled.len()));
    refused(&same, &lines.repeat(9), "lines 2 and ");

    let changed = |edit: &dyn Fn(&mut Value), wanted: &str| {
        let mut file = tokenizer_json(&bpe);
        edit(&mut file);
        let file = file.to_string();
        let files = TokenizerFiles { tokenizer_json: Some(file.as_bytes()), ..bpe.files() };
        let error =
            Tokenizer::from_files(&files).err().unwrap_or_else(|| panic!("accepted: {wanted}"));
        assert!(error.to_string().contains(wanted), "{error} / {wanted}");
    };
    changed(&|file| file["model"]["vocab"]["\""] = json!(0), "both have the number 0");
    changed(&|file| file["added_tokens"][0]["id"] = json!(3), "and among the added ones 3");
    changed(
        &|file| drop(file["model"]["merges"].as_array_mut().unwrap().pop()),
        "no pair in it makes the token",
    );
    let sound = tokenizer_json(&bpe).to_string();
    let twice = sound.replacen("\"vocab\":{", "\"vocab\":{\"!\":7,", 1);
    assert!(twice != sound);
    let files = TokenizerFiles { tokenizer_json: Some(twice.as_bytes()), ..bpe.files() };
    let error = Tokenizer::from_files(&files).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("\"!\" is there twice"), "{error}");

    let config = |text: &str, wanted: &str| {
        let files = TokenizerFiles { tokenizer_config: Some(text.as_bytes()), ..bpe.files() };
        let error =
            Tokenizer::from_files(&files).err().unwrap_or_else(|| panic!("accepted: {wanted}"));
        assert!(error.to_string().contains(wanted), "{error} / {wanted}");
    };
    config(
        r#"{"added_tokens_decoder": {"3": {"content": "<|endoftext|>"}}}"#,
        "and among the added ones 3",
    );
    config(r#"{"added_tokens_decoder": {"x": {"content": "new"}}}"#, "added_tokens_decoder has");
    config(r#"{"added_tokens_decoder": []}"#, "added_tokens_decoder is []");
}

/// The published merges give transformers' tokens. They are too large to be committed.
#[test]
fn the_published_vocabulary_gives_the_published_tokens() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/bpe_simple_vocab_16e6.txt.gz");
    let mut text = String::new();
    let unpacked = std::path::Path::new(path).exists().then(|| {
        let mut gzip =
            Command::new("gzip").args(["-dc", path]).stdout(Stdio::piped()).spawn().ok()?;
        gzip.stdout.take()?.read_to_string(&mut text).ok()?;
        gzip.wait().ok()
    });
    if unpacked.flatten().is_none() {
        eprintln!("skipped: no {path}, or no gzip to unpack it");
        return;
    }
    let merges: Vec<&str> = text.lines().skip(1).take(49152 - 256 - 2).collect();
    let empty = train([""; 0], 0, 77);
    let bytes: HashMap<String, i64> = serde_json::from_str(&empty.vocab_json).unwrap();
    let mut vocab: HashMap<String, usize> = bytes
        .into_iter()
        .filter(|(_, id)| *id < 512)
        .map(|(name, id)| (name, id as usize))
        .collect();
    let marks = ["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()];
    for token in merges.iter().map(|merge| merge.replace(' ', "")).chain(marks) {
        vocab.insert(token, vocab.len());
    }
    let (vocab, merges) = (json!(vocab).to_string(), merges.join("\n"));
    let files = TokenizerFiles {
        vocab_json: Some(vocab.as_bytes()),
        merges_txt: Some(merges.as_bytes()),
        ..empty.files()
    };
    let tokenizer = Tokenizer::from_files(&files).unwrap();
    let recorded: [(&str, &[i64]); 6] = [
        ("", &[49406, 49407]),
        ("A photo of a cat!", &[49406, 320, 1125, 539, 320, 2368, 0, 49407]),
        (
            "Ünïcödé e\u{301}tude  don't",
            &[49406, 6522, 77, 35689, 66, 7255, 67, 4166, 3459, 764, 654, 847, 713, 49407],
        ),
        ("🏠 12 <|endoftext|>x", &[49406, 33727, 272, 273, 49407, 343, 49407]),
        ("naïve\tÉTÉ??", &[49406, 1097, 35689, 563, 3459, 39694, 2197, 49407]),
        ("中文 \u{200b}!!", &[49406, 19759, 255, 29032, 485, 9844, 0, 0, 49407]),
    ];
    for (caption, recorded) in recorded {
        let row = ids(&tokenizer, caption);
        assert_eq!(row[..recorded.len()], *recorded, "{caption}");
        assert!(row[recorded.len()..].iter().all(|id| *id == 0), "{caption}");
    }
}
