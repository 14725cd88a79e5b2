//! Redirects, servers that are busy or gone, proxies, certificates.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use ::hub::{Error, Hub, NoProgress, Proxies, Settings};

use super::{CONFIG, LARGE, NAME, Place, fetch, repository, says};
use crate::hub_server::{HubServer, Reply};

fn status(status: u16) -> Reply {
    Reply::Answer(status, vec![], vec![])
}

fn redirect(to: &str) -> Reply {
    Reply::Answer(302, vec![("Location", to.to_owned())], vec![])
}

#[test]
fn an_endless_redirect_is_an_error() {
    let place = Place::new();
    place.server.script("/api/", usize::MAX, redirect("/api/models/owner/name/revision/again"));
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &[&place.server.endpoint(), "redirects more than 10 times"]);
    assert_eq!(place.server.requests().len(), 11);
}

#[test]
fn a_redirect_to_nowhere_is_an_error() {
    for (to, said) in [
        ("ftp://127.0.0.1/a", "ftp://127.0.0.1/a"),
        ("http://", "http://"),
        ("file:///etc", "file:///etc"),
    ] {
        let place = Place::new();
        place.server.script("/api/", 1, redirect(to));
        let error = place.hub().resolve(&repository(NAME)).unwrap_err();
        says(&error, &[&place.server.endpoint(), said, "not followed"]);
    }
    let place = Place::new();
    place.server.script("/api/", 1, status(302));
    says(&place.hub().resolve(&repository(NAME)).unwrap_err(), &["nowhere"]);
}

#[test]
fn relative_redirects_are_followed() {
    let commit = |place: &Place| place.hub().resolve(&repository(NAME)).unwrap().commit;
    let port = |place: &Place| place.server.endpoint().rsplit(':').next().unwrap().to_owned();
    for form in [
        "main",
        "/api/models/owner/name/revision/main",
        "//localhost:PORT/api/models/owner/name/revision/main",
        "?a=b",
    ] {
        let place = Place::new();
        let known = commit(&place);
        place.server.script("/revision/", 1, redirect(&form.replace("PORT", &port(&place))));
        assert_eq!(commit(&place), known, "{form}");
        let targets: Vec<String> = place.server.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(targets.len(), 5, "{targets:?}");
        assert!(targets[3].starts_with("/api/models/owner/name/revision/main"), "{targets:?}");
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let place = Place::new();
    let wait = |name: &'static str, value: &str| {
        Reply::Answer(429, vec![(name, value.to_owned())], vec![])
    };
    place.server.script("/revision/", 1, wait("Retry-After", "0"));
    place.server.script("/revision/", 1, wait("RateLimit", "\"api\";r=0;t=0"));
    place.server.script("/tree/", 2, status(503));
    place.server.script("/tree/", 1, status(500));
    place.server.script("/large/", 1, status(502));
    place.server.script("/resolve/", 1, status(504));
    place.fetch().unwrap();
    assert_eq!(place.server.requests().len(), 5 + 7 + 1, "the redirect before the large file too");
}

#[test]
fn a_server_that_stays_busy_is_asked_five_times() {
    for (code, part) in [(429, "/revision/"), (500, "/tree/"), (503, "/large/")] {
        let place = Place::new();
        place.server.script(part, usize::MAX, status(code));
        let error = place.fetch().unwrap_err();
        says(&error, &[&format!("answers {code} to 5 requests in a row"), "later"]);
        let asked =
            place.server.requests().into_iter().filter(|request| request.target.contains(part));
        assert_eq!(asked.count(), 5);
    }
}

#[test]
fn a_server_that_asks_for_a_long_pause_is_not_waited_for() {
    let place = Place::new();
    let reply = Reply::Answer(429, vec![("Retry-After", "3600".to_owned())], vec![]);
    place.server.script("/revision/", 1, reply);
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &["429", "to wait for 3600 seconds"]);
    assert_eq!(place.server.requests().len(), 1);
}

#[test]
fn a_pause_that_is_asked_for_is_made() {
    let place = Place::new();
    let reply = Reply::Answer(503, vec![("Retry-After", "1".to_owned())], vec![]);
    place.server.script("/revision/", 1, reply);
    let begun = Instant::now();
    place.hub().resolve(&repository(NAME)).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn other_refusals_are_told_at_once_in_the_servers_words() {
    let place = Place::new();
    let words = vec![("X-Error-Message", "for legal reasons".to_owned())];
    place.server.script("/api/", 1, Reply::Answer(451, words, vec![]));
    let error = place.hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &["answers 451: for legal reasons"]);
    assert_eq!(place.server.requests().len(), 1);
    place.server.script("/large/", 1, Reply::Answer(403, vec![], vec![]));
    let error = place.fetch().unwrap_err();
    says(&error, &["localhost", "answers 403"]);
    assert!(!error.to_string().contains("signature"), "{error}");
}

#[test]
fn nobody_at_the_address_is_an_error_that_names_it() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new();
    let endpoint = format!("http://{gone}");
    let hub = Hub::new(Settings { endpoint, pause: Duration::from_secs(60), ..place.settings() })
        .unwrap();
    let error = hub.resolve(&repository(NAME)).unwrap_err();
    says(&error, &["cannot reach 127.0.0.1", "refused", "check the network"]);
}

