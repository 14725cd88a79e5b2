//! Advice for formats of data that are not read.

use std::path::Path;

use files::extensions::extension;
use files::walk::walk;

/// The layouts that are read.
const READ: &str = "pictures with a metadata.jsonl, and webdataset shards, are";

/// The reason why a file is not read as data, and a remedy; `None` of files that are not known to hold any.
pub(crate) fn advice(path: &Path) -> Option<String> {
    let shown = path.display();
    Some(match &*extension(path) {
        "parquet" => format!("{shown} is Parquet, which is not read: {READ}"),
        "arrow" => format!("{shown} is Arrow, which is not read: {READ}"),
        "zip" | "7z" | "rar" => format!("{shown} is packed: please unpack it"),
        "gz" | "tgz" => format!("{shown} is packed by gzip: please unpack it with gunzip"),
        "bz2" => format!("{shown} is packed by bzip2: please unpack it with bunzip2"),
        "xz" => format!("{shown} is packed by xz: please unpack it with unxz"),
        "zst" => format!("{shown} is packed by Zstandard: please unpack it with unzstd"),
        "csv" | "tsv" | "json" | "jsonl" | "txt" => format!(
            "{shown} is not read under this name: captions lie in metadata.csv or metadata.jsonl, with file_name and text, or in a .txt beside each picture"
        ),
        _ => return None,
    })
}

/// The same of a file in a folder that has images without captions, or no images: the one that most likely has them.
pub(crate) fn captions(folder: &Path) -> Option<String> {
    let files = walk(folder, |path| rank(path).is_some()).files;
    let first = files.iter().min_by_key(|file| rank(&file.path))?;
    advice(&first.path)
}

/// How likely a file holds the captions of a folder, the least first.
fn rank(path: &Path) -> Option<usize> {
    const RANKS: [&[&str]; 4] = [
        &["parquet", "arrow"],
        &["csv", "tsv", "jsonl"],
        &["json"],
        &["zip", "7z", "rar", "gz", "tgz", "bz2", "xz", "zst"],
    ];
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let names_captions = ["caption", "prompt", "label", "metadata"]
        .iter()
        .any(|word| name.to_lowercase().contains(word));
    match &*extension(path) {
        "txt" => names_captions.then_some(1),
        ending => RANKS.iter().position(|endings| endings.contains(&ending)),
    }
}
