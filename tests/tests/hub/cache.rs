//! Caches that others wrote, whole and damaged.

use std::fs;
use std::os::unix::fs::symlink;

use ::hub::{Digest, snapshot};

use super::{CONFIG, LARGE, NAME, Place, Recorder, fetch, names, repository, says, weights};
use crate::hub_server::blob_name;

/// Moves a blob into the store that all repositories share, and leaves a link, as Python's client does.
fn share(place: &Place, blob: &str) {
    let store = place.cache.path().join("blobs/ab");
    fs::create_dir_all(&store).unwrap();
    fs::rename(place.path(&format!("blobs/{blob}")), store.join("xet")).unwrap();
    symlink("../../blobs/ab/xet", place.path(&format!("blobs/{blob}"))).unwrap();
}

#[test]
fn blobs_behind_two_links_are_read() {
    let place = Place::new();
    let fetched = place.fetch().unwrap();
    let blob = blob_name(LARGE, &weights());
    share(&place, &blob);
    place.server.requests();
    let mut progress = Recorder::default();
    assert_eq!(fetch(&place.hub(), &[CONFIG.0, LARGE], &mut progress).unwrap(), fetched);
    assert_eq!(progress.begun, []);
    let revision = place.offline().resolve(&repository(NAME)).unwrap();
    let file = revision.file(LARGE).unwrap();
    assert_eq!((file.size, &file.digest), (1_500_000, &Some(Digest::Sha256(blob))));
    let sizes: Vec<u64> =
        place.hub().cached_repositories().unwrap().iter().map(|r| r.size).collect();
    assert_eq!(sizes, [1_500_009]);
}

#[test]
fn a_truncated_blob_is_fetched_again_and_never_written_through_a_link() {
    for shared in [false, true] {
        let place = Place::new();
        let snapshot = place.fetch().unwrap();
        let blob = blob_name(LARGE, &weights());
        if shared {
            share(&place, &blob);
        }
        let file = fs::OpenOptions::new().write(true).open(snapshot.join(LARGE)).unwrap();
        file.set_len(700_000).unwrap();
        let mut progress = Recorder::default();
        fetch(&place.hub(), &[CONFIG.0, LARGE], &mut progress).unwrap();
        assert_eq!(progress.begun, [(LARGE.to_owned(), 1_500_000)]);
        assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
        assert!(!place.path(&format!("blobs/{blob}")).is_symlink());
        if shared {
            let store = place.cache.path().join("blobs/ab/xet");
            assert_eq!(fs::metadata(store).unwrap().len(), 700_000);
        }
    }
}

#[test]
fn links_to_nothing_and_to_other_blobs_are_mended() {
    let place = Place::new();
    let snapshot = place.fetch().unwrap();
    fs::remove_file(snapshot.join(LARGE)).unwrap();
    symlink("../../../blobs/nothing", snapshot.join(LARGE)).unwrap();
    fs::remove_file(place.path(&format!("blobs/{}", blob_name(CONFIG.0, CONFIG.1)))).unwrap();
    let mut progress = Recorder::default();
    fetch(&place.hub(), &[CONFIG.0, LARGE], &mut progress).unwrap();
    assert_eq!(progress.begun, [(CONFIG.0.to_owned(), 9)]);
    assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
    assert_eq!(fs::read(snapshot.join(CONFIG.0)).unwrap(), CONFIG.1);
}

#[test]
fn copies_in_the_place_of_links_are_files_too() {
    let place = Place::new();
    let snapshot = place.fetch().unwrap();
    fs::remove_file(snapshot.join(LARGE)).unwrap();
    fs::rename(
        place.path(&format!("blobs/{}", blob_name(LARGE, &weights()))),
        snapshot.join(LARGE),
    )
    .unwrap();
    let mut progress = Recorder::default();
    fetch(&place.hub(), &[CONFIG.0, LARGE], &mut progress).unwrap();
    assert_eq!(progress.begun, []);
    let revision = place.offline().resolve(&repository(NAME)).unwrap();
    assert_eq!(revision.file(LARGE).unwrap().digest, None);
    let paths = [CONFIG.0.to_owned(), LARGE.to_owned()];
    assert_eq!(place.offline().fetch(&revision, &paths, &mut progress).unwrap(), snapshot);
    assert_eq!(place.hub().cached_repositories().unwrap()[0].size, 1_500_009);
}

