//! Names of files: those that captions get, and those that are no text.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Output;

use sha2::{Digest, Sha256};

use super::{CAPTION, Ran, Workplace};

/// A name in Latin-1, which is no UTF-8: "café" before its ending.
fn latin(before: &str, ending: &str) -> OsString {
    OsString::from_vec([before.as_bytes(), b"caf\xe9", ending.as_bytes()].concat())
}

impl Workplace {
    /// Runs a command some of whose arguments are no text; it must succeed.
    fn run_raw(&self, words: &[&str], arguments: &[&OsStr]) -> Output {
        let output = self.command(words).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {stderr}");
        output
    }

    fn latin_path(&self, before: &str, ending: &str) -> std::path::PathBuf {
        self.folder.path().join(latin(before, ending))
    }

    fn draw_list(&self, text: &str, arguments: &[&str]) -> Ran {
        fs::write(self.path("list.txt"), text).unwrap();
        self.generate(&[&["--prompts=list.txt"], arguments].concat())
    }
}

/// The digits of a caption's hash.
fn hash(caption: &str) -> String {
    let digits = Sha256::digest(caption.as_bytes());
    digits.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn captions_of_a_list_have_names_of_their_own() {
    let place = Workplace::new();
    let long = ["a very long ", &"red ".repeat(30), "boat"].concat();
    let longer = format!("{long} at night");
    let word = "Donaudampfschifffahrtsgesellschaft".repeat(3);
    let japanese = "赤い船が静かな海に浮かんでいる絵を描いてください。とても綺麗に";
    let japanese: Vec<String> =
        ["朝", "夜"].map(|end| format!("{}{end}", japanese.replace('。', ""))).into();
    let captions = [
        "a red boat!",
        "a red boat?",
        "a red boat!",
        "a red boat!",
        &long,
        &longer,
        &japanese[0],
        &japanese[1],
        &word,
        "🚤",
        "🏠",
        "A red boat 2",
    ];
    let text = captions.join("\n");
    let ran = place.draw_list(&text, &[]).succeeds();
    let names: Vec<&str> = ran.stdout.lines().collect();
    let cut = ["a-very-long", &"-red".repeat(17)].concat();
    let signs: String = japanese[0].chars().take(26).collect();
    let expected = [
        "a-red-boat-0.png".to_owned(),
        format!("a-red-boat-{}-0.png", hash("a red boat?")),
        format!("a-red-boat-{}-0.png", hash("a red boat!")),
        format!("a-red-boat-{}-2-0.png", hash("a red boat!")),
        format!("{cut}-{}-0.png", hash(&long)),
        format!("{cut}-{}-0.png", hash(&longer)),
        format!("{signs}-{}-0.png", hash(&japanese[0])),
        format!("{signs}-{}-0.png", hash(&japanese[1])),
        format!("{}-{}-0.png", &word.to_lowercase()[..80], hash(&word)),
        format!("picture-{}-0.png", hash("🚤")),
        format!("picture-{}-0.png", hash("🏠")),
        "a-red-boat-2-0.png".to_owned(),
    ];
    assert_eq!(names, expected);
    let [first, second, third] = [0, 1, 2].map(|i| names[i]);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read(first) == read(third) && read(first) != read(second));

    // The same at every run, so that the list goes on; what is added is drawn.
    let ran = place.draw_list(&text, &[]).succeeds();
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr, "unclip: 12 of 12 pictures are there already and stay as they are\n");
    fs::remove_file(place.path(second)).unwrap();
    let ran = place.draw_list(&format!("{text}\na red boat!\n"), &[]).succeeds();
    let added = format!("a-red-boat-{}-3-0.png", hash("a red boat!"));
    assert_eq!(ran.stdout, format!("{second}\n{added}\n"));

    // Of a caption alone the name is as it is in a list's first line.
    let alone = |caption: &str| {
        let ran = place.generate(&["--seed=5", caption]).succeeds();
        ran.stdout.trim_end().to_owned()
    };
    assert_eq!(alone("a red boat?"), "a-red-boat-5.png");
    assert_eq!(alone(&long), format!("{cut}-{}-5.png", hash(&long)));
    assert_eq!(alone(&japanese[0]), format!("{signs}-{}-5.png", hash(&japanese[0])));
}

