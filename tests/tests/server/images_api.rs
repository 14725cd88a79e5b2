//! OpenAI's Images API: fields, sizes, formats, models, errors, streams.

use serde_json::{Value, json};

use super::{Form, Running, base64, decode, drawn_by_command, fast, mask, png};
use crate::command::{CAPTION, Workplace};

/// The side of the tiny model's pictures.
const SIDE: u32 = 24;

#[test]
fn a_picture_is_the_one_that_the_command_draws() {
    let server = Running::start(&[]);
    let answer =
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({ "seed": 7, "n": 2 })));
    let images = answer.images();
    assert_eq!(images.len(), 2);
    let steps = ["--prior-steps=2", "--decoder-steps=2", "--upsampler-steps=2"];
    for (seed, image) in ["7", "8"].iter().zip(&images) {
        let alone = drawn_by_command(
            &server.workplace,
            &[&["generate", CAPTION, "--seed", seed], &steps[..]].concat(),
        );
        assert_eq!(decode(image), alone, "seed {seed}");
    }
    // The command takes what the PNG says, and draws it again.
    std::fs::write(server.workplace.path("served.png"), &images[0]).unwrap();
    let again = drawn_by_command(&server.workplace, &["generate", "--from", "served.png"]);
    assert_eq!(again, decode(&images[0]));
    let body = answer.json();
    assert_eq!((&body["data"][0]["seed"], &body["data"][1]["seed"]), (&json!(7), &json!(8)));
    assert!(body["created"].as_u64().is_some_and(|seconds| seconds > 1_700_000_000));
    assert_eq!(answer.header("x-unclip-model"), Some("tiny"));
}

#[test]
fn variations_edits_and_ways_are_those_of_the_command() {
    let server = Running::start(&[]);
    let place = &server.workplace;
    std::fs::write(place.path("a.png"), png(40, 40)).unwrap();
    std::fs::write(place.path("b.png"), png(30, 30)).unwrap();
    std::fs::write(place.path("mask.png"), mask(40, 40)).unwrap();
    let steps = ["--decoder-steps=2", "--upsampler-steps=2", "--seed=5"];
    let form = Form::default().file("image", &png(40, 40)).text("seed", "5");
    let few = |form: Form| {
        form.text("decoder_num_inference_steps", "2").text("super_res_num_inference_steps", "2")
    };

    let served = server.post_form("/v1/images/variations", &few(form.clone())).images();
    let drawn = drawn_by_command(place, &[&["variations", "a.png"], &steps[..]].concat());
    assert_eq!(decode(&served[0]), drawn);

    let edit = few(form.clone())
        .file("mask", &mask(40, 40))
        .text("prompt", CAPTION)
        .text("prior_num_inference_steps", "2");
    let served = server.post_form("/v1/images/edits", &edit).images();
    let flags = ["inpaint", "a.png", "--mask", "mask.png", CAPTION, "--prior-steps=2"];
    let drawn = drawn_by_command(place, &[&flags, &steps[..]].concat());
    assert_eq!(decode(&served[0]), drawn);
    let original = decode(&png(40, 40));
    let is_outside = |x, y| !((10..30).contains(&x) && (10..30).contains(&y));
    assert!(
        drawn
            .enumerate_pixels()
            .all(|(x, y, pixel)| !is_outside(x, y) || pixel == original.get_pixel(x, y))
    );

    let way = few(Form::default().file("image_a", &png(40, 40)).file("image_b", &png(30, 30)));
    let way = way.text("frames", "3").text("seed", "5").text("shared_noise", "true");
    let served = server.post_form("/v1/images/interpolations", &way).images();
    let flags = [
        "interpolate",
        "a.png",
        "b.png",
        "--model=model",
        "--out=way",
        "--frames=3",
        "--shared-noise",
    ];
    place.run(&[&flags, &steps[..]].concat()).succeeds();
    for (n, image) in served.iter().enumerate() {
        let frame = image::open(place.path(&format!("way/frame-0{n}.png"))).unwrap().into_rgb8();
        assert_eq!(decode(image), frame, "frame {n}");
    }

    let diff = form
        .text("from", "a red house")
        .text("to", "a blue house")
        .text("super_res_num_inference_steps", "2");
    let served = server.post_form("/v1/images/edits/text", &diff).images();
    let flags = [
        "edit",
        "a.png",
        "--from",
        "a red house",
        "--to",
        "a blue house",
        "--upsampler-steps=2",
        "--seed=5",
    ];
    assert_eq!(decode(&served[0]), drawn_by_command(place, &flags));
}

