//! Captions to tokens, tokens to embeddings, pictures to pixels. The encoders' numbers are held to the reference's by
//! the golden cases; what is here needs no record but a few numbers.

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};

use clip::bpe_training::{TrainedBpe, train};
use clip::resize::{Filter, resize};
use clip::text::{LEGACY_EOS, end_positions};
use clip::{
    ImageProcessor, TextConfig, TextEncoder, Tokenizer, TokenizerFiles, VisionConfig, VisionEncoder,
};
use image::{Rgb, RgbImage};
use layers::{Activation, Initialiser, Params};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

const CAPTIONS: [&str; 5] = [
    "a red house under a stormy sky",
    "a tiny red boat, and a big house",
    "the big balloon above the house",
    "a café in the snow",
    "a big red balloon",
];

fn trained() -> TrainedBpe {
    train(CAPTIONS, 100, 12)
}

fn tokenizer() -> Tokenizer {
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
    let text: String = ids
        .iter()
        .map(|id| names[id].as_str())
        .filter(|name| !name.starts_with("<|"))
        .collect();
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let hidden: Vec<u8> = (0..=255).filter(|byte| !printable(*byte)).collect();
    let bytes = text.replace("</w>", "\u{120}"); // the character that spells a space
    let byte = |c: char| {
        if c < '\u{100}' {
            c as u8
        } else {
            hidden[c as usize - 0x100]
        }
    };
    String::from_utf8(bytes.chars().map(byte).collect())
        .unwrap()
        .trim()
        .to_owned()
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
    assert_eq!(
        (tokenizer.pad_token_id(), tokenizer.end_token_id()),
        (0, end)
    );
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
    let captions = [
        "a red house",
        "a red house under a  STORMY sky",
        "a red zeppelin, 🎈",
    ];
    let tokens = tokenizer.encode(&captions).unwrap();
    let rows: Vec<Vec<i64>> = Vec::try_from(&tokens.ids).unwrap();
    assert!(
        rows.iter().all(|row| row[4] == tokenizer.end_token_id()),
        "{rows:?}"
    );
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
    let tokenizer = Tokenizer::from_files(&bpe.files())
        .unwrap()
        .with_context_length(99)
        .unwrap();
    for (caption, normalised) in [
        ("A Red  HOUSE", "a red house"),
        ("e\u{301}te\u{301} naïve ÀÉ", "été naïve àé"),
        ("🏠 👩‍👩‍👧 中文", "🏠 👩‍👩‍👧 中 文"),
        ("it's 42", "it 's 4 2"),
    ] {
        let row = ids(&tokenizer, caption);
        let mask: Vec<bool> =
            Vec::try_from(tokenizer.encode(&[caption]).unwrap().mask.flatten(0, 1)).unwrap();
        let real: Vec<i64> = row
            .into_iter()
            .zip(mask)
            .filter(|(_, real)| *real)
            .map(|(id, _)| id)
            .collect();
        let without_spaces = |text: &str| text.replace(' ', "");
        assert_eq!(
            without_spaces(&spelled(&bpe, &real)),
            without_spaces(normalised),
            "{caption}"
        );
    }
}

#[test]
fn words_that_no_training_caption_had_are_named_once() {
    let tokenizer = tokenizer();
    assert_eq!(
        tokenizer.unknown_words("A RED zebra's house, zebra! 7 cafés 🎈"),
        ["zebra", "7", "cafés", "🎈"]
    );
    assert!(
        tokenizer
            .unknown_words("the big red house (above)!")
            .is_empty()
    );
    let bpe = trained();
    let silent = Tokenizer::from_files(&TokenizerFiles {
        words_txt: None,
        ..bpe.files()
    })
    .unwrap();
    assert!(
        silent.unknown_words("zebra").is_empty(),
        "a model without the list names nothing"
    );
}

