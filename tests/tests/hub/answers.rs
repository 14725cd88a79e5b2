//! Answers of the Hub's API, sound and unsound.

use ::hub::Digest;

use super::{CONFIG, NAME, Place, repository, says, weights};
use crate::hub_server::{Reply, blob_name};

fn answer(body: &str) -> Reply {
    Reply::Answer(200, vec![("Content-Type", "application/json".to_owned())], body.into())
}

#[test]
fn a_branch_means_a_commit_and_its_files() {
    let place = Place::new();
    let commit = place.server.add_at(NAME, "refs/pr/3", &[CONFIG, ("a b/c.bin", &weights())]);
    let revision = place.hub().resolve(&repository("owner/name@refs/pr/3")).unwrap();
    assert_eq!(revision.commit, commit);
    let files: Vec<(&str, u64)> = revision.files.iter().map(|f| (&*f.path, f.size)).collect();
    assert_eq!(files, [("a b/c.bin", 1_500_000), (CONFIG.0, 9)]);
    let digest = Digest::Sha256(blob_name("c.bin", &weights()));
    assert_eq!(revision.file("a b/c.bin").unwrap().digest, Some(digest));
    let digest = Digest::Git(blob_name(CONFIG.0, CONFIG.1));
    assert_eq!(revision.file(CONFIG.0).unwrap().digest, Some(digest));
    assert_eq!(revision.file("c.bin"), None);
    let targets: Vec<String> = place.server.requests().into_iter().map(|r| r.target).collect();
    let tree = format!("/api/models/owner/name/tree/{commit}?recursive=true&expand=false");
    assert_eq!(targets, ["/api/models/owner/name/revision/refs%2Fpr%2F3", &tree]);
}

#[test]
fn a_commit_needs_no_request_for_what_it_means() {
    let place = Place::new();
    let commit = place.server.add(NAME, &[CONFIG]);
    let revision = place.hub().resolve(&repository(&format!("{NAME}@{commit}"))).unwrap();
    assert_eq!((revision.commit, revision.files.len()), (commit, 1));
    assert_eq!(place.server.requests().len(), 1);
}

#[test]
fn a_list_of_files_has_pages() {
    let place = Place::new();
    place.server.paginate(2);
    place
        .server
        .add(NAME, &[("a", b"1"), ("b/c", b"2"), ("b/d", b"3"), ("e.bin", b"4"), ("f", b"5")]);
    let revision = place.hub().resolve(&repository(NAME)).unwrap();
    let paths: Vec<&str> = revision.files.iter().map(|file| &*file.path).collect();
    assert_eq!(paths, ["a", "b/c", "b/d", "e.bin", "f"]);
    // A revision, and six entries with the folder.
    assert_eq!(place.server.requests().len(), 4);
}

#[test]
fn pages_without_an_end_are_an_error() {
    let place = Place::new();
    let next = ("Link", "<?cursor=1>; rel=\"next\"".to_owned());
    place.server.script("/tree/", usize::MAX, Reply::Answer(200, vec![next], b"[]".into()));
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &["127.0.0.1", "/tree/", "100 pages"]);
    assert_eq!(place.server.requests().len(), 101);
}

#[test]
fn a_server_that_is_no_hub_is_named() {
    for (status, body) in
        [(200, "<!DOCTYPE html><title>Log in</title>"), (404, "<html>"), (403, "<html>")]
    {
        let place = Place::new();
        let page =
            Reply::Answer(status, vec![("Content-Type", "text/html".to_owned())], body.into());
        place.server.script("/api/", 1, page);
        let error = place.hub().resolve(&repository(NAME)).unwrap_err();
        says(&error, &[&place.server.endpoint(), "web page", "HF_ENDPOINT"]);
    }
}

#[test]
fn answers_that_are_none_are_errors_that_say_why() {
    for (part, body, why) in [
        ("/revision/", "", "EOF"),
        ("/revision/", "{}", "sha"),
        ("/revision/", r#"{"sha": 1}"#, "sha"),
        ("/revision/", r#"{"sha": "../../evil"}"#, "no commit"),
        ("/revision/", r#"{"sha": "0123"}"#, "no commit"),
        ("/tree/", "{}", "sequence"),
        ("/tree/", r#"[{"type": "file", "path": "a", "size": 1, "oid": "../b"}]"#, "digest of a"),
        ("/tree/", r#"[{"type": "file", "path": "a", "size": -1, "oid": ""}]"#, "size"),
        ("/tree/", r#"[{"type": "file", "path": "a", "size": 1}]"#, "digest of a"),
        ("/tree/", r#"[{"path": "a"}]"#, "type"),
    ] {
        let place = Place::new();
        place.server.script(part, 1, answer(body));
        let error = place.hub().resolve(&repository(NAME)).unwrap_err();
        says(&error, &[&place.server.endpoint(), part, why]);
    }
}

#[test]
fn an_answer_without_an_end_is_not_read() {
    let place = Place::new();
    place.server.script("/tree/", 1, answer(&" ".repeat(20 << 20)));
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &["127.0.0.1"]);
}

#[test]
fn a_web_page_in_the_place_of_a_file_is_no_file() {
    let place = Place::new();
    let page = Reply::Answer(200, vec![("Content-Type", "text/html".to_owned())], b"<html>".into());
    place.server.script("/large/", 1, page);
    let error = place.fetch().unwrap_err();
    says(&error, &["localhost", "web page"]);
    assert!(!error.to_string().contains("signature"), "{error}");
    assert!(!place.path("snapshots").exists());
}
