//! Compiles the C interface to libtorch's c10d, against the headers of the libtorch that tch links.
//!
//! Where that libtorch is another release than the one that the interface was written for, or has no c10d, nothing is compiled
//! (`cfg(alone)`), and joining a group is an error that says so.

#![allow(clippy::print_stdout)] // how a build script talks to cargo

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The release whose classes `include/gloo` stands in for.
const NEEDED: &str = "2.11";

fn main() {
    println!("cargo:rustc-check-cfg=cfg(alone, nccl)");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/shim.cpp");
    println!("cargo:rerun-if-changed=include");
    for name in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", "NCCL_INCLUDE"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch lies");
    let lib = Path::new(&lib);
    let include = match env::var("LIBTORCH_INCLUDE") {
        Ok(include) => Path::new(&include).join("include"),
        Err(_) => lib.parent().expect("libtorch's lib/ lies in it").join("include"),
    };
    let found = version(&include).unwrap_or_else(|| "of no release that can be told".to_owned());
    if let Some(reason) = missing(&include, &found) {
        println!("cargo:rustc-cfg=alone");
        println!("cargo:rustc-env=UNCLIP_COLLECTIVES_MISSING={reason}");
        return;
    }
    let mut build = cc::Build::new();
    if let Some(includes) = nccl(lib) {
        build.define("UNCLIP_NCCL", None).define("USE_C10D_NCCL", None).includes(includes);
        println!("cargo:rustc-cfg=nccl");
        println!("cargo:rustc-link-lib=torch_cuda");
    }
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        // A thin layer of calls: what the headers' templates cost is compiling them.
        .opt_level(1)
        .include("include")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", &*abi)
        .define("USE_C10D_GLOO", None)
        .file("src/shim.cpp")
        .compile("unclip_collectives");
}

/// The release of libtorch's headers, as `2.11.0`.
fn version(include: &Path) -> Option<String> {
    let texts = ["torch/headeronly/version.h", "torch/version.h"].map(|file| {
        let path = include.join(file);
        // cargo takes a file that is not there for one that has changed.
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
        fs::read_to_string(path).unwrap_or_default()
    });
    let number = |name: &str| {
        let beginning = format!("#define TORCH_VERSION_{name} ");
        texts.iter().flat_map(|text| text.lines()).find_map(|line| line.strip_prefix(&beginning))
    };
    Some(format!(
        "{}.{}.{}",
        number("MAJOR")?.trim(),
        number("MINOR")?.trim(),
        number("PATCH")?.trim()
    ))
}

/// The reason why no process can join another here.
fn missing(include: &Path, found: &str) -> Option<String> {
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let c10d = include.join("torch/csrc/distributed/c10d/ProcessGroupGloo.hpp");
    let is_needed = found.strip_prefix(NEEDED).is_some_and(|rest| rest.starts_with('.'));
    if !is_needed {
        Some(format!("it was built with libtorch {found}, and needs {NEEDED}"))
    } else if system != "linux" {
        Some(format!("it was built for {system}, and needs Linux"))
    } else if !c10d.exists() {
        Some(format!("the libtorch {found} that it was built with has no headers of c10d"))
    } else {
        None
    }
}

/// The folders of NCCL's and CUDA's headers (`NCCL_INCLUDE`, like a PATH, or the system's), where libtorch has its CUDA half.
fn nccl(lib: &Path) -> Option<Vec<PathBuf>> {
    let named = env::var_os("NCCL_INCLUDE").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&named)
        .chain(["/usr/include", "/usr/local/cuda/include"].map(PathBuf::from))
        // CUDA 13 has its C++ library in a folder of its own.
        .flat_map(|folder| [folder.join("cccl"), folder])
        .filter(|folder| folder.is_dir())
        .collect();
    let has = |file: &str| folders.iter().any(|folder| folder.join(file).exists());
    let headers = ["nccl.h", "cuda_runtime.h", "crt/host_config.h", "cuda/std/version"];
    let all = lib.join("libtorch_cuda.so").exists() && headers.into_iter().all(has);
    all.then_some(folders)
}
