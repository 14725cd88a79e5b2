//! Files of embeddings: numpy's arrays, and files with one tensor.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use files::contents::{self, Contents};
use files::extensions;
use tch::Tensor;

use crate::{Error, damaged_row, load_safetensors, read_npy};

/// The largest file that is read: ten thousand embeddings of any published width.
const MOST_BYTES: u64 = 1 << 26;

/// The array in a file of numpy's, or the one tensor in another: its first bytes say which, whatever its name does.
pub fn load_embeddings(path: &Path) -> Result<Tensor, Error> {
    let refused = |reason: String| Error::Embeddings { file: path.display().to_string(), reason };
    let io = |source| Error::io("read", path.display())(source);
    let metadata = fs::metadata(path).map_err(io)?;
    // Whoever opens a fifo waits for its writer.
    if !metadata.is_file() {
        return Err(refused("it is no plain file".to_owned()));
    }
    let file = File::open(path).map_err(io)?;
    let length = metadata.len();
    if length > MOST_BYTES {
        return Err(refused(format!("it has {length} bytes, and embeddings at most {MOST_BYTES}")));
    }
    let mut file = BufReader::new(file);
    let mut first = Vec::new();
    let begins = file.by_ref().take(contents::ENOUGH as u64).read_to_end(&mut first);
    begins.map_err(io)?;
    let found = Contents::of(&first);
    let named = found.is_none() && extensions::extension(path) == "npy";
    if found == Some(Contents::Npy) || named {
        let array = read_npy(first.chain(file), length);
        let array = array.map_err(|problem| refused(problem.to_string()))?;
        return sound(array).map_err(refused);
    }
    let mut tensors = load_safetensors(path)?;
    match tensors.len() {
        1 => sound(tensors.remove(0).1).map_err(refused),
        count => Err(refused(format!("it holds {count} tensors, and one of embeddings is wanted"))),
    }
}

/// The same embeddings `[.., E]`, where all of their numbers are finite.
fn sound(embeddings: Tensor) -> Result<Tensor, String> {
    let damage = match embeddings.is_floating_point() {
        true => damaged_row(&embeddings),
        false => None,
    };
    damage.map_or(Ok(embeddings), Err)
}
