//! Without the network.

use std::fs;

use ::hub::{Error, NoProgress};

use super::{CONFIG, LARGE, NAME, Place, fetch, names, repository, says};

#[test]
fn offline_the_cache_answers_and_no_socket_is_opened() {
    let place = Place::new();
    let snapshot = place.fetch().unwrap();
    let commit = snapshot.file_name().unwrap().to_str().unwrap();
    let connections = place.server.connections();
    for name in [NAME.to_owned(), format!("{NAME}@main"), format!("{NAME}@{commit}")] {
        let revision = place.offline().resolve(&repository(&name)).unwrap();
        assert_eq!(revision.commit, commit);
        let files: Vec<(&str, u64)> = revision.files.iter().map(|f| (&*f.path, f.size)).collect();
        assert_eq!(files, [(CONFIG.0, 9), (LARGE, 1_500_000)]);
        let paths = [CONFIG.0.to_owned(), LARGE.to_owned()];
        assert_eq!(place.offline().fetch(&revision, &paths, &mut NoProgress).unwrap(), snapshot);
    }
    assert_eq!(place.server.connections(), connections);
}

#[test]
fn offline_what_the_cache_lacks_is_named_and_nothing_is_written() {
    let place = Place::new();
    let cache = place.cache.path().display().to_string();
    for name in [NAME, "owner/name@v1", "owner/other"] {
        let error = place.offline().resolve(&repository(name)).unwrap_err();
        says(&error, &[name, &cache, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]);
    }
    assert_eq!(names(place.cache.path()), [""; 0]);
    fetch(&place.hub(), &[CONFIG.0], &mut NoProgress).unwrap();
    let connections = place.server.connections();
    let error = fetch(&place.offline(), &[CONFIG.0, LARGE], &mut NoProgress).unwrap_err();
    says(&error, &[NAME, LARGE, "HF_HUB_OFFLINE"]);
    assert!(matches!(error, Error::MissingOffline { .. }));
    // A list from the time when there was a network.
    let revision = place.hub().resolve(&repository(NAME)).unwrap();
    let error = place.offline().fetch(&revision, &[LARGE.to_owned()], &mut NoProgress).unwrap_err();
    says(&error, &[NAME, LARGE, "HF_HUB_OFFLINE"]);
    assert_eq!(place.server.connections(), connections + 2, "the list's alone");
    assert!(!place.path(".no_exist").exists());
    assert_eq!(fs::read_dir(place.path("blobs")).unwrap().count(), 1);
}
