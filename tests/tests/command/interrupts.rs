//! Ctrl-C: what is drawn is finished and whole, and the rest is not drawn.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{CAPTION, Ran, Workplace};

const DRAW: [&str; 5] =
    ["generate", "--model=model", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];

/// From now on no file of a running command may be larger than so many bytes: writing fails as on a full disk.
pub(crate) fn limit_files(child: &Child, bytes: u64) {
    limit(child, &format!("--fsize={bytes}"));
}

/// Limits the address space of a process to so many bytes, or takes the limit away.
pub(crate) fn limit_memory(child: &Child, bytes: Option<u64>) {
    let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    // The soft limit alone, which may be raised again.
    limit(child, &format!("--as={bytes}:"));
}

fn limit(child: &Child, limit: &str) {
    let limited =
        Command::new("prlimit").args(["--pid", &child.id().to_string()]).arg(limit).status();
    assert!(limited.expect("util-linux has prlimit").success());
}

pub(crate) fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success(), "kill {signal}");
}

impl Workplace {
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs a command until it has printed a path, sends it a signal, and tells what became of it.
    fn interrupt(&self, arguments: &[&str], signal: &str) -> Ran {
        let mut child = self.start(arguments);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        stdout.read_line(&mut printed).unwrap();
        send(signal, &child);
        stdout.read_to_string(&mut printed).unwrap();
        let mut ran = Ran::new(child.wait_with_output().unwrap());
        ran.stdout = printed;
        ran
    }

    /// The pictures in a folder, all of which must be whole, and nothing else.
    fn whole_pictures(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in &names {
            let path = self.path(folder).join(name);
            assert!(image::open(&path).is_ok(), "{name} is no whole picture");
        }
        names.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }
}

#[test]
fn an_interrupted_run_keeps_what_it_has_drawn_and_goes_on() {
    let place = Workplace::new();
    fs::create_dir(place.path("out")).unwrap();
    let captions: String = (0..300).map(|i| format!("house {i}\n")).collect();
    fs::write(place.path("captions.txt"), captions).unwrap();
    let files = ["--prompts=captions.txt", "--out=out/{index}.png"];
    let draw = [&DRAW[..], &files, &["--grid=grid.png"]].concat();
    let ran = place.interrupt(&draw, "-INT");
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    let mut printed: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    printed.sort();
    assert_eq!(place.whole_pictures("out"), printed);
    assert!((1..300).contains(&printed.len()), "{}", printed.len());
    assert_eq!(
        ran.stderr,
        format!("unclip: stopped: {} of 300 pictures are drawn\n", printed.len())
    );
    assert_eq!(place.files(), ["captions.txt", "out"]);

    // The next run goes on where this one stopped.
    let ran = place.interrupt(&draw, "-TERM");
    assert_eq!(ran.code, Some(143), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{} of 300", printed.len())));
    let next = format!("out/{}.png", printed.len());
    assert_eq!(ran.stdout.lines().next(), Some(&*next));
}

#[test]
fn variations_stop_between_two_of_them() {
    let place = Workplace::new();
    fs::create_dir(place.path("out")).unwrap();
    image::RgbImage::new(20, 20).save(place.path("one.png")).unwrap();
    let vary = ["variations", "one.png", "--model=model", "--decoder-steps=2"];
    let many = ["--upsampler-steps=2", "--seed=1", "-n500", "--out=out/"];
    let ran = place.interrupt(&[vary, many].concat(), "-INT");
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    let drawn = place.whole_pictures("out").len();
    assert_eq!(ran.stdout.lines().count(), drawn);
    assert!(drawn < 500);
}

#[test]
fn a_way_stops_between_two_frames() {
    let place = Workplace::new();
    let way = ["interpolate", "a red house", "a boat", "--model=model", "--out=way"];
    let steps = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    let many = ["--seed=1", "--frames=500"];
    let ran = place.interrupt(&[&way[..], &steps, &many].concat(), "-INT");
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    let drawn = place.whole_pictures("way");
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), drawn);
    assert!(drawn.len() < 500);
    assert_eq!(ran.stderr, format!("unclip: stopped: {} of 500 frames are drawn\n", drawn.len()));
}

#[test]
fn a_way_replaces_nothing_that_came_into_its_folder() {
    let place = Workplace::new();
    let way = ["interpolate", "a house", "a boat", "--model=model"];
    let steps = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    let more = ["--seed=1", "--frames=60", "--out=way"];
    let child = place.start(&[&way[..], &steps, &more].concat());
    let begun = Instant::now();
    while !place.path("way/frame-00.png").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no frame came");
        std::thread::sleep(Duration::from_micros(200));
    }
    fs::write(place.path("way/sheet.png"), "another's").unwrap();
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let told = "unclip: cannot write way/sheet.png: File exists";
    assert!(ran.stderr.starts_with(told), "{}", ran.stderr);
    assert_eq!(fs::read(place.path("way/sheet.png")).unwrap(), b"another's");
}

#[test]
fn a_second_interrupt_ends_the_command_at_once() {
    let place = Workplace::new();
    // With the model inside and so many steps, the second picture takes long.
    let lines = [1, 900].map(|steps| {
        format!(r#"{{"caption": "fish", "decoder_steps": {steps}, "out": "{steps}.png"}}"#)
    });
    fs::write(place.path("captions.jsonl"), lines.join("\n")).unwrap();
    let steps = ["--prior-steps=1", "--upsampler-steps=1"];
    let draw = ["generate", "--prompts=captions.jsonl"];
    let mut child = place.start(&[&draw[..], &steps].concat());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    send("-INT", &child);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "the first waits");
    let before = Instant::now();
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(place.files(), ["1.png", "captions.jsonl"]);
}

#[test]
fn no_part_of_a_file_stays_behind_whenever_the_command_is_ended() {
    let place = Workplace::new();
    fs::create_dir(place.path("out")).unwrap();
    for round in 0..8 {
        let out = format!("--out=out/{round}-{{index}}.png");
        let mut child = place.start(&[&DRAW[..], &["-n500", "--seed=1", &out, CAPTION]].concat());
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        std::thread::sleep(Duration::from_millis(7 * round));
        send("-INT", &child);
        send("-INT", &child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        place.whole_pictures("out");
    }
}
