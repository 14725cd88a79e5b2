//! Signals, and limits that become signals: none leaves a part of a file behind.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::{Duration, Instant};

use super::interrupts::{limit_files, send};
use super::{CAPTION, Ran, Workplace};

/// Whether a name is that of a part of a file.
fn is_partial(name: &str) -> bool {
    name.ends_with(".partial")
}

impl Workplace {
    /// The names in a folder, hidden ones too.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// Waits until `child` has begun a file in a folder.
    fn wait_for_partial(&self, folder: &str, child: &mut Child) {
        let begun = Instant::now();
        while !self.names(folder).iter().any(|name| is_partial(name)) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no file was begun");
            assert_eq!(child.try_wait().unwrap(), None, "it still runs");
        }
    }
}

const SCENES: [&str; 4] = ["scenes", "--count=100000", "--size=400", "--out=out"];

#[test]
fn a_signal_in_the_middle_of_a_file_ends_a_run_behind_it() {
    for (signal, number) in
        [("-XCPU", 24), ("-ALRM", 14), ("-USR1", 10), ("-USR2", 12), ("-VTALRM", 26), ("-HUP", 1)]
    {
        let place = Workplace::new();
        let mut child = place.start(&SCENES);
        place.wait_for_partial("out", &mut child);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        let names = place.names("out");
        assert!(!names.iter().any(|name| is_partial(name)), "{signal}: {names:?}");
        let ran = Ran::new(output);
        assert_eq!(ran.code, Some(128 + number), "{signal}: {}", ran.stderr);
        assert!(ran.stderr.contains("of 100000 pictures are drawn"), "{}", ran.stderr);
    }
}

#[test]
fn a_run_that_is_ended_at_once_leaves_no_part_of_a_file() {
    for signals in [&["-QUIT"][..], &["-TERM", "-TERM"], &["-INT", "-USR1"]] {
        let place = Workplace::new();
        let mut child = place.start(&SCENES);
        place.wait_for_partial("out", &mut child);
        signals.iter().for_each(|signal| send(signal, &child));
        child.wait_with_output().unwrap();
        let names = place.names("out");
        assert!(!names.iter().any(|name| is_partial(name)), "{signals:?}: {names:?}");
    }
}

#[test]
fn what_finishes_nothing_dies_of_a_signal_as_anything_does() {
    let place = Workplace::new();
    let classify = ["classify", "--labels=red,blue", "--model=model", "-"];
    let mut child = place
        .command(&classify)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stdin.take();
    // Once its signals are listened to.
    std::thread::sleep(Duration::from_millis(1500));
    send("-USR1", &child);
    let output = child.wait_with_output().unwrap();
    drop(held);
    assert_eq!(output.status.signal(), Some(10));
}

#[test]
fn a_limit_of_files_is_refused_by_every_command_that_writes_one() {
    let place = Workplace::with_pictures();
    let search = ["search", CAPTION, "pictures", "--index=found.index", "--model=model"];
    fs::create_dir(place.path("pictures")).unwrap();
    fs::copy(place.path("one.png"), place.path("pictures/a.png")).unwrap();
    let embed = ["embed", CAPTION, "--model=model"];
    let shards = ["embed", "--data=scenes", "--count=9", "--shards=shards", "--model=model"];
    let train = ["train", "tokenizer", "--preset=tiny", "--out=new"];
    for command in [
        &["generate", CAPTION, "--model=model", "--out=a.png"][..],
        &[&embed[..], &["--out=e.npy"]].concat(),
        &[&embed[..], &["--out=e.safetensors"]].concat(),
        &shards,
        &search,
        &train,
        &["scenes", "--count=9", "--out=scenes"],
    ] {
        let before = place.files();
        // From its start on, before which nothing can be written.
        let child = place.start(command);
        limit_files(&child, 10);
        let ran = Ran::new(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("too large"), "{command:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("partial"), "{}", ran.stderr);
        assert_eq!(place.files(), before, "{command:?}");
    }
}
