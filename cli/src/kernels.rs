//! Which kernels are fastest here: what earlier runs found out is used again.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use layers::kernels::{Shape, Trial, new_trials, try_each_shape};
use serde::{Deserialize, Serialize};

use crate::names::slug;

/// The trials of one processor with one number of threads.
#[derive(Serialize, Deserialize)]
struct Known {
    processor: String,
    threads: i32,
    trials: Vec<Trial>,
}

/// Has each shape tried once, but for those that an earlier run tried.
pub fn try_or_remember() {
    let known = file().and_then(|file| read(&file));
    try_each_shape(known.map_or_else(Vec::new, |known| known.trials));
}

/// Writes what this run tried, for later ones. A cache: where it cannot be written, they try again.
pub fn keep() {
    let Some((trials, file)) = new_trials().zip(file()) else {
        return;
    };
    let known = Known {
        processor: processor(),
        threads: tch::get_num_threads(),
        trials,
    };
    if let Err(error) = write(&file, &known) {
        tracing::debug!("{}: {error}", file.display());
    }
}

/// Writes what this machine computes with: its processor, and how long each kernel took for each shape that was met.
pub fn tell(out: &mut impl Write) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let threads = tch::get_num_threads();
    writeln!(out, "unclip {version}, {}, {threads} threads", processor())?;
    let Some((file, known)) = file().and_then(|file| Some((file.clone(), read(&file)?))) else {
        writeln!(out, "no convolution was tried here yet")?;
        return Ok(());
    };
    writeln!(
        out,
        "convolutions of 3 x 3 as tried here ({}):",
        file.display()
    )?;
    writeln!(
        out,
        "| numbers | pictures | channels | pixels | direct, ms | Winograd's of 4 x 4, ms | of 6 x 6, ms |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for Trial { shape, seconds } in known.trials {
        let Shape {
            batch,
            inputs,
            outputs,
            height,
            width,
            doubled,
            halves,
        } = shape;
        let numbers = if halves { "bf16" } else { "f32" };
        let [direct, four, six] = seconds.map(|seconds| seconds * 1e3);
        let doubled = if doubled { ", doubled" } else { "" };
        writeln!(
            out,
            "| {numbers} | {batch} | {inputs} to {outputs} | {height} x {width}{doubled} | {direct:.2} | {four:.2} | {six:.2} |"
        )?;
    }
    Ok(())
}

fn read(file: &Path) -> Option<Known> {
    let known: Known = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (known.processor == processor() && known.threads == tch::get_num_threads()).then_some(known)
}

fn write(file: &Path, known: &Known) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut partial = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut partial, known)?;
    partial.persist(file)?;
    Ok(())
}

fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let caches = match set("XDG_CACHE_HOME") {
        Some(caches) => PathBuf::from(caches),
        None => PathBuf::from(set("HOME")?).join(".cache"),
    };
    let name = format!("{}-{}", slug(&processor()), tch::get_num_threads());
    Some(
        caches
            .join("unclip/kernels")
            .join(name)
            .with_extension("json"),
    )
}

fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name)
        .to_owned()
}