#[test]
fn a_vocabulary_is_the_same_whatever_the_order_of_the_captions() {
    let mut reversed = CAPTIONS;
    reversed.reverse();
    assert_eq!(trained(), train(reversed, 100, 12));
    let merges = trained().merges_txt.lines().count() - 1;
    assert_eq!(trained().vocab_size, 512 + merges + 2);
    assert!(
        (10..100).contains(&merges),
        "{merges}: it stops where no pair occurs twice"
    );
    assert_eq!(train(CAPTIONS, 7, 12).vocab_size, 512 + 7 + 2);
    assert_eq!(train([""; 0], 7, 12).vocab_size, 514);
    let first = trained().merges_txt.lines().nth(1).unwrap().to_owned();
    assert_eq!(
        first, "b i",
        "of the most frequent pairs, the one with the lowest numbers"
    );
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
    for caption in [
        "",
        "a red house!",
        "<|endoftext|>x <|ENDOFTEXT|>",
        "été 🏠 don't",
    ] {
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
        open(
            r#"{"pad_token": "!"}"#,
            r#"{"pad_token": {"content": "<|endoftext|>"}}"#
        )
        .pad_token_id(),
        end
    );
    assert_eq!(
        open(r#"{"model_max_length": 77}"#, "{}").context_length(),
        Some(77)
    );
    let huge = open(
        r#"{"model_max_length": 1000000000000000019884624838656}"#,
        "{}",
    );
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
        (
            "prefix",
            change(&|file| file["model"]["continuing_subword_prefix"] = json!(long)),
        ),
        (
            "half a character",
            change(&|file| {
                file["model"]["continuing_subword_prefix"] = json!("#");
                file["model"]["vocab"]["é"] = json!(9000);
                file["model"]["merges"] = json!(["a é"]);
            }),
        ),
        (
            "merge of nothing",
            change(&|file| file["model"]["merges"] = json!(["q zzz"])),
        ),
        (
            "merge of one",
            change(&|file| file["model"]["merges"] = json!(["q"])),
        ),
        (
            "dropout",
            change(&|file| file["model"]["dropout"] = json!(7.0)),
        ),
        (
            "another model",
            change(&|file| {
                file["model"] = json!({ "type": "WordLevel", "vocab": { "<|endoftext|>": 0 }, "unk_token": "<|endoftext|>" });
            }),
        ),
        (
            "no suffix",
            change(&|file| file["model"]["end_of_word_suffix"] = json!(null)),
        ),
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
        let files = TokenizerFiles {
            tokenizer_json: Some(file.as_bytes()),
            ..bpe.files()
        };
        let error = Tokenizer::from_files(&files)
            .err()
            .unwrap_or_else(|| panic!("{name} was accepted"))
            .to_string();
        assert!(
            error.contains("tokenizer.json") || *name == "no end",
            "{name}: {error}"
        );
        panics += usize::from(error.contains("failed inside the tokenizer"));
    }
    assert!(
        panics >= 2,
        "only {panics} of the files panicked inside the crate"
    );

    let part = |files: TokenizerFiles, wanted: &str| {
        let error = Tokenizer::from_files(&files).err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    part(
        TokenizerFiles {
            vocab_json: None,
            ..bpe.files()
        },
        "neither tokenizer.json nor both",
    );
    part(
        TokenizerFiles {
            vocab_json: Some(b"{\"a\": -1}"),
            ..bpe.files()
        },
        "vocab.json",
    );
    part(
        TokenizerFiles {
            vocab_json: Some(b"{\"a\": 0}"),
            merges_txt: Some(b""),
            ..bpe.files()
        },
        "start token \"<|startoftext|>\"",
    );
    part(
        TokenizerFiles {
            merges_txt: Some(b"#version: 0.2\na b c\n"),
            ..bpe.files()
        },
        "line 2",
    );
    part(
        TokenizerFiles {
            merges_txt: Some(b"q zzz\n"),
            ..bpe.files()
        },
        "merges.txt",
    );
    part(
        TokenizerFiles {
            tokenizer_config: Some(b"7"),
            ..bpe.files()
        },
        "tokenizer_config.json",
    );
    part(
        TokenizerFiles {
            tokenizer_config: Some(br#"{"pad_token": 7}"#),
            special_tokens_map: None,
            ..bpe.files()
        },
        "pad_token",
    );
    part(
        TokenizerFiles {
            words_txt: Some(b"\xff"),
            ..bpe.files()
        },
        "words.txt",
    );
}

/// The published merges give transformers' tokens. They are too large to be committed.
#[test]
fn the_published_vocabulary_gives_the_published_tokens() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/bpe_simple_vocab_16e6.txt.gz"
    );
    let mut text = String::new();
    let unpacked = std::path::Path::new(path).exists().then(|| {
        let mut gzip = Command::new("gzip")
            .args(["-dc", path])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
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
    for token in merges
        .iter()
        .map(|merge| merge.replace(' ', ""))
        .chain(marks)
    {
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
        (
            "A photo of a cat!",
            &[49406, 320, 1125, 539, 320, 2368, 0, 49407],
        ),
        (
            "Ünïcödé e\u{301}tude  don't",
            &[
                49406, 6522, 77, 35689, 66, 7255, 67, 4166, 3459, 764, 654, 847, 713, 49407,
            ],
        ),
        (
            "🏠 12 <|endoftext|>x",
            &[49406, 33727, 272, 273, 49407, 343, 49407],
        ),
        (
            "naïve\tÉTÉ??",
            &[49406, 1097, 35689, 563, 3459, 39694, 2197, 49407],
        ),
        (
            "中文 \u{200b}!!",
            &[49406, 19759, 255, 29032, 485, 9844, 0, 0, 49407],
        ),
    ];
    for (caption, recorded) in recorded {
        let row = ids(&tokenizer, caption);
        assert_eq!(row[..recorded.len()], *recorded, "{caption}");
        assert!(row[recorded.len()..].iter().all(|id| *id == 0), "{caption}");
    }
}

#[test]
fn the_end_is_the_highest_token_or_the_first_of_its_number() {
    let ids =
        Tensor::from_slice(&[98i64, 5, 99, 0, 0, 98, 99, 99, 99, 99, 98, 1, 2, 3, 4]).view([3, 5]);
    let ends = |eos| Vec::<i64>::try_from(end_positions(&ids, eos)).unwrap();
    assert_eq!(ends(LEGACY_EOS), [2, 1, 0]);
    assert_eq!(ends(99), [2, 1, 0]);
    assert_eq!(ends(0), [3, 0, 0]);
    assert_eq!(ends(3), [0, 0, 3]);
}

fn text_config() -> TextConfig {
    TextConfig {
        vocab_size: 50,
        context_length: 7,
        width: 24,
        layers: 2,
        heads: 3,
        intermediate: 48,
        embedding: 10,
        activation: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 49,
    }
}

fn vision_config() -> VisionConfig {
    VisionConfig {
        image_size: 12,
        patch_size: 4,
        width: 24,
        layers: 2,
        heads: 3,
        intermediate: 48,
        embedding: 10,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-5,
    }
}

#[test]
fn a_token_sees_only_those_before_it() {
    let source = Initialiser::new(3, Device::Cpu, Kind::Float);
    let encoder = TextEncoder::new(&Params::root(&source), &text_config());
    let one = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49, 0, 0, 0]).view([1, 7]));
    let two = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49, 9, 8, 7]).view([1, 7]));
    let short = encoder.forward(&Tensor::from_slice(&[48i64, 1, 2, 49]).view([1, 4]));
    assert_eq!(
        (one.states.size(), one.embedding.size()),
        (vec![1, 7, 24], vec![1, 10])
    );
    let differ = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().max()).unwrap();
    assert!(differ(&one.states.narrow(1, 0, 4), &two.states.narrow(1, 0, 4)) < 1e-6);
    assert!(differ(&one.states.narrow(1, 0, 4), &short.states) < 1e-5);
    assert!(differ(&one.states.narrow(1, 4, 3), &two.states.narrow(1, 4, 3)) > 1e-3);
    assert!(
        differ(&one.embedding, &two.embedding) < 1e-6,
        "the first end is pooled"
    );
}

