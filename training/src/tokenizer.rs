//! Trains the tokenizer: the model's own byte pairs, learned from the captions that it is trained on.

use std::path::Path;

use files::atomic;

use crate::Error;
use crate::data::Data;
use crate::recipe::TokenizerRecipe;

/// Learns the byte pairs and writes CLIP's files into `out`, with the words near those of captions, where the data knows some.
pub fn train(recipe: &TokenizerRecipe, data: &Data, out: &Path) -> Result<(), Error> {
    let captions = data.captions(recipe.captions).into_iter();
    let bpe = clip::bpe_training::train(captions, recipe.merges, recipe.context_length as usize);
    std::fs::create_dir_all(out).map_err(Error::file(out))?;
    let nearest =
        Some(("nearest_words.txt", data.nearest_words())).filter(|(_, text)| !text.is_empty());
    for (name, content) in bpe.named_files().into_iter().chain(nearest) {
        let path = out.join(name);
        atomic::write(&path, content.as_bytes(), true).map_err(Error::write(&path))?;
    }
    Ok(())
}