#[test]
fn lines_with_seeds_and_numbers_share_no_file() {
    let place = Workplace::new();
    let line = |more: &str| format!("{{\"caption\": \"a boat\"{more}}}\n");
    let text = [
        line(", \"seed\": 1"),
        line(", \"num_images\": 2"),
        line(", \"seed\": 2"),
        line(", \"out\": \"a-boat-3.png\""),
        line(", \"seed\": 3"),
    ]
    .concat();
    fs::write(place.path("list.jsonl"), &text).unwrap();
    let ran = place.generate(&["--prompts=list.jsonl"]).succeeds();
    let hashed = format!("a-boat-{}", hash("a boat"));
    let expected = [
        "a-boat-1.png".to_owned(),
        format!("{hashed}-0.png"),
        format!("{hashed}-1.png"),
        "a-boat-2.png".to_owned(),
        "a-boat-3.png".to_owned(),
        format!("{hashed}-3.png"),
    ];
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    // A name that a line asks for is its own or nobody's.
    let text = format!("{}{}", line(""), line(", \"out\": \"a-boat-0.png\""));
    fs::write(place.path("list.jsonl"), &text).unwrap();
    place.generate(&["--prompts=list.jsonl"]).refuses(&["line 2", "line 1", "a-boat-0.png"]);
}

#[test]
fn pictures_of_a_list_that_were_drawn_otherwise_are_told() {
    let place = Workplace::new();
    let text = "a red house\na fish\na boat\n";
    let draw = |text: &str, arguments: &[&str]| place.draw_list(text, arguments).succeeds();
    draw(text, &[]);
    let there = "unclip: 3 of 3 pictures are there already and stay as they are\n";
    assert_eq!(draw(text, &[]).stderr, there);
    let told = |ran: Ran, count: usize, words: &[&str]| {
        let first = format!("unclip: warning: {count} of them were drawn otherwise");
        let warning = ran.stderr.lines().find(|line| line.starts_with(&first));
        let warning = warning.unwrap_or_else(|| panic!("{first}: {}", ran.stderr));
        for word in words {
            assert!(warning.contains(word), "{word}: {}", ran.stderr);
        }
        assert_eq!(ran.stdout, "");
    };
    let first = ["a-red-house-0.png (list.txt, line 1)"];
    let words = [&first[..], &["its decoder_guidance_scale is ", "here it is 3.0"]].concat();
    told(draw(text, &["--decoder-guidance-scale=3"]), 3, &words);
    told(draw(text, &["--dtype=bf16"]), 3, &["its dtype is \"f32\", here it is \"bf16\""]);
    let kept = fs::read(place.path("a-fish-0.png")).unwrap();
    fs::write(place.path("a-fish-0.png"), "").unwrap();
    told(draw(text, &[]), 1, &["a-fish-0.png", "empty"]);
    fs::write(place.path("a-fish-0.png"), kept).unwrap();
    // Another caption has come to the same name.
    let other = text.replace("a fish", "A fish!");
    let words = ["a-fish-0.png (list.txt, line 2)", "\"a fish\"", "\"A fish!\""];
    told(draw(&other, &[]), 1, &words);
    crate::pipeline::copy_folder(&place.path("model/prior"), &place.path("other"));
    fs::write(place.path("other/note.txt"), "another").unwrap();
    told(draw(text, &["--prior=other"]), 3, &["another --prior drew it"]);
    fs::write(place.path("model/note.txt"), "another").unwrap();
    told(draw(text, &[]), 3, &["another model drew it"]);
    // What says nothing of itself is not told, and nothing is drawn anew but by force.
    let mine = image::RgbImage::new(2, 2);
    mine.save(place.path("a-boat-0.png")).unwrap();
    told(draw(text, &[]), 2, &first);
    assert_eq!(draw(text, &["--force"]).stdout.lines().count(), 3);
    assert_eq!(draw(text, &[]).stderr, there);
}

