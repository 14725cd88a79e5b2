//! Files that are whole or not there, and folders that one process writes to.

use std::fs;
use std::path::Path;

use ::files::atomic::{self, AtomicFile, AtomicFolder, remove_partials};
use ::files::lock::{FolderLock, LockError};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_may_have_the_longest_name_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let name = "n".repeat(255);
    let path = folder.path().join(&name);
    atomic::write(&path, b"first", false).unwrap();
    atomic::write(&path, b"second", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");
    ::weights::write_atomically(&path, |file| {
        file.write_all(b"third").unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
    assert_eq!(names(folder.path()), [name]);
}

#[test]
fn a_file_is_replaced_only_where_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "mine").unwrap();
    let refused = atomic::write(&path, b"other", false).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    let mut dropped = AtomicFile::create(&path).unwrap();
    dropped.write_all(b"half").unwrap();
    assert_eq!(names(folder.path()).len(), 2);
    drop(dropped);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let left = AtomicFolder::create(folder.path(), "part").unwrap();
    fs::write(left.path().join("weights"), "half").unwrap();
    std::mem::forget(left);
    fs::write(at(".unclip-a1b2c3.partial"), "half").unwrap();
    fs::write(at("my.partial"), "mine").unwrap();
    fs::write(at(".hidden"), "mine").unwrap();
    remove_partials(folder.path());
    assert_eq!(names(folder.path()), [".hidden", "my.partial"]);
}

#[test]
fn a_folder_is_one_writers_alone_and_the_other_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let alone = FolderLock::take(folder.path()).unwrap();
    let refused = FolderLock::take(folder.path()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, LockError::Held { process: Some(process) } if process == own));
    let message = refused.to_string();
    assert!(message.starts_with(&format!("process {own} writes")), "{message}");
    drop(alone);
    FolderLock::take(folder.path()).unwrap();
    assert!(names(folder.path()).is_empty());
    let gone = FolderLock::take(&folder.path().join("gone")).unwrap_err();
    assert!(matches!(gone, LockError::Io(_)));
}
