//! Data sets as people have them: encodings, columns, links and folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use training::Data;

use super::shards::{picture, tar};
use crate::files::utf16;

/// A folder of pictures `a.png`, `b.png` and so on.
struct Set {
    folder: tempfile::TempDir,
}

impl Set {
    fn new(names: &[&str]) -> Self {
        let set = Self { folder: tempfile::tempdir().unwrap() };
        for name in names {
            set.write(name, &picture(7));
        }
        set
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("set").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn open(&self) -> Result<Data, String> {
        open(&self.path(""))
    }

    /// The captions, in order, and how much is left out.
    fn captions(&self) -> (Vec<String>, usize) {
        let data = self.open().unwrap();
        let dataset = data.dataset().unwrap();
        assert_eq!(dataset.found(), dataset.count() + dataset.broken().len());
        (data.captions(99), dataset.broken().len())
    }

    /// Refuses the folder in a sentence with these words.
    fn refuses(&self, words: &[&str]) {
        refuses(&self.path(""), words);
    }
}

fn open(path: &Path) -> Result<Data, String> {
    let path = path.to_str().unwrap().trim_end_matches('/').to_owned();
    Data::open(&[path], false).map_err(|error| error.to_string())
}

fn refuses(path: &Path, words: &[&str]) {
    let message = open(path).err().expect("it is refused");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn all<const N: usize>(captions: [&str; N]) -> (Vec<String>, usize) {
    (captions.map(str::to_owned).into(), 0)
}

#[test]
fn captions_beside_pictures_are_read_in_every_encoding() {
    let set = Set::new(&["a.PNG", "b.jpg", "c.png", "d.jfif", "e\u{301}.png", "f.Jpe"]);
    set.write("a.TXT", b"\xef\xbb\xbfa red cat\r\n");
    set.write("b.txt", &utf16("a caf\u{e9}", u16::to_le_bytes));
    set.write("c.txt", &utf16("a dog\r\n", u16::to_be_bytes));
    set.write("d.Txt", b"a boat\r");
    set.write("\u{e9}.txt", b"an accent");
    set.write("f.txt", b"a fish");
    let captions = all(["a red cat", "a caf\u{e9}", "a dog", "a boat", "an accent", "a fish"]);
    assert_eq!(set.captions(), captions);

    // What is no caption is named.
    set.write("b.txt", b"caf\xe9");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    set.write("c.txt", pointer);
    set.write("d.Txt", b"<!DOCTYPE html><html>");
    set.write("a.TXT", b"a\0 \0c\0a\0t\0");
    let data = set.open().unwrap();
    assert_eq!(data.captions(9), ["an accent", "a fish"]);
    let broken = data.dataset().unwrap().broken();
    let whys = ["zero byte", "UTF-8", "git lfs pull", "HTML"];
    assert_eq!(broken.len(), whys.len());
    for ((name, why), word) in broken.iter().zip(whys) {
        assert!(why.contains(word), "{name}: {why}");
    }
}

#[test]
fn tables_are_read_in_every_encoding() {
    let set = Set::new(&["a.png", "b.png", "cafe\u{301}/c.png"]);
    let lines = [
        r#"{"file_name": "a.png", "text": "a cat"}"#,
        r#"{"file_name": "b.png", "text": "a café", "size": 3}"#,
        r#"{"file_name": "café/c.png", "text": "a dog"}"#,
    ];
    let captions = all(["a cat", "a café", "a dog"]);
    let mark = "\u{feff}";
    for text in [lines.join("\n"), lines.join("\r\n") + "\r\n", mark.to_owned() + &lines.join("\n")]
    {
        set.write("metadata.jsonl", text.as_bytes());
        assert_eq!(set.captions(), captions, "{text}");
        let text = text.trim_start_matches(mark);
        for bytes in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)] {
            set.write("metadata.jsonl", &bytes);
            assert_eq!(set.captions(), captions, "{text} in UTF-16");
        }
    }
    fs::remove_file(set.path("metadata.jsonl")).unwrap();
    let rows = "file_name,text\na.png,a cat\nb.png,\"a café\"\ncafé\\c.png,a dog";
    for text in [rows.to_owned(), rows.replace('\n', "\r\n"), format!("{mark}{rows}")] {
        set.write("metadata.csv", text.as_bytes());
        assert_eq!(set.captions(), captions, "{text}");
        let text = text.trim_start_matches(mark);
        set.write("metadata.csv", &utf16(text, u16::to_le_bytes));
        assert_eq!(set.captions(), captions, "{text} in UTF-16");
    }
    // A line that is no UTF-8 is lost alone, and named.
    set.write("metadata.csv", b"file_name,text\na.png,a cat\nb.png,caf\xe9\n");
    let data = set.open().unwrap();
    assert_eq!(data.captions(9), ["a cat"]);
    let broken = data.dataset().unwrap().broken();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].0.ends_with("metadata.csv, line 3"), "{broken:?}");
}

