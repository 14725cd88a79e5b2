//! Where a command writes: what cannot be written is refused before a model is opened, and what is in use stays.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::{CAPTION, Ran, Workplace, binary};

/// A model that is not there: who names it has opened it too early.
const NO_MODEL: &str = "--model=gone";

/// Commands that write a file, with the flag that names it and its ending.
const FILES: [(&[&str], &str, &str); 17] = [
    (&["generate", CAPTION], "--out", ".png"),
    (&["generate", CAPTION, "--seed=1"], "--grid", ".png"),
    (&["generate", "--prompts=list.txt"], "--out", ".png"),
    (&["generate", "--prompts=list.txt"], "--grid", ".png"),
    (&["variations", "one.png"], "--out", ".webp"),
    (&["mix", "one.png", CAPTION], "--out", ".png"),
    (&["edit", "one.png", "--from=a", "--to=b"], "--out", ".png"),
    (&["inpaint", "one.png", "--mask-rect=1,1,9,9"], "--out", ".webp"),
    (&["inpaint", "one.png", "--mask-rect=1,1,9,9", "--seed=1"], "--grid", ".png"),
    (&["decode", "latent.safetensors"], "--out", ".jpg"),
    (&["invert", "one.png"], "--out", ".safetensors"),
    (&["embed", "one.png", CAPTION], "--out", ".npy"),
    (&["search", CAPTION, "pictures"], "--index", ""),
    (&["search", CAPTION, "pictures"], "--grid", ".png"),
    (&["evaluate"], "--json", ".json"),
    (&["evaluate"], "--sheet", ".png"),
    (&["evaluate"], "--verdicts", ".md"),
];

/// Commands that make a folder.
const FOLDERS: [(&[&str], &str); 7] = [
    (&["interpolate", "one.png", CAPTION], "--out"),
    (&["reconstruct", "one.png", "--pca=1"], "--out"),
    (&["embed", "--data=scenes", "--count=9"], "--shards"),
    (&["judge", "--train=judge.safetensors"], "--runs"),
    (&["scenes", "--count=1"], "--out"),
    (&["train", "tokenizer", "--preset=tiny"], "--out"),
    (&["train", "clip", "--preset=tiny", "--out=new"], "--runs"),
];

impl Workplace {
    /// With what the commands read, and with what they cannot write to.
    fn with_obstacles() -> Self {
        let place = Self::with_pictures();
        fs::create_dir(place.path("pictures")).unwrap();
        fs::copy(place.path("one.png"), place.path("pictures/a.png")).unwrap();
        fs::write(place.path("list.txt"), "a boat\n").unwrap();
        let latent = ["invert", "one.png", "--model=model", "--calls=2"];
        place.run(&[&latent[..], &["--out=latent.safetensors"]].concat()).succeeds();
        fs::write(place.path("file"), "mine").unwrap();
        for ending in ["", ".png", ".webp", ".jpg", ".safetensors", ".npy", ".json", ".md"] {
            fs::create_dir(place.path(&format!("folder{ending}"))).unwrap();
            symlink("/dev/full", place.path(&format!("device{ending}"))).unwrap();
            symlink("nothing", place.path(&format!("link{ending}"))).unwrap();
        }
        place
    }

