//! The cache of `--tune`: which kernels were the fastest on this processor.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use files::atomic;
use kernels::{ConvShape, KernelTimings, Simd, new_timings};
use serde::{Deserialize, Serialize};

use crate::names::slug;

/// The longest cache that is read, in bytes: some thousand shapes.
const LONGEST: u64 = 1 << 20;

/// The timings of one processor with one number of threads.
#[derive(Serialize, Deserialize)]
struct Cache {
    processor: String,
    threads: i32,
    #[serde(rename = "trials")]
    timings: Vec<KernelTimings>,
}

/// Has each shape tried once, but for those that an earlier run tried.
pub(crate) fn tune() {
    let cache = file().and_then(|file| read(&file));
    kernels::autotune(cache.map_or_else(Vec::new, |cache| cache.timings));
}

/// Writes what this run tried, for later ones. Where it cannot be written, they try again.
pub(crate) fn save() {
    let Some((timings, file)) = new_timings().zip(file()) else {
        return;
    };
    let cache = Cache { processor: processor(), threads: tch::get_num_threads(), timings };
    if let Err(error) = write(&file, &cache) {
        tracing::debug!("{}: {error}", file.display());
    }
}

/// Writes what this machine computes with: its processor, and how long each kernel took for each shape that was met.
pub(crate) fn tell(out: &mut impl Write) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let threads = tch::get_num_threads();
    writeln!(out, "unclip {version}, {}, {threads} threads", processor())?;
    let Some((file, cache)) = file().and_then(|file| Some((file.clone(), read(&file)?))) else {
        writeln!(out, "no convolution was tried here yet: --tune does that")?;
        return Ok(());
    };
    writeln!(out, "convolutions of 3 x 3 as tried here ({}):", file.display())?;
    writeln!(
        out,
        "| numbers | pictures | channels | pixels | direct, ms | im2col, ms | Winograd's of 4 x 4, ms | of 6 x 6, ms |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for KernelTimings { shape, seconds } in cache.timings {
        let ConvShape { batch, inputs, outputs, height, width, doubled, halves } = shape;
        let numbers = if halves { "bf16" } else { "f32" };
        let [direct, im2col, four, six] = seconds.map(|seconds| seconds * 1e3);
        let doubled = if doubled { ", doubled" } else { "" };
        writeln!(
            out,
            "| {numbers} | {batch} | {inputs} to {outputs} | {height} x {width}{doubled} | {direct:.2} | {im2col:.2} | {four:.2} | {six:.2} |"
        )?;
    }
    Ok(())
}

/// The cache of this processor. A file that is none is as good as not there.
fn read(file: &Path) -> Option<Cache> {
    // Opening a pipe would wait for its writer.
    let plain = |metadata: std::fs::Metadata| metadata.is_file().then_some(());
    plain(std::fs::metadata(file).ok()?)?;
    let mut bytes = Vec::new();
    let file = File::open(file).ok()?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > LONGEST {
        return None;
    }
    let cache: Cache = serde_json::from_slice(&bytes).ok()?;
    let seconds = cache.timings.iter().flat_map(|timings| timings.seconds);
    let sound = seconds.clone().all(|seconds| seconds > 0.0);
    let mine = cache.processor == processor() && cache.threads == tch::get_num_threads();
    (sound && mine).then_some(cache)
}

fn write(file: &Path, cache: &Cache) -> Result<()> {
    std::fs::create_dir_all(atomic::folder_of(file))?;
    atomic::write(file, &serde_json::to_vec(cache)?, true)?;
    Ok(())
}

/// The cache's path. The XDG specification has relative paths passed over.
fn file() -> Option<PathBuf> {
    let folder =
        |name| Some(PathBuf::from(std::env::var_os(name)?)).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    let name = format!("{}-{}", slug(&processor()), tch::get_num_threads());
    Some(caches.join("unclip/kernels").join(name).with_extension("json"))
}

/// The processor and the instructions that kernels use of it.
fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name);
    format!("{name}, {}", Simd::current().name())
}
