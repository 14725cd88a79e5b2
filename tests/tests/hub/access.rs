//! Tokens: where they go, and what happens without.

use ::hub::{Error, Hub, Settings, Token};

use super::{CONFIG, LARGE, NAME, NoProgress, Place, fetch, repository, says};
use crate::command::Workplace;
use crate::hub_server::{Access, HubServer, Reply};

const TOKEN: &str = "hf_abcdefghijklmnopqrstuvwxyz";

fn with_token(place: &Place) -> Hub {
    Hub::new(Settings { token: Token::new(TOKEN), ..place.settings() }).unwrap()
}

#[test]
fn the_token_goes_to_the_hub_and_never_to_another_host() {
    let place = Place::new();
    place.server.restrict(NAME, Access::Private, TOKEN);
    fetch(&with_token(&place), &[CONFIG.0, LARGE], &mut NoProgress).unwrap();
    let requests = place.server.requests();
    assert_eq!(requests.len(), 5);
    for request in requests {
        let to_hub = request.header("host").starts_with("127.0.0.1:");
        let value = if to_hub { format!("Bearer {TOKEN}") } else { String::new() };
        assert_eq!(request.header("authorization"), value, "{request:?}");
        assert_eq!(request.target.starts_with("/large/"), !to_hub, "{request:?}");
        assert_eq!(request.header("accept-encoding"), "identity");
    }
}

#[test]
fn the_token_does_not_follow_to_another_port_or_page_of_another_host() {
    let (place, other) = (Place::new(), HubServer::start());
    let commit = other.add(NAME, &[CONFIG]);
    let moved = format!("{}/api/models/{NAME}/tree/{commit}", other.endpoint());
    let redirect = Reply::Answer(302, vec![("Location", moved.clone())], vec![]);
    place.server.script("/tree/", 1, redirect);
    with_token(&place).resolve(&repository(NAME)).unwrap();
    let next = Reply::Answer(200, vec![("Link", format!("<{moved}>; rel=\"next\""))], b"[]".into());
    place.server.script("/tree/", 1, next);
    with_token(&place).resolve(&repository(NAME)).unwrap();
    let requests = other.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests.iter().all(|request| request.header("authorization").is_empty()),
        "{requests:?}"
    );
}

#[test]
fn the_token_follows_a_repository_that_moved_on_the_hub() {
    for location in ["/api/models/owner/new/revision/main", "../../new/revision/main"] {
        let place = Place::new();
        place.server.add("owner/new", &[CONFIG]);
        place.server.restrict("owner/new", Access::Private, TOKEN);
        let redirect = Reply::Answer(307, vec![("Location", location.to_owned())], vec![]);
        place.server.script("owner/name/revision/", 1, redirect);
        place.server.script("../../new", 1, {
            // The server reads no dots, as most do.
            let absolute =
                format!("{}/api/models/owner/new/revision/main", place.server.endpoint());
            Reply::Answer(301, vec![("Location", absolute)], vec![])
        });
        let error = with_token(&place).resolve(&repository(NAME)).unwrap_err();
        // The commit is the new repository's, and the old one has no list of it.
        says(&error, &["no branch, tag or commit"]);
        let requests = place.server.requests();
        let sent: Vec<&str> = requests.iter().map(|r| r.header("authorization")).collect();
        assert!(sent.len() >= 3 && sent.iter().all(|sent| sent.ends_with(TOKEN)), "{sent:?}");
    }
}

#[test]
fn a_repository_that_is_not_there_or_private_is_named() {
    let place = Place::new();
    let error = place.hub().resolve(&repository("owner/other")).unwrap_err();
    says(&error, &["owner/other", &place.server.endpoint(), "check the name", "HF_TOKEN"]);
    let error = with_token(&place).resolve(&repository("owner/other")).unwrap_err();
    says(&error, &["owner/other", "whether the token may read it"]);
    let answer = Reply::Answer(401, vec![], vec![]);
    place.server.script("/api/", 1, answer);
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    assert!(matches!(error, Error::RepositoryNotFound { .. }), "{error}");
}

