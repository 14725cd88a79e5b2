//! Damaged files as the command meets them: those that only it reads, and some of each format.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;

use super::formats::{FORMATS, pictures};
use super::mutator::{generator, mutate, mutate_text};
use super::{MOST_KIB, SECONDS};
use crate::command::{CAPTION, Workplace};

/// Memory of a command that reads small files.
const BASE_KIB: u64 = 300_000;

/// Cases of every run of the tests; a start of the command takes as long as fifty of the other ones.
const CASES: u64 = 120;

/// A command that reads a damaged file.
struct Reader {
    /// The file's name in the workplace.
    file: &'static str,
    damage: fn(&mut Vec<u8>, &[Vec<u8>], &mut ChaCha8Rng),
    arguments: &'static [&'static str],
}

/// Few steps, whatever a file says.
const FEW: [&str; 7] = [
    "--model=model",
    "--prior-steps=1",
    "--decoder-steps=1",
    "--upsampler-steps=2",
    "--candidates=1",
    "--prior-candidates=1",
    "--out=out-{index}.png",
];

const READERS: [Reader; 12] = [
    Reader { file: "record.json", damage: mutate_text, arguments: &["info", "picture.png"] },
    Reader {
        file: "record.json",
        damage: mutate_text,
        arguments: &["generate", "--from=picture.png"],
    },
    Reader {
        file: "lines.jsonl",
        damage: mutate_text,
        arguments: &["generate", "--seed=1", "--prompts=lines.jsonl"],
    },
    Reader {
        file: "vector.npy",
        damage: mutate,
        arguments: &["generate", "--seed=1", "--image-embedding=vector.npy", CAPTION],
    },
    Reader {
        file: "latent.safetensors",
        damage: mutate,
        arguments: &["decode", "--model=model", "--out=out-{index}.png", "latent.safetensors"],
    },
    Reader {
        file: "pictures.index",
        damage: mutate,
        arguments: &["search", "--model=model", "--index=pictures.index", CAPTION, "pictures"],
    },
    Reader {
        file: "labels.txt",
        damage: mutate_text,
        arguments: &["classify", "--model=model", "--labels-file=labels.txt", "pictures/one.png"],
    },
    Reader {
        file: "recipe.toml",
        damage: mutate_text,
        arguments: &["train", "--config=recipe.toml", "--dry-run"],
    },
    Reader {
        file: "pictures/one.png",
        damage: mutate,
        arguments: &["embed", "--model=model", "--out=out.npy", "pictures/one.png"],
    },
    Reader {
        file: "model/text_encoder/model.safetensors",
        damage: mutate,
        arguments: &["embed", "--model=model", "--out=out.npy", CAPTION],
    },
    Reader {
        file: "model/model_index.json",
        damage: mutate_text,
        arguments: &["embed", "--model=model", "--out=out.npy", CAPTION],
    },
    Reader {
        file: "shard.tar",
        damage: mutate,
        arguments: &["train", "--data=shard.tar", "--preset=tiny", "--dry-run"],
    },
];

impl Workplace {
    /// A workplace with a sound file of each kind.
    fn of_readers() -> Self {
        let place = Self::new();
        fs::create_dir(place.path("pictures")).unwrap();
        for (name, picture) in ["one.png", "two.png"].iter().zip(pictures()) {
            picture.save(place.path("pictures").join(name)).unwrap();
        }
        let run = |arguments: &[&str]| drop(place.run(arguments).succeeds());
        let draw = ["generate", "--seed=1", "--out=drawn.png", CAPTION];
        run(&[&draw, &FEW[..6]].concat());
        let drawn = fs::read(place.path("drawn.png")).unwrap();
        let record = images::png_text::find_text(&drawn, "unclip").unwrap();
        fs::write(place.path("record.json"), record.unwrap()).unwrap();
        fs::remove_file(place.path("drawn.png")).unwrap();
        let lines = r#"{"prompt": "a red house", "seed": 3, "out": "out-a.png"}
{"prompt": "a blue house", "n": 2}
"#;
        fs::write(place.path("lines.jsonl"), lines).unwrap();
        fs::write(place.path("labels.txt"), "house\nship\na red tree\n").unwrap();
        run(&["embed", "--model=model", "--out=vector.npy", "pictures/one.png"]);
        run(&["search", "--model=model", "--index=pictures.index", CAPTION, "pictures"]);
        run(&[
            "invert",
            "--model=model",
            "--calls=8",
            "--out=latent.safetensors",
            "pictures/one.png",
        ]);
        let tiny = training::Recipe::preset_text("tiny").unwrap();
        fs::write(place.path("recipe.toml"), tiny).unwrap();
        let tar = FORMATS.iter().find(|format| format.name == "tar").unwrap();
        fs::write(place.path("shard.tar"), &tar.sound()[0]).unwrap();
        place
    }
}

/// A PNG that says this of how it was drawn.
fn png_with(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    let text = String::from_utf8_lossy(record).replace('\0', "0");
    encoder.add_itxt_chunk("unclip".to_owned(), text).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[7]).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The fault of a case, or nothing.
fn fault(case: u64, sound: &Workplace) -> Option<String> {
    let place = Workplace::new();
    crate::pipeline::copy_folder(&sound.path("."), &place.path("."));
    let Reader { file, damage, arguments } = &READERS[(case % READERS.len() as u64) as usize];
    let mut bytes = fs::read(place.path(file)).unwrap();
    damage(&mut bytes, &[], &mut generator(case));
    let mut named = Path::new(file).file_name().unwrap().to_str().unwrap();
    if *file == "record.json" {
        bytes = png_with(&bytes);
        named = "picture.png";
        fs::write(place.path(named), &bytes).unwrap();
    } else {
        fs::write(place.path(file), &bytes).unwrap();
    }
    let few = if arguments[0] == "generate" { &FEW[..] } else { &[] };
    let before = place.files();

    let mut command = place.command(&[arguments, few].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = Instant::now();
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (peak, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while ended.load(Ordering::Relaxed) == 0 {
                let status = fs::read_to_string(&status).unwrap_or_default();
                peak.fetch_max(super::figure(&status, "VmHWM"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let output = child.wait_with_output().unwrap();
        ended.store(1, Ordering::Relaxed);
        output
    });
    let seconds = begin.elapsed().as_secs();
    let peak = peak.into_inner();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = error.lines().last().unwrap_or_default();
    let left: Vec<String> =
        place.files().into_iter().filter(|name| !before.contains(name)).collect();
    let fault = match output.status.code() {
        _ if seconds > SECONDS => format!("takes {seconds} s"),
        _ if peak > MOST_KIB + BASE_KIB => format!("takes {peak} KiB"),
        Some(0) => return None,
        Some(2) if !last.contains(named) => format!("does not name {named}: {error}"),
        Some(2) if last.chars().count() > 2100 => format!("says too much: {error}"),
        Some(2) if !left.is_empty() => format!("leaves {left:?}"),
        Some(2) => return None,
        _ => format!("ends with {}: {error}", output.status),
    };
    Some(format!("{case} {arguments:?} {fault}"))
}

#[test]
fn commands_read_damaged_files_or_refuse_them_by_name() {
    let sound = Workplace::of_readers();
    let next = AtomicU64::new(0);
    let faults = Mutex::new(Vec::new());
    let cases =
        std::env::var("UNCLIP_HOSTILE_COMMANDS").map_or(CASES, |cases| cases.parse().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        break;
                    }
                    faults.lock().unwrap().extend(fault(case, &sound));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
