//! Who may ask: hosts, origins, keys; and paths that lead nowhere.

use serde_json::json;

use super::{Form, Running, fast, png};
use crate::command::{CAPTION, Workplace};

/// Hosts that a page of another site's can bring here.
const EVIL_HOSTS: [&str; 10] = [
    "evil.example",
    "evil.example:PORT",
    "127.0.0.1.evil.example:PORT",
    "localhost.evil.example:PORT",
    "evil-localhost:PORT",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost:99999",
    "[::1]:1",
    "",
];

/// Headers that a browser sends from a page that is not the server's.
const EVIL_ORIGINS: [&[(&str, &str)]; 12] = [
    &[("Origin", "null")],
    &[("Origin", "http://evil.example")],
    &[("Origin", "https://evil.example:PORT")],
    &[("Origin", "http://HOST.evil.example")],
    &[("Origin", "http://evil.example/HOST")],
    &[("Origin", "http://127.0.0.1:1")],
    &[("Origin", "http://127.0.0.1")],
    &[("Origin", "file://")],
    &[("Origin", "HOST")],
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Origin", "http://HOST"), ("Sec-Fetch-Site", "cross-site")],
];

/// The simple types of body, which a form or a script can send without leave.
const SIMPLE_TYPES: [&str; 3] =
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"];

#[test]
fn pages_of_other_sites_change_nothing() {
    let server = Running::start(&["--a1111"]);
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    let fill = |text: &str| text.replace("PORT", &port).replace("HOST", &server.address);
    let mut attacks = 0;
    for host in EVIL_HOSTS {
        let host = fill(host);
        for (method, path) in
            [("POST", "/v1/images/generations"), ("GET", "/v1/models"), ("DELETE", "/v1/jobs/0")]
        {
            let headers = [("Host", &*host), ("Content-Type", "application/json")];
            let answer = server.send(method, path, &headers, b"{}");
            assert!(
                [400, 403].contains(&answer.status),
                "{method} {path} of host {host:?}: {}",
                answer.status
            );
            attacks += 1;
        }
    }
    let body = fast(CAPTION, json!({})).to_string();
    for origin in EVIL_ORIGINS {
        let filled: Vec<(&str, String)> =
            origin.iter().map(|(name, value)| (*name, fill(value))).collect();
        let mut headers: Vec<(&str, &str)> =
            filled.iter().map(|(name, value)| (*name, &**value)).collect();
        headers.push(("Content-Type", "application/json"));
        for (method, path) in [
            ("POST", "/v1/images/generations"),
            ("POST", "/v1/jobs"),
            ("POST", "/sdapi/v1/txt2img"),
            ("DELETE", "/v1/jobs/0"),
        ] {
            let error = server.send(method, path, &headers, body.as_bytes()).error(403);
            assert_eq!(error["code"], "forbidden", "{method} {path} {headers:?}");
            attacks += 1;
        }
        for content_type in SIMPLE_TYPES {
            headers.pop();
            headers.push(("Content-Type", content_type));
            server.send("POST", "/v1/images/variations", &headers, b"a=b").error(403);
            attacks += 1;
        }
    }
    // An image tag asks by GET, of another site too: it changes nothing, and no page can read the answer.
    let answer = server.send(
        "GET",
        "/v1/models",
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")],
        b"",
    );
    answer.error(403);
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    attacks += 1;
    assert!(attacks >= 60, "{attacks}");
    assert_eq!(server.queue(), (0, 0));
    // The page itself, programs, and every name of this machine's are let in.
    let own = format!("http://{}", server.address);
    for headers in [
        &[("Origin", &*own), ("Sec-Fetch-Site", "same-origin")][..],
        &[("Sec-Fetch-Site", "none")],
        &[],
    ] {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        server.send("POST", "/v1/images/generations", &headers, body.as_bytes()).ok();
    }
    for host in ["localhost:PORT", "127.0.0.1:PORT", "[::1]:PORT", "LocalHost:PORT"] {
        assert_eq!(
            server.send("GET", "/v1/models", &[("Host", &fill(host))], b"").status,
            200,
            "{host}"
        );
    }
    // A preflight gets no leave.
    let preflight = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.send("OPTIONS", "/v1/jobs", &preflight, b"");
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_none());
}

#[test]
fn an_origin_that_the_operator_allows_is_let_in_alone() {
    let server = Running::start(&[
        "--cors-origin",
        "https://chat.example",
        "--allow-host",
        "pictures.example",
    ]);
    let json = ("Content-Type", "application/json");
    let body = fast(CAPTION, json!({})).to_string();
    let ask = |origin: &str| {
        server.send("POST", "/v1/images/generations", &[("Origin", origin), json], body.as_bytes())
    };
    let allowed = ask("https://chat.example");
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-origin")),
        (200, Some("https://chat.example"))
    );
    for origin in [
        "http://chat.example",
        "https://chat.example.evil",
        "https://chat.example:444",
        "null",
        "*",
    ] {
        assert_eq!(ask(origin).error(403)["code"], "forbidden", "{origin}");
    }
    let preflight = [("Origin", "https://chat.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.send("OPTIONS", "/v1/jobs", &preflight, b"");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, Some("https://chat.example"))
    );
    assert_eq!(server.send("GET", "/v1/models", &[("Host", "pictures.example")], b"").status, 200);
}