#[test]
fn a_picture_that_another_prior_drew_is_told() {
    let place = Workplace::new();
    crate::pipeline::copy_folder(&place.path("model/prior"), &place.path("other"));
    fs::write(place.path("other/note.txt"), "another").unwrap();
    let draw = |out: &str, more: &[&str]| {
        let out = format!("--out={out}");
        place.generate(&[&[&*out], more].concat()).succeeds()
    };
    let warning = "warning: another --prior drew that picture";
    draw("own.png", &["--seed=1", CAPTION]);
    draw("theirs.png", &["--seed=1", "--prior=other", CAPTION]);
    let again = |from: &str, out: &str, more: &[&str]| {
        let from = format!("--from={from}");
        draw(out, &[&[&*from], more].concat()).stderr.contains(warning)
    };
    assert!(!again("own.png", "1.png", &[]));
    assert!(!again("own.png", "2.png", &["--prior=diffusion"]));
    assert!(!again("own.png", "3.png", &["--prior=model"]));
    assert!(again("own.png", "4.png", &["--prior=other"]));
    assert!(again("theirs.png", "5.png", &[]));
    assert!(!again("theirs.png", "6.png", &["--prior=other"]));
    let told = |name: &str| -> serde_json::Value {
        serde_json::from_str(&place.run(&["info", name]).succeeds().stdout).unwrap()
    };
    assert!(told("own.png").get("prior").is_none());
    assert_eq!(told("theirs.png")["prior"].as_str().map(str::len), Some(64));
}

