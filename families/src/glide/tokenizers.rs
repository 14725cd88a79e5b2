//! Opens GLIDE's tokenizers, each from its own folder or from the files beside the published ones.

use std::borrow::Cow;

use clip::{Gpt2Files, Gpt2Tokenizer, Tokenizer};
use weights::Folder;

use super::{CLIP_TOKENIZER, TOKENIZER};
use crate::Error;

/// CLIP's merges, as openai/CLIP and the reference have them.
const CLIP_MERGES: &str = "bpe_simple_vocab_16e6.txt";

/// The contents of a file of a tokenizer, which may be packed by gzip under its name with `.gz`.
fn read(folder: &Folder, name: &str) -> Result<Option<Cow<'static, [u8]>>, Error> {
    Ok(match folder.read(name)? {
        Some(bytes) => Some(bytes),
        None => folder.read(&format!("{name}.gz"))?,
    })
}

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

/// The tokenizer of captions, GPT-2's: `tokenizer.json`, or `encoder.json` and `vocab.bpe`, or `vocab.json` and `merges.txt`.
pub fn open_caption_tokenizer(folder: &Folder) -> Result<Gpt2Tokenizer, Error> {
    let mut files = Vec::with_capacity(CAPTION_FILES.len());
    for name in CAPTION_FILES {
        files.push(read(folder, name)?);
    }
    let bytes: Vec<Option<&[u8]>> = files.iter().map(Option::as_deref).collect();
    let files = Gpt2Files {
        tokenizer_json: bytes[0],
        encoder_json: bytes[1],
        vocab_bpe: bytes[2],
        vocab_json: bytes[3],
        merges_txt: bytes[4],
    };
    Gpt2Tokenizer::from_files(&files)
        .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem })
}

/// The tokenizer of the noised CLIP: that of OpenAI's merges, or transformers' files.
pub fn open_noised_clip_tokenizer(folder: &Folder) -> Result<Tokenizer, Error> {
    match read(folder, CLIP_MERGES)? {
        Some(merges) => Tokenizer::from_merges(&merges)
            .map_err(|problem| Error::Tokenizer { folder: folder.to_string(), problem }),
        None => {
            crate::open_tokenizer(&folder.beside(CLIP_TOKENIZER).unwrap_or_else(|| folder.clone()))
        }
    }
}