#[test]
fn a_snapshot_is_found_by_branch_and_commit() {
    let place = Place::new();
    let first = place.fetch().unwrap();
    let commit = place.server.add_at(NAME, "refs/pr/1", &[CONFIG]);
    let hub = place.hub();
    let revision = hub.resolve(&repository("owner/name@refs/pr/1")).unwrap();
    let second = hub.fetch(&revision, &[CONFIG.0.to_owned()], &mut Recorder::default()).unwrap();
    assert_eq!(fs::read_to_string(place.path("refs/refs/pr/1")).unwrap(), commit);
    let connections = place.server.connections();
    for (name, found) in [
        ("owner/name", Some(&first)),
        ("owner/name@main", Some(&first)),
        ("owner/name@refs/pr/1", Some(&second)),
        (&format!("owner/name@{commit}"), Some(&second)),
        ("owner/name@refs", None),
        ("owner/name@refs/pr/1/2", None),
        ("owner/name@v1", None),
        ("owner/name@0123456789012345678901234567890123456789", None),
        ("owner/other", None),
    ] {
        assert_eq!(hub.cached(&repository(name)).unwrap().as_ref(), found, "{name}");
    }
    assert_eq!(snapshot(&place.path("")).unwrap(), first);
    // Without the commit of main, only what is named.
    fs::remove_file(place.path("refs/main")).unwrap();
    assert_eq!(hub.cached(&repository(NAME)).unwrap(), None);
    let commits = names(&place.path("snapshots"));
    for error in [
        snapshot(&place.path("")).unwrap_err(),
        place.offline().resolve(&repository(NAME)).unwrap_err(),
    ] {
        says(&error, &["holds 2 snapshots", &commits[0], &commits[1]]);
    }
    fs::remove_dir_all(&second).unwrap();
    assert_eq!(hub.cached(&repository(NAME)).unwrap().as_ref(), Some(&first));
    assert_eq!(hub.cached(&repository("owner/name@v1")).unwrap(), None);
    assert_eq!(snapshot(&place.path("")).unwrap(), first);
    fs::remove_dir_all(&first).unwrap();
    says(&snapshot(&place.path("")).unwrap_err(), &["models--owner--name", "without a snapshot"]);
    assert_eq!(snapshot(place.cache.path()).unwrap(), place.cache.path());
    assert_eq!(place.server.connections(), connections);
}

#[test]
fn a_ref_that_is_no_commit_leads_nowhere() {
    let place = Place::new();
    let fetched = place.fetch().unwrap();
    let other = place.path("snapshots/0123456789012345678901234567890123456789");
    fs::create_dir_all(&other).unwrap();
    for text in ["", "../../..", "main", "/", &"0".repeat(300)] {
        fs::write(place.path("refs/main"), text).unwrap();
        assert_eq!(place.hub().cached(&repository(NAME)).ok().flatten(), None, "{text}");
    }
    let commit = fetched.file_name().unwrap().to_str().unwrap();
    fs::write(place.path("refs/main"), format!("{commit}\n")).unwrap();
    assert_eq!(place.hub().cached(&repository(NAME)).unwrap(), Some(fetched));
}

#[test]
fn the_cache_lists_its_models() {
    let place = Place::new();
    assert_eq!(place.hub().cached_repositories().unwrap(), []);
    place.fetch().unwrap();
    place.server.add("another/model", &[CONFIG]);
    let revision = place.hub().resolve(&repository("another/model")).unwrap();
    place.hub().fetch(&revision, &[CONFIG.0.to_owned()], &mut Recorder::default()).unwrap();
    for other in ["datasets--a--b/snapshots", "models--gpt2/snapshots", "tmp", "models--a--b--c"] {
        fs::create_dir_all(place.cache.path().join(other)).unwrap();
    }
    fs::write(place.cache.path().join("models--a--file"), "").unwrap();
    let connections = place.server.connections();
    let cached = place.hub().cached_repositories().unwrap();
    let found: Vec<(String, u64, usize)> =
        cached.iter().map(|r| (r.repository.to_string(), r.size, r.snapshots.len())).collect();
    assert_eq!(
        found,
        [("another/model".to_owned(), 9, 1), ("owner/name".to_owned(), 1_500_009, 1)]
    );
    assert_eq!(cached[0].refs, [("main".to_owned(), revision.commit.clone())]);
    assert_eq!(cached[0].snapshots[0].0, revision.commit);
    assert!(cached[0].snapshots[0].1.join(CONFIG.0).is_file());
    assert_eq!(place.server.connections(), connections);
}
