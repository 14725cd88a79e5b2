//! Starting, stopping, failing and going on: what an operator sees.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pipeline::Record;
use serde_json::{Value, json};
use server::{OpenedModel, ServedModel, Server, ServerOptions, once};

use super::{Client, Running, fast};
use crate::command::interrupts::{limit_files, limit_memory, send};
use crate::command::{CAPTION, Workplace};

#[test]
fn what_cannot_be_served_is_refused_before_it_listens() {
    let place = Workplace::new();
    let serve = |arguments: &[&str]| place.run(&[&["serve", "--port=0"], arguments].concat());
    serve(&["--model=tiny=nowhere"]).refuses(&["nowhere"]);
    serve(&["--model=a/b c=model"]).refuses(&["NAME=MODEL"]);
    serve(&["--model=tiny="]).refuses(&["no model"]);
    serve(&["--model=tiny=model", "--model=tiny=model"]).refuses(&["two models", "tiny"]);
    serve(&["--model=tiny=model", "--search=nowhere"]).refuses(&["--search", "nowhere"]);
    fs::write(place.path("file"), b"").unwrap();
    serve(&["--model=tiny=model", "--gallery=file"]).refuses(&["--gallery", "file"]);
    serve(&["--model=tiny=model", "--gallery=file/below"]).refuses(&["--gallery"]);
    serve(&["--model=tiny=model", "--cors-origin=example.org"]).refuses(&["--cors-origin"]);
    serve(&["--model=tiny=model", "--queue=0"]).refuses(&["--queue"]);
    // A model that draws nothing, for want of its networks.
    fs::remove_dir_all(place.path("model/decoder")).unwrap();
    serve(&["--model=tiny=model"]).refuses(&["tiny", "decoder"]);
    let server = Running::start(&[]);
    let port = server.address.rsplit(':').next().unwrap();
    let taken = server.workplace.run(&["serve", "--model=tiny=model", "--port", port]);
    taken.refuses(&["cannot listen", port, "--port 0"]);
}

#[test]
fn flags_have_variables() {
    let place = Workplace::new();
    let mut command = place.command(&["serve"]);
    command.envs([
        ("UNCLIP_MODEL", "tiny=nowhere"),
        ("UNCLIP_PORT", "0"),
        ("UNCLIP_STRICT", "1"),
        ("UNCLIP_QUEUE", "3"),
    ]);
    crate::command::Ran::new(command.output().unwrap()).refuses(&["nowhere"]);
    let mut command = place.command(&["serve", "--model=tiny=model", "--port=0"]);
    command.env("UNCLIP_QUEUE", "many");
    crate::command::Ran::new(command.output().unwrap()).refuses(&["many", "--queue"]);
}

#[test]
fn every_bound_stands_in_the_help() {
    let place = Workplace::new();
    let help = place.run(&["serve", "--help"]).succeeds().stdout;
    for (flag, default) in [
        ("--max-images", "10"),
        ("--max-upload", "50"),
        ("--max-megapixels", "64"),
        ("--queue", "16"),
        ("--keep", "3600"),
        ("--keep-jobs", "1000"),
        ("--deadline", "600"),
        ("--port", "8188"),
        ("--drain-timeout", "30"),
        ("--models", "2"),
    ] {
        let line = help.split(flag).nth(1).unwrap_or_else(|| panic!("{flag} is not in: {help}"));
        let until_next = line.split("\n      --").next().unwrap();
        assert!(until_next.contains(&format!("[default: {default}]")), "{flag}: {until_next}");
    }
}

#[test]
fn sigterm_finishes_what_came_and_refuses_what_comes() {
    for n in 0..super::load::number("UNCLIP_SERVER_TERMS", 10) as u64 {
        let mut server = Running::start(&["--queue=8"]);
        let body = fast(CAPTION, json!({ "n": 3 }));
        let statuses: Vec<u16> = thread::scope(|scope| {
            let (server, body) = (&server, &body);
            let ask = |_| scope.spawn(move || server.post_json("/v1/images/generations", body));
            let threads: Vec<_> = (0..6).map(ask).collect();
            thread::sleep(Duration::from_millis(10 + n * 13 % 150));
            send("-TERM", &server.child);
            let answers = threads.into_iter().map(|thread| thread.join().unwrap());
            answers
                .map(|answer| {
                    match answer.status {
                        200 => assert_eq!(answer.images().len(), 3),
                        status => assert_eq!(answer.error(status)["code"], "draining"),
                    }
                    answer.status
                })
                .collect()
        });
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert_eq!(server.workplace.files(), ["huggingface"; 0]);
    }
}

