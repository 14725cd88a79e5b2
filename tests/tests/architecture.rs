//! The crates depend on each other only as ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate and all of ours that it may know.
const ALLOWED: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("images", &["files"]),
    ("noise", &[]),
    ("diffusion", &[]),
    ("kernels", &[]),
    ("layers", &["kernels", "noise"]),
    ("clip", &["files", "layers"]),
    ("prior", &["layers"]),
    ("decoder", &["layers"]),
    ("graphs", &[]),
    ("weights", &["files", "kernels", "layers"]),
    (
        "families",
        &["files", "images", "layers", "clip", "prior", "decoder", "diffusion", "weights"],
    ),
    (
        "pipeline",
        &[
            "files",
            "images",
            "kernels",
            "layers",
            "noise",
            "diffusion",
            "clip",
            "prior",
            "decoder",
            "weights",
            "families",
            "graphs",
        ],
    ),
    (
        "training",
        &[
            "files",
            "images",
            "layers",
            "noise",
            "diffusion",
            "clip",
            "prior",
            "decoder",
            "weights",
            "families",
            "pipeline",
        ],
    ),
    ("scenes", &["files", "noise", "training"]),
    ("judge", &["files", "layers", "noise", "weights", "scenes", "training"]),
    ("evaluation", &["files", "images", "noise", "pipeline", "scenes", "judge"]),
    ("claims", &["images", "pipeline", "judge", "evaluation"]),
];

/// What must not reach crates that hold neither tensors nor files.
const WITHOUT_TENSORS: &[&str] = &["files", "images", "noise", "scenes"];
const WITHOUT_FILES: &[&str] = &["diffusion", "kernels", "layers", "prior", "decoder", "graphs"];
const FILE_FORMATS: &[&str] = &["safetensors", "memmap2", "serde_json", "zip", "image"];

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("cargo answers");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo's metadata is JSON");
    let dependencies: BTreeMap<String, BTreeSet<String>> = metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().expect("a list of dependencies").iter();
            (text(&package["name"]), names.map(|d| text(&d["name"])).collect())
        })
        .collect();
    let ours: BTreeSet<&String> = dependencies.keys().collect();
    for (name, allowed) in ALLOWED {
        let wanted = &dependencies[*name];
        for dependency in wanted.iter().filter(|d| ours.contains(d)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
    for name in WITHOUT_TENSORS {
        assert!(!dependencies[*name].contains("tch"), "{name} must not know tensors");
    }
    for name in WITHOUT_FILES {
        for format in FILE_FORMATS {
            assert!(!dependencies[*name].contains(*format), "{name} must not know {format}");
        }
    }
    let covered: BTreeSet<&str> =
        ALLOWED.iter().map(|(name, _)| *name).chain(["unclip-cli", "tests"]).collect();
    assert_eq!(covered, ours.iter().map(|name| name.as_str()).collect(), "every crate has its row");
}

fn text(name: &serde_json::Value) -> String {
    name.as_str().expect("a name").to_owned()
}

/// The packages below the command, each with the sets of features that cargo builds it with for these arguments: one for
/// the command, and perhaps another for build scripts and macros.
fn features(arguments: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args("tree --offline --prefix none --edges normal,build --format {p}|{f}".split(' '))
        .args(arguments.split(' '))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo answers");
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let rows = text.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('|'));
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (package, features) in rows.filter(|(package, _)| !package.starts_with("unclip-cli v")) {
        let package = packages.entry(package.to_owned()).or_default();
        package.insert(features.to_owned());
    }
    packages
}

#[test]
fn nothing_below_the_command_is_built_twice() {
    let whole = features("--package unclip-cli");
    assert!(whole.len() > 100, "{}", whole.len());
    for arguments in [
        "--package unclip-cli --no-default-features --features embedded-model",
        "--package unclip-cli --package tests",
    ] {
        for (package, features) in features(arguments) {
            if let Some(usual) = whole.get(&package) {
                assert!(
                    features.is_subset(usual),
                    "{package} has {features:?} with {arguments}, and usually {usual:?}"
                );
            }
        }
    }
}
