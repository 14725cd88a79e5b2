//! Two commands and one folder.

use std::fs;

use ::files::lock::FolderLock;

use super::{CAPTION, Workplace};

#[test]
fn a_folder_that_another_command_writes_to_is_refused_and_the_other_is_named() {
    let place = Workplace::with_pictures();
    let holder = format!("process {} writes to this folder", std::process::id());
    let interpolate = ["interpolate", CAPTION, "a boat", "--model=model"];
    let reconstruct = ["reconstruct", "one.png", "--pca=1", "--model=model"];
    let embeddings = [CAPTION, "a boat", "--out=two.npy", "--model=model"];
    place.run(&[&["embed"], &embeddings[..]].concat()).succeeds();
    let embed = ["embed", "--data=scenes", "--count=3", "--model=model"];
    for (command, folder) in [
        (&["scenes", "--count=3", "--size=16"][..], "--out"),
        (&embed, "--shards"),
        (&interpolate, "--out"),
        (&[&reconstruct[..], &["--embeddings=two.npy"]].concat(), "--out"),
    ] {
        fs::create_dir(place.path("folder")).unwrap();
        let alone = FolderLock::take(&place.path("folder")).unwrap();
        let folder = format!("{folder}=folder");
        let ran = place.run(&[command, &[&folder]].concat());
        ran.refuses(&["folder: ", &holder]);
        assert_eq!(fs::read_dir(place.path("folder")).unwrap().count(), 0);
        drop(alone);
        fs::remove_dir(place.path("folder")).unwrap();
    }
}

#[test]
fn the_lock_of_a_process_that_is_gone_hinders_nobody() {
    let place = Workplace::new();
    let scenes = ["scenes", "--count=100000", "--size=16", "--out=folder"];
    let mut child = place.start(&scenes);
    while !place.path("folder/00002.png").exists() {
        std::thread::yield_now();
    }
    place.run(&scenes).refuses(&["--out folder", &format!("process {}", child.id())]);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = place.start(&scenes);
    let before = fs::read_dir(place.path("folder")).unwrap().count();
    while fs::read_dir(place.path("folder")).unwrap().count() <= before + 2 {
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
