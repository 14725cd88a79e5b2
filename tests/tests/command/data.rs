//! Data that people bring to the command: nothing that can be read, links, encodings, and exports that are ended.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::checkpoints::wait_for;
use super::interrupts::{limit_files, send};
use super::{CAPTION, Ran, Workplace};
use crate::files::utf16;

/// The folder of a model in Karlo's layout: tiny, random.
const KARLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/data/karlo/model");

impl Workplace {
    /// With a folder `broken` of two pictures with captions, neither of which can be read.
    fn with_broken_pictures() -> Self {
        let place = Self::new();
        fs::create_dir(place.path("broken")).unwrap();
        for name in ["a", "b"] {
            fs::write(place.path(&format!("broken/{name}.png")), "no picture").unwrap();
            fs::write(place.path(&format!("broken/{name}.txt")), "a caption").unwrap();
        }
        place
    }

    /// With a folder `whole` of two pictures with captions.
    fn with_captioned() -> Self {
        let place = Self::new();
        fs::create_dir(place.path("whole")).unwrap();
        for name in ["a", "b"] {
            let picture = image::RgbImage::new(20, 20);
            picture.save(place.path(&format!("whole/{name}.png"))).unwrap();
            fs::write(place.path(&format!("whole/{name}.txt")), "a caption").unwrap();
        }
        place
    }
}

impl Ran {
    /// Exit code 2, and a last line with these words.
    fn fails(self, words: &[&str]) {
        assert_eq!((self.code, &*self.stdout), (Some(2), ""), "{}", self.stderr);
        let last = self.stderr.lines().last().unwrap();
        for word in words {
            assert!(last.contains(word), "{word:?} is not in: {last}");
        }
    }
}

#[test]
fn data_of_which_nothing_can_be_read_leaves_nothing_behind() {
    let place = Workplace::with_broken_pictures();
    let nothing = ["none of the 2 pictures in broken can be read", "a.png"];
    let embed = ["embed", "--data=broken", "--model=model", "--shards=new/shards"];
    place.run(&embed).fails(&nothing);
    let init = format!("--init={KARLO}");
    let train = ["train", "decoder", &init, "--data=broken"];
    place.run(&[&train[..], &["--out=mine"]].concat()).fails(&nothing);
    place.run(&[&train[..], &["--dry-run"]].concat()).fails(&nothing);
    assert_eq!(place.files(), ["broken"]);

    // A folder of the user's stays, as it was.
    fs::create_dir(place.path("shards")).unwrap();
    let embed = ["embed", "--data=broken", "--model=model", "--shards=shards"];
    place.run(&embed).fails(&nothing);
    assert_eq!(fs::read_dir(place.path("shards")).unwrap().count(), 0);
}

#[test]
fn what_is_no_plain_file_is_left_out_and_hangs_nothing() {
    let place = Workplace::with_captioned();
    let fifo = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(place.path(name)).status();
        assert!(made.unwrap().success());
    };
    // A caption, a picture that a table names, and a shard.
    fs::write(place.path("whole/x.png"), "never looked at").unwrap();
    fifo("whole/x.txt");
    fs::create_dir(place.path("table")).unwrap();
    fs::copy(place.path("whole/a.png"), place.path("table/a.png")).unwrap();
    let lines = r#"{"file_name": "a.png", "text": "a boat"}
{"file_name": "f.png", "text": "a fifo"}
{"file_name": "zero.png", "text": "no end"}
"#;
    fs::write(place.path("table/metadata.jsonl"), lines).unwrap();
    fifo("table/f.png");
    symlink("/dev/zero", place.path("table/zero.png")).unwrap();
    fifo("pipe.tar");
    let dry_run = |data: &str| {
        let data = format!("--data={data}");
        place.run(&["train", "clip", "--preset=tiny", "--dry-run", &data])
    };
    let whole = dry_run("whole").succeeds().stderr;
    assert!(whole.contains("x.txt: it is no plain file"), "{whole}");
    let table = dry_run("table").succeeds().stderr;
    assert!(table.contains("f.png: it is no plain file"), "{table}");
    assert!(table.contains("1 samples are found in --data, and 2 more"), "{table}");
    dry_run("pipe.tar").fails(&["pipe.tar is no plain file"]);
}

#[test]
fn data_may_have_a_name_that_is_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Workplace::with_captioned();
    let name = OsStr::from_bytes(b"d\xe9");
    fs::rename(place.path("whole"), place.folder.path().join(name)).unwrap();
    let mut command = place.command(&["train", "clip", "--preset=tiny", "--dry-run", "--data"]);
    let output = command.arg(name).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_model_refuses_embeddings_before_anything_is_copied() {
    let place = Workplace::with_captioned();
    let embed = ["embed", "--data=whole", "--model=model", "--shards=shards"];
    place.run(&embed).succeeds();
    let init = format!("--init={KARLO}");
    for (leg, word) in [("decoder", "`decoder` learns from pictures"), ("prior", "image encoder")] {
        let train = ["train", leg, &init, "--data=shards", "--out=mine"];
        place.run(&train).refuses(&["--data shards", word]);
        assert_eq!(place.files(), ["shards", "whole"]);
    }
}

