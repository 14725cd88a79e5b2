//! Names of repositories, and of files.

use ::hub::Repository;

use super::{NAME, Place, repository, says};
use crate::hub_server::{Reply, git_digest};

#[test]
fn a_name_is_read_with_its_scheme_and_its_revision() {
    for (text, id, revision) in [
        ("kakaobrain/karlo-v1-alpha", "kakaobrain/karlo-v1-alpha", "main"),
        ("hf://a/b", "a/b", "main"),
        ("a/b.c_d-e@v1.0", "a/b.c_d-e", "v1.0"),
        ("hf://a/b@refs/pr/3", "a/b", "refs/pr/3"),
        (
            "a/b@0123456789012345678901234567890123456789",
            "a/b",
            "0123456789012345678901234567890123456789",
        ),
    ] {
        let read = Repository::parse(text).unwrap();
        assert_eq!((&*read.id(), read.revision()), (id, revision));
        assert_eq!(read.to_string(), text.trim_start_matches("hf://"));
    }
}

#[test]
fn what_cannot_be_a_name_is_none() {
    for text in [
        "",
        "model",
        "a/",
        "/b",
        "a/b/c",
        "./b",
        "../b",
        "a/..",
        "a/b..c",
        "a/b--c",
        "a/-b",
        "a/b.",
        "a b/c",
        "a/b\n",
        "a/b@",
        "a/b@../x",
        "a/b@x/../y",
        "a/b@x/",
        "a/b@/x",
        "a/b@x y",
        "a/b@x\\y",
        "https://a/b",
        "hf://a",
        "a/\u{e4}",
    ] {
        assert_eq!(Repository::parse(text), None, "{text:?}");
    }
    assert_eq!(Repository::parse(&format!("a/{}", "b".repeat(97))), None);
    let error = "a b".parse::<Repository>().unwrap_err().to_string();
    assert!(error.contains("a b") && error.contains("OWNER/NAME"), "{error}");
}

#[test]
fn a_file_name_that_leads_out_of_the_folder_is_refused_and_nothing_is_written() {
    for path in ["../evil", "a/../../evil", "/etc/evil", "a//b", "./a", "a\\..\\b", "..", ""] {
        let place = Place::new();
        let digest = git_digest(b"");
        let entry = serde_json::json!([{ "type": "file", "path": path, "size": 0, "oid": digest }]);
        place.server.script(
            "/tree/",
            1,
            Reply::Answer(200, vec![], entry.to_string().into_bytes()),
        );
        let error = place.hub().resolve(&repository(NAME)).unwrap_err();
        says(&error, &[NAME, path, "outside"]);
        assert_eq!(super::names(place.cache.path()), [""; 0]);
    }
}