#[test]
fn tables_are_read_with_other_columns_and_delimiters() {
    let set = Set::new(&["a.png", "b.png"]);
    let captions = all(["a cat", "a dog; old"]);
    for header in [
        "file_name,text",
        "text_id,Image,Caption",
        "file,prompt",
        "filename,TITLE",
        "image,note,TEXT",
        "path,title,text",
    ] {
        let columns = header.split(',');
        let row = |name: &str, caption: &str| {
            let is_file = |column: &str| {
                ["file_name", "Image", "file", "filename", "image", "path"].contains(&column)
            };
            let is_caption = |column: &str| {
                ["text", "Caption", "prompt", "TEXT"].contains(&column) || column == "TITLE"
            };
            let cells = columns.clone().map(|column| match column {
                _ if is_file(column) => format!("\"{name}\""),
                _ if is_caption(column) => format!("\"{caption}\""),
                _ => "1".to_owned(),
            });
            cells.collect::<Vec<_>>()
        };
        let rows = [
            columns.clone().map(str::to_owned).collect(),
            row("a.png", "a cat"),
            row("b.png", "a dog; old"),
        ];
        for delimiter in [",", ";", "\t", "|"] {
            let text = rows.clone().map(|row| row.join(delimiter)).join("\n");
            set.write("metadata.csv", text.as_bytes());
            assert_eq!(set.captions(), captions, "{text}");
        }
    }
    let line = |name: &str, caption: &str| {
        format!("{{\"image\": \"{name}\", \"prompt\": \"{caption}\"}}\n")
    };
    let text = line("a.png", "a cat") + &line("b.png", "a dog; old");
    set.write("metadata.jsonl", text.as_bytes());
    assert_eq!(set.captions(), captions);

    // Of columns that may both be meant, and of none, the sentence says what would work.
    for text in [
        "{\"file\": \"a.png\", \"prompt\": \"\", \"title\": \"\"}",
        "{\"file\": \"a.png\", \"said\": \"\"}",
    ] {
        set.write("metadata.jsonl", text.as_bytes());
        set.refuses(&["metadata.jsonl", "line 1", "text"]);
    }
    fs::remove_file(set.path("metadata.jsonl")).unwrap();
    set.write("metadata.csv", b"file;caption;prompt\na.png;a;b\n");
    set.refuses(&["metadata.csv", "`caption`", "`prompt`", "`text`"]);
    set.write("metadata.csv", b"file;words\na.png;a\n");
    set.refuses(&["metadata.csv", "caption", "of file, words"]);
    // Files that are no tables.
    set.write("metadata.csv", b"version https://git-lfs.github.com/spec/v1\n");
    set.refuses(&["metadata.csv", "git lfs pull"]);
    set.write("metadata.csv", b"PK\x03\x04");
    set.refuses(&["metadata.csv", "zip"]);
    set.write("metadata.csv", b"");
    set.refuses(&["metadata.csv", "empty"]);
    set.write("metadata.jsonl", b"[{\"file_name\": \"a.png\", \"text\": \"a\"}]");
    set.refuses(&["metadata.jsonl", "one JSON list", "jq"]);
}

