//! Opens GLIDE's tokenizers, each from its own folder or from the files beside the published ones.

use clip::{Gpt2Files, Gpt2Tokenizer, Tokenizer};
use weights::Folder;

use super::{TOKENIZER, is_published};
use crate::Error;

/// CLIP's merges, as openai/CLIP and the reference have them.
pub(crate) const CLIP_MERGES: &str = "bpe_simple_vocab_16e6.txt";

/// The files of GPT-2's tokenizer, the preferred one first.
const CAPTION_FILES: [&str; 5] =
    ["tokenizer.json", "encoder.json", "vocab.bpe", "vocab.json", "merges.txt"];

/// The files of the tokenizer `component` that lie beside the published ones.
pub(crate) fn tokenizer_files(folder: &Folder, component: &str) -> Vec<String> {
    let names = match component {
        TOKENIZER => &CAPTION_FILES[..],
        _ => &[CLIP_MERGES],
    };
    let forms = names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.gz")]);
    forms.filter(|name| folder.has(name)).collect()
}

/// The tokenizer of captions, GPT-2's: `tokenizer.json`, or `encoder.json` and `vocab.bpe`, or `vocab.json` and `merges.txt`,
/// each of which may be packed by gzip.
pub fn open_caption_tokenizer(folder: &Folder) -> Result<Gpt2Tokenizer, Error> {
    let mut files = Vec::with_capacity(CAPTION_FILES.len());
    for name in CAPTION_FILES {
        files.push(folder.read_packed(name)?);
    }
    let bytes: Vec<Option<&[u8]>> = files.iter().map(Option::as_deref).collect();
    let files = Gpt2Files {
        tokenizer_json: bytes[0],
        encoder_json: bytes[1],
        vocab_bpe: bytes[2],
        vocab_json: bytes[3],
        merges_txt: bytes[4],
    };
    let vocabulary = files.encoder_json.or(files.vocab_json);
    let merges = files.vocab_bpe.or(files.merges_txt);
    let missing = match (files.tokenizer_json.or(vocabulary), files.tokenizer_json.or(merges)) {
        (Some(_), Some(_)) => {
            return Gpt2Tokenizer::from_files(&files)
                .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem });
        }
        (None, None) => "encoder.json and vocab.bpe",
        (None, Some(_)) => "encoder.json",
        (Some(_), None) => "vocab.bpe",
    };
    Err(no_tokenizer(folder, missing))
}

/// The tokenizer of the noised CLIP: that of OpenAI's merges, which may be packed by gzip, or in a folder of its own
/// transformers' files.
pub fn open_noised_clip_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    match folder.read_packed(CLIP_MERGES)? {
        Some(merges) => Tokenizer::from_merges(&merges)
            .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem }),
        // The other tokenizer's files lie beside the published networks.
        None if is_published(folder) => Err(no_tokenizer(folder, CLIP_MERGES)),
        None => crate::open_tokenizer(folder),
    }
}

fn no_tokenizer(folder: &Folder, missing: &str) -> Error {
    Error::NoTokenizer {
        folder: folder.to_string(),
        missing: missing.to_owned(),
        repository: "openai/glide-text2im",
        place: "glide_text2im/tokenizer, packed by gzip, as it may stay",
    }
}
