//! Models by their names on the Hub: downloaded, from the cache, resumed, and completed by each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::interrupts::send;
use super::{CAPTION, Ran, Workplace};
use crate::hub_server::{Access, HubServer, Reply};
use crate::pipeline::copy_folder;

pub(super) const NAME: &str = "owner/name";
pub(super) const KARLO: &str = "kakaobrain/karlo-v1-alpha";
pub(super) const VARIATIONS: &str = "kakaobrain/karlo-v1-alpha-image-variations";

/// Files of the repository [`NAME`] that are no part of a model.
const NEVER: [&str; 3] =
    ["karlo.ckpt", "decoder/diffusion_pytorch_model.bin", "decoder/flax_model.msgpack"];

/// Files of a repository, by their paths.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// A workplace with a cache, and a Hub.
pub(super) struct Place {
    pub(super) work: Workplace,
    pub(super) server: HubServer,
}

/// The files of the tiny model.
pub(super) fn model_files(work: &Workplace) -> Files {
    files_below(&work.path("model"))
}

/// The files of a repository that is laid out as a folder.
pub(super) fn files_below(folder: &Path) -> Files {
    fn add(folder: &Path, prefix: &str, files: &mut Files) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            match path.is_dir() {
                true => add(&path, &format!("{name}/"), files),
                false => files.push((name, fs::read(&path).unwrap())),
            }
        }
    }
    let mut files = Files::new();
    add(folder, "", &mut files);
    files
}

/// An index without these components, of a pipeline of this class.
pub(super) fn index_without(files: &mut Files, components: &[&str], class: &str) {
    files.retain(|(path, _)| !components.iter().any(|name| path.starts_with(&format!("{name}/"))));
    let (_, index) = files.iter_mut().find(|(path, _)| path == "model_index.json").unwrap();
    let mut json: Value = serde_json::from_slice(index).unwrap();
    for name in components {
        json.as_object_mut().unwrap().remove(*name);
    }
    json["_class_name"] = json!(class);
    *index = json.to_string().into_bytes();
}

impl Place {
    /// With the tiny model as the repository [`NAME`], and beside it what nobody needs.
    pub(super) fn new() -> Self {
        Self { work: Workplace::new(), server: HubServer::start() }.with_model()
    }

    pub(super) fn with_model(self) -> Self {
        let mut files = model_files(&self.work);
        files.push(("README.md".to_owned(), b"---\nlicense: mit\n---\n# A card\n".to_vec()));
        files.extend(NEVER.map(|path| (path.to_owned(), b"never".to_vec())));
        self.add(NAME, &files);
        self
    }

    pub(super) fn add(&self, repository: &str, files: &[(String, Vec<u8>)]) -> String {
        self.add_at(repository, "main", files)
    }

    pub(super) fn add_at(
        &self,
        repository: &str,
        revision: &str,
        files: &[(String, Vec<u8>)],
    ) -> String {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, b)| (&**path, &**b)).collect();
        self.server.add_at(repository, revision, &files)
    }

    /// A command with this Hub and the workplace's cache.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.work.command(arguments);
        command.envs(self.server.variables(&self.work.path("cache")));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    pub(super) fn offline(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).env("HF_HUB_OFFLINE", "1").output().unwrap())
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The paths of the files that were asked for since, of a repository.
    pub(super) fn fetched(&self, repository: &str) -> BTreeSet<String> {
        let requests = self.server.requests().into_iter();
        let path = |target: String| {
            let path = target.strip_prefix(&format!("/{repository}/resolve/"))?;
            Some(path.split_once('/')?.1.to_owned())
        };
        requests.filter_map(|request| path(request.target)).collect()
    }

    pub(super) fn pixels(&self, name: &str) -> image::RgbImage {
        image::open(self.work.path(name)).unwrap().to_rgb8()
    }
}

/// The arguments of a drawing of few steps.
pub(super) fn draw<'a>(model: &'a str, out: &'a str) -> [&'a str; 9] {
    let steps = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    ["generate", "--model", model, steps[0], steps[1], steps[2], "--seed=1", out, CAPTION]
}