#[test]
fn links_hidden_files_and_unread_formats_in_a_folder() {
    let set = Set::new(&["a.png", "b.png", "deep/c.png"]);
    for name in ["a", "b", "deep/c"] {
        set.write(&format!("{name}.txt"), name.as_bytes());
    }
    let captions = all(["a", "b", "deep/c"]);
    assert_eq!(set.captions(), captions);
    let before = set.open().unwrap().describe();
    symlink(".", set.path("again")).unwrap();
    symlink("a.png", set.path("twin.png")).unwrap();
    symlink("a.txt", set.path("twin.txt")).unwrap();
    for name in ["._a.png", ".ipynb_checkpoints/a-checkpoint.png", ".thumbnails/a.png"] {
        set.write(name, &picture(1));
        set.write(&name.replace("png", "txt"), b"hidden");
    }
    assert_eq!(set.captions(), captions);
    assert_eq!(set.open().unwrap().describe(), before);

    set.write("d.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    set.write("e.tiff", b"II*\0\x08\0\0\0");
    set.write("d.txt", b"a caption");
    // The first bytes say more than the name.
    set.write("g.bmp", &picture(2));
    set.write("g.txt", b"a caption");
    symlink("gone.png", set.path("f.png")).unwrap();
    let data = set.open().unwrap();
    assert_eq!(data.captions(9).len(), 4);
    let broken = data.dataset().unwrap().broken();
    let words = [("d.HEIC", "heif-convert"), ("e.tiff", "magick"), ("f.png", "link")];
    assert_eq!(broken.len(), words.len());
    for ((name, why), (ending, word)) in broken.iter().zip(words) {
        assert!(name.ends_with(ending) && why.to_lowercase().contains(word), "{name}: {why}");
    }
}

#[test]
fn usual_layouts_are_read_or_the_sentence_says_which_data_would_do() {
    let table = |name: &str| format!("{{\"file_name\": \"{name}\", \"text\": \"a {name}\"}}\n");
    let set = Set::new(&["train/a.png"]);
    set.write("train/metadata.jsonl", table("a.png").as_bytes());
    set.write("README.md", b"words");
    set.write(".cache/huggingface/metadata.jsonl", b"{}");
    assert_eq!(set.captions(), all(["a a.png"]));
    set.write("test/metadata.csv", b"file_name,text\n../train/a.png,b\n");
    set.refuses(&["2 data sets", "set/test", "set/train", "--data"]);
    assert!(open(&set.path("train")).is_ok());
    fs::remove_file(set.path("test/metadata.csv")).unwrap();
    set.write("more/b.png", &picture(3));
    set.refuses(&["set/train", "pictures beside"]);

    let below = Set::new(&["data/train/a.png"]);
    below.write("data/train/metadata.jsonl", table("a.png").as_bytes());
    symlink(".", below.path("again")).unwrap();
    assert_eq!(below.captions(), all(["a a.png"]));

    // Shards: img2dataset's notes and caches beside them, in data/, of several splits, packed.
    let members = [("1.png", picture(3)), ("1.txt", b"one".to_vec())];
    let shards = Set::new(&[]);
    fs::create_dir_all(shards.path("data")).unwrap();
    tar(&shards.path("data/00000.tar"), &members);
    for (name, bytes) in
        [("00000.parquet", &b"PAR1"[..]), ("00000_stats.json", b"{}"), ("._00000.tar", b"x")]
    {
        shards.write(&format!("data/{name}"), bytes);
    }
    shards.write("data/.cache/a.png", &picture(1));
    assert_eq!(shards.captions(), all(["one"]));
    assert_eq!(open(&shards.path("data")).unwrap().captions(9), ["one"]);
    let pattern = open(&shards.path("data/*.tar")).unwrap();
    assert_eq!(pattern.dataset().unwrap().found(), 1);
    symlink("00000.tar", shards.path("data/again.tar")).unwrap();
    assert_eq!(shards.captions(), all(["one"]));
    shards.write("data/00001.tar.gz", b"\x1f\x8bpacked");
    let (captions, left_out) = shards.captions();
    assert_eq!((captions.len(), left_out), (1, 1));
    fs::remove_file(shards.path("data/again.tar")).unwrap();
    fs::rename(shards.path("data/00000.tar"), shards.path("data/train-0.tar")).unwrap();
    tar(&shards.path("data/validation-0.tar"), &members);
    shards.refuses(&["train and validation", "set/data/*train*.tar"]);
    assert!(open(&shards.path("data/*train*.tar")).is_ok());

    // What is not read is said to be.
    let unread = |name: &str, bytes: &[u8], words: &[&str]| {
        let set = Set::new(&["a.png"]);
        set.write(name, bytes);
        set.refuses(&[&[name], words].concat());
        refuses(&set.path(name), &[&[name], words].concat());
    };
    unread("captions.txt", b"image,caption\na.png,a cat\n", &["metadata.csv"]);
    unread("train.parquet", b"PAR1", &["Parquet", "metadata.jsonl"]);
    unread("labels.csv", b"a,b\n", &["metadata.csv", "file_name"]);
    unread("pictures.zip", b"PK\x03\x04", &["unpack"]);
    let packed = Set::new(&[]);
    packed.write("0.tar.gz", b"\x1f\x8bpacked");
    packed.refuses(&["0.tar.gz", "gunzip"]);
    packed.write("1.tar.xz", b"packed");
    let data = Data::open(&[packed.path("1.tar.xz").display().to_string()], false);
    assert!(data.err().unwrap().to_string().contains("unxz"));
    refuses(&packed.path("0.tar.gz"), &["0.tar.gz", "gunzip"]);
    let set = Set::new(&["a.png"]);
    refuses(&set.path("a.png"), &["a.png", "name the folder"]);
    set.refuses(&["a.png", "a.txt"]);
}

/// The fingerprint by which checkpoints know their data: names, and the lengths of pictures and captions.
#[test]
fn a_folder_within_another_one_is_not_counted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    for name in ["a", "inner/b"] {
        let path = folder.path().join(name);
        image::RgbImage::new(9, 9).save(path.with_extension("png")).unwrap();
        std::fs::write(path.with_extension("txt"), "a boat").unwrap();
    }
    let outer = folder.path().to_owned();
    for both in [[&outer, &inner], [&inner, &outer]] {
        let message = Data::open(&both, false).err().unwrap().to_string();
        assert!(message.contains("would count twice"), "{message}");
    }
    let alone = Data::open(&[&inner], false).unwrap();
    assert_eq!(alone.dataset().unwrap().count(), 1);
}

