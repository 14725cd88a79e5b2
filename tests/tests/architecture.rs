//! The crates depend on each other only as ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate and all of ours that it may know.
const ALLOWED: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("hub", &["files"]),
    ("images", &["files"]),
    ("noise", &[]),
    ("diffusion", &[]),
    ("kernels", &[]),
    ("layers", &["kernels", "noise"]),
    ("clip", &["files", "layers"]),
    ("prior", &["layers"]),
    ("decoder", &["layers"]),
    ("autoencoder", &["layers"]),
    ("graphs", &[]),
    ("launcher", &[]),
    ("collectives", &["launcher"]),
    ("weights", &["files", "kernels", "layers"]),
    (
        "families",
        &[
            "files",
            "images",
            "layers",
            "clip",
            "prior",
            "decoder",
            "autoencoder",
            "diffusion",
            "weights",
        ],
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
            "autoencoder",
            "weights",
            "families",
            "graphs",
        ],
    ),
    ("unclip", &["files", "hub", "images", "weights", "families", "pipeline"]),
    ("server", &["files", "images", "pipeline", "unclip"]),
    (
        "training",
        &[
            "collectives",
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
    ("world", &["clip", "noise", "training", "scenes"]),
    ("judge", &["files", "layers", "noise", "weights", "scenes", "world", "training"]),
    ("evaluation", &["files", "images", "noise", "pipeline", "scenes", "world", "judge"]),
    ("claims", &["images", "pipeline", "judge", "evaluation"]),
];

/// The crates that hold no tensors, and those that read no files.
const WITHOUT_TENSORS: &[&str] =
    &["files", "hub", "images", "noise", "launcher", "scenes", "world"];
const WITHOUT_FILES: &[&str] = &[
    "diffusion",
    "kernels",
    "layers",
    "prior",
    "decoder",
    "autoencoder",
    "graphs",
    "launcher",
    "collectives",
];
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

/// Publishers' names of folders and files, and the crates' own in the published layout.
const FOLDERS: &[&str] = &[
    "text_proj",
    "super_res_first",
    "super_res_last",
    "super_res_scheduler",
    "prior_scheduler",
    "decoder_scheduler",
    "feature_extractor",
    "prior_autoregressive",
    "image_pca",
    "model_index.json",
];

/// Publishers' names of classes.
const CLASSES: &[&str] = &[
    "UNet2DConditionModel",
    "UNet2DModel",
    "VQModel",
    "DDPMScheduler",
    "UnCLIPTextProjModel",
    "UnCLIPScheduler",
    "PriorTransformer",
    "CLIPTextModelWithProjection",
    "CLIPVisionModelWithProjection",
    "CLIPImageProcessor",
    "CLIPModel",
];

/// The publishers' names in a source, each with the number of its line.
fn publishers_names(source: &str) -> Vec<(usize, &'static str)> {
    let quoted = |line: &str, name: &str| {
        [("\"", "\""), ("`", "`"), ("`", "/"), (" ", "/"), ("\"", "/")]
            .iter()
            .any(|(before, after)| line.contains(&format!("{before}{name}{after}")))
    };
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let folders = FOLDERS.iter().filter(|name| quoted(line, name));
        let classes = CLASSES.iter().filter(|name| line.contains(**name));
        found.extend(folders.chain(classes).map(|name| (number, *name)));
    }
    found
}

/// Adds the sources below `folder`, but for what is built and hidden.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

#[test]
fn publishers_names_stand_in_families_alone() {
    assert_eq!(publishers_names("let x = \"text_proj\";").len(), 1);
    assert_eq!(publishers_names("\n/// Writes `image_pca/` of a `CLIPModel`.").len(), 2);
    assert!(publishers_names("p / \"text_projection\"; shapes.prior_scheduler").is_empty());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut files, mut found) = (Vec::new(), Vec::new());
    sources(&root, &mut files);
    assert!(files.len() > 100, "{files:?}");
    for path in files {
        let file = path.strip_prefix(&root).expect("a file below").display().to_string();
        let exempt = ["families/", "tests/", "vendor/", "fuzz/"];
        if exempt.into_iter().any(|beginning| file.starts_with(beginning)) {
            continue;
        }
        let source = fs::read_to_string(path).expect("a source");
        let names = publishers_names(&source);
        found.extend(names.into_iter().map(|(line, name)| format!("{file}:{line}: {name}")));
    }
    assert!(found.is_empty(), "publishers' names outside families:\n{}", found.join("\n"));
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