#[test]
fn a_model_is_downloaded_once_and_drawn_with_offline() {
    let place = Place::new();
    place.work.run(&draw("model", "--out=folder.png")).succeeds();
    let ran = place.run(&draw(NAME, "--out=first.png")).succeeds();
    assert_eq!(ran.stdout, "first.png\n");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines[0].starts_with("unclip: downloading ") && lines[0].contains(" files, "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("unclip: downloaded "), "{lines:?}");
    assert!(place.pixels("first.png") == place.pixels("folder.png"));
    let fetched = place.fetched(NAME);
    assert!(
        fetched.contains("README.md") && fetched.contains("tokenizer/tokenizer.json"),
        "{fetched:?}"
    );
    for path in NEVER {
        assert!(!fetched.contains(path), "{path}");
    }

    let before = place.server.connections();
    let ran = place.run(&draw("hf://owner/name", "--out=second.png")).succeeds();
    assert_eq!(ran.stderr, "");
    place.offline(&draw(NAME, "--out=third.png")).succeeds();
    assert!(place.pixels("second.png") == place.pixels("folder.png"));
    assert!(place.pixels("third.png") == place.pixels("folder.png"));
    assert_eq!(place.server.connections(), before, "what is cached is not asked for");
    place
        .offline(&draw("owner/other", "--out=no.png"))
        .refuses(&["--model", "owner/other is not in"]);
}

#[test]
fn pull_prints_the_folder_that_the_branch_means_today() {
    let place = Place::new();
    let first = place.run(&["pull", NAME]).succeeds().stdout;
    let snapshots = place.work.path("cache/models--owner--name/snapshots");
    assert!(Path::new(first.trim()).starts_with(&snapshots), "{first}");
    assert!(Path::new(first.trim()).join("decoder/config.json").is_file());
    assert_eq!(place.run(&["pull", NAME]).succeeds().stdout, first);
    place.fetched(NAME);

    let mut files = model_files(&place.work);
    files.push((
        "README.md".to_owned(),
        b"---\nlicense: other\nlicense_name: house\n---\n".to_vec(),
    ));
    let commit = place.add(NAME, &files);
    let licence = || place.run(&["info", NAME]).succeeds().stdout;
    assert!(licence().contains("\nlicence   mit\n"), "{}", licence());
    let second = place.run(&["pull", NAME]).succeeds().stdout;
    assert_eq!(Path::new(second.trim()), snapshots.join(&commit));
    assert_eq!(place.fetched(NAME).into_iter().collect::<Vec<_>>(), ["README.md"]);
    assert!(licence().contains("\nlicence   house\n"), "{}", licence());
    place.run(&["pull", "model"]).refuses(&["NAME", "model names no repository", "OWNER/NAME"]);
}

#[test]
fn a_revision_is_one_of_its_branches_tags_and_commits() {
    let place = Place::new();
    let mut files = model_files(&place.work);
    files.push(("NOTICE".to_owned(), b"Another commit.".to_vec()));
    let commit = place.add_at(NAME, "v2", &files);
    let folder = |name: &str| place.run(&["pull", name]).succeeds().stdout;
    let branch = folder("owner/name@v2");
    assert!(branch.trim().ends_with(&commit), "{branch}");
    assert_eq!(folder(&format!("hf://owner/name@{commit}")), branch);
    assert_ne!(folder(NAME), branch);
    place.offline(&draw("owner/name@v2", "--out=one.png")).succeeds();
    place.run(&["pull", "owner/name@v9"]).refuses(&["owner/name has no branch, tag or commit v9"]);
    place.run(&draw("owner/name@v9", "--out=no.png")).refuses(&["--model", "commit v9"]);
}

#[test]
fn names_that_the_hub_does_not_know_are_mistakes() {
    let place = Place::new();
    let words = ["has no repository owner/other", "or built in: builtin:unclip"];
    place.run(&draw("owner/other", "--out=no.png")).refuses(&words);
    place.run(&["pull", "owner/other"]).refuses(&words);
    let hint = ["cannot open the folder karlo-v1-alpha", "the Hub has kakaobrain/karlo-v1-alpha;"];
    place.run(&draw("karlo-v1-alpha", "--out=no.png")).refuses(&hint);
    place.run(&["convert", "owner/other", "new"]).refuses(&words);
    place
        .run(&["train", "decoder", "--out=new", "--init=owner/other"])
        .refuses(&["--init", words[0]]);
    for flag in ["--prior", "--image-encoder"] {
        let arguments = [&draw("model", "--out=no.png")[..], &[flag, "owner/other"]].concat();
        place.run(&arguments).refuses(&[flag, words[0]]);
    }
    place.run(&["info", "owner/other"]).refuses(&["owner/other", "`unclip pull owner/other`"]);
    assert!(!place.work.path("new").exists());
}

