//! Messages that nobody can be given, and readers that leave.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use super::{CAPTION, Workplace, binary};

const FEW: [&str; 4] =
    ["--model=model", "--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];

/// Runs a command whose standard error is a full disk.
fn into_full(place: &Workplace, arguments: &[&str]) -> Output {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.command(arguments);
    command.env("UNCLIP_LOG", "debug").stderr(full);
    command.output().unwrap()
}

/// Runs a line of a shell in which `unclip` is the command, and reads its exit code from the file `code`.
fn shell(place: &Workplace, line: &str) -> String {
    let status = Command::new("bash")
        .args(["-c", line])
        .env("unclip", binary())
        .env("UNCLIP_THREADS", "1")
        .env("UNCLIP_DETERMINISTIC", "1")
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap();
    std::fs::read_to_string(place.path("code")).unwrap()
}

#[test]
fn a_full_disk_behind_standard_error_ends_no_drawing() {
    let place = Workplace::new();
    // Without a seed, one is said; the other caption brings a warning; the preview is shown there too.
    let drawing = [&["generate", "--preview", "--out=one.png"], &FEW[..]].concat();
    let ended = into_full(&place, &[&drawing[..], &["a zyx house"]].concat());
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stdout, b"one.png\n");
    assert!(image::open(place.path("one.png")).is_ok());
}

#[test]
fn a_full_disk_behind_standard_error_leaves_exit_codes_as_they_are() {
    let place = Workplace::new();
    for refused in [
        &["generate", "--steps-of-nothing=1", CAPTION][..],
        &["generate", "--model=gone", CAPTION],
        &[],
    ] {
        let ended = into_full(&place, refused);
        assert_eq!(ended.status.code(), Some(2), "{refused:?}");
    }
    assert!(place.files().is_empty());
}

#[test]
fn a_full_disk_behind_standard_error_ends_no_training() {
    let place = Workplace::new();
    let train = ["train", "tokenizer", "--preset=tiny", "--out=mine"];
    let ended = into_full(&place, &train);
    assert_eq!(ended.status.code(), Some(0));
    let train = ["train", "clip", "--preset=tiny", "--out=mine"];
    assert_eq!(into_full(&place, &train).status.code(), Some(0));
    assert!(place.path("mine/text_encoder/model.safetensors").exists());
    assert!(place.path("runs/clip/step-000000004").is_dir());
}

#[test]
fn a_reader_of_messages_who_leaves_ends_nothing() {
    let place = Workplace::new();
    let few = FEW.join(" ");
    let code = shell(
        &place,
        &format!(
            "{{ \"$unclip\" generate {few} --out a.png -n 2 'a house'; echo $? > code; }} 2>&1 | true"
        ),
    );
    assert_eq!(code, "0\n");
    assert_eq!(place.files(), ["a-0.png", "a-1.png", "code"]);
}

#[test]
fn a_reader_of_paths_who_has_enough_leaves_the_pictures_to_be_drawn() {
    let place = Workplace::new();
    let few = FEW.join(" ");
    for (name, more) in [("a", ""), ("b", "--json")] {
        let code = shell(
            &place,
            &format!(
                "{{ \"$unclip\" generate {few} {more} --out {name}.png -n 4 'a house'; echo $? > code; }} | head -n 1"
            ),
        );
        assert_eq!(code, "0\n");
        for index in 0..4 {
            let path = place.path(&format!("{name}-{index}.png"));
            assert!(image::open(&path).is_ok(), "{}", path.display());
        }
    }
    let code = shell(&place, "{ \"$unclip\" completions bash; echo $? > code; } | true");
    assert_eq!(code, "0\n");
    let code = shell(
        &place,
        "{ \"$unclip\" classify --model model --labels red,blue a-?.png; echo $? > code; } | head -n 1",
    );
    assert_eq!(code, "0\n");
}