#[test]
fn a_dry_run_counts_the_data_and_refuses_what_a_training_would() {
    let place = Workplace::with_captioned();
    fs::write(place.path("whole/c.png"), "no matter").unwrap();
    let dry = |data: &str| {
        let data = format!("--data={data}");
        place.run(&["train", "decoder", "--preset=tiny", "--dry-run", &data])
    };
    let ran = dry("whole").succeeds();
    assert_eq!(ran.stdout.lines().count(), 2);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains("2 samples") && last.contains("1 more"), "{last}");
    dry("gone").refuses(&["--data gone"]);
    fs::create_dir(place.path("empty")).unwrap();
    dry("empty").refuses(&["empty has no picture with a caption"]);
    assert_eq!(place.files(), ["empty", "whole"]);
}

#[test]
fn recipes_and_lists_are_read_in_every_encoding() {
    let place = Workplace::new();
    let recipe = include_str!("../../../training/presets/tiny.toml").replace('\n', "\r\n");
    fs::write(place.path("a.toml"), format!("\u{feff}{recipe}")).unwrap();
    fs::write(place.path("b.toml"), utf16(&recipe, u16::to_le_bytes)).unwrap();
    for name in ["a.toml", "b.toml"] {
        let config = format!("--config={name}");
        place.run(&["train", "clip", "--dry-run", &config]).succeeds();
    }
    fs::write(place.path("c.toml"), b"# caf\xe9\n").unwrap();
    place
        .run(&["train", "clip", "--dry-run", "--config=c.toml"])
        .refuses(&["--config", "c.toml", "line 1", "UTF-8"]);

    let list = utf16("a red boat\r\na caf\u{e9}\r\n", u16::to_le_bytes);
    fs::write(place.path("list.txt"), list).unwrap();
    let ran = place.generate(&["--prompts=list.txt", "--seed=1"]).succeeds();
    assert_eq!(ran.stdout, "a-red-boat-1.png\na-caf\u{e9}-1.png\n");
    for (text, word) in
        [("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), ("<html>", "HTML")]
    {
        fs::write(place.path("list.txt"), text).unwrap();
        place.generate(&["--prompts=list.txt"]).refuses(&["list.txt", word]);
    }
}

#[test]
fn a_search_takes_each_picture_once_and_names_what_is_not_read() {
    let place = Workplace::with_captioned();
    symlink(".", place.path("whole/again")).unwrap();
    symlink("a.png", place.path("whole/twin.png")).unwrap();
    let search = ["search", CAPTION, "whole", "--model=model", "--top=20"];
    let ran = place.run(&search).succeeds();
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    for name in ["whole/again", "whole/twin.png"] {
        assert_eq!(ran.stderr.matches(name).count(), 1, "{}", ran.stderr);
    }
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    fs::write(place.path("whole/c.heic"), heic).unwrap();
    let ran = place.run(&search).succeeds();
    assert_eq!(ran.stdout.lines().count(), 2);
    assert!(ran.stderr.contains("c.heic is a HEIC picture"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 3 pictures"), "{}", ran.stderr);
}

/// The pictures in the folder `out`, which are whole, and those that its metadata has a line for.
fn exported(place: &Workplace) -> [BTreeSet<String>; 2] {
    let (mut pictures, mut named) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(place.path("out")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".png") {
            assert!(image::open(place.path("out").join(&name)).is_ok(), "{name}");
            pictures.insert(name);
        }
    }
    let metadata = fs::read_to_string(place.path("out/metadata.jsonl")).unwrap();
    for line in metadata.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        named.insert(line["file_name"].as_str().unwrap().to_owned());
    }
    [pictures, named]
}

#[test]
fn an_export_that_is_ended_has_its_metadata() {
    for (signals, code) in [(&["-INT"][..], 130), (&["-TERM"], 143), (&["-INT", "-INT"], 130)] {
        let place = Workplace::new();
        let mut child = place.start(&["scenes", "--count=100000", "--size=32", "--out=out"]);
        wait_for("picture", || place.path("out/00003.png").exists());
        for signal in signals {
            send(signal, &child);
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let ran = Ran::new(child.wait_with_output().unwrap());
        let [pictures, named] = exported(&place);
        assert!(pictures == named && named.len() > 3, "{pictures:?} and {named:?}");
        if signals.len() == 1 {
            let told = format!("stopped: {} of 100000 pictures are drawn", named.len());
            assert!(ran.stderr.contains(&told), "{}", ran.stderr);
        }
    }
}

#[test]
fn an_export_without_room_is_refused_and_what_is_there_stays_whole() {
    let place = Workplace::new();
    let child = place.start(&["scenes", "--count=100000", "--size=32", "--out=out"]);
    wait_for("picture", || place.path("out/00003.png").exists());
    limit_files(&child, 4096);
    let ran = Ran::new(child.wait_with_output().unwrap());
    ran.refuses(&["cannot write out/", "too large"]);
    let [pictures, named] = exported(&place);
    assert!(pictures == named && named.len() > 3, "{pictures:?} and {named:?}");
}