#[test]
fn a_gated_model_is_opened_with_a_token_that_no_message_has() {
    let place = Place::new();
    place.server.restrict(NAME, Access::Gated, "secret-token");
    place.run(&["pull", NAME]).refuses(&["owner/name is gated", "HF_TOKEN"]);
    let with_token = |token: &str| {
        let mut command = place.command(&["pull", NAME]);
        Ran::new(command.env("HF_TOKEN", token).output().unwrap())
    };
    let ran = with_token("wrong-token");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("gated") && !ran.stderr.contains("wrong-token"), "{}", ran.stderr);
    let ran = with_token("secret-token").succeeds();
    assert!(!ran.stderr.contains("secret-token"), "{}", ran.stderr);
    place.offline(&draw(NAME, "--out=one.png")).succeeds();
}

#[test]
fn a_variant_is_downloaded_in_the_place_of_plain_weights() {
    let place = Place::new();
    let mut files = model_files(&place.work);
    let weights = |variant: &str| format!("decoder/diffusion_pytorch_model{variant}.safetensors");
    let plain = files.iter().find(|(path, _)| *path == weights("")).unwrap().1.clone();
    files.push((weights(".fp16"), plain));
    place.add(NAME, &files);
    place.run(&["pull", NAME, "--variant=bf16"]).refuses(&["variant bf16: there is fp16"]);
    place.fetched(NAME);
    let drawn = [&draw(NAME, "--out=one.png")[..], &["--variant=fp16"]].concat();
    place.run(&drawn).succeeds();
    let fetched = place.fetched(NAME);
    assert!(fetched.contains(&weights(".fp16")) && !fetched.contains(&weights("")), "{fetched:?}");
    assert!(fetched.contains("prior/diffusion_pytorch_model.safetensors"), "{fetched:?}");
    place.run(&["pull", NAME, "--variant=fp16"]).succeeds();
    assert!(place.fetched(NAME).is_empty());
    // Where the cache has the variant alone, that is the model offline, and online its plain weights are.
    place.offline(&draw(NAME, "--out=offline.png")).succeeds();
    let snapshots = fs::read_dir(place.work.path("cache/models--owner--name/snapshots")).unwrap();
    let snapshots: Vec<_> = snapshots.map(|entry| entry.unwrap().path()).collect();
    let has_plain = || snapshots.iter().any(|snapshot| snapshot.join(weights("")).is_file());
    assert!(!has_plain());
    place.run(&draw(NAME, "--out=plain.png")).succeeds();
    // The bytes of both are the same, so that the cache's are linked.
    assert!(has_plain());
}