#[test]
fn a_key_is_asked_for_everywhere_but_where_none_can_be() {
    let server = Running::start(&["--api-key", "a-key", "--a1111"]);
    let with = |method: &str, path: &str, value: &str| {
        let headers = [("Authorization", value), ("Content-Type", "application/json")];
        server.send(method, path, &headers, fast(CAPTION, json!({})).to_string().as_bytes())
    };
    for path in
        ["/v1/images/generations", "/v1/jobs", "/v1/embeddings", "/sdapi/v1/txt2img", "/nowhere"]
    {
        for value in [
            "",
            "Bearer",
            "Bearer b-key",
            "Bearer a-ke",
            "Bearer a-keyy",
            "Basic YTphLWtleQ=",
            "bearer:a-key",
        ] {
            let error = with("POST", path, value).error(401);
            assert_eq!(error["code"], "invalid_api_key", "{path} {value}");
        }
    }
    for path in ["/v1/models", "/metrics", "/v1/gallery", "/v1/jobs/0", "/v1/gallery/0"] {
        assert_eq!(server.get(path).error(401)["code"], "invalid_api_key", "{path}");
    }
    for path in ["/", "/healthz", "/readyz", "/v1/capabilities", "/openapi.json", "/page/app.js"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let drawn = with("POST", "/v1/images/generations", "Bearer a-key").ok();
    // A picture's address is a secret of its own.
    let path =
        drawn["data"][0]["url"].as_str().unwrap().split(&server.address).nth(1).unwrap().to_owned();
    assert_eq!(server.get(&path).status, 200);
    // A1111's clients bring it as the password of basic authentication.
    with("POST", "/sdapi/v1/txt2img", "Basic dXNlcjphLWtleQ==").ok();
    with("POST", "/v1/images/generations", "Basic dXNlcjphLWtleQ==").error(401);
}

#[test]
fn other_addresses_need_a_key() {
    let place = Workplace::new();
    let serve = |more: &[&str]| {
        place.run(&[&["serve", "--model=tiny=model", "--port=0", "--host=0.0.0.0"], more].concat())
    };
    serve(&[]).refuses(&["0.0.0.0:0", "--api-key", "--insecure"]);
    serve(&["--api-key="]).refuses(&["--api-key"]);
    serve(&["--api-key=two words"]).refuses(&["--api-key"]);
}

#[test]
fn no_path_leads_out_of_a_folder() {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("gallery")).unwrap();
    std::fs::write(place.path("secret.png"), png(8, 8)).unwrap();
    std::fs::write(place.path("gallery/a.png"), png(640, 320)).unwrap();
    std::os::unix::fs::symlink(place.path("secret.png"), place.path("gallery/link.png")).unwrap();
    let server =
        Running::start_in(place, &["--model=tiny=model", "--gallery=gallery", "--search=gallery"]);
    let listed = server.get("/v1/gallery").ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "a link is not shown");
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        super::decode(&server.get(&format!("/v1/gallery/{id}")).body).dimensions(),
        (640, 320)
    );
    let small = server.get(&format!("/v1/gallery/{id}/thumbnail"));
    assert_eq!(small.header("content-type"), Some("image/jpeg"));
    assert_eq!(super::decode(&small.body).dimensions(), (320, 160));
    let targets = [
        "secret.png",
        "a.png",
        "link.png",
        "etc/passwd",
        "gallery/a.png",
        "model/model_index.json",
    ];
    let ups = [
        "",
        "../",
        "../../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%252f",
        "..\\",
        "..%5c",
        "..%c0%af",
        "..;/",
        "....//",
        "/",
        "//",
        "%2f",
        "./",
        "~/",
        "file:///",
        "%00",
        "C:\\",
    ];
    let mut tried = 0;
    for route in
        ["/v1/gallery/", "/v1/files/", "/v1/jobs/", "/v1/images/search/", "/page/", "/v1/models/"]
    {
        for up in ups {
            for target in targets {
                let answer = server.get(&format!("{route}{up}{target}"));
                assert!(
                    [400, 404, 410].contains(&answer.status),
                    "{route}{up}{target}: {}",
                    answer.status
                );
                assert!(
                    !answer.body.starts_with(b"\x89PNG")
                        && !answer.body.windows(5).any(|w| w == b"root:")
                );
                tried += 1;
            }
        }
    }
    assert!(tried >= 500, "{tried}");
    // No field is a path or an address.
    for image in [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/a.png",
        "data:image/png;base64,AAAA",
    ] {
        let form = Form::default().text("image", image).fast();
        assert_eq!(server.post_form("/v1/images/variations", &form).error(400)["param"], "image");
    }
}
