//! The OpenAPI document, the page's files, and CLIP's routes.

use serde_json::json;

use super::{Form, Running, png};
use crate::command::Workplace;

#[test]
fn every_route_of_the_document_is_there_and_answers_in_its_terms() {
    let server = Running::start(&["--a1111"]);
    let document = server.get("/openapi.json").ok();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 30, "{}", paths.len());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let asked = path.replace("{id}", "0123456789abcdef0123456789abcdef");
            let answer = server.send(
                &method.to_uppercase(),
                &asked,
                &[("Content-Type", "application/json")],
                b"{}",
            );
            let status = answer.status.to_string();
            assert!(
                operation["responses"][&status].is_object(),
                "{method} {path} answers {status}, which is not in the document"
            );
            assert_ne!(answer.status, 405, "{method} {path}");
            if answer.status >= 400 {
                answer.error(answer.status);
            }
        }
    }
    server.get("/nowhere").error(404);
    // Also of paths that are no text.
    for path in ["/v1/jobs/%ff", "/v1/files/%c0%af", "/v1/gallery/%ff", "/page/%ff"] {
        server.get(path).error(404);
    }
    server.send("PUT", "/v1/models", &[], b"").error(405);
}

#[test]
fn the_page_is_small_and_brings_all_that_it_names() {
    let server = Running::start(&[]);
    let mut waiting = vec!["/".to_owned()];
    let mut seen: Vec<String> = Vec::new();
    let mut bytes = 0;
    while let Some(path) = waiting.pop() {
        if seen.contains(&path) {
            continue;
        }
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        bytes += answer.body.len();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for quote in ['"', '\''] {
            for quoted in text.split(quote).skip(1).step_by(2) {
                let name = quoted.strip_prefix("./").or(quoted.strip_prefix("/page/"));
                let is_file = |name: &&str| {
                    [".js", ".css", ".svg"].iter().any(|end| name.ends_with(end))
                        && !name.contains(' ')
                };
                if let Some(name) = name.filter(is_file) {
                    waiting.push(format!("/page/{name}"));
                }
            }
        }
        for word in ["http://", "https://", "//cdn", "innerHTML", "eval(", "style=\""] {
            let is_namespace = |at: usize| text[at..].starts_with("http://www.w3.org/");
            let found = text.match_indices(word).find(|(at, _)| !is_namespace(*at));
            assert_eq!(found, None, "{path} has {word}");
        }
        seen.push(path);
    }
    assert!(seen.len() > 3, "{seen:?}");
    assert!(bytes <= 200_000, "{bytes} bytes in all");
}

#[test]
fn clip_embeds_classifies_and_searches() {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("pictures/below")).unwrap();
    std::fs::write(place.path("pictures/a.png"), png(40, 30)).unwrap();
    std::fs::write(place.path("pictures/below/b.png"), png(8, 50)).unwrap();
    std::fs::write(place.path("pictures/c.png"), b"no picture").unwrap();
    // A picture outside is not shown, whoever links to it.
    std::fs::write(place.path("outside.png"), png(40, 30)).unwrap();
    std::os::unix::fs::symlink(place.path("outside.png"), place.path("pictures/link.png")).unwrap();
    let server = Running::start_in(place, &["--model=tiny=model", "--search=pictures"]);
    let embed = |body: serde_json::Value| server.post_json("/v1/embeddings", &body).ok();
    let one = embed(json!({ "input": "a red house" }));
    let two = embed(json!({ "input": ["a red house", "a mushroom"] }));
    assert_eq!((&two["data"][0]["index"], &two["data"][1]["index"]), (&json!(0), &json!(1)));
    let vector = |answer: &serde_json::Value, n: usize| -> Vec<f64> {
        serde_json::from_value(answer["data"][n]["embedding"].clone()).unwrap()
    };
    // Two texts at once are summed in another order.
    let is_near = |one: &[f64], other: &[f64]| {
        one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5)
    };
    assert!(
        is_near(&vector(&one, 0), &vector(&two, 0)) && !is_near(&vector(&one, 0), &vector(&two, 1))
    );
    let vector = vector(&one, 0);
    let length = vector.iter().map(|number| number * number).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    let packed = embed(json!({ "input": "a red house", "encoding_format": "base64" }));
    let bytes = super::base64(packed["data"][0]["embedding"].as_str().unwrap());
    let floats =
        bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())));
    assert!(floats.zip(&vector).all(|(one, other)| (one - other).abs() < 1e-7));
    server.post_form("/v1/embeddings", &Form::default().file("image", &png(9, 9))).ok();
    for body in [
        json!({}),
        json!({ "input": [] }),
        json!({ "input": "" }),
        json!({ "input": [1] }),
        json!({ "input": vec!["a"; 257] }),
    ] {
        assert_eq!(
            server.post_json("/v1/embeddings", &body).error(400)["param"],
            "input",
            "{body}"
        );
    }

    let classify = |labels: &str| {
        let form = Form::default().file("image", &png(40, 30)).text("labels", labels);
        server.post_form("/v1/images/classifications", &form)
    };
    let found = classify("house, boat,tree").ok();
    let probabilities: Vec<f64> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|datum| datum["probability"].as_f64().unwrap())
        .collect();
    assert!(
        (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5
            && probabilities.is_sorted_by(|a, b| a >= b)
    );
    for labels in ["", "one", "a,,b", "a,A"] {
        assert_eq!(classify(labels).error(400)["param"], "labels", "{labels}");
    }

    let query = Form::default().file("image", &png(40, 30)).text("n", "5");
    let found = server.post_form("/v1/images/search", &query).ok();
    let data = found["data"].as_array().unwrap();
    assert_eq!(data.len(), 2, "what is no picture is left out");
    assert!(
        (data[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-4,
        "a picture is closest to itself: {found}"
    );
    assert_eq!((&data[0]["width"], &data[0]["height"]), (&json!(40), &json!(30)));
    let address = data[0]["url"].as_str().unwrap();
    let image = server.get(address.strip_prefix(&format!("http://{}", server.address)).unwrap());
    assert_eq!(image.body, png(40, 30));
    server.post_json("/v1/images/search", &json!({ "query": "a red house", "n": 1 })).ok();
    assert_eq!(server.post_json("/v1/images/search", &json!({})).error(400)["param"], "query");
    Running::start(&[]).post_json("/v1/images/search", &json!({ "query": "a" })).error(404);
}