    /// Runs a command whose standard output goes to a file.
    fn run_into(&self, file: &str, arguments: &[&str]) -> Ran {
        let options = File::options().append(true).create(true).open(self.path(file));
        let mut command = self.command(arguments);
        command.stdout(options.unwrap()).stderr(Stdio::piped());
        Ran::new(command.output().unwrap())
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_a_model_is_opened() {
    let place = Workplace::with_obstacles();
    let before = place.files();
    let long = "n".repeat(300);
    for (number, (command, flag, ending)) in FILES.iter().enumerate() {
        let obstacles = [
            ("/proc/new", "cannot write there"),
            ("device", "no regular file"),
            ("link", "link to nothing, which is not there"),
            ("file/new", "file/new"),
            ("nowhere/new", "no folder nowhere"),
            (&*long, "too long"),
            ("folder", "this is a folder"),
        ];
        // The first meets all of them, the others one by turns.
        let turn = number % obstacles.len();
        let obstacles = match number {
            0 => &obstacles[..],
            _ => &obstacles[turn..=turn],
        };
        for (out, words) in obstacles {
            // A folder takes pictures of names of their own.
            if *flag == "--out" && *words == "this is a folder" {
                continue;
            }
            let out = format!("{flag}={out}{ending}");
            let force: &[&str] = match *flag {
                "--index" => &[],
                _ => &["--force"],
            };
            let arguments = [command, &[NO_MODEL, &out][..], force].concat();
            place.run(&arguments).refuses(&[flag, words]);
        }
    }
    let grid = ["generate", CAPTION, NO_MODEL, "--grid=folder.png"];
    place.run(&grid).refuses(&["--grid folder.png: this is a folder"]);
    let judge = ["judge", "--train=/proc/new"];
    place.run(&judge).refuses(&["--train /proc/new", "cannot write there"]);
    assert_eq!(place.files(), before);
    assert_eq!(fs::read(place.path("file")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_cannot_be_made_is_refused_before_a_model_is_opened() {
    let place = Workplace::with_obstacles();
    let before = place.files();
    let long = "n".repeat(300);
    let obstacles = [
        ("link", "link to nothing, which is not there"),
        ("/proc/new", "cannot write there"),
        ("file", "file is no folder"),
        (&*format!("new/{long}"), "too long"),
        ("file/new", "cannot write there"),
    ];
    for (number, (command, flag)) in FOLDERS.iter().enumerate() {
        let obstacles = match number {
            0 => &obstacles[..],
            _ => &obstacles[number % obstacles.len()..][..1],
        };
        for (out, words) in obstacles {
            let out = format!("{flag}={out}");
            let model = match command[0] {
                "judge" | "scenes" | "train" => &[][..],
                _ => &[NO_MODEL],
            };
            let ran = place.run(&[command, model, &[&*out]].concat());
            ran.refuses(&[flag, words]);
        }
    }
    let edit = ["edit", "one.png", "--from=a", "--to=b", "--frames=2", NO_MODEL];
    fs::write(place.path("b-way"), "mine").unwrap();
    place.run(&[&edit[..], &["--out=b.png"]].concat()).refuses(&["--frames b-way"]);
    fs::remove_file(place.path("b-way")).unwrap();
    for out in ["/proc/new/", "file/", "link/"] {
        let draw = ["generate", CAPTION, NO_MODEL, "--out", out];
        place.run(&draw).refuses(&["--out", out.trim_end_matches('/')]);
    }
    place
        .run(&["generate", CAPTION, NO_MODEL, "--out=new-{seed}/"])
        .refuses(&["--out new-{seed}/", "placeholder"]);
    assert_eq!(place.files(), before);
}

#[test]
fn a_new_folder_is_made_when_there_is_something_to_put_into_it() {
    let place = Workplace::new();
    let draw = |model: &str| {
        let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=1"];
        let files = ["--out=new/deep/", "--grid=new/deep/grid.png", "--seed=1", "-n2"];
        place.run(&[&["generate", "a fish", model], &few[..], &files].concat())
    };
    draw(NO_MODEL).refuses(&["gone"]);
    assert!(place.files().is_empty());
    let ran = draw("--model=model").succeeds();
    assert_eq!(ran.stdout, "new/deep/a-fish-1.png\nnew/deep/a-fish-2.png\nnew/deep/grid.png\n");
    let text = "{\"caption\": \"a fish\", \"out\": \"other/\"}\n{\"caption\": \"a cat\"}\n";
    fs::write(place.path("list.jsonl"), text).unwrap();
    let ran = place.generate(&["--prompts=list.jsonl", "--out=third/"]);
    assert_eq!(ran.succeeds().stdout, "other/a-fish-0.png\nthird/a-cat-0.png\n");
}

#[test]
fn a_full_disk_is_told_before_a_model_is_opened() {
    let place = Workplace::with_pictures();
    // A file system without the rights to make one: no file may be longer than 4 KiB.
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 8; exec \"$@\"", "sh"]).arg(binary());
        command.args(arguments).current_dir(place.path(""));
        Ran::new(command.output().unwrap())
    };
    let commands: [&[&str]; 4] = [
        &["generate", CAPTION, "--out=new.png"],
        &["generate", CAPTION, "--out=new/"],
        &["embed", CAPTION, "--out=new.npy"],
        &["interpolate", "a boat", "a fish", "--out=new"],
    ];
    for command in commands {
        limited(&[command, &[NO_MODEL]].concat()).refuses(&["--out new", "File too large"]);
    }
    assert_eq!(place.files(), ["one.png", "two.png"]);

    // File systems of 32 KiB, and without writing.
    fs::create_dir(place.path("full")).unwrap();
    let mounted = |options: &str, arguments: &[&str]| {
        let script = format!("mount -t tmpfs -o {options} none full && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
        command.args(arguments).current_dir(place.path(""));
        command.output()
    };
    if !mounted("size=32k", &["true"]).is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let binary = binary();
    for (options, words) in
        [("size=32k", "No space left on device"), ("ro", "Read-only file system")]
    {
        for out in ["--out=full/new.png", "--out=full/new/"] {
            let draw = [binary.to_str().unwrap(), "generate", CAPTION, NO_MODEL, out];
            let ran = Ran::new(mounted(options, &draw).unwrap());
            ran.refuses(&["--out full/new", words]);
        }
    }
}

#[test]
fn a_searched_picture_is_no_contact_sheet() {
    let place = Workplace::with_obstacles();
    let before = fs::read(place.path("pictures/a.png")).unwrap();
    let search = ["search", CAPTION, "pictures", NO_MODEL, "--force"];
    let grid = ["--grid=pictures/../pictures/a.png"];
    let ran = place.run(&[&search[..], &grid].concat());
    ran.refuses(&["--grid", "a.png: this is one of the pictures that are searched"]);
    assert_eq!(fs::read(place.path("pictures/a.png")).unwrap(), before);
}

#[test]
fn errors_name_no_file_that_nobody_knows() {
    let place = Workplace::with_pictures();
    let limited = Command::new("sh")
        .args(["-c", "ulimit -f 2; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["generate", CAPTION, "--out=a.png"])
        .current_dir(place.path(""))
        .output();
    let ran = Ran::new(limited.unwrap());
    assert!(!ran.stderr.contains("partial") && !ran.stderr.contains("at path"), "{}", ran.stderr);
    ran.refuses(&["--out a.png: cannot write there", "too large"]);
}

#[test]
fn an_inversion_and_a_folder_are_no_pictures() {
    let place = Workplace::with_obstacles();
    place
        .run(&["invert", "one.png", NO_MODEL, "--out=x.PNG"])
        .refuses(&["--out x.PNG", ".safetensors"]);
    for command in [
        &["embed", "pictures", "--out=x.npy"][..],
        &["interpolate", "./", CAPTION, "--out=new"],
        &["search", "pictures", "pictures"],
    ] {
        let ran = place.run(&[command, &[NO_MODEL]].concat());
        ran.refuses(&["is a folder, and a picture's file or a caption is wanted"]);
    }
}

#[test]
fn files_in_use_are_not_written() {
    let place = Workplace::with_pictures();
    let log = "what was printed before\n";
    for (file, arguments) in [
        ("sheet.md", &["evaluate", "--sheet=sheet.png", "--force"][..]),
        ("table.json", &["evaluate", "--json=./table.json", "--force"]),
        ("new.png", &["generate", CAPTION, "--out=new.png", "--force"]),
        ("grid.png", &["generate", CAPTION, "--grid=grid.png", "--force"]),
        ("index", &["search", CAPTION, "model", "--index=index"]),
        ("new.npy", &["embed", CAPTION, "--out=new.npy", "--force"]),
        ("other.png", &["generate", CAPTION, "--out=other.png"]),
    ] {
        fs::write(place.path(file), log).unwrap();
        let ran = place.run_into(file, &[arguments, &[NO_MODEL]].concat());
        ran.refuses(&[file, "standard output goes to this file"]);
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), log);
    }
    fs::hard_link(place.path("one.png"), place.path("same.png")).unwrap();
    symlink("one.png", place.path("link.png")).unwrap();
    let whole = fs::read(place.path("one.png")).unwrap();
    for out in ["one.png", "same.png", "link.png", "model/../one.png"] {
        for command in [
            &["variations", "one.png"][..],
            &["mix", CAPTION, "one.png"],
            &["edit", "one.png", "--from=a", "--to=b"],
            &["inpaint", "one.png", "--mask-rect=1,1,9,9"],
            &["inpaint", "two.png", "--mask", "one.png"],
        ] {
            let out = ["--out", out, "--force", NO_MODEL];
            let ran = place.run(&[command, &out[..]].concat());
            ran.refuses(&["--out", "this is the file one.png that is read"]);
        }
    }
    assert!(fs::read(place.path("one.png")).unwrap() == whole);
}

#[test]
fn of_a_link_the_file_behind_it_is_replaced() {
    let place = Workplace::with_obstacles();
    fs::create_dir(place.path("elsewhere")).unwrap();
    for (file, arguments) in [
        ("a.png", &["generate", CAPTION, "--out=a.png"][..]),
        ("a.npy", &["embed", CAPTION, "--out=a.npy"]),
        ("a.safetensors", &["embed", CAPTION, "--out=a.safetensors"]),
    ] {
        let behind = place.path("elsewhere").join(file);
        fs::write(&behind, "old").unwrap();
        symlink(&behind, place.path(file)).unwrap();
        let few = ["--model=model", "--seed=1", "--force", "--preset=fast"];
        place.run(&[arguments, &few].concat()).succeeds();
        assert!(place.path(file).is_symlink());
        assert!(fs::read(&behind).unwrap() != b"old");
    }
}

#[test]
fn the_longest_names_are_written() {
    let place = Workplace::with_pictures();
    let [picture, embedding] = [".png", ".safetensors"]
        .map(|ending| format!("{}{ending}", "n".repeat(255 - ending.len())));
    place.generate(&["--seed=1", "--out", &picture, CAPTION]).succeeds();
    let embed = ["embed", CAPTION, "--model=model", "--out", &embedding];
    place.run(&embed).succeeds();
    assert!(place.path(&picture).is_file() && place.path(&embedding).is_file());
}

#[test]
fn a_full_disk_behind_standard_output_is_named() {
    let place = Workplace::with_obstacles();
    let record = ["--seed=1", "--out=drawn.png", CAPTION];
    place.generate(&record).succeeds();
    let few = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=1"];
    let draw = [&["generate", CAPTION, "--out=new.png", "--model=model"], &few[..]].concat();
    for arguments in [
        &draw[..],
        &["classify", "one.png", "--labels=boat,fish", "--model=model"],
        &["search", CAPTION, "pictures", "--model=model"],
        &["search", CAPTION, "pictures", "--model=model", "--json"],
        &["embed", CAPTION, "--out=new.npy", "--model=model"],
        &["info"],
        &["info", "drawn.png"],
        &["train", "--preset=tiny", "--dry-run"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = place.command(arguments).stdout(full).output().unwrap();
        let ran = Ran::new(ran);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(
            last.contains("cannot write to standard output: No space left on device"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    // What was asked for are the files.
    assert!(image::open(place.path("new.png")).is_ok());
    assert!(place.path("new.npy").is_file());
}