#[test]
fn tables_that_are_not_utf8_are_named_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("metadata.csv");
    for text in [&b"file_name,te\xe9xt\na.png,b\n"[..], b"file_name,text\na.png,caf\xe9\n"] {
        std::fs::write(&table, text).unwrap();
        let message = Data::open(&[folder.path()], false).err().unwrap().to_string();
        assert!(message.contains("not UTF-8: please save"), "{message}");
    }
}

#[test]
fn plain_data_is_described_as_it_was() {
    let fingerprint = |samples: &[(&str, usize, usize)]| {
        let mut hash = Sha256::new();
        for (name, picture, caption) in samples {
            hash.update(name);
            hash.update([0]);
            hash.update((*picture as u64).to_le_bytes());
            hash.update((*caption as u64).to_le_bytes());
        }
        let hash: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} samples, {hash}", samples.len())
    };
    let length = picture(7).len();
    let set = Set::new(&["b.png", "a.jpg", "deep/c.PNG"]);
    set.write("b.txt", b"a cat\r\n");
    set.write("a.txt", "\u{feff}a café".as_bytes());
    set.write("deep/c.txt", b" a dog");
    let wanted = [("a.jpg", length, 10), ("b.png", length, 7), ("deep/c.PNG", length, 6)];
    assert_eq!(set.open().unwrap().describe(), fingerprint(&wanted));
    let rows = "file_name,text\nb.png,a cat\r\ndeep/c.PNG,a café\nb.png,a\n";
    set.write("metadata.csv", rows.as_bytes());
    let wanted = [("b.png", length, 1), ("b.png", length, 5), ("deep/c.PNG", length, 7)];
    assert_eq!(set.open().unwrap().describe(), fingerprint(&wanted));

    let shards = Set::new(&[]);
    fs::create_dir_all(shards.path("")).unwrap();
    let members = [
        ("b.cls", b"1".to_vec()),
        ("a.txt", b"one".to_vec()),
        ("a.png", picture(7)),
        ("b.png", picture(7)),
        ("b.json", b"{\"caption\": \"two\"}".to_vec()),
    ];
    tar(&shards.path("0.tar"), &members);
    let wanted = [("0.tar/a", length, 3), ("0.tar/b", length, 18)];
    assert_eq!(shards.open().unwrap().describe(), fingerprint(&wanted));
}