#[test]
fn every_tensor_of_both_encoders_learns_in_both_precisions() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let source = Initialiser::new(4, Device::Cpu, kind);
        let text = TextEncoder::new(&Params::root(&source), &text_config());
        let vision = VisionEncoder::new(&Params::root(&source), &vision_config());
        let made = source.into_made();
        made.iter()
            .for_each(|(_, tensor)| drop(tensor.set_requires_grad(true)));
        let ids =
            Tensor::from_slice(&[48i64, 1, 2, 49, 0, 0, 0, 48, 3, 4, 5, 6, 7, 49]).view([2, 7]);
        let pixels = Tensor::arange(2 * 3 * 144, (Kind::Float, Device::Cpu))
            .sin()
            .view([2, 3, 12, 12])
            .to_kind(kind);
        let product = text.forward(&ids).embedding * vision.forward(&pixels);
        assert_eq!(product.kind(), kind);
        product
            .to_kind(Kind::Float)
            .square()
            .sum(Kind::Float)
            .backward();
        for (name, tensor) in &made {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{name} has no gradient in {kind:?}");
            let largest = f64::try_from(gradient.abs().max()).unwrap();
            // A constant added to every key cancels in the softmax.
            assert!(
                largest.is_finite() && (largest > 0.0 || name.ends_with("k_proj.bias")),
                "{name}: {largest}"
            );
        }
    }
}

