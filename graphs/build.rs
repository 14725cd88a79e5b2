//! Compiles the C interface to libtorch's CUDA graphs, against the headers of the libtorch that tch links.

#![allow(clippy::print_stdout)] // how a build script talks to cargo

use std::env;
use std::path::Path;

fn main() {
    let source = "src/cuda_graph.cpp";
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch lies");
    let root = Path::new(&lib).parent().expect("libtorch's lib/ lies in it");
    let include = match env::var("LIBTORCH_INCLUDE") {
        Ok(include) => Path::new(&include).join("include"),
        Err(_) => root.join("include"),
    };
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(include)
        .define("_GLIBCXX_USE_CXX11_ABI", &*abi)
        .file(source)
        .compile("unclip_graphs");
}