#[test]
fn what_takes_longer_than_the_drain_is_cut_off() {
    let mut server = Running::start(&["--drain-timeout=0"]);
    let body = json!({ "prompt": CAPTION, "n": 10, "decoder_num_inference_steps": 1000 });
    let answer = thread::scope(|scope| {
        let asked = scope.spawn(|| server.post_json("/v1/images/generations", &body));
        while server.queue().1 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        send("-TERM", &server.child);
        asked.join().unwrap()
    });
    assert_eq!(answer.error(503)["code"], "draining");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_request_ends_at_its_deadline() {
    let server = Running::start(&["--deadline=1"]);
    let body = json!({ "prompt": CAPTION, "n": 10, "decoder_num_inference_steps": 1000 });
    assert_eq!(
        server.post_json("/v1/images/generations", &body).error(504)["code"],
        "deadline_exceeded"
    );
    server.wait_until_idle();
    server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
}

#[test]
fn models_are_loaded_on_demand_and_the_oldest_goes() {
    let server = Running::start(&["--model=b=model", "--model=c=model", "--models=2"]);
    let loaded = || {
        let capabilities = server.get("/v1/capabilities").ok();
        let models = capabilities["models"].as_array().unwrap().clone();
        models
            .into_iter()
            .filter(|model| model["loaded"] == true)
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(loaded(), ["tiny"]);
    let draw = |model: &str| {
        server
            .post_json(
                "/v1/images/generations",
                &fast(CAPTION, json!({ "model": model, "seed": 1 })),
            )
            .images()
    };
    let first = draw("tiny");
    assert_eq!(draw("b"), first);
    assert_eq!(loaded(), ["tiny", "b"]);
    assert_eq!(draw("tiny"), first);
    assert_eq!(draw("c"), first);
    assert_eq!(loaded(), ["tiny", "c"], "b was not used for longest");
    assert_eq!(draw("b"), first);
}

#[test]
fn damaged_weights_are_answered_and_the_server_goes_on() {
    let place = Workplace::new();
    crate::pipeline::copy_folder(&place.path("model"), &place.path("damaged"));
    let weights = place.path("damaged/prior/diffusion_pytorch_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[start..]
        .chunks_exact_mut(4)
        .for_each(|number| number.copy_from_slice(&f32::NAN.to_le_bytes()));
    fs::write(&weights, bytes).unwrap();
    let server = Running::start_in(place, &["--model=tiny=model", "--model=damaged=damaged"]);
    let ask = |model: &str| {
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({ "model": model })))
    };
    let error = ask("damaged").error(500);
    assert_eq!(error["code"], "model_error");
    assert!(!error["message"].as_str().unwrap().contains('/'), "no path: {error}");
    ask("tiny").ok();
}

#[test]
fn without_memory_a_request_is_answered_507_and_the_next_is_drawn() {
    let server = Running::start_in(Workplace::new(), &["--model=builtin:unclip"]);
    let ask = |n: u64, candidates: u64| {
        let body = json!({ "prompt": "a red boat", "n": n, "candidates": candidates });
        server.post_json("/v1/images/generations", &body)
    };
    ask(1, 1).ok();
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    let size: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // A connection's thread has its stack, whether or not that of the last one is free again.
    limit_memory(&server.child, Some((size + (8 << 10)) * 1024));
    let answer = ask(10, 40);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (507, &json!("out_of_memory")));
    limit_memory(&server.child, None);
    ask(1, 1).ok();
}

