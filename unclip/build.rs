//! Puts the project's own models into programs, and tells the examples where libtorch lies.

#![allow(clippy::print_stdout)] // the way in which a build script talks to cargo

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg-examples=-Wl,-rpath,{lib}");
    }
    let crate_folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let embeds = env::var_os("CARGO_FEATURE_EMBEDDED_MODEL").is_some();
    let (mut contents, mut tables) = (Contents::default(), String::new());
    for (name, folder) in MODELS {
        let root = Path::new(&crate_folder).join("..").join(folder);
        println!("cargo:rerun-if-changed={}", root.display());
        let files = if embeds { files_under(&root)? } else { Vec::new() };
        tables += &contents.table(name, &root, &files)?;
    }
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    fs::write(target, contents.statics + &tables)
}

/// The models' tables, and the folders of their files.
const MODELS: [(&str, &str); 2] = [("UNCLIP", "model"), ("GLIDE", "model-glide")];

/// Every file under a folder, in the order of their paths; none where there is no such folder.
fn files_under(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_under(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The contents of files. Those that are equal (two upsamplers, or a link from one model to another) are put into the
/// binary once.
#[derive(Default)]
struct Contents {
    names: HashMap<Vec<u8>, String>,
    statics: String,
}

impl Contents {
    /// Rust for a table of `(path, bytes)`.
    fn table(&mut self, model: &str, root: &Path, files: &[PathBuf]) -> io::Result<String> {
        let mut entries = String::new();
        for path in files {
            let (known, statics) = (self.names.len(), &mut self.statics);
            let file = self.names.entry(fs::read(path)?).or_insert_with(|| {
                let file = format!("FILE_{known}");
                writeln!(statics, "static {file}: &[u8] = include_bytes!({path:?});")
                    .expect("a string takes everything");
                file
            });
            let name = path.strip_prefix(root).expect("found under the root");
            let name = name.to_str().expect("the model's files have plain names");
            writeln!(entries, "    ({name:?}, {file}),").expect("a string takes everything");
        }
        Ok(format!("\npub(crate) static {model}: &[(&str, &[u8])] = &[\n{entries}];\n"))
    }
}