#[test]
fn the_fields_say_what_is_answered() {
    let server = Running::start(&[]);
    let answer =
        |more: Value| server.post_json("/v1/images/generations", &fast(CAPTION, more)).ok();
    let keys = |answer: &Value| {
        let keys = answer["data"][0].as_object().unwrap().keys();
        keys.filter(|key| *key != "seed").cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&answer(json!({}))), ["b64_json", "url"]);
    assert_eq!(keys(&answer(json!({ "response_format": "b64_json" }))), ["b64_json"]);
    let url = answer(json!({ "response_format": "url", "output_format": "webp" }));
    assert_eq!(keys(&url), ["url"]);
    let address = url["data"][0]["url"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", server.address)).unwrap();
    let file = server.get(path);
    assert_eq!((file.status, file.header("content-type")), (200, Some("image/webp")));
    assert_eq!(image::guess_format(&file.body).unwrap(), image::ImageFormat::WebP);
    for (name, format) in [("png", image::ImageFormat::Png), ("jpeg", image::ImageFormat::Jpeg)] {
        let answer = answer(json!({ "output_format": name }));
        let bytes = base64(answer["data"][0]["b64_json"].as_str().unwrap());
        assert_eq!(image::guess_format(&bytes).unwrap(), format);
        assert_eq!(answer["output_format"], name);
    }
}

#[test]
fn sizes_are_drawn_near_and_resized_or_refused() {
    let server = Running::start(&[]);
    let ask = |size: Value| {
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({ "size": size })))
    };
    for (size, drawn, told) in [
        (json!("auto"), (SIDE, SIDE), None),
        (Value::Null, (SIDE, SIDE), None),
        (json!("24x24"), (SIDE, SIDE), None),
        (json!("256x256"), (256, 256), Some("24x24")),
        (json!("96x64"), (96, 64), Some("24x24")),
    ] {
        let answer = ask(size.clone());
        assert_eq!(decode(&answer.images()[0]).dimensions(), drawn, "{size}");
        assert_eq!(answer.header("x-unclip-drawn-size"), told, "{size}");
    }
    for size in
        ["1025x1024", "0x5", "12", "-5x5", "+5x5", "axb", "1e2x5", "99999999999x1", "5x5x5", ""]
    {
        assert_eq!(ask(json!(size)).error(400)["param"], "size", "{size}");
    }
    assert_eq!(ask(json!(256)).error(400)["param"], "size");
    let strict = Running::start(&["--strict"]);
    let ask = |more: Value| strict.post_json("/v1/images/generations", &fast(CAPTION, more));
    assert_eq!(ask(json!({ "size": "256x256" })).error(400)["param"], "size");
    assert_eq!(ask(json!({ "nonsense": 1 })).error(400)["param"], "nonsense");
    assert_eq!(ask(json!({ "quality": "hd" })).error(400)["param"], "quality");
    ask(json!({ "size": "24x24", "user": "somebody" })).ok();
}

#[test]
fn words_that_the_model_never_saw_are_named_with_the_nearest() {
    let place = Workplace::new();
    let write = |name: &str, text: &str| std::fs::write(place.path(name), text).unwrap();
    write("model/tokenizer/words.txt", "a\nat\nelephant\ntiger\nsea\n");
    write("model/tokenizer/nearest_words.txt", "tiger: leopard\n");
    let server = Running::start_in(place, &["--model", "tiny=model"]);
    for (prompt, wanted) in [
        ("a tiger at sea", None),
        ("a leopard, a café", Some("leopard (nearest: tiger), caf\\u{e9}")),
        ("elefant", Some("elefant (nearest: elephant)")),
        ("elephent elephent", Some("elephent (nearest: elephant)")),
    ] {
        let answer = server.post_json("/v1/images/generations", &fast(prompt, json!({})));
        answer.ok();
        assert_eq!(answer.header("x-unclip-unknown-words"), wanted, "{prompt}");
    }
    let job = server.post_json("/v1/jobs", &fast("a leopard", json!({ "task": "generations" })));
    assert_eq!(job.header("x-unclip-unknown-words"), Some("leopard (nearest: tiger)"));
}