#[test]
fn a_panic_of_the_worker_is_answered_500_and_the_next_request_is_drawn() {
    let (opened, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let model = |name: &'static str, panics: bool| {
        let opened = Arc::clone(&opened);
        let open = move || {
            // The server opens each once to see that it draws.
            let is_second = panics && opened.fetch_add(1, Ordering::Relaxed) == 1;
            assert!(!is_second, "planted");
            let pipeline = crate::pipeline::open("deep");
            let record = Record {
                version: String::new(),
                command: "serve".to_owned(),
                caption: None,
                seed: 0,
                settings: pipeline.defaults()?,
                arguments: serde_json::Map::new(),
                dtype: "f32".to_owned(),
                device: "cpu".to_owned(),
                model: "0".repeat(64),
                prior: None,
            };
            Ok(OpenedModel { pipeline, record })
        };
        ServedModel { name: name.to_owned(), batch: 1, open: Box::new(open) }
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = ServerOptions { address, ..ServerOptions::default() };
    let server =
        Server::bind(options, vec![model("sound", false), model("fragile", true)]).unwrap();
    let address = server.address().to_string();
    let stopped = Arc::clone(&stop);
    let served = thread::spawn(move || server.run(once(move || stopped.load(Ordering::Relaxed))));
    let client = Client { address };
    while client.get("/readyz").status != 200 {
        thread::sleep(Duration::from_millis(5));
    }
    let ask = |model: &str| {
        client.post_json(
            "/v1/images/generations",
            &fast(CAPTION, json!({ "model": model, "seed": 1 })),
        )
    };
    ask("sound").ok();
    assert_eq!(ask("fragile").error(500)["type"], "server_error");
    assert_eq!(ask("fragile").ok()["data"].as_array().unwrap().len(), 1);
    let metrics = String::from_utf8(client.get("/metrics").body).unwrap();
    assert!(metrics.contains("unclip_worker_panics_total 1"), "{metrics}");
    stop.store(true, Ordering::Relaxed);
    served.join().unwrap().unwrap();
}

#[test]
fn a_full_disk_keeps_no_picture_from_its_client() {
    let place = Workplace::new();
    let server = Running::start_in(place, &["--model=tiny=model", "--gallery=gallery"]);
    server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
    assert_eq!(fs::read_dir(server.workplace.path("gallery")).unwrap().count(), 1);
    limit_files(&server.child, 10);
    server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
    let names = || {
        fs::read_dir(server.workplace.path("gallery"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    assert_eq!(names().len(), 1, "nothing half written: {:?}", names());
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("unclip_unsaved_images_total 1"), "{metrics}");
}

#[test]
fn logs_have_no_captions_unless_asked() {
    for (more, says) in [(&[][..], false), (&["--log-captions"], true)] {
        let place = Workplace::new();
        let mut command =
            place.command(&[&["serve", "--port=0", "--model=tiny=model"], more].concat());
        let log = fs::File::create(place.path("log")).unwrap();
        command.env("UNCLIP_LOG", "info").stdout(std::process::Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_owned();
        let mut server = Running { child, client: Client { address }, workplace: place };
        while server.get("/readyz").status != 200 {
            thread::sleep(Duration::from_millis(5));
        }
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
        assert_eq!(server.terminate(), Some(0));
        let log = fs::read_to_string(server.workplace.path("log")).unwrap();
        assert!(log.contains("/v1/images/generations") && log.contains("status=200"), "{log}");
        assert_eq!(log.contains(CAPTION), says, "{log}");
    }
}

#[test]
fn a1111s_clients_find_what_they_touch() {
    let server = Running::start(&["--a1111"]);
    // As LibreChat, Open WebUI and SillyTavern ask.
    let body = json!({ "prompt": CAPTION, "negative_prompt": "blurry", "cfg_scale": 4.5, "steps": 2, "width": 64, "height": 64, "seed": 3 });
    let answer = server.post_json("/sdapi/v1/txt2img", &body).ok();
    let image = super::base64(answer["images"][0].as_str().unwrap());
    assert_eq!(super::decode(&image).dimensions(), (64, 64));
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!((&info["seed"], &info["width"]), (&json!(3), &json!(64)));
    assert!(info["infotexts"][0].as_str().unwrap().contains("Seed: 3"));
    assert_eq!(server.get("/sdapi/v1/options").ok()["sd_model_checkpoint"], "tiny");
    assert_eq!(server.get("/sdapi/v1/sd-models").ok()[0]["title"], "tiny");
    server.post_json("/sdapi/v1/options", &json!({ "sd_model_checkpoint": "tiny" })).ok();
    server.post_json("/sdapi/v1/options", &json!({ "sd_model_checkpoint": "other" })).error(404);
    assert!(server.get("/sdapi/v1/progress").ok()["state"]["job_count"].is_u64());
    for list in
        ["samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae", "sd-modules"]
    {
        assert!(server.get(&format!("/sdapi/v1/{list}")).ok().is_array(), "{list}");
    }
    server.post_json("/sdapi/v1/interrupt", &json!({})).ok();
    let encoded = answer["images"][0].as_str().unwrap();
    let info = server
        .post_json(
            "/sdapi/v1/png-info",
            &json!({ "image": format!("data:image/png;base64,{encoded}") }),
        )
        .ok();
    assert!(info["info"].as_str().unwrap().contains("Seed: 3"));
    let varied = json!({ "init_images": [encoded], "steps": 2, "denoising_strength": 0.75 });
    assert_eq!(
        server.post_json("/sdapi/v1/img2img", &varied).ok()["images"].as_array().unwrap().len(),
        1
    );
    server.post_json("/sdapi/v1/img2img", &json!({ "prompt": CAPTION })).error(400);
    assert_eq!(Running::start(&[]).get("/sdapi/v1/options").status, 404);
}
