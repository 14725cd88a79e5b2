//! Tells the binary where libtorch lies.

#![allow(clippy::print_stdout)] // the way in which a build script talks to cargo

use std::env;

/// libtorch is looked for where it was at build time, then beside the checkout that the binary was built in.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    for up in ["../..", "../../.."] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/{up}/.libtorch/lib");
    }
}