#[test]
fn a_gated_repository_says_how_to_get_access() {
    let place = Place::new();
    place.server.restrict(NAME, Access::Gated, "hf_another");
    let page = format!("{}/{NAME}", place.server.endpoint());
    says(
        &place.fetch().unwrap_err(),
        &["owner/name is gated", "ask for access", &page, "HF_TOKEN", "hf auth login"],
    );
    let error = fetch(&with_token(&place), &[LARGE], &mut NoProgress).unwrap_err();
    says(&error, &["owner/name is gated", &page, "the token is one of the account that has it"]);
    assert_eq!(place.blobs(), [""; 0]);
}

#[test]
fn a_token_that_the_hub_does_not_know_is_an_error_that_says_so() {
    let place = Place::new();
    let words = format!("Invalid credentials: {TOKEN}");
    place.server.script("/api/", 1, Reply::Answer(401, vec![("X-Error-Message", words)], vec![]));
    let error = with_token(&place).resolve(&repository(NAME)).unwrap_err();
    says(&error, &["does not accept the token", "HF_TOKEN"]);
}

#[test]
fn revisions_and_files_that_are_not_there_are_named() {
    let place = Place::new();
    let error = place.hub().resolve(&repository("owner/name@v9")).unwrap_err();
    says(&error, &["owner/name", "v9", "branch, tag or commit"]);
    let commit = "0123456789012345678901234567890123456789";
    let error = place.hub().resolve(&repository(&format!("owner/name@{commit}"))).unwrap_err();
    says(&error, &["owner/name", commit]);

    let error = fetch(&place.hub(), &["vae/config.json"], &mut NoProgress).unwrap_err();
    let commit = place.hub().resolve(&repository(NAME)).unwrap().commit;
    says(&error, &["owner/name", "vae/config.json", &commit]);
    assert!(place.path(&format!(".no_exist/{commit}/vae/config.json")).is_file());
    // One that is listed and gone all the same.
    let gone = Reply::Answer(404, vec![("X-Error-Code", "EntryNotFound".to_owned())], vec![]);
    place.server.script("/resolve/", 1, gone);
    let error = fetch(&place.hub(), &[CONFIG.0], &mut NoProgress).unwrap_err();
    assert!(matches!(error, Error::EntryNotFound { .. }), "{error}");
    assert!(place.path(&format!(".no_exist/{commit}/{}", CONFIG.0)).is_file());
    assert_eq!(super::names(&place.path("snapshots")), [""; 0]);
}

#[test]
fn no_message_and_no_debug_has_the_token() {
    let words = || ("X-Error-Message", format!("who is {TOKEN}?"));
    let replies = [
        Reply::Answer(403, vec![words()], vec![]),
        Reply::Answer(418, vec![words()], TOKEN.into()),
        Reply::Answer(500, vec![words()], vec![]),
        Reply::Answer(302, vec![("Location", format!("ftp://{TOKEN}/{TOKEN}"))], vec![]),
        Reply::Answer(200, vec![], format!("{{\"{TOKEN}\": }}").into()),
        Reply::Answer(
            302,
            vec![("Location", format!("http://x:{TOKEN}@127.0.0.1:1/?{TOKEN}"))],
            vec![],
        ),
    ];
    for reply in replies {
        let place = Place::new();
        place.server.script("/api/", 9, reply);
        let error = with_token(&place).resolve(&repository(NAME)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error} {error:?}");
    }
    let place = Place::new();
    place.server.script("/api/", 1, Reply::Answer(418, vec![words()], vec![]));
    let error = with_token(&place).resolve(&repository(NAME)).unwrap_err();
    says(&error, &["418", "who is (the token)?"]);
    let hub = format!("{:?}", with_token(&place));
    assert!(hub.contains("Token(..)") && !hub.contains(TOKEN), "{hub}");
}

#[test]
fn no_log_has_the_token() {
    let place = Place::new();
    let work = Workplace::new();
    let mut command = work.command(&["pull", NAME]);
    command.envs(place.server.variables(&work.path("cache")));
    command.envs([("HF_TOKEN", TOKEN), ("UNCLIP_LOG", "trace")]);
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("/api/models/owner/name/revision/main"), "{log}");
    assert_eq!(place.server.requests()[0].header("authorization"), format!("Bearer {TOKEN}"));
    // The HTTP client's own log would have every byte.
    for part in [TOKEN, "Bearer", "ureq"] {
        assert!(!log.contains(part), "{part}: {log}");
    }
}
