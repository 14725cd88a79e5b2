//! Puts the project's own model into programs, and tells the examples where libtorch lies.

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
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../model");
    let files = if env::var_os("CARGO_FEATURE_EMBEDDED_MODEL").is_some() {
        println!("cargo:rerun-if-changed={}", root.display());
        files_under(&root)?
    } else {
        Vec::new()
    };
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    fs::write(target, table(&root, &files)?)
}

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

/// Rust for a table of `(path, bytes)`. Files that are equal (the two upsamplers may be) are put into the binary once.
fn table(root: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut first_with: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut statics = String::new();
    let mut entries = String::new();
    for (number, path) in files.iter().enumerate() {
        let number = *first_with.entry(fs::read(path)?).or_insert_with(|| {
            writeln!(statics, "static FILE_{number}: &[u8] = include_bytes!({path:?});")
                .expect("a string takes everything");
            number
        });
        let name = path.strip_prefix(root).expect("found under the root");
        let name = name.to_str().expect("the model's files have plain names");
        writeln!(entries, "    ({name:?}, FILE_{number}),").expect("a string takes everything");
    }
    Ok(format!("{statics}\npub(crate) static FILES: &[(&str, &[u8])] = &[\n{entries}];\n"))
}
