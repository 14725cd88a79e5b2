//! Files as people have them: encodings of text, names, and folders with links in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use files::extensions::{is_image, is_unsupported_image};
use files::names::{composed, locate};
use files::text::{decode, excerpt};
use files::walk::{Walk, walk};

/// `text` in UTF-16 with a byte order mark.
pub(crate) fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = format!("\u{feff}{text}");
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn text_is_decoded_from_what_editors_and_shells_write() {
    let wanted = "é\n𝄞 two\nlast";
    let windows = "é\r\n𝄞 two\r\nlast";
    let utf8 = [wanted, windows, "é\r𝄞 two\rlast"];
    for text in utf8 {
        assert_eq!(decode(text.as_bytes()).unwrap(), wanted);
        let marked = format!("\u{feff}{text}");
        assert_eq!(decode(marked.as_bytes()).unwrap(), wanted);
        assert_eq!(decode(&utf16(text, u16::to_le_bytes)).unwrap(), wanted);
        assert_eq!(decode(&utf16(text, u16::to_be_bytes)).unwrap(), wanted);
    }
    assert_eq!(decode(b"").unwrap(), "");
    assert_eq!(decode(b"\xef\xbb\xbf").unwrap(), "");
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let refused = |bytes: &[u8], words: &[&str]| {
        let message = decode(bytes).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
    };
    refused(b"one\ncaf\xe9\n", &["line 2", "UTF-8"]);
    refused(b"\xff\xfea\0\n\0\0\xd8", &["line 2", "UTF-16"]);
    refused(b"\xff\xfea\0b", &["line 1", "UTF-16"]);
    // UTF-16 without a mark.
    refused(b"a\0\n\0b\0", &["line 1", "zero byte", "mark"]);
}

#[test]
fn names_are_the_same_composed_and_decomposed() {
    let (nfc, nfd) = ("caf\u{e9}", "cafe\u{301}");
    assert_eq!(composed(OsStr::new(nfd)), composed(OsStr::new(nfc)));
    assert_ne!(composed(OsStr::new("cafe")), composed(OsStr::new(nfc)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join(nfd).join(nfc)).unwrap();
    let file = path.join(nfd).join(nfc).join("a.png");
    fs::write(&file, "").unwrap();
    for name in [
        format!("{nfd}/{nfc}/a.png"),
        format!("{nfc}/{nfc}/a.png"),
        format!("{nfc}/{nfd}/a.png"),
        format!("{nfc}\\{nfd}\\a.png"),
    ] {
        assert_eq!(locate(path, &name), file, "{name}");
    }
    // What is not there is called as it was.
    assert_eq!(locate(path, "gone/a.png"), path.join("gone/a.png"));
    assert_eq!(locate(path, "/gone/a.png"), Path::new("/gone/a.png"));
    // A backslash in a name stays one where a file has that name.
    fs::write(path.join("b\\c.png"), "").unwrap();
    assert_eq!(locate(path, "b\\c.png"), path.join("b\\c.png"));
}

#[test]
fn endings_say_which_images_are_read() {
    for name in ["a.png", "a.JPG", "a.jpeg", "a.jpe", "a.JFIF", "a.webp", "a.Gif"] {
        assert!(is_image(name) && !is_unsupported_image(name), "{name}");
    }
    for name in
        ["a.heic", "a.HEIC", "a.avif", "a.jxl", "a.tiff", "a.bmp", "a.svg", "a.pdf", "a.cr2"]
    {
        assert!(is_unsupported_image(name) && !is_image(name), "{name}");
    }
    for name in ["a.txt", "png", ".png", "a.png.txt"] {
        assert!(!is_image(name) && !is_unsupported_image(name), "{name}");
    }
}

/// The pictures that a walk over a folder comes to, below it.
fn pictures(folder: &Path) -> (Vec<String>, Walk) {
    let found = walk(folder, |path| is_image(path));
    let below = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    (found.files.iter().map(|file| below(&file.path)).collect(), found)
}

#[test]
fn a_walk_follows_links_and_takes_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures");
    fs::create_dir_all(path.join("deep/er")).unwrap();
    for name in ["b.png", "deep/a.png", "deep/er/c.png", "deep/note.txt"] {
        fs::write(path.join(name), name).unwrap();
    }
    let plain = ["b.png", "deep/a.png", "deep/er/c.png"];
    let (found, walked) = pictures(&path);
    assert_eq!(found, plain);
    assert!(walked.repeated.is_empty() && walked.unreadable.is_empty());

    // Loops, at the top and below, and a folder that is linked to beside itself.
    symlink(".", path.join("again")).unwrap();
    symlink("../..", path.join("deep/er/up")).unwrap();
    symlink("deep/er", path.join("z")).unwrap();
    let (found, walked) = pictures(&path);
    assert_eq!(found, plain);
    let mut named: Vec<String> = Vec::new();
    for note in &walked.repeated {
        assert!(note.why.contains("which is taken once"), "{}", note.why);
        named.push(note.path.file_name().unwrap().display().to_string());
    }
    named.sort();
    assert_eq!(named, ["again", "up", "z"]);

    // Links to files: the first path stays, a second name on the disk is a file of its own.
    symlink("b.png", path.join("c.png")).unwrap();
    symlink("note.txt", path.join("deep/same.txt")).unwrap();
    fs::hard_link(path.join("b.png"), path.join("d.png")).unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    fs::write(folder.path().join("elsewhere/e.png"), "e").unwrap();
    symlink("../elsewhere", path.join("linked")).unwrap();
    symlink("../elsewhere/e.png", path.join("f.png")).unwrap();
    let (found, walked) = pictures(&path);
    let wanted = ["b.png", "d.png", "deep/a.png", "deep/er/c.png", "f.png"];
    assert_eq!(found, wanted);
    let real = folder.path().canonicalize().unwrap();
    assert_eq!(walked.files[4].real, real.join("elsewhere/e.png"));
    assert_eq!(walked.files[3].real, real.join("pictures/deep/er/c.png"));
    assert_eq!(walked.repeated.len(), 5);
    assert!(walked.unreadable.is_empty());

    // Through a link to the folder itself.
    symlink("pictures", folder.path().join("way")).unwrap();
    assert_eq!(pictures(&folder.path().join("way")).0, wanted);
}

