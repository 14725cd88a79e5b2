//! Webdataset shards: their order, their captions, and what is broken in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tch::Kind;
use training::{Data, SampleRequest, Trainer};

use super::{Training, checkpoint, trainer};
use crate::files::utf16;

/// A picture of one colour as PNG bytes.
pub(super) fn picture(red: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(20, 24, image::Rgb([red, 40, 90]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A tar with these members, by the crate that others write tars with too.
pub(super) fn tar(path: &Path, members: &[(&str, Vec<u8>)]) {
    let mut builder = tar::Builder::new(File::create(path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.finish().unwrap();
}

pub(super) fn open(given: &[&Path]) -> Result<Data, String> {
    let given: Vec<String> = given.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
    scenes::dataset::open(&given, false).map_err(|error| error.to_string())
}

pub(super) fn request(subset: u64, seed: u64) -> SampleRequest {
    SampleRequest { subset, seed, size: 8, hard_negatives: false, noise: 0 }
}

/// Two shards of 30 good samples each with every kind of caption, and 4 broken ones.
fn shards(folder: &Path) -> PathBuf {
    let path = folder.join("shards");
    fs::create_dir(&path).unwrap();
    for shard in 0..2u8 {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        for n in 0..30u8 {
            let key = format!("deep/folder/{shard}{n:03}");
            members.push((format!("{key}.png"), picture(100 * shard + n)));
            let caption = format!("picture {}", 100 * u32::from(shard) + u32::from(n));
            members.push(match n % 3 {
                0 => (format!("{key}.txt"), caption.into_bytes()),
                1 => (
                    format!("{key}.json"),
                    format!(r#"{{"caption": "{caption}", "width": 20}}"#).into(),
                ),
                _ => (format!("{key}.json"), format!(r#"{{"text": "{caption}"}}"#).into()),
            });
        }
        if shard == 0 {
            let name = "a very long name, longer than the hundred bytes that the header of an old tar has room for, so that it takes a header of its own";
            members.push((format!("{name}.png"), picture(250)));
            members.push((format!("{name}.txt"), b"picture 250".to_vec()));
        } else {
            members.push(("torn.png".into(), picture(3)[..40].to_vec()));
            members.push(("torn.txt".into(), b"a torn picture".to_vec()));
            members.push(("alone.png".into(), picture(3)));
            members.push(("said.txt".into(), b"of no picture".to_vec()));
            members.push(("empty.png".into(), Vec::new()));
            members.push(("empty.txt".into(), b"of an empty one".to_vec()));
            members.push(("notes.pdf".into(), vec![0; 9]));
        }
        let members: Vec<(&str, Vec<u8>)> =
            members.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
        tar(&path.join(format!("{shard:02}.tar")), &members);
    }
    path
}

/// The captions of `count` pictures from `first` on, each of which shows the red that its caption names.
fn drawn(data: &Data, request: SampleRequest, first: u64, count: usize) -> Vec<String> {
    let batch = data.draw(request, first, count).unwrap();
    for (n, caption) in batch.captions.iter().enumerate() {
        let red: u8 = caption.strip_prefix("picture ").unwrap().parse().unwrap();
        let shown = batch.images.int64_value(&[n as i64, 0, 4, 4]);
        assert_eq!(shown, i64::from(red), "{caption}");
    }
    batch.captions
}

#[test]
fn shards_are_shuffled_as_the_seed_says_and_what_is_broken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = shards(folder.path());
    let data = open(&[&path]).unwrap();
    let epoch = drawn(&data, request(1, 1), 0, 61);
    let mut sorted = epoch.clone();
    sorted.sort();
    sorted.dedup();
    assert!(sorted.len() >= 58, "nearly all of 61 and no broken one: {}", sorted.len());
    let dataset = data.dataset().unwrap();
    let broken: Vec<String> = dataset.broken().into_iter().map(|(name, _)| name).collect();
    let named = |key: &str| broken.iter().any(|name| name.ends_with(key));
    for key in ["torn", "alone", "said", "empty", "notes.pdf"] {
        assert!(named(key), "{key} is not among {broken:?}");
    }
    assert_eq!((broken.len(), dataset.found()), (5, 66));

    // A batch is the same whenever it is drawn, whatever was drawn before, and another one elsewhere.
    let again = open(&[&path]).unwrap();
    assert_eq!(drawn(&again, request(1, 1), 40, 9), epoch[40..49]);
    assert_ne!(drawn(&again, request(1, 2), 0, 61), epoch);
    assert_ne!(drawn(&again, request(2, 1), 0, 61), epoch);
    assert_ne!(drawn(&again, request(1, 1), 63, 61), epoch, "the second epoch has its own order");
    assert!(epoch.windows(2).any(|pair| pair[0] > pair[1]), "it is shuffled");

    // Patterns and lists name the same; other data is other data.
    let pattern = open(&[&path.join("*.tar")]).unwrap();
    let range = open(&[&path.join("{00..01}.tar")]).unwrap();
    assert_eq!(pattern.describe(), data.describe());
    assert_eq!(range.describe(), data.describe());
    assert_ne!(open(&[&path.join("00.tar")]).unwrap().describe(), data.describe());
    assert_eq!(drawn(&pattern, request(1, 1), 0, 61), epoch);
}

#[test]
fn damaged_tars_cost_what_is_behind_the_damage_and_refusals_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = shards(folder.path());
    let whole = fs::read(path.join("00.tar")).unwrap();
    for (length, kept) in [(whole.len() / 2, 10..20), (1000, 0..1), (0, 0..1)] {
        fs::write(path.join("00.tar"), &whole[..length]).unwrap();
        let data = open(&[&path]).unwrap();
        let dataset = data.dataset().unwrap();
        assert!(kept.contains(&(dataset.count() - 32)), "{length}: {}", dataset.count());
        drawn(&data, request(1, 1), 0, 20);
    }
    // A header that claims more than there is, and one whose sum is wrong.
    for (at, bytes) in [(124, &b"77777777777"[..]), (148, b"0000000")] {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(path.join("00.tar"), damaged).unwrap();
        let data = open(&[&path]).unwrap();
        assert_eq!(data.dataset().unwrap().count(), 32);
    }
    let refused = |given: &[&Path], word: &str| {
        let message = open(given).err().unwrap();
        assert!(message.contains(word), "{message}");
    };
    refused(&[&path.join("gone.tar")], "gone.tar");
    refused(&[&path.join("*.tgz")], "no file fits");
    refused(&[&path, &path], "more than once");
    refused(&[&path, Path::new("scenes")], "scenes");
    refused(&[&path.join("{5..x}.tar")], "5..x");
}

#[test]
fn trainings_go_on_in_shards_and_refuse_other_data() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let path = shards(folder.path());
    let trainer = |runs: &str, stop_at: Option<u64>, given: &[&Path]| {
        let mut trainer = trainer(folder.path(), runs, Kind::Float, stop_at);
        trainer.data = open(given).unwrap();
        for run in [&mut trainer.recipe.clip.run, &mut trainer.recipe.upsampler.run] {
            (run.steps, run.batch) = (14, 6);
        }
        trainer
    };
    trainer("whole", None, &[&path]).train_tokenizer().unwrap();
    let trainings: [Training; 2] =
        [("clip", Trainer::train_clip), ("upsampler", Trainer::train_upsampler)];
    for (name, train) in trainings {
        train(&trainer("halves", Some(5), &[&path]), &mut ()).unwrap();
        train(&trainer("halves", None, &[&path]), &mut ()).unwrap();
        train(&trainer("whole", None, &[&path]), &mut ()).unwrap();
        let [halves, whole] = ["halves", "whole"].map(|runs| checkpoint(folder.path(), runs, name));
        assert!(halves == whole, "{name} differs after a resume");
    }
    let other = trainer("halves", None, &[&path.join("01.tar")]).train_clip(&mut ()).unwrap_err();
    assert!(other.to_string().contains("data"), "{other}");
}

#[test]
fn ranges_are_counted_before_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, words: &[&str]| {
        let message = open(&[&folder.path().join(name)]).err().unwrap();
        assert!(message.starts_with("--data ") && !message.contains('\n'));
        assert!(message.chars().count() < 2000, "{message}");
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
    };
    let most = "at most 1000000";
    refused("{000000..999999999}.tar", &["names 1000000000 files", most]);
    refused("{0..18446744073709551615}.tar", &["files", most]);
    refused("{0..9999}{0..9999}{0..9999}.tar", &["1000000000000", most]);
    refused("{0..9999}{0..9999}{0..9999}*.tar", &["1000000000000", most]);
    refused("{000...1}.tar", &["{000...1} is no range"]);
    refused("{1..2..3}.tar", &["{1..2..3} is no range"]);
    refused("{-1..2}.tar", &["{-1..2} is no range"]);
    refused("{+1..2}.tar", &["{+1..2} is no range"]);
    refused("{0..18446744073709551616}.tar", &["is no range"]);
    refused("{2..1}.tar", &["{2..1} is an empty range"]);
    refused("{a,{b,c}}.tar", &["braces within braces"]);
    refused(&format!("{{{}..2}}.tar", "0".repeat(70_000)), &["4096"]);
    refused(&format!("{{{}..2}}.tar", "0".repeat(3000)), &["more char"]);
    refused(&"{a}".repeat(40_000), &["4096"]);
    for name in ["7.tar", "8.tar", "x09.tar", "x10.tar"] {
        tar(
            &folder.path().join(name),
            &[("a.png", picture(3)), ("a.txt", name.as_bytes().to_vec())],
        );
    }
    let range = folder.path().join("{7..8,x}.tar");
    assert!(open(&[&range]).is_err());
    let [numbers, padded] = ["{7..8}.tar", "{x,x}{09..10}.{tar,tar}"].map(|name| {
        let data = open(&[&folder.path().join(name)]);
        data.map(|data| data.captions(9))
    });
    assert_eq!(numbers.unwrap(), ["7.tar", "8.tar"]);
    assert!(padded.unwrap_err().contains("x09.tar more than once"));
}

#[test]
fn a_shard_that_changes_while_it_is_read_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar");
    let members = [("a.png", picture(3)), ("a.txt", b"picture 3".to_vec())];
    tar(&path, &members);
    let data = open(&[&path]).unwrap();
    assert_eq!(data.captions(1), ["picture 3"]);
    let other = folder.path().join("other");
    tar(&other, &[("a.png", picture(4)), members[1].clone()]);
    fs::rename(other, &path).unwrap();
    assert!(data.draw(request(1, 1), 0, 1).is_err());
    let broken = data.dataset().unwrap().broken();
    assert!(broken[0].1.contains("0.tar has changed"), "{broken:?}");
}

#[test]
fn a_tar_that_says_what_is_no_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let size = [("size", &b"-1"[..])];
    builder.append_pax_extensions(size).unwrap();
    builder.into_inner().unwrap();
    let whole = fs::read(&path).unwrap();
    let message = open(&[&path]).err().unwrap();
    assert!(message.contains("is -1, which is no number"), "{message}");
    // Neither a name of gigabytes nor the archive's own notes are read for what they claim.
    for kind in [b'x', b'L', b'K', b'g'] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(4 << 30);
        header.set_cksum();
        fs::write(&path, [header.as_bytes(), &whole[..]].concat()).unwrap();
        let message = open(&[&path]).err().unwrap();
        assert!(message.contains("4294967296 bytes"), "{message}");
    }
}

#[test]
fn members_that_fit_no_sample_are_counted_and_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar");
    let broken = |members: &[(&str, &[u8])]| {
        let members: Vec<_> = members.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
        tar(&path, &members);
        let data = open(&[&path])?;
        let dataset = data.dataset().unwrap();
        Ok::<_, String>((dataset.count(), dataset.broken()))
    };
    let png = &picture(3)[..];
    let whole = [("a.png", png), ("a.txt", b"a"), ("a.cls", b"7"), ("a.seg.png", png)];
    // What a whole sample has beside is not lost, nor is what nobody put there.
    let notes: [(&str, &[u8]); 4] = [
        ("__about__", b"x"),
        ("._a.png", png),
        ("./.DS_Store", b"x"),
        (".ipynb_checkpoints/b.png", png),
    ];
    assert_eq!(broken(&[&whole[..], &notes].concat()).unwrap(), (1, Vec::new()));

    // Of two pictures of one key the first is learned from, wherever the caption stands.
    let mask: [(&str, &[u8]); 3] = [("1.jpg", &picture(4)), ("1.png", png), ("1.txt", b"c")];
    assert_eq!(broken(&mask).unwrap(), (1, Vec::new()));
    let list: [(&str, &[u8]); 2] = [("l.png", png), ("l.json", br#"["wrong", "order"]"#)];
    let message = broken(&list).unwrap_err();
    assert!(message.contains("no object with a caption"), "{message}");

    let dots: [(&str, &[u8]); 2] = [("22.05.png", png), ("22.05.txt", b"b")];
    let (count, named) = broken(&[&whole[..], &dots].concat()).unwrap();
    assert_eq!((count, named.len()), (1, 2));
    let (name, why) = &named[0];
    assert!(name.ends_with("0.tar/22.05.png"), "{name}");
    for word in ["first dot", "key is 22", "ending .05.png"] {
        assert!(why.contains(word), "{word}: {why}");
    }
    let message = broken(&dots).unwrap_err();
    for word in ["of 2 that were found", "22.05.png", "first dot"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let fields: [(&str, &[u8]); 2] = [("0001.input.png", png), ("0001.outputs.txt", b"b")];
    let message = broken(&fields).unwrap_err();
    for word in ["of 2 that were found", "key is 0001", ".input.png"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let message = broken(&[("input.png", png), ("outputs.txt", b"b")]).unwrap_err();
    for word in ["of 2 that were found", "0.tar/input", "it has no caption"] {
        assert!(message.contains(word), "{word}: {message}");
    }

    let others: [(&str, &[u8]); 6] = [
        ("b.heic", b"x"),
        ("b.txt", b"b"),
        ("c.png", png),
        ("c.caption", b"c"),
        ("d.npy", b"x"),
        ("README", b"x"),
    ];
    let (count, named) = broken(&[&whole[..], &others].concat()).unwrap();
    assert_eq!(count, 1);
    let words = ["README: no ending", "b: heic", "c: .caption", "d: embeddings.json"];
    assert_eq!(named.len(), words.len(), "{named:?}");
    for ((name, why), words) in named.iter().zip(words) {
        let (key, word) = words.split_once(": ").unwrap();
        assert!(name.ends_with(&format!("0.tar/{key}")) && why.contains(word), "{name}: {why}");
    }
}

#[test]
fn shards_that_are_no_tars_are_named_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let zeros = [0; 20_000];
    for (bytes, words) in [
        (&b""[..], ["empty file", "download"]),
        (pointer, ["Git LFS pointer", "git lfs pull"]),
        (b"<!doctype html><html><body>", ["HTML", "download"]),
        (b"{\"error\": \"Repository not found\"}", ["JSON", "download"]),
        (b"\x1f\x8b\x08\0\0\0\0\0", ["gzip", "gunzip"]),
        (b"\x28\xb5\x2f\xfd\0\0", ["Zstandard", "unzstd"]),
        (b"PK\x03\x04\0\0", ["zip archive", "0.tar"]),
        (&zeros, ["zeros", "20000"]),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = open(&[&path]).err().unwrap();
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
        // Beside a whole one it is counted.
        let whole = folder.path().join("1.tar");
        tar(&whole, &[("a.png", picture(3)), ("a.txt", b"a".to_vec())]);
        let data = open(&[&path, &whole]).unwrap();
        assert_eq!(data.dataset().unwrap().found(), 2);
    }
    // A tar without files is whole.
    tar(&path, &[]);
    let data = open(&[&path, &folder.path().join("1.tar")]).unwrap();
    assert_eq!(data.dataset().unwrap().found(), 1);
}

#[test]
fn captions_in_shards_are_read_in_every_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.TAR");
    let json = "{\"caption\": \"a caf\u{e9}\"}";
    let marked = format!("\u{feff}{json}\r\n");
    let captions = [
        ("a.TXT", b"\xef\xbb\xbfa red cat\r\n".to_vec()),
        ("b.json", marked.into_bytes()),
        ("c.json", utf16(json, u16::to_le_bytes)),
        ("d.txt", utf16("a dog", u16::to_be_bytes)),
        ("e.txt", b"caf\xe9".to_vec()),
        ("f.txt", b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
    ];
    let mut members = Vec::new();
    let pictures = ["a.PNG", "b.jpe", "c.JFIF", "d.jpg", "e.png", "f.png"];
    for (name, caption) in pictures.into_iter().zip(captions) {
        members.extend([(name, picture(3)), caption]);
    }
    tar(&path, &members);
    let data = open(&[&path]).unwrap();
    let accented = "a caf\u{e9}";
    assert_eq!(data.captions(9), ["a red cat", accented, accented, "a dog"]);
    let broken = data.dataset().unwrap().broken();
    assert_eq!(broken.len(), 2);
    assert!(broken[0].1.contains("UTF-8"), "{broken:?}");
    assert!(broken[1].1.contains("git lfs pull"), "{broken:?}");
}
