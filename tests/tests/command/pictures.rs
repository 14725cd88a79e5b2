//! The commands that work on pictures.

use std::fs;

use image::{Rgb, RgbImage};
use judge::SHIPPED_WORLD_SHA256;

use super::Workplace;

const FEW: [&str; 4] = ["--model", "model", "--seed=1", "--upsampler-steps=2"];

impl Workplace {
    pub(crate) fn with_pictures() -> Self {
        let place = Self::new();
        for (name, blue) in [("one.png", 0), ("two.png", 200)] {
            let picture = RgbImage::from_fn(50, 40, |x, y| Rgb([5 * x as u8, 6 * y as u8, blue]));
            picture.save(place.path(name)).unwrap();
        }
        place
    }
}

#[test]
fn variations_of_a_picture_are_drawn() {
    let place = Workplace::with_pictures();
    let draw = |arguments: &[&str]| {
        let variations = ["variations", "one.png", "--decoder-steps=2"];
        place.run(&[&variations[..], &FEW, arguments].concat())
    };
    let ran = draw(&["-n", "2"]).succeeds();
    assert_eq!(ran.stdout, "one-variation-1.png\none-variation-2.png\n");
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("one-variation-1.png") != read("one-variation-2.png"));
    draw(&[]).refuses(&["one-variation-1.png exists"]);
    draw(&["--prior-steps=3"]).refuses(&["--prior-steps"]);
    fs::write(place.path("note.txt"), "words").unwrap();
    place.run(&["variations", "note.txt"]).refuses(&["note.txt is no picture"]);
    fs::remove_dir_all(place.path("model/image_encoder")).unwrap();
    draw(&["--force"]).refuses(&["image_encoder", "--image-encoder"]);
}

#[test]
fn with_low_memory_every_command_draws_the_same() {
    let place = Workplace::with_pictures();
    let drawing =
        "generate variations mix edit inpaint interpolate reconstruct invert decode bench";
    for command in drawing.split(' ') {
        let help = place.run(&[command, "--help"]).succeeds().stdout;
        assert!(help.contains("--low-memory"), "{command}");
    }
    let edit = ["edit", "one.png", "--from=a red house", "--to=a house"];
    let edit = [&edit[..], &["--calls=4"]].concat();
    let commands: [&[&str]; 2] = [&["variations", "one.png", "--decoder-steps=2"], &edit];
    for command in commands {
        let [kept, dropped] = [&["--out=kept.png"][..], &["--out=dropped.png", "--low-memory"]]
            .map(|out| {
                place.run(&[command, &FEW, out].concat()).succeeds();
                fs::read(place.path(out[0].trim_start_matches("--out="))).unwrap()
            });
        assert!(kept == dropped, "{command:?}");
        for name in place.files() {
            if name != "one.png" && name != "two.png" {
                fs::remove_file(place.path(&name)).unwrap();
            }
        }
    }
}

#[test]
fn a_picture_is_inverted_and_decoded() {
    let place = Workplace::with_pictures();
    let invert = |arguments: &[&str]| {
        let invert = ["invert", "one.png", "--model", "model", "--out=one.safetensors"];
        place.run(&[&invert[..], arguments].concat())
    };
    invert(&["--calls=1"]).refuses(&["--calls is 1", "2 to 1960"]);
    let ran = invert(&["--calls=8"]).succeeds();
    assert_eq!(ran.stdout, "one.safetensors\n");
    invert(&["--calls=8"]).refuses(&["one.safetensors exists", "--force"]);
    let decode = |arguments: &[&str]| {
        let decode = ["decode", "one.safetensors"];
        place.run(&[&decode[..], &FEW, arguments].concat())
    };
    decode(&["--out=same.png"]).succeeds();
    decode(&["--out=other.png", "--eta=1"]).succeeds();
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("same.png") != read("other.png"));
    decode(&["--out=more.png", "--eta=1.5"]).refuses(&["--eta", "0 to 1"]);
    place.run(&["decode", "one.png"]).refuses(&["one.png"]);
}

