//! `unclip search`: pictures by how close they are, and the index that keeps their embeddings.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;

use ::pipeline::zero_shot::{cosines, normalised};
use image::{Rgb, RgbImage};
use tch::{Kind, Tensor};

use super::interrupts::send;
use super::{CAPTION, Ran, Workplace};
use crate::pipeline::open;

/// The pictures that are searched, in the order of their paths.
const PICTURES: [&str; 5] = [
    "pictures/a.png",
    "pictures/b.JPG",
    "pictures/c.webp",
    "pictures/deep/er/d.png",
    "pictures/e.gif",
];

fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(30 + 7 * number, 40, |x, y| {
        let wave = (x * (number + 1) + y * 3) % 256;
        Rgb([wave as u8, (40 * number) as u8, (255 - wave) as u8])
    })
}

impl Workplace {
    /// With pictures, and with what is none or hidden among them.
    fn with_folder() -> Self {
        let place = Self::new();
        fs::create_dir_all(place.path("pictures/deep/er")).unwrap();
        fs::create_dir_all(place.path("pictures/.thumbnails")).unwrap();
        for (number, path) in (0..).zip(PICTURES) {
            picture(number).save(place.path(path)).unwrap();
        }
        for path in ["pictures/.thumbnails/f.png", "pictures/.g.png"] {
            picture(9).save(place.path(path)).unwrap();
        }
        fs::write(place.path("pictures/note.txt"), "words").unwrap();
        place
    }

    fn search(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["search", "--model=model"], arguments].concat())
    }

    /// What a search with an index prints, and how many of how many pictures were in it.
    fn indexed(&self, arguments: &[&str]) -> (String, String) {
        let query = [CAPTION, "pictures", "--index=i", "--top=9"];
        let ran = self.search(&[&query[..], arguments].concat()).succeeds();
        // Before it may stand what bf16 costs here.
        let counted = ran.stderr.rsplit("unclip: ").next().unwrap();
        let counted = counted.strip_suffix(" pictures are in i\n");
        (ran.stdout, counted.expect(&ran.stderr).to_owned())
    }
}

/// What the library finds for a query `[1, E]`, as it is printed.
fn wanted(place: &Workplace, query: &Tensor) -> Vec<String> {
    let pipeline = open("deep");
    let score = |path: &&str| {
        let picture = ::images::read_image(&place.path(path)).unwrap().image;
        let embedding = pipeline.encode_images(&[picture]).unwrap();
        cosines(&normalised(query), &normalised(&embedding)).double_value(&[0, 0])
    };
    let mut found: Vec<(f64, &str)> = PICTURES.iter().map(|path| (score(path), *path)).collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let line = |(score, path): (f64, &str)| format!("{score:.4}  {path}");
    found.into_iter().map(line).collect()
}

#[test]
fn the_closest_pictures_are_told_first() {
    let place = Workplace::with_folder();
    let text = open("deep").encode_text(&[CAPTION]).unwrap().embedding;
    let expected = wanted(&place, &text);
    let ran = place.search(&[CAPTION, "pictures"]).succeeds();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!(ran.stderr, "");
    let ran = place.search(&[CAPTION, "pictures", "--top=2"]).succeeds();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected[..2]);

    // A picture finds itself.
    let own = ::images::read_image(&place.path(PICTURES[3])).unwrap();
    let own = open("deep").encode_images(&[own.image]).unwrap();
    let expected = wanted(&place, &own);
    assert_eq!(expected[0], format!("1.0000  {}", PICTURES[3]));
    // Without a text encoder, which such a search does not need.
    fs::remove_dir_all(place.path("model/text_encoder")).unwrap();
    let ran = place.search(&[PICTURES[3], "pictures"]).succeeds();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    place.search(&[CAPTION, "pictures"]).refuses(&["text_encoder"]);
}