fn pattern(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(std::array::from_fn(|c| {
            ((31 * x + 57 * y + 83 * c as u32 + 13 * x * y) % 256) as u8
        }))
    })
}

/// Recorded from Pillow 13.0.0.
#[test]
fn resizing_is_pillows() {
    use Filter::{Bicubic, Bilinear};
    type Recorded<'a> = ((u32, u32), (u32, u32), Filter, &'a [u8]);
    let recorded: [Recorded; 7] = [
        (
            (4, 3),
            (2, 2),
            Bicubic,
            &[38, 126, 167, 107, 149, 98, 134, 200, 72, 148, 109, 125],
        ),
        (
            (4, 3),
            (2, 2),
            Bilinear,
            &[47, 130, 158, 104, 145, 105, 130, 190, 81, 144, 117, 122],
        ),
        (
            (3, 2),
            (5, 3),
            Bicubic,
            &[
                0, 77, 159, 5, 88, 177, 26, 109, 209, 48, 131, 231, 58, 141, 241, 27, 109, 202, 40,
                123, 161, 66, 149, 104, 93, 176, 125, 106, 189, 144, 58, 141, 244, 74, 157, 145,
                106, 189, 0, 137, 220, 18, 154, 237, 47,
            ],
        ),
        // So tall that the columns come first.
        (
            (3, 9),
            (2, 2),
            Bicubic,
            &[111, 157, 122, 135, 152, 130, 123, 129, 148, 128, 123, 132],
        ),
        (
            (3, 9),
            (2, 2),
            Bilinear,
            &[113, 156, 122, 136, 150, 129, 123, 131, 147, 127, 124, 134],
        ),
        (
            (5, 5),
            (3, 7),
            Bicubic,
            &[
                7, 90, 188, 57, 143, 182, 107, 205, 8, 41, 128, 161, 107, 166, 96, 182, 100, 71,
                92, 185, 105, 160, 160, 57, 183, 52, 165, 142, 225, 44, 174, 109, 138, 58, 141,
                232, 195, 192, 90, 123, 127, 167, 135, 117, 106, 185, 133, 146, 117, 153, 140, 153,
                97, 108, 148, 87, 179, 140, 169, 98, 123, 93, 183,
            ],
        ),
        (
            (6, 4),
            (6, 2),
            Bicubic,
            &[
                33, 116, 178, 72, 165, 99, 120, 173, 138, 128, 94, 69, 167, 142, 107, 98, 181, 115,
                138, 221, 69, 200, 166, 100, 145, 110, 163, 90, 142, 117, 152, 87, 180, 66, 149,
                125,
            ],
        ),
    ];
    for ((width, height), (new_width, new_height), filter, levels) in recorded {
        let resized = resize(&pattern(width, height), new_width, new_height, filter);
        assert_eq!(
            resized.as_raw(),
            levels,
            "{width}x{height} to {new_width}x{new_height}, {filter:?}"
        );
    }
    let same = resize(&pattern(5, 4), 5, 4, Filter::Bicubic);
    assert_eq!(same, pattern(5, 4));
}