#[test]
fn the_way_from_one_end_to_the_other_is_drawn() {
    let place = Workplace::with_pictures();
    let interpolate = |ends: [&str; 2], out: &str, arguments: &[&str]| {
        let steps = ["--decoder-steps=2", "--prior-steps=2", "--calls=8"];
        let ends = ["interpolate", ends[0], ends[1], "--frames=3", "--out", out];
        place.run(&[&ends[..], &steps, &FEW, arguments].concat())
    };
    let ran = interpolate(["one.png", "two.png"], "way", &["--ping-pong"]).succeeds();
    let files = ["frame-00", "frame-01", "frame-02", "sheet", "animation"];
    let expected: String = files.map(|name| format!("way/{name}.png\n")).concat();
    assert_eq!(ran.stdout, expected);
    let animation = fs::File::open(place.path("way/animation.png")).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(animation));
    let frames = decoder.read_info().unwrap().info().animation_control().unwrap().num_frames;
    assert_eq!(frames, 4, "there and back again");
    interpolate(["one.png", "two.png"], "way", &[]).refuses(&["--out way", "not empty"]);
    interpolate(["one.png", "a red boat"], "mixed", &["--animation=gif"]).succeeds();
    assert!(place.path("mixed/animation.gif").is_file());
    interpolate(["one.png", "gone.png"], "none", &[]).refuses(&["gone.png"]);
    assert!(!place.path("none").exists());

    // The ends of a way with noise of their own are what their inversions decode to.
    for (end, frame) in [("one.png", "frame-00"), ("two.png", "frame-02")] {
        let invert = ["invert", end, "--model=model", "--calls=8", "--force"];
        place.run(&[&invert[..], &["--out=end.safetensors"]].concat()).succeeds();
        let decode = ["decode", "end.safetensors", "--out=end.png", "--force"];
        place.run(&[&decode[..], &FEW].concat()).succeeds();
        let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
        assert!(read("end.png") == read(&format!("way/{frame}.png")), "{end}");
    }

    // The ends of a way with shared noise are the ends' variations.
    interpolate(["one.png", "two.png"], "shared", &["--shared-noise"]).succeeds();
    for (end, frame) in [("one.png", "frame-00"), ("two.png", "frame-02")] {
        let variation = ["variations", end, "--decoder-steps=2", "--out=end.png", "--force"];
        place.run(&[&variation[..], &FEW].concat()).succeeds();
        let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
        assert!(read("end.png") == read(&format!("shared/{frame}.png")), "{end}");
    }
}

#[test]
fn a_picture_is_edited_along_the_difference_of_two_captions() {
    let place = Workplace::with_pictures();
    let edit = |arguments: &[&str]| {
        let captions = ["--from", "a red house", "--to", "a green house", "--calls=8"];
        let edit = ["edit", "one.png"];
        place.run(&[&edit[..], &captions, &FEW, arguments].concat())
    };
    let ran = edit(&["--frames=2"]).succeeds();
    let first = ran.stdout.lines().next().unwrap();
    assert_eq!(first, "one-edited-1.png");
    let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(read("one-edited-1.png") == read("one-edited-1-way/frame-01.png"));
    let told = place.run(&["info", "one-edited-1.png"]).succeeds().stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["told"]["image"], "one.png");
    assert_eq!(told["told"]["from"], "a red house");
    assert_eq!(told["told"]["strength"], 1.0);
    assert_eq!(told["settings"]["decoder_steps"], 4);
    assert!(read("one-edited-1.png") != read("one-edited-1-way/frame-00.png"));
    edit(&["--frames=2"]).refuses(&["one-edited-1.png"]);
    // What was drawn is drawn again in its place.
    fs::write(place.path("one-edited-1-way/frame-01.png"), "old").unwrap();
    edit(&["--frames=2", "--force"]).succeeds();
    assert!(read("one-edited-1.png") == read("one-edited-1-way/frame-01.png"));
    edit(&["--strength=11", "--force"]).refuses(&["--strength", "0 to 10"]);
}

