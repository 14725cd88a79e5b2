//! The crates depend on each other only as ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate and all of ours that it may know.
const ALLOWED: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("images", &["files"]),
    ("noise", &[]),
    ("diffusion", &[]),
    ("layers", &["noise"]),
    ("clip", &["layers", "images"]),
    ("prior", &["layers"]),
    ("decoder", &["layers"]),
    ("graphs", &[]),
    ("scenes", &["noise"]),
    (
        "weights",
        &["files", "layers", "clip", "prior", "decoder", "diffusion"],
    ),
    (
        "pipeline",
        &[
            "images",
            "layers",
            "noise",
            "diffusion",
            "clip",
            "prior",
            "decoder",
            "weights",
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
            "pipeline",
            "scenes",
        ],
    ),
    (
        "evaluation",
        &[
            "layers", "noise", "clip", "weights", "pipeline", "scenes", "training",
        ],
    ),
];

/// What must not reach crates that hold neither tensors nor files.
const WITHOUT_TENSORS: &[&str] = &["files", "images", "noise", "scenes"];
const WITHOUT_FILES: &[&str] = &["diffusion", "layers", "prior", "decoder", "graphs"];
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
            let names = package["dependencies"]
                .as_array()
                .expect("a list of dependencies")
                .iter();
            (
                plain(&package["name"]),
                names.map(|d| plain(&d["name"])).collect(),
            )
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
        assert!(
            !dependencies[*name].contains("tch"),
            "{name} must not know tensors"
        );
    }
    for name in WITHOUT_FILES {
        for format in FILE_FORMATS {
            assert!(
                !dependencies[*name].contains(*format),
                "{name} must not know {format}"
            );
        }
    }
    let covered: BTreeSet<&str> = ALLOWED
        .iter()
        .map(|(name, _)| *name)
        .chain(["unclip", "tests"])
        .collect();
    assert_eq!(
        covered,
        ours.iter().map(|name| name.as_str()).collect(),
        "every crate has its row"
    );
}

fn plain(name: &serde_json::Value) -> String {
    let name = name.as_str().expect("a name");
    name.strip_prefix("unclip-").unwrap_or(name).to_owned()
}