#[test]
fn a_picture_is_resized_by_its_shorter_side_and_cropped_in_the_middle() {
    let picture = |width, height| RgbImage::from_pixel(width, height, Rgb([255, 0, 51]));
    let clip = ImageProcessor::from_config(b"{}").unwrap();
    assert_eq!(clip, ImageProcessor::clip(224));
    assert_eq!(
        ImageProcessor::from_config(clip.to_config().as_bytes()).unwrap(),
        clip
    );
    assert_eq!(clip.output_size(), Some((224, 224)));
    let pixels = clip.process(&[picture(40, 90), picture(30, 20)]).unwrap();
    assert_eq!(pixels.size(), [2, 3, 224, 224]);
    for (channel, wanted) in [
        (1.0 - 0.48145466) / 0.26862954,
        -0.4578275 / 0.26130258,
        (0.2 - 0.40821073) / 0.27577711,
    ]
    .into_iter()
    .enumerate()
    {
        let off = (pixels.select(1, channel as i64) - wanted).abs().max();
        assert!(f64::try_from(off).unwrap() < 1e-6);
    }

    // A crop that is larger than the picture is filled with black, the odd row above.
    let raw =
        br#"{"do_resize": false, "crop_size": 4, "do_rescale": false, "do_normalize": false}"#;
    let pixels = ImageProcessor::from_config(raw)
        .unwrap()
        .process(&[picture(6, 1)])
        .unwrap();
    let red: Vec<f32> = Vec::try_from(pixels.get(0).get(0).flatten(0, 1)).unwrap();
    let rows: Vec<f32> = red
        .chunks(4)
        .map(|row| row.iter().sum::<f32>() / 4.0)
        .collect();
    assert_eq!(rows, [0.0, 0.0, 255.0, 0.0]);
}

#[test]
fn a_senseless_preprocessor_config_or_picture_is_an_error() {
    for (config, wanted) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        (r#"{"size": 0}"#, "size is 0"),
        (r#"{"size": {"shortest_edge": 99999}}"#, "99999"),
        (r#"{"crop_size": "big"}"#, "crop_size"),
        (r#"{"resample": 5}"#, "resample is 5"),
        (r#"{"do_resize": 3}"#, "do_resize is 3"),
        (r#"{"image_mean": [0, 0]}"#, "image_mean"),
        (r#"{"image_std": [1, 0, 1]}"#, "image_std"),
        (r#"{"rescale_factor": -1}"#, "rescale_factor is -1"),
    ] {
        let error = ImageProcessor::from_config(config.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(wanted), "{config}: {error}");
    }
    let clip = ImageProcessor::clip(224);
    let error = clip
        .process(&[RgbImage::new(1, 60000)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("1x60000"), "{error}");
    assert!(clip.process(&[RgbImage::new(0, 5)]).is_err());
    let uncut = ImageProcessor::from_config(br#"{"size": 8, "do_center_crop": false}"#).unwrap();
    let error = uncut
        .process(&[RgbImage::new(8, 8), RgbImage::new(16, 8)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("8x8 and 16x8"), "{error}");
}