#[test]
fn embeddings_go_to_files_and_come_back() {
    let place = Workplace::with_pictures();
    let embed = |arguments: &[&str]| {
        place.run(&[&["embed", "--model", "model", "--seed=1"], arguments].concat())
    };
    let draw = |file: &str, out: &str| {
        let generate = ["generate", "--decoder-steps=2", "--image-embedding", file, "--out", out];
        place.run(&[&generate[..], &FEW].concat())
    };
    let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    // A picture's embedding draws the picture's variation.
    for file in ["one.safetensors", "one.npy"] {
        embed(&["one.png", "--out", file]).succeeds();
        draw(file, &format!("{file}.png")).succeeds();
    }
    let variation = ["variations", "one.png", "--decoder-steps=2", "--out=same.png"];
    place.run(&[&variation[..], &FEW].concat()).succeeds();
    assert!(read("one.safetensors.png") == read("same.png"));
    assert!(read("one.npy.png") == read("same.png"));
    embed(&["one.png", "--out=one.npy"]).refuses(&["one.npy exists"]);
    embed(&["one.png", "--out=one.txt"]).refuses(&[".safetensors or .npy"]);
    embed(&["one.png", "--drawn", "--out=two.npy"]).refuses(&["--drawn"]);

    let caption = "a red house";
    embed(&[caption, "--out=text.npy"]).succeeds();
    embed(&[caption, "--drawn", "--prior-steps=2", "--out=drawn.npy"]).succeeds();
    // Row i is what seed + i draws, whatever stands before it.
    let two = ["a cat", caption, "--drawn", "--prior-steps=2", "--out=both.npy"];
    place.run(&[&["embed", "--model=model", "--seed=0"], &two[..]].concat()).succeeds();
    let values = |name: &str| ::weights::load_embeddings(&place.path(name)).unwrap();
    let difference = values("both.npy").narrow(0, 1, 1) - values("drawn.npy");
    assert!(difference.abs().max().double_value(&[]) < 1e-5);
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("text.npy") != bytes("drawn.npy"));
    fs::write(place.path("bad.npy"), [0x93; 300]).unwrap();
    draw("bad.npy", "bad.png").refuses(&["bad.npy"]);
    let narrow = tch::Tensor::zeros([1, 5], (tch::Kind::Float, tch::Device::Cpu));
    narrow.write_npy(place.path("narrow.npy")).unwrap();
    draw("narrow.npy", "bad.png").refuses(&["narrow.npy", "embeddings of 5 numbers", "have 20"]);
    // A file that ends before its shape does, and shapes beyond all memory.
    let whole = fs::read(place.path("text.npy")).unwrap();
    fs::write(place.path("short.npy"), &whole[..whole.len() - 8]).unwrap();
    draw("short.npy", "bad.png").refuses(&["short.npy", "takes 80 bytes, and 72 follow"]);
    let header = String::from_utf8_lossy(&whole[..whole.len() - 80]).into_owned();
    for shape in ["(50000000, 20)", "(18446744073709551615,)", "(-1, 20)", "(1, 20,"] {
        let lie = header.replacen("(1, 20)", shape, 1);
        assert!(lie.contains(shape), "{header}");
        fs::write(place.path("lie.npy"), [lie.as_bytes(), &[0; 80]].concat()).unwrap();
        draw("lie.npy", "bad.png").refuses(&["lie.npy"]);
    }
    let nan = tch::Tensor::full([1, 20], f64::NAN, (tch::Kind::Float, tch::Device::Cpu));
    nan.write_npy(place.path("nan.npy")).unwrap();
    draw("nan.npy", "bad.png").refuses(&["nan.npy", "not finite"]);
    assert!(!place.path("bad.png").exists());
}