/// Waits until `is_so`, at most a minute.
fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "a minute passed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupted_download_is_resumed_by_the_same_command() {
    let place = Place::new();
    // The first large file breaks off, and the server is busy from then on.
    place.server.script("/large/", 1, Reply::Cut(1000));
    place.server.script("/large/", 1000, Reply::Answer(503, Vec::new(), Vec::new()));
    let blobs = place.work.path("cache/models--owner--name/blobs");
    let partial = || {
        let entries = fs::read_dir(&blobs).into_iter().flatten().flatten();
        let lengths = entries.filter(|entry| entry.file_name().to_string_lossy().contains('.'));
        lengths.map(|entry| entry.metadata().map_or(0, |m| m.len())).max().unwrap_or(0)
    };
    let child = place.start(&["pull", NAME]);
    wait_until(|| partial() == 1000);
    send("-INT", &child);
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(
        ran.stderr.ends_with("the download was interrupted: the next run resumes it\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "");
    assert_eq!(partial(), 1000, "the part stays");
    place
        .offline(&draw(NAME, "--out=no.png"))
        .refuses(&["owner/name", "in the Hugging Face Hub's cache"]);

    // The same repository, by a server that is not busy.
    let place = Place { work: place.work, server: HubServer::start() }.with_model();
    place.run(&draw(NAME, "--out=one.png")).succeeds();
    let requests = place.server.requests().into_iter();
    let resumed = requests.filter(|request| request.header("range") == "bytes=1000-").count();
    assert!(resumed >= 1, "no request begins behind the part");
    assert_eq!(partial(), 0);
}

#[test]
fn two_commands_download_a_file_once() {
    let place = Place::new();
    place.server.script("/large/", 1000, Reply::Late(Duration::from_millis(100)));
    let children = [1, 2].map(|_| place.start(&["pull", NAME]));
    let ran = children.map(|child| Ran::new(child.wait_with_output().unwrap()).succeeds());
    assert_eq!(ran[0].stdout, ran[1].stdout);
    let requests = place.server.requests().into_iter().map(|request| request.target);
    let large: Vec<String> = requests.filter(|target| target.starts_with("/large/")).collect();
    let distinct: BTreeSet<&String> = large.iter().collect();
    assert!(distinct.len() > 3, "{large:?}");
    assert_eq!(distinct.len(), large.len(), "{large:?}");
}

#[test]
fn a_folder_goes_before_a_repository_of_its_name() {
    let place = Place::new();
    copy_folder(&place.work.path("model"), &place.work.path("owner/name"));
    place.run(&draw(NAME, "--out=one.png")).succeeds();
    place.run(&draw("owner/gone", "--out=no.png")).refuses(&["cannot open the folder owner/gone"]);
    assert_eq!(place.server.connections(), 0);
    place.run(&draw("hf://owner/name", "--out=two.png")).succeeds();
    assert!(place.server.connections() > 0);
}

#[test]
fn what_does_not_open_is_not_downloaded() {
    let place = Place::new();
    let index = json!({ "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"] });
    let weights = ("unet/diffusion_pytorch_model.safetensors".to_owned(), b"never".to_vec());
    place.add(
        "owner/stable",
        &[("model_index.json".to_owned(), index.to_string().into_bytes()), weights],
    );
    let words = ["owner/stable: it holds a StableDiffusionPipeline", KARLO];
    place.run(&draw("owner/stable", "--out=no.png")).refuses(&words);
    place.run(&["pull", "owner/stable"]).refuses(&words);
    let fetched = place.fetched("owner/stable");
    assert_eq!(fetched.into_iter().collect::<Vec<_>>(), ["model_index.json"]);
    place.add("owner/sd", &[("v1-5.ckpt".to_owned(), b"never".to_vec())]);
    place.run(&["pull", "owner/sd"]).refuses(&["owner/sd: it holds v1-5.ckpt, and a model has"]);
    assert!(place.fetched("owner/sd").is_empty());
}

#[test]
fn models_lists_the_cache_and_what_is_known_to_work() {
    let place = Place::new();
    let empty = place.run(&["models"]).succeeds().stdout;
    assert!(empty.starts_with("in the cache: none\nknown to work\n"), "{empty}");
    assert!(empty.contains("kakaobrain/karlo-v1-alpha ") && empty.contains("13.7 GB"), "{empty}");
    assert!(empty.contains("kandinsky-2-2-decoder"), "{empty}");
    place.run(&["pull", NAME]).succeeds();
    let index = json!({ "_class_name": "FluxPipeline" }).to_string();
    let commit = "f".repeat(40);
    let flux = place.work.path("cache/models--owner--flux/snapshots").join(&commit);
    fs::create_dir_all(&flux).unwrap();
    fs::write(flux.join("model_index.json"), index).unwrap();
    let before = place.server.connections();
    let text = place.run(&["models"]).succeeds().stdout;
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(
        line("owner/name").contains(" main ") && line("owner/name").contains("Karlo: generate, "),
        "{text}"
    );
    assert!(
        line("owner/flux").contains("does not open: ")
            && line("owner/flux").contains("FluxPipeline"),
        "{text}"
    );
    let json: Value =
        serde_json::from_str(&place.run(&["models", "--json"]).succeeds().stdout).unwrap();
    let cached = json["cached"].as_array().unwrap();
    assert_eq!(cached.len(), 2);
    assert_eq!(
        (&cached[0]["repository"], &cached[0]["opens"]),
        (&json!("owner/flux"), &json!(false))
    );
    assert_eq!((&cached[1]["family"], &cached[1]["refs"]), (&json!("Karlo"), &json!(["main"])));
    assert!(cached[1]["bytes"].as_u64().unwrap() > 10_000);
    assert_eq!(json["known"][0]["licence"], "creativeml-openrail-m");
    assert_eq!(json["built_in"], json!(["builtin:unclip", "builtin:glide"]));
    assert_eq!(place.server.connections(), before, "nothing is asked of the Hub");
}