#[test]
fn names_that_are_no_text_are_read_and_written() {
    let place = Workplace::with_pictures();
    let picture = place.latin_path("", ".png");
    fs::rename(place.path("one.png"), &picture).unwrap();
    let name = latin("", ".png");
    let few = ["--model=model", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=1"];
    let drawing = [&["generate", CAPTION, "--seed=1", "-n2"], &few[..]].concat();

    // A pattern, whose placeholders are replaced, a folder, and a contact sheet.
    let ran = place.run_raw(
        &drawing,
        &["--out".as_ref(), &latin("", "-{seed}.png"), "--grid".as_ref(), &latin("grid-", ".png")],
    );
    assert_eq!(ran.stdout, b"caf\xe9-1.png\ncaf\xe9-2.png\ngrid-caf\xe9.png\n");
    assert!(
        place.latin_path("", "-2.png").is_file() && place.latin_path("grid-", ".png").is_file()
    );
    let ran = place.run_raw(&drawing, &["--json".as_ref(), "--out".as_ref(), &latin("in-", "/")]);
    let first: serde_json::Value =
        serde_json::from_slice(ran.stdout.split(|&byte| byte == b'\n').next().unwrap()).unwrap();
    let file = "a-red-house-under-a-blue-sky-1.png";
    assert_eq!(first["path"], format!("in-caf\u{fffd}/{file}"));
    assert_eq!(first["path_bytes"], format!("in-caf%E9/{file}"));
    assert!(place.latin_path("in-", "").join(file).is_file());
    let ran = place.run_raw(&drawing, &["--out".as_ref(), &latin("n-", ".png")]);
    assert_eq!(ran.stdout, b"n-caf\xe9-0.png\nn-caf\xe9-1.png\n");

    // Every command that reads a picture.
    let variations = [&["variations", "--seed=1", "--json"], &few[..1], &few[2..]].concat();
    let ran = place.run_raw(&variations, &[&name]);
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(told["path"], "caf-variation-1.png");
    assert_eq!(told["told"]["image"], "caf\u{fffd}.png");
    assert_eq!(told["told"]["image_bytes"], "caf%E9.png");
    let embed = ["embed", "--model=model", CAPTION];
    let ran = place.run_raw(&embed, &[&name, "--out".as_ref(), &latin("", ".npy")]);
    assert_eq!(ran.stdout, b"caf\xe9.npy\n");
    let read = ::weights::load_embeddings(&place.latin_path("", ".npy")).unwrap();
    assert_eq!(read.size(), [2, 20]);
    let ran = place.run_raw(&embed, &["--out".as_ref(), &latin("", ".safetensors")]);
    assert_eq!(ran.stdout, b"caf\xe9.safetensors\n");
    let embedding = [&["generate", "--seed=1", "--out=from.png"], &few[..1], &few[2..]].concat();
    place.run_raw(&embedding, &["--image-embedding".as_ref(), &latin("", ".safetensors")]);
    let interpolate = ["interpolate", "--shared-noise", "--frames=2", "--seed=1"];
    place.run_raw(
        &[&interpolate[..], &few].concat(),
        &[&name, CAPTION.as_ref(), "--out".as_ref(), &latin("way-", "")],
    );
    assert!(place.latin_path("way-", "").join("sheet.png").is_file());
    let edit = ["edit", "--from=a", "--to=b", "--calls=4", "--frames=2", "--seed=1"];
    let ran = place.run_raw(
        &[&edit[..], &few[..1], &few[3..]].concat(),
        &[&name, "--out".as_ref(), &latin("b-", ".png")],
    );
    assert!(ran.stdout.starts_with(b"b-caf\xe9.png\nb-caf\xe9-way/frame-00.png\n"));
    let classify = ["classify", "--labels=boat,fish", "--model=model"];
    let ran = place.run_raw(&classify, &["two.png".as_ref(), &name]);
    assert!(ran.stdout.split(|&byte| byte == b'\n').any(|line| line == name.as_bytes()));
    let ran = place.run_raw(&classify, &["--json".as_ref(), &name]);
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(told["path"], "caf\u{fffd}.png");
    assert_eq!(told["path_bytes"], "caf%E9.png");
}

#[test]
fn pictures_whose_names_are_no_text_are_searched_and_stay_in_the_index() {
    let place = Workplace::with_pictures();
    fs::create_dir(place.path("in")).unwrap();
    fs::rename(place.path("one.png"), place.latin_path("in/", ".png")).unwrap();
    fs::rename(place.path("two.png"), place.path("in/two.png")).unwrap();
    let name = latin("in/", ".png");
    let search = ["search", "--model=model", "--index=index"];
    let ran = place.run_raw(&search, &[&name, "in".as_ref()]);
    assert!(ran.stdout.starts_with(b"1.0000  in/caf\xe9.png\n"));
    assert_eq!(ran.stderr, b"unclip: 0 of 2 pictures are in index\n");
    let again = place.run_raw(&search, &[&name, "in".as_ref()]);
    assert_eq!(again.stderr, b"unclip: 2 of 2 pictures are in index\n");
    assert_eq!(again.stdout, ran.stdout);
    let ran = place.run_raw(&search, &[&name, "in".as_ref(), "--json".as_ref()]);
    let lines = ran.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let told: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(told[0]["path"], "in/caf\u{fffd}.png");
    assert_eq!(told[0]["path_bytes"], "in/caf%E9.png");
    assert!(told[1].get("path_bytes").is_none());
    // One that is gone is forgotten.
    fs::remove_file(place.latin_path("in/", ".png")).unwrap();
    let ran = place.run_raw(&search, &["in/two.png".as_ref(), "in".as_ref()]);
    assert_eq!(ran.stderr, b"unclip: 1 of 1 pictures are in index\n");
    assert!(!fs::read(place.path("index")).unwrap().windows(4).any(|bytes| bytes == b"[47,"));
    // Names that are text are listed as ever.
    let index = fs::read(place.path("index")).unwrap();
    assert!(index.windows(9).any(|bytes| bytes == b"/two.png\""));
}

#[test]
fn captions_that_are_no_text_are_refused() {
    let place = Workplace::with_pictures();
    let words = latin("a ", "");
    let commands: [&[&str]; 6] = [
        &["generate"],
        &["edit", "one.png", "--from=a", "--to"],
        &["classify", "one.png", "--labels"],
        &["embed", "--out=a.npy"],
        &["interpolate", "--out=way", "one.png"],
        &["search", "--top=1"],
    ];
    for command in commands {
        let folder: &[&str] = if command[0] == "search" { &["."] } else { &[] };
        let output = place.command(command).arg(&words).args(folder).output();
        Ran::new(output.unwrap()).refuses(&["a caf\u{fffd}", "UTF-8"]);
    }
    let gone = place.command(&["embed", "--out=a.npy"]).arg(latin("", ".png")).output();
    Ran::new(gone.unwrap()).refuses(&["caf\u{fffd}.png: there is no such file"]);
    assert_eq!(place.files(), ["one.png", "two.png"]);
}