#[test]
fn unknown_fields_are_listed_and_models_are_the_operators() {
    let server = Running::start(&["--model", "other=model"]);
    let ask = |more: Value| server.post_json("/v1/images/generations", &fast(CAPTION, more));
    let answer = ask(json!({ "quality": "hd", "nonsense": { "a": 1 }, "\u{fc}n": 2 }));
    answer.ok();
    assert_eq!(answer.header("x-unclip-ignored"), Some("quality, nonsense, \\u{fc}n"));
    for name in ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1.5", "chatgpt-image-latest", ""]
    {
        assert_eq!(ask(json!({ "model": name })).header("x-unclip-model"), Some("tiny"), "{name}");
    }
    assert_eq!(ask(json!({ "model": "other" })).header("x-unclip-model"), Some("other"));
    for name in
        ["model", "/etc", "../model", "kakaobrain/karlo-v1-alpha", "builtin:unclip", "hf://a/b"]
    {
        let error = ask(json!({ "model": name })).error(404);
        assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    }
    let listed = server.get("/v1/models").ok();
    let names: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["tiny", "other"]);
    assert_eq!(server.get("/v1/models/other").ok()["id"], "other");
    assert_eq!(server.get("/v1/models/nothing").error(404)["code"], "model_not_found");
}

#[test]
fn every_wrong_value_names_its_field() {
    let server = Running::start(&[]);
    let wrong = [
        ("n", json!(0)),
        ("n", json!(11)),
        ("n", json!("2")),
        ("n", json!(1.5)),
        ("n", json!(true)),
        ("seed", json!(-1)),
        ("seed", json!(1e300)),
        ("seed", json!("7")),
        ("prompt", json!("")),
        ("prompt", json!("  ")),
        ("prompt", json!(5)),
        ("prompt", json!(["a"])),
        ("prompt", json!("a\u{0}b")),
        ("prompt", json!("a".repeat(32_001))),
        ("preset", json!("slow")),
        ("output_format", json!("gif")),
        ("response_format", json!("bytes")),
        ("decoder_num_inference_steps", json!(0)),
        ("decoder_num_inference_steps", json!(1001)),
        ("prior_guidance_scale", json!(1e9)),
        ("decoder_guidance_scale", json!("8")),
        ("stream", json!("yes")),
        ("partial_images", json!(4)),
        ("candidates", json!(0)),
        ("negative_prompt", json!("a cat")),
    ];
    for (field, value) in wrong {
        let answer =
            server.post_json("/v1/images/generations", &fast(CAPTION, json!({ field: value })));
        let error = answer.error(400);
        assert_eq!(
            (&error["param"], &error["type"]),
            (&json!(field), &json!("invalid_request_error")),
            "{value}"
        );
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
    }
    let error = server.post_json("/v1/images/generations", &json!({ "n": 1 })).error(400);
    assert_eq!(error["param"], "prompt");
    let json = |body: &str| {
        server.send(
            "POST",
            "/v1/images/generations",
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        )
    };
    for body in ["", "{", "[]", "5", "null", "{\"prompt\":", &"[".repeat(100_000)] {
        json(body).error(400);
    }
    for (content_type, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        ("multipart/form-data", 400),
    ] {
        let answer = server.send(
            "POST",
            "/v1/images/generations",
            &[("Content-Type", content_type)],
            b"prompt=a",
        );
        answer.error(status);
    }
    // Null is absent, as in OpenAI's schema, and a form sends what was left out as an empty text.
    server
        .post_json(
            "/v1/images/generations",
            &fast(CAPTION, json!({ "n": null, "size": null, "user": null, "stream": null })),
        )
        .ok();
    let form = Form::default().text("prompt", CAPTION).text("n", "").text("size", "").fast();
    server.post_form("/v1/images/generations", &form).ok();
}

/// The events of a stream: their names and data.
fn events(body: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let blocks = text.split("\n\n").filter(|block| block.contains("data:"));
    let event = |block: &str| {
        let field = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
        };
        (field("event:"), serde_json::from_str(&field("data:")).unwrap())
    };
    blocks.map(event).collect()
}

#[test]
fn a_stream_has_previews_and_the_picture() {
    let server = Running::start(&[]);
    let plain =
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({ "seed": 3 }))).images();
    let body = fast(CAPTION, json!({ "seed": 3, "stream": true, "partial_images": 1 }));
    let answer = server.post_json("/v1/images/generations", &body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let events = events(&answer.body);
    let names: Vec<&str> = events.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.last(), Some(&"image_generation.completed"), "{names:?}");
    for (name, data) in &events {
        assert_eq!(data["type"], **name);
        assert!(
            data["b64_json"].is_string() && data["created_at"].is_u64() && data["size"].is_string()
        );
    }
    let last = &events.last().unwrap().1;
    assert!(last["usage"]["total_tokens"].is_u64());
    assert_eq!(base64(last["b64_json"].as_str().unwrap()), plain[0]);
    let edit = Form::default()
        .file("image", &png(40, 40))
        .file("mask", &mask(40, 40))
        .text("stream", "true")
        .fast();
    let edited = self::events(&server.post_form("/v1/images/edits", &edit).body);
    assert_eq!(edited.last().unwrap().0, "image_edit.completed");
}