#[test]
fn a_walk_passes_over_what_is_hidden_and_names_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".named");
    for name in [".ipynb_checkpoints", ".thumbnails/more", "seen/.cache"] {
        fs::create_dir_all(path.join(name)).unwrap();
        fs::write(path.join(name).join("a.png"), "a").unwrap();
    }
    for name in ["._a.png", "a.png", "seen/.a.png", "seen/b.png"] {
        fs::write(path.join(name), name).unwrap();
    }
    symlink(".", path.join(".again")).unwrap();
    symlink("gone.png", path.join(".link.png")).unwrap();
    let (found, walked) = pictures(&path);
    assert_eq!(found, ["a.png", "seen/b.png"]);
    assert!(walked.repeated.is_empty() && walked.unreadable.is_empty());

    symlink("gone.png", path.join("link.png")).unwrap();
    symlink("gone", path.join("folder")).unwrap();
    symlink("gone.txt", path.join("a.txt")).unwrap();
    symlink("self.png", path.join("self.png")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(path.join("pipe.png")).status();
    assert!(fifo.unwrap().success());
    let (found, walked) = pictures(&path);
    assert_eq!(found, ["a.png", "seen/b.png"]);
    let named = walked.unreadable.iter();
    let mut named: Vec<_> = named.map(|note| note.path.strip_prefix(&path).unwrap()).collect();
    named.sort();
    let wanted = ["folder", "link.png", "pipe.png", "self.png"].map(Path::new);
    assert_eq!(named, wanted);
}

#[test]
fn a_value_is_cut_and_steers_no_terminal_where_a_message_repeats_it() {
    assert_eq!(excerpt("café"), "café");
    assert_eq!(excerpt("\u{1b}[2J\n\u{202e}gnp\u{2028}"), "\u{fffd}[2J\u{fffd}\u{fffd}gnp\u{fffd}");
    assert_eq!(excerpt(&"é".repeat(400)), "é".repeat(400));
    let cut = excerpt(&"é".repeat(1_000_000));
    assert_eq!(cut, "é".repeat(400) + "... and 999600 more characters");
}
