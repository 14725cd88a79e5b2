//! Pictures from pipes: standard input as `-` and as a file, and a fifo.

use std::fs;
use std::process::Command;

use super::{CAPTION, Workplace};

const MODEL: [&str; 2] = ["--model=model", "--seed=1"];

/// The meaning of a line of a command's output: the pixels of a picture, the bytes of another file, or its own words.
fn meaning(place: &Workplace, line: &str) -> Vec<u8> {
    let path = place.path(line);
    match image::open(&path) {
        // The file itself says what it was drawn from.
        Ok(picture) => picture.to_rgb8().into_raw(),
        Err(_) => fs::read(&path).unwrap_or_else(|_| line.into()),
    }
}

#[test]
fn every_command_reads_a_picture_from_a_pipe() {
    let place = Workplace::with_pictures();
    let picture = fs::read(place.path("one.png")).unwrap();
    let embed = ["embed", "--model=model", "one.png", "two.png", CAPTION];
    place.run(&[&embed[..], &["--out=three.npy"]].concat()).succeeds();
    fs::create_dir(place.path("pictures")).unwrap();
    fs::copy(place.path("two.png"), place.path("pictures/two.png")).unwrap();
    let few = "--seed=1 --decoder-steps=2 --upsampler-steps=2";
    // What a command does with a file, it does with standard input.
    for command in [
        &format!("variations IN --out=OUT.png {few}"),
        "edit IN --from=a --to=b --out=OUT.png --seed=1 --calls=4 --upsampler-steps=2",
        &format!("inpaint IN a --mask-rect=1,1,9,9 --out=OUT.png --prior-steps=2 {few}"),
        "invert IN --out=OUT.safetensors --calls=4",
        "embed IN a --out=OUT.npy",
        &format!("reconstruct IN --pca=2 --embeddings=three.npy --out=OUT {few}"),
        &format!("interpolate two.png IN --frames=2 --shared-noise --out=OUT {few}"),
        "classify IN --labels=house,boat",
        "search IN pictures",
    ] {
        let (name, _) = command.split_once(' ').unwrap();
        let inputs = [("one.png", "file"), ("-", "pipe"), ("/dev/stdin", "device")];
        let [file, pipe, device] = inputs.map(|(input, out)| {
            let command = command.replace("OUT", &format!("{name}-{out}"));
            let arguments = command.split(' ').map(|word| match word {
                "IN" => input,
                word => word,
            });
            let arguments: Vec<&str> = arguments.chain(["--model=model"]).collect();
            let ran = place.run_with_input(&arguments, &picture).succeeds();
            let lines = ran.stdout.lines().map(|line| meaning(&place, line));
            lines.collect::<Vec<_>>()
        });
        assert!(!file.is_empty(), "{command}");
        assert!(file == pipe && file == device, "{command}");
    }
}

#[test]
fn a_fifo_is_a_picture_and_no_caption() {
    let place = Workplace::with_pictures();
    let made = Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(made.unwrap().success());
    let embed = |from: &str, out: &str| {
        place.run(&["embed", "--model=model", from, "--out", out]).succeeds()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| fs::copy(place.path("one.png"), place.path("fifo")).unwrap());
        embed("fifo", "fifo.npy");
    });
    embed("one.png", "file.npy");
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("fifo.npy") == read("file.npy"));
}

#[test]
fn standard_input_is_named_once() {
    let place = Workplace::with_pictures();
    let picture = fs::read(place.path("one.png")).unwrap();
    let twice: [&[&str]; 5] = [
        &["embed", "-", CAPTION, "-", "--out=a.npy"],
        &["classify", "-", "one.png", "-", "--labels=a,b"],
        &["classify", "-", "--labels-file=-"],
        &["interpolate", "-", "-", "--out=way"],
        &["inpaint", "-", "--mask=-", "--out=a.png"],
    ];
    for arguments in twice {
        let arguments = [arguments, &["--model=model"]].concat();
        place.run_with_input(&arguments, &picture).refuses(&["standard input", "2 times"]);
    }
    assert_eq!(place.files(), ["one.png", "two.png"]);
}

#[test]
fn what_a_pipe_holds_is_refused_by_name() {
    let place = Workplace::with_pictures();
    let picture = fs::read(place.path("one.png")).unwrap();
    let variations = |input: &[u8]| {
        let variations = ["variations", "-", "--out=a.png"];
        place.run_with_input(&[&variations[..], &MODEL].concat(), input)
    };
    variations(b"").refuses(&["standard input", "an empty file"]);
    variations(b"words").refuses(&["standard input is no picture", "a text"]);
    variations(&picture[..picture.len() / 2]).refuses(&["standard input", "decoded"]);
    let drawn = ["generate", "--image-embedding=fifo.npy", "--out=a.png"];
    let made = Command::new("mkfifo").arg(place.path("fifo.npy")).status();
    assert!(made.unwrap().success());
    place.run(&[&drawn[..], &MODEL].concat()).refuses(&["fifo.npy", "plain file"]);
    assert_eq!(place.files(), ["fifo.npy", "one.png", "two.png"]);
}

#[test]
fn a_cut_jpeg_and_a_heic_are_refused_before_anything_is_drawn() {
    let place = Workplace::with_pictures();
    let picture = image::open(place.path("one.png")).unwrap().to_rgb8();
    picture.save(place.path("whole.jpg")).unwrap();
    let whole = fs::read(place.path("whole.jpg")).unwrap();
    fs::write(place.path("cut.jpg"), &whole[..whole.len() - 40]).unwrap();
    fs::write(place.path("phone.jpg"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    for (name, words) in [("cut.jpg", "cut short"), ("phone.jpg", "heif-convert")] {
        let variations = ["variations", name, "--out=a.png"];
        place.run(&[&variations[..], &MODEL].concat()).refuses(&[name, words]);
        let embed = ["embed", "--model=model", name, "--out=a.npy"];
        place.run(&embed).refuses(&[name, words]);
    }
    place
        .run(&["embed", "--model=model", "gone.heic", "--out=a.npy"])
        .refuses(&["gone.heic", "no such file"]);
    assert!(!place.path("a.png").exists() && !place.path("a.npy").exists());
}
