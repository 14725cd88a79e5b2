//! Downloads: what is written, and what happens where they break off.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

use ::hub::{Error, Hub, NoProgress, Settings};

use super::{CONFIG, LARGE, NAME, Place, Recorder, fetch, names, repository, says, weights};
use crate::hub_server::{Reply, blob_name};

/// The name of the large file's blob.
fn large() -> String {
    blob_name(LARGE, &weights())
}

/// The values of the header `Range` in the requests for the large file's contents.
fn ranges(place: &Place) -> Vec<String> {
    let requests = place.server.requests().into_iter();
    let requests = requests.filter(|request| request.target.starts_with("/large/"));
    requests.map(|request| request.header("range").to_owned()).collect()
}

#[test]
fn files_are_laid_out_as_pythons_client_does() {
    let place = Place::new();
    let snapshot = place.fetch().unwrap();
    let commit = place.hub().resolve(&repository(NAME)).unwrap().commit;
    assert_eq!(snapshot, place.path(&format!("snapshots/{commit}")));
    assert_eq!(fs::read_to_string(place.path("refs/main")).unwrap(), commit);
    let small = blob_name(CONFIG.0, CONFIG.1);
    let mut blobs = vec![small.clone(), large()];
    blobs.sort();
    assert_eq!(place.blobs(), blobs);
    assert_eq!(
        fs::read_link(snapshot.join(CONFIG.0)).unwrap().to_str(),
        Some(&*format!("../../blobs/{small}"))
    );
    assert_eq!(
        fs::read_link(snapshot.join(LARGE)).unwrap().to_str(),
        Some(&*format!("../../../blobs/{}", large()))
    );
    assert_eq!(fs::read(snapshot.join(CONFIG.0)).unwrap(), CONFIG.1);
    assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
    let locks = names(&place.cache.path().join(".locks/models--owner--name"));
    assert_eq!(locks, blobs.iter().map(|blob| format!("{blob}.lock")).collect::<Vec<_>>());
    let tag = fs::read_to_string(place.cache.path().join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"), "{tag}");
    assert_eq!(names(place.cache.path()), [".locks", "CACHEDIR.TAG", "models--owner--name"]);
    assert_eq!(names(&place.path("")), ["blobs", "refs", "snapshots"]);
}

#[test]
fn only_files_that_are_asked_for_and_lack_are_fetched() {
    let place = Place::new();
    let mut first = Recorder::default();
    fetch(&place.hub(), &[CONFIG.0], &mut first).unwrap();
    assert_eq!(first.begun, [(CONFIG.0.to_owned(), 9)]);
    assert_eq!(names(&place.path("blobs")).len(), 1);
    place.server.requests();
    let mut second = Recorder::default();
    fetch(&place.hub(), &[CONFIG.0, LARGE], &mut second).unwrap();
    assert_eq!(second.begun, [(LARGE.to_owned(), 1_500_000)]);
    assert_eq!(second.finished, [LARGE]);
    assert!(second.positions.is_sorted() && second.positions.len() > 3, "{:?}", second.positions);
    assert_eq!(second.positions.last(), Some(&(LARGE.to_owned(), 1_500_000)));
    assert_eq!(place.server.requests().len(), 4);
    let revision = place.hub().resolve(&repository(NAME)).unwrap();
    let opened = place.server.connections();
    let mut third = Recorder::default();
    place.hub().fetch(&revision, &[CONFIG.0.to_owned(), LARGE.to_owned()], &mut third).unwrap();
    assert_eq!((third.begun.len(), place.server.connections()), (0, opened));
}

#[test]
fn a_new_commit_shares_the_blobs_that_did_not_change() {
    let place = Place::new();
    place.fetch().unwrap();
    let commit = place.server.add(NAME, &[("config.json", b"{}"), (LARGE, &weights())]);
    let mut progress = Recorder::default();
    let snapshot = fetch(&place.hub(), &[CONFIG.0, LARGE], &mut progress).unwrap();
    assert_eq!(progress.begun, [(CONFIG.0.to_owned(), 2)]);
    assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
    assert_eq!(fs::read_to_string(place.path("refs/main")).unwrap(), commit);
    assert_eq!((place.blobs().len(), names(&place.path("snapshots")).len()), (3, 2));
}

#[test]
fn an_empty_file_is_a_file() {
    let place = Place::new();
    place.server.add(NAME, &[("empty.txt", b""), ("empty.bin", b"")]);
    let snapshot = fetch(&place.hub(), &["empty.txt", "empty.bin"], &mut NoProgress).unwrap();
    assert_eq!(fs::read(snapshot.join("empty.txt")).unwrap(), b"");
    let mut blobs = [blob_name("empty.txt", b""), blob_name("empty.bin", b"")];
    blobs.sort();
    assert_eq!(place.blobs(), blobs);
}

#[test]
fn a_broken_connection_is_resumed_within_a_run() {
    let place = Place::new();
    place.server.script("/large/", 1, Reply::Cut(1_000_000));
    place.server.script("/large/", 1, Reply::Cut(100_000));
    let snapshot = place.fetch().unwrap();
    assert_eq!(ranges(&place), ["", "bytes=1000000-", "bytes=1100000-"]);
    assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
}

#[test]
fn connections_that_always_break_come_to_an_end_and_leave_the_partial_file() {
    let place = Place::new();
    place.server.script("/large/", usize::MAX, Reply::Cut(1000));
    let error = place.fetch().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(ranges(&place).len(), 5);
    let partial = place.path(&format!("blobs/{}.incomplete", large()));
    assert_eq!(fs::read(partial).unwrap(), weights()[..5000]);
    assert!(!place.path("snapshots").exists() && !place.path("refs").exists());
}

#[test]
fn an_interrupted_download_is_resumed_by_the_next_run() {
    let place = Place::new();
    let mut progress = Recorder { stop_at: Some(600_000), ..Recorder::default() };
    let error = fetch(&place.hub(), &[LARGE], &mut progress).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert_eq!(progress.finished, [""; 0]);
    let there = fs::metadata(place.path(&format!("blobs/{}.incomplete", large()))).unwrap().len();
    assert!((600_000..1_500_000).contains(&there), "{there}");
    place.server.requests();

    let mut progress = Recorder::default();
    let snapshot = fetch(&place.hub(), &[LARGE], &mut progress).unwrap();
    assert_eq!(ranges(&place), [format!("bytes={there}-")]);
    assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
    assert!(progress.positions.contains(&(LARGE.to_owned(), there)), "{:?}", progress.positions);
    assert_eq!(place.blobs(), [large()]);
}

/// Leaves a beginning of the large file, as an interrupted run does.
fn leave(place: &Place, bytes: &[u8]) {
    fs::create_dir_all(place.path("blobs")).unwrap();
    fs::write(place.path(&format!("blobs/{}.incomplete", large())), bytes).unwrap();
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let page =
        |range: &str| Reply::Answer(206, vec![("Content-Range", range.to_owned())], b"abc".into());
    for (reply, requests) in [
        (Reply::WithoutRange, 1),
        (Reply::Answer(416, vec![], vec![]), 2),
        (page("bytes 7-9/1500000"), 2),
        (page("nonsense"), 2),
    ] {
        let place = Place::new();
        leave(&place, &weights()[..1000]);
        place.server.script("/large/", 1, reply);
        let mut progress = Recorder::default();
        let snapshot = fetch(&place.hub(), &[LARGE], &mut progress).unwrap();
        assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
        let ranges = ranges(&place);
        assert_eq!((ranges.len(), &*ranges[0]), (requests, "bytes=1000-"));
        let positions: Vec<u64> = progress.positions.iter().map(|(_, bytes)| *bytes).collect();
        assert!(positions.windows(2).any(|pair| pair[1] < pair[0]), "{positions:?}");
    }
}

#[test]
fn a_partial_file_of_other_bytes_is_removed_and_fetched_anew() {
    for other in [vec![7; 1000], vec![7; 1_500_000], vec![7; 1_500_001]] {
        let place = Place::new();
        leave(&place, &other);
        let snapshot = fetch(&place.hub(), &[LARGE], &mut NoProgress).unwrap();
        assert_eq!(fs::read(snapshot.join(LARGE)).unwrap(), weights());
        assert_eq!(place.blobs(), [large()]);
    }
}

#[test]
fn a_whole_partial_file_needs_no_request_for_its_contents() {
    let place = Place::new();
    leave(&place, &weights());
    fetch(&place.hub(), &[LARGE], &mut NoProgress).unwrap();
    assert_eq!(ranges(&place), [""; 0]);
    assert_eq!(place.blobs(), [large()]);
}

#[test]
fn another_file_is_fetched_once_more_and_then_refused_by_both_digests() {
    let mut other = weights();
    other[1_000_000] ^= 1;
    let place = Place::new();
    place.server.script("/large/", 1, Reply::Body(other.clone()));
    place.fetch().unwrap();

    let place = Place::new();
    place.server.script("/large/", 2, Reply::Body(other.clone()));
    let error = place.fetch().unwrap_err();
    says(&error, &[LARGE, NAME, "twice", &large(), &blob_name(LARGE, &other), "SHA-256"]);
    assert_eq!(place.blobs(), [blob_name(CONFIG.0, CONFIG.1)]);
    assert!(!place.path("snapshots").exists());

    let place = Place::new();
    place.server.script("/resolve/", 2, Reply::Body(b"{\"a\": 2}\n".into()));
    let error = fetch(&place.hub(), &[CONFIG.0], &mut NoProgress).unwrap_err();
    says(
        &error,
        &[CONFIG.0, &blob_name(CONFIG.0, CONFIG.1), &blob_name(CONFIG.0, b"{\"a\": 2}\n")],
    );
    assert_eq!(place.blobs(), [""; 0]);
}

#[test]
fn a_file_of_another_size_is_refused_by_both_sizes() {
    for (length, found) in [(1_499_999, "1499999 bytes"), (1_500_001, "1500001 bytes")] {
        let place = Place::new();
        place.server.script("/large/", 2, Reply::Body(vec![0; length]));
        let error = place.fetch().unwrap_err();
        says(&error, &[LARGE, "1500000 bytes", found]);
        assert_eq!(place.blobs(), [blob_name(CONFIG.0, CONFIG.1)]);
    }
    // Without a length, more comes than there should be.
    let place = Place::new();
    let mut chunks = format!("{:x}\r\n", 1_600_000).into_bytes();
    chunks.extend(vec![0; 1_600_000]);
    chunks.extend(b"\r\n0\r\n\r\n");
    let chunked = vec![("Transfer-Encoding", "chunked".to_owned())];
    place.server.script("/large/", 2, Reply::Answer(200, chunked, chunks));
    says(&place.fetch().unwrap_err(), &[LARGE, "more than 1500000 bytes"]);
}

#[test]
fn one_of_two_downloads_and_the_other_waits() {
    let place = Place::new();
    place.server.script("/large/", 1, Reply::Late(Duration::from_millis(300)));
    let snapshots = thread::scope(|scope| {
        let fetches =
            [0, 1].map(|_| scope.spawn(|| fetch(&place.hub(), &[LARGE], &mut NoProgress).unwrap()));
        fetches.map(|fetch| fetch.join().unwrap())
    });
    assert_eq!(snapshots[0], snapshots[1]);
    assert_eq!(ranges(&place), [""]);
    assert_eq!(fs::read(snapshots[0].join(LARGE)).unwrap(), weights());
}

#[test]
fn whoever_waits_for_another_process_can_be_interrupted() {
    let place = Place::new();
    let path = place.cache.path().join(format!(".locks/models--owner--name/{}.lock", large()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lock = fs::File::create(path).unwrap();
    lock.lock().unwrap();
    let mut progress = Recorder { stop_at: Some(0), ..Recorder::default() };
    let error = fetch(&place.hub(), &[LARGE], &mut progress).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    drop(lock);
    fetch(&place.hub(), &[LARGE], &mut NoProgress).unwrap();
}

#[test]
fn a_pause_between_two_requests_can_be_interrupted() {
    let place = Place::new();
    let hub = Hub::new(Settings { pause: Duration::from_secs(60), ..place.settings() }).unwrap();
    let revision = hub.resolve(&repository(NAME)).unwrap();
    place.server.script("/resolve/", 1, Reply::Answer(503, vec![], vec![]));
    let mut progress = Recorder { stop_at: Some(0), ..Recorder::default() };
    let begun = Instant::now();
    let error = hub.fetch(&revision, &[LARGE.to_owned()], &mut progress).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_disk_is_asked_for_all_before_anything_is_fetched() {
    let place = Place::new();
    let size = 1_u64 << 60;
    let entry = |path| {
        let lfs = serde_json::json!({ "oid": large(), "size": size });
        serde_json::json!({ "type": "file", "path": path, "size": 1, "oid": "", "lfs": lfs })
    };
    let list = serde_json::Value::from(vec![entry("a.bin"), entry("b.bin")]).to_string();
    place.server.script("/tree/", 1, Reply::Answer(200, vec![], list.into_bytes()));
    let error = fetch(&place.hub(), &["a.bin", "b.bin"], &mut NoProgress).unwrap_err();
    says(
        &error,
        &[
            &(2 * size).to_string(),
            &place.cache.path().display().to_string(),
            "room",
            "HF_HUB_CACHE",
        ],
    );
    assert_eq!(place.server.requests().len(), 2);
    assert_eq!(place.blobs(), [""; 0]);
}

#[test]
fn a_disk_that_is_full_amid_a_download_is_an_error_that_leaves_no_blob() {
    let place = Place::new();
    fs::create_dir_all(place.path("blobs")).unwrap();
    symlink("/dev/full", place.path(&format!("blobs/{}.incomplete", large()))).unwrap();
    let error = place.fetch().unwrap_err();
    says(&error, &[&large(), "No space left on device", "resumed by the next run"]);
    assert!(!place.path(&format!("blobs/{}", large())).exists());
    assert!(!place.path("snapshots").exists() && !place.path("refs").exists());
}