#[test]
fn rows_without_end_are_named_and_cost_no_more_than_themselves() {
    let set = Set::new(&["a.png", "b.png"]);
    let long = "x".repeat(2 << 20);
    let line =
        |name: &str, text: &str| format!("{{\"file_name\": \"{name}\", \"text\": \"{text}\"}}");
    let lines = [line("a.png", "a cat"), line("b.png", &long), line("b.png", "a dog")];
    for between in ["\n", "\r\n", "\r"] {
        set.write("metadata.jsonl", lines.join(between).as_bytes());
        assert_eq!(set.captions(), (vec!["a cat".to_owned(), "a dog".to_owned()], 1));
        let data = set.open().unwrap();
        let broken = data.dataset().unwrap().broken();
        assert!(broken[0].0.ends_with("metadata.jsonl, line 2"));
        let why = format!("it has {} bytes, and at most 1048576", lines[1].len());
        assert!(broken[0].1.contains(&why), "{broken:?}");
    }
    let wide = "\u{e9}".repeat(9 << 20);
    set.write("metadata.jsonl", &utf16(&wide, u16::to_le_bytes));
    set.refuses(&["metadata.jsonl", "UTF-16", "16777216", "UTF-8"]);
    fs::remove_file(set.path("metadata.jsonl")).unwrap();
    // Nobody knows where a quote that is not closed was meant to end.
    let rows = format!("file_name,text\na.png,\"a cat\"\nb.png,\"a dog\n{long}");
    set.write("metadata.csv", rows.as_bytes());
    set.refuses(&["metadata.csv", "line 3", "1048576 bytes", "quote"]);
    set.write("metadata.csv", format!("file_name,text{long}").as_bytes());
    set.refuses(&["metadata.csv", "1048576 bytes"]);
    fs::remove_file(set.path("metadata.csv")).unwrap();
    set.write("a.txt", b"a cat");
    set.write("b.txt", long.as_bytes());
    assert_eq!(set.captions(), (vec!["a cat".to_owned()], 1));
    let key = set.path("0.tar");
    tar(
        &key,
        &[
            ("a.png", picture(3)),
            ("a.json", format!("{{\"text\": \"{long}\"}}").into_bytes()),
            ("b.png", picture(3)),
            ("b.txt", b"a dog".to_vec()),
        ],
    );
    let data = open(&key).unwrap();
    assert_eq!(data.captions(9), ["a dog"]);
    let why = &data.dataset().unwrap().broken()[0].1;
    assert!(why.contains("2097164 bytes") && why.contains("1048576"), "{why}");
}