#[test]
fn a_picture_is_reconstructed_from_a_few_components() {
    let place = Workplace::with_pictures();
    let reconstruct = |arguments: &[&str]| {
        let reconstruct = ["reconstruct", "one.png", "--decoder-steps=2"];
        place.run(&[&reconstruct[..], &FEW, arguments].concat())
    };
    reconstruct(&["--pca=1", "--out=none"]).refuses(&["image_pca", "--embeddings"]);
    let embed = ["embed", "--model=model", "one.png", "two.png", "a red house"];
    place.run(&[&embed[..], &["--out=three.npy"]].concat()).succeeds();
    let three = ["--embeddings=three.npy"];
    let with = |arguments: &[&str]| reconstruct(&[&three, arguments].concat());
    let ran = with(&["--pca", "1,2", "--out=way"]).succeeds();
    let files = ["pca-001", "pca-002", "sheet"];
    let expected: String = files.map(|name| format!("way/{name}.png\n")).concat();
    assert_eq!(ran.stdout, expected);
    assert!(ran.stderr.contains("2 of 2 components hold 100.0%"), "{}", ran.stderr);
    // Three embeddings lie in a plane: two components say all of the picture's, and draw its variation.
    let read = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    assert!(read("way/pca-001.png") != read("way/pca-002.png"));
    let variation = ["variations", "one.png", "--decoder-steps=2", "--out=same.png"];
    place.run(&[&variation[..], &FEW].concat()).succeeds();
    let (drawn, same) = (read("way/pca-002.png"), read("same.png"));
    let far = drawn.iter().zip(same.iter());
    assert!(far.filter(|(a, b)| a.abs_diff(**b) > 2).count() < 20);
    with(&["--pca=3", "--out=none"]).refuses(&["--pca 3", "2 components"]);
    with(&["--pca=0", "--out=none"]).refuses(&["--pca", "from 1 on"]);
    with(&["--pca", "-1", "--out=none"]).refuses(&["--pca", "from 1 on"]);
    with(&["--pca=1,2,1", "--out=none"]).refuses(&["--pca 1", "twice"]);
    with(&["--pca=2", "--out=way"]).refuses(&["--out way", "not empty"]);
    let single = ["embed", "--model=model", "one.png", "--out=one.npy"];
    place.run(&single).succeeds();
    reconstruct(&["--pca=1", "--out=none", "--embeddings=one.npy"]).refuses(&["one.npy", "1"]);
    assert!(!place.path("none").exists());
}

#[test]
fn the_tables_on_pictures_are_filled() {
    let place = Workplace::new();
    let evaluate = |arguments: &[&str]| {
        let few = ["--model=model", "--decoder-steps=2", "--prior-steps=2"];
        let tables = ["evaluate", "--scenes=3", "--batch=2", "--calls=4"];
        place.run(&[&tables[..], &few, &["--upsampler-steps=2"], arguments].concat())
    };
    let tables = ["inversion", "variations", "interpolation", "edits"];
    let ran = evaluate(&[&tables[..], &["--json=tables.json"]].concat()).succeeds();
    for words in [
        "| 100 |",
        "| thing and colour |",
        "interpolation: the ends differ in",
        "text diff: the captions differ in",
        "n 3 |",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let json = fs::read_to_string(place.path("tables.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["edits"]["everything"]["asked"], 3);
    assert_eq!(json["inversion"][2]["calls"], 100);
    evaluate(&["edits", "--sheet=sheet.png"]).refuses(&["--sheet", "captions"]);
    evaluate(&["edits", "--strength=-1"]).refuses(&["--strength"]);
    place.run(&["evaluate", "edits", "--calls=1"]).refuses(&["--calls is 1", "2 to 1960"]);
}

#[test]
fn the_tables_of_everyday_things_are_those_of_models_that_learned_them() {
    let place = Workplace::new();
    let evaluate = |table: &str| {
        let few = ["--captions=2", "--held-out-captions=1", "--diversity-captions=0", "--scenes=1"];
        let steps = ["--decoder-steps=2", "--prior-steps=2", "--upsampler-steps=2", "--calls=2"];
        place.run(&[&["evaluate", table, "--model=model"], &few[..], &steps].concat())
    };
    let write = |name: &str, text: &str| {
        fs::write(place.path(&format!("model/tokenizer/{name}")), text).unwrap();
    };
    write("words.txt", "cat\n");
    write("nearest_words.txt", "cat: lynx\n");
    let ran = evaluate("all").succeeds();
    assert!(ran.stdout.contains("| two things | true pictures |"), "{}", ran.stdout);
    match SHIPPED_WORLD_SHA256 {
        Some(_) => {
            for row in ["| world, seen | true pictures |", "| world, two things | whole chain"] {
                assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
            }
            evaluate("world-pairs").succeeds();
        }
        None => {
            assert!(!ran.stdout.contains("| world,"), "{}", ran.stdout);
            let said = "the tables of everyday things are left out: no judge of everyday things";
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
            evaluate("world").refuses(&["no judge of everyday things ships yet"]);
            evaluate("world-pairs").refuses(&["no judge of everyday things ships yet"]);
        }
    }
    write("nearest_words.txt", "# none\n");
    let ran = evaluate("all").succeeds();
    let both = [ran.stdout, ran.stderr].concat();
    assert!(!both.contains("everyday things") && !both.contains("| world,"), "{both}");
}