#[test]
fn a_server_that_says_nothing_is_waited_for_as_long_as_the_settings_say() {
    let place = Place::new();
    place.server.script("/api/", usize::MAX, Reply::Late(Duration::from_secs(20)));
    let timeout = Duration::from_millis(100);
    let hub = Hub::new(Settings { timeout, ..place.settings() }).unwrap();
    let begun = Instant::now();
    let error = hub.resolve(&repository(NAME)).unwrap_err();
    says(&error, &["cannot reach 127.0.0.1", "no answer for 0.1 seconds"]);
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(place.server.connections(), 5);
}

#[test]
fn an_address_that_is_none_is_refused() {
    let place = Place::new();
    for endpoint in
        ["", "huggingface.co", "ftp://a", "http://", "http://user:secret@a", "http://a?b"]
    {
        let settings = Settings { endpoint: endpoint.to_owned(), ..place.settings() };
        let error = Hub::new(settings).unwrap_err();
        says(&error, &["HF_ENDPOINT", "https://huggingface.co"]);
        assert!(!error.to_string().contains("secret"));
    }
}

/// A hub that nobody can reach but through a proxy.
fn proxied(place: &Place, proxy: &str, none: Option<&str>) -> Hub {
    let proxies =
        Proxies { https: None, http: Some(proxy.to_owned()), none: none.map(str::to_owned) };
    let endpoint = "http://hub.invalid".to_owned();
    Hub::new(Settings { endpoint, proxies, ..place.settings() }).unwrap()
}

#[test]
fn requests_go_through_the_proxy() {
    let place = Place::new();
    let hub = proxied(&place, &place.server.endpoint(), Some("localhost"));
    fetch(&hub, &[CONFIG.0, LARGE], &mut NoProgress).unwrap();
    let requests = place.server.requests();
    let tunnels: Vec<&str> =
        requests.iter().filter(|r| r.method == "CONNECT").map(|request| &*request.target).collect();
    assert_eq!(tunnels, ["hub.invalid:80"; 4]);
    assert_eq!(requests.len(), 9);
}

#[test]
fn no_proxy_names_hosts_and_their_domains() {
    for none in ["hub.invalid", "invalid", ".invalid", "*.invalid", "*", "a.b, HUB.invalid"] {
        let place = Place::new();
        let hub = proxied(&place, &place.server.endpoint(), Some(none));
        // Whoever looks for such a host may wait for long.
        let timeout = Duration::from_millis(100);
        let hub = Hub::new(Settings { timeout, ..hub.settings().clone() }).unwrap();
        let error = hub.resolve(&repository(NAME)).unwrap_err();
        says(&error, &["cannot reach hub.invalid"]);
        assert_eq!(place.server.connections(), 0, "{none}");
    }
    for none in ["", "b.invalid", "ub.invalid", "hub.invalid.com", ","] {
        let place = Place::new();
        let hub = proxied(&place, &place.server.endpoint(), Some(none));
        hub.resolve(&repository(NAME)).unwrap();
    }
}

#[test]
fn a_proxy_that_refuses_or_is_none_is_an_error_without_its_password() {
    let place = Place::new();
    for proxy in
        ["socks5://user:secret@127.0.0.1:1", "nonsense://user:secret@a", "http://user:secret@"]
    {
        let error = proxied(&place, proxy, None).resolve(&repository(NAME)).unwrap_err();
        says(&error, &["HTTP_PROXY", "http://HOST:PORT"]);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    place.server.script("hub.invalid", usize::MAX, status(407));
    let proxy = place.server.endpoint().replace("://", "://user:secret@");
    let hub = proxied(&place, &proxy, None);
    let error = hub.resolve(&repository(NAME)).unwrap_err();
    says(&error, &["hub.invalid", "proxy"]);
    for text in [error.to_string(), format!("{error:?} {hub:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn certificates_of_a_file_that_has_none_are_an_error() {
    let place = Place::new();
    let file = place.cache.path().join("certificates.pem");
    let hub =
        || Hub::new(Settings { certificates: Some(file.clone()), ..place.settings() }).unwrap();
    says(&hub().resolve(&repository(NAME)).unwrap_err(), &["SSL_CERT_FILE", "certificates.pem"]);
    fs::write(&file, "no certificate").unwrap();
    let error = hub().resolve(&repository(NAME)).unwrap_err();
    says(&error, &["SSL_CERT_FILE", "certificates.pem", "no certificate"]);
    assert!(matches!(error, Error::Setting { .. }));
}

#[test]
fn a_server_without_tls_is_no_https_server() {
    let server = HubServer::start();
    let place = Place::new();
    let endpoint = server.endpoint().replace("http:", "https:");
    let hub = Hub::new(Settings { endpoint, ..place.settings() }).unwrap();
    says(&hub.resolve(&repository(NAME)).unwrap_err(), &["cannot reach 127.0.0.1"]);
}