#[test]
fn what_is_found_is_told_in_json_and_on_a_contact_sheet() {
    let place = Workplace::with_folder();
    RgbImage::new(900, 300).save(place.path("pictures/large.png")).unwrap();
    let query = ["pictures/large.png", "pictures", "--top=3", "--json"];
    let search = |more: &[&str]| place.search(&[&query[..], more].concat());
    let ran = search(&["--grid=grid.png"]).succeeds();
    let lines = ran.stdout.lines();
    let lines: Vec<serde_json::Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["path"]), (3, &"pictures/large.png".into()));
    assert!((lines[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    // Two columns, each as wide as a large picture's small version.
    let sheet = image::open(place.path("grid.png")).unwrap();
    assert_eq!(sheet.width(), 4 + 2 * (256 + 4));
    search(&["--grid=grid.png"]).refuses(&["grid.png exists", "--force"]);
    search(&["--grid=grid.png", "--force"]).succeeds();
    search(&["--grid=grid.jpg"]).refuses(&["--grid", "PNG"]);
    search(&["--grid=no/grid.png"]).refuses(&["--grid", "no"]);
    search(&["--grid=new.png", "--index=./new.png"]).refuses(&["--grid", "--index"]);
    search(&["--index=no/index"]).refuses(&["--index", "no"]);
    search(&["--index=pictures"]).refuses(&["--index pictures", "folder"]);
}

#[test]
fn what_cannot_be_read_is_named_counted_and_left_out() {
    let place = Workplace::with_folder();
    let whole = fs::read(place.path(PICTURES[0])).unwrap();
    fs::write(place.path("pictures/cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place.path("pictures/fake.jpg"), "words").unwrap();
    RgbImage::new(1, 60_000).save(place.path("pictures/thin.png")).unwrap();
    symlink("gone.png", place.path("pictures/link.png")).unwrap();
    let ran = place.search(&[CAPTION, "pictures", "--top=20"]).succeeds();
    assert_eq!(ran.stdout.lines().count(), 5);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    for name in ["cut.png", "fake.jpg", "thin.png", "link.png"] {
        let told = lines.iter().filter(|line| line.contains(name)).count();
        assert_eq!(told, 1, "{name}: {lines:?}");
    }
    assert_eq!(lines[4..], ["unclip: 4 of 9 pictures in pictures cannot be read and are left out"]);
    // A folder in itself.
    symlink(".", place.path("pictures/deep/again")).unwrap();
    let ran = place.search(&[CAPTION, "pictures/deep"]).succeeds();
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(ran.stderr.contains("again"), "{}", ran.stderr);
}

#[test]
fn a_folder_without_pictures_is_refused() {
    let place = Workplace::with_folder();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("bad")).unwrap();
    fs::write(place.path("bad/fake.jpg"), "words").unwrap();
    let search = |query: &str, folder: &str| place.search(&[query, folder]);
    search(CAPTION, "gone").refuses(&["cannot search gone"]);
    search(CAPTION, "pictures/a.png").refuses(&["pictures/a.png", "no folder"]);
    search(CAPTION, "empty").refuses(&["empty holds no pictures"]);
    search("", "pictures").refuses(&["the caption is empty"]);
    search("gone.png", "pictures").refuses(&["gone.png"]);
    search("pictures/note.txt", "pictures").refuses(&["note.txt is no picture"]);
    place.search(&[CAPTION, "pictures", "--top=0"]).refuses(&["--top"]);
    let ran = search(CAPTION, "bad");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    let last = ran.stderr.lines().last();
    assert_eq!(last, Some("unclip: none of the 1 pictures in bad can be read"));
}

#[test]
fn the_second_search_encodes_only_what_is_new() {
    let place = Workplace::with_folder();
    let (found, counted) = place.indexed(&[]);
    assert_eq!(counted, "0 of 5");
    let first = fs::read(place.path("i")).unwrap();
    assert_eq!(place.indexed(&[]), (found.clone(), "5 of 5".to_owned()));
    assert!(fs::read(place.path("i")).unwrap() == first);

    // One changes, one goes, one comes.
    picture(20).save(place.path(PICTURES[0])).unwrap();
    fs::remove_file(place.path(PICTURES[1])).unwrap();
    picture(21).save(place.path("pictures/new.png")).unwrap();
    let (changed, counted) = place.indexed(&[]);
    assert_eq!(counted, "3 of 5");
    let fresh = place.search(&[CAPTION, "pictures", "--top=9"]).succeeds();
    assert_eq!(changed, fresh.stdout);
    assert_ne!(changed, found);
    assert_eq!(place.indexed(&[]), (changed.clone(), "5 of 5".to_owned()));
    let listed = fs::read(place.path("i")).unwrap();
    assert!(!String::from_utf8_lossy(&listed).contains("b.JPG"));

    // Pictures of another folder are kept beside them, and the folder may be called otherwise.
    fs::create_dir(place.path("others")).unwrap();
    picture(22).save(place.path("others/x.png")).unwrap();
    let others = [CAPTION, "others", "--index=i"];
    let ran = place.search(&others).succeeds();
    assert_eq!(ran.stderr, "unclip: 0 of 1 pictures are in i\n");
    let ran = place.search(&[CAPTION, "./others/../pictures", "--index=i"]);
    assert_eq!(ran.succeeds().stderr, "unclip: 5 of 5 pictures are in i\n");
    let ran = place.search(&others).succeeds();
    assert_eq!(ran.stderr, "unclip: 1 of 1 pictures are in i\n");

    // Other numbers and another encoder make other embeddings.
    let (_, counted) = place.indexed(&["--dtype=bf16"]);
    assert_eq!(counted, "0 of 5");
    place.indexed(&[]);
    let file = place.path("model/image_encoder/model.safetensors");
    let mut tensors = ::weights::load_safetensors(&file).unwrap();
    for (_, tensor) in &mut tensors {
        *tensor = &*tensor * 1.25;
    }
    ::weights::save_safetensors(&file, &tensors, Kind::Float).unwrap();
    let (other, counted) = place.indexed(&[]);
    assert_eq!(counted, "0 of 5");
    assert_ne!(other, changed);
}

/// The index's tensors.
fn tensors(place: &Workplace) -> Vec<(String, Tensor)> {
    ::weights::load_safetensors(place.path("i")).unwrap()
}

#[test]
fn embeddings_come_from_the_index() {
    let place = Workplace::with_folder();
    let (found, _) = place.indexed(&[]);
    // The same embeddings the other way round, so that what was the closest is the farthest.
    let mut changed = tensors(&place);
    for (name, tensor) in &mut changed {
        if name == "embeddings" {
            *tensor = -&*tensor;
        }
    }
    ::weights::save_safetensors(place.path("i"), &changed, Kind::Float).unwrap();
    let (turned, counted) = place.indexed(&[]);
    assert_eq!(counted, "5 of 5");
    let paths = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  ").nth(1).unwrap().to_owned()).collect()
    };
    let mut backwards = paths(&turned);
    backwards.reverse();
    assert_eq!(backwards, paths(&found));
}

#[test]
fn what_is_no_index_is_refused_and_stays() {
    let place = Workplace::with_folder();
    place.indexed(&[]);
    let whole = fs::read(place.path("i")).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(place.path("i"), bytes).unwrap();
        place.search(&[CAPTION, "pictures", "--index=i"]).refuses(&["--index i", "no sound index"]);
        assert!(fs::read(place.path("i")).unwrap() == bytes);
    };
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length]);
    }
    refused(b"my diary");
    refused(&[0xA5; 4096]);
    fs::write(place.path("i"), &whole).unwrap();
    let sound = tensors(&place);
    let with = |name: &str, change: &dyn Fn(&Tensor) -> Tensor| {
        let changed = sound.iter().map(|(n, tensor)| match n == name {
            true => (n.clone(), change(tensor)),
            false => (n.clone(), tensor.shallow_clone()),
        });
        let changed: Vec<_> = changed.collect();
        ::weights::save_safetensors(place.path("i"), &changed, Kind::Float).unwrap();
        refused(&fs::read(place.path("i")).unwrap());
    };
    with("embeddings", &|tensor| tensor.narrow(0, 0, 3));
    with("embeddings", &|tensor| tensor.flatten(0, 1));
    with("embeddings", &|tensor| tensor * f64::NAN);
    with("pictures", &|tensor| tensor.narrow(0, 0, 50));
    with("pictures", &|tensor| tensor.to_kind(Kind::Float));
    let other = [("embedding".to_owned(), Tensor::zeros([1, 20], (Kind::Float, tch::Device::Cpu)))];
    ::weights::save_safetensors(place.path("i"), &other, Kind::Float).unwrap();
    refused(&fs::read(place.path("i")).unwrap());

    // Embeddings of another width are of another encoder, whatever the index calls it.
    let narrow = sound.iter().map(|(name, tensor)| match &**name {
        "embeddings" => (name.clone(), tensor.narrow(1, 0, 7)),
        _ => (name.clone(), tensor.shallow_clone()),
    });
    ::weights::save_safetensors(place.path("i"), &narrow.collect::<Vec<_>>(), Kind::Float).unwrap();
    let (_, counted) = place.indexed(&[]);
    assert_eq!(counted, "0 of 5");
}

#[test]
fn an_interrupted_search_keeps_what_it_has_encoded() {
    let place = Workplace::new();
    fs::create_dir(place.path("pictures")).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(3).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    for number in 0..4000 {
        let path = place.path(&format!("pictures/{number}.png"));
        fs::write(path, bytes.get_ref()).unwrap();
    }
    let search = ["search", CAPTION, "pictures", "--model=model", "--index=i"];
    let mut child = place.start(&search);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    stderr.read_line(&mut told).unwrap();
    assert_eq!(told, "unclip: 0 of 4000 pictures are in i\n");
    send("-INT", &child);
    told.clear();
    stderr.read_to_string(&mut told).unwrap();
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(130), ""), "{told}");
    let encoded = told.strip_prefix("unclip: stopped: ").unwrap();
    let encoded = encoded.strip_suffix(" of 4000 pictures are encoded\n").unwrap();
    let encoded: usize = encoded.parse().unwrap();
    assert!((1..4000).contains(&encoded), "{encoded}");
    assert_eq!(place.files(), ["i", "pictures"]);
    let mut child = place.start(&search);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert!(told.ends_with(&format!("unclip: {encoded} of 4000 pictures are in i\n")), "{told}");
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
