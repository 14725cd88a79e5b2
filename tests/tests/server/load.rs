//! Many clients at once: every picture is that of its request alone, a full queue refuses, and clients that hang up cost nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Answer, Form, Running, decode, fast, png, request};
use crate::command::CAPTION;
use crate::requests::is_same;

/// Kinds of requests, each with a seed of its own.
const KINDS: usize = 4;

/// A number of each push, or the one that a variable says, for nights.
pub(super) fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn count() -> usize {
    number("UNCLIP_SERVER_REQUESTS", 500)
}

/// Asks for a kind of pictures with a seed.
fn ask(server: &Running, kind: usize, seed: usize) -> Answer {
    let seed_text = seed.to_string();
    let image = png(20 + seed as u32 % 5, 20);
    let form = Form::default().text("seed", &seed_text).fast();
    match kind {
        0 => server.post_json("/v1/images/generations", &fast(CAPTION, json!({ "seed": seed }))),
        1 => server.post_form("/v1/images/variations", &form.file("image", &image)),
        2 => {
            let body = fast(
                "",
                json!({ "seed": seed, "prompt_a": CAPTION, "prompt_b": "a house", "frames": 2, "prompt": null }),
            );
            server.post_json("/v1/images/interpolations", &body)
        }
        _ => server.post_json("/v1/embeddings", &json!({ "input": [format!("{CAPTION} {seed}")] })),
    }
}

/// The part of an answer that depends on its request alone.
fn essence(answer: &Answer) -> Vec<Vec<u8>> {
    match answer.ok()["object"].as_str() {
        Some(_) => vec![answer.ok()["data"][0]["embedding"].to_string().into_bytes()],
        None => answer.images(),
    }
}

/// Sends mixed requests from 64 threads, and hands each answer on with its kind and seed.
fn load(
    server: &Running,
    count: usize,
    seeds: usize,
    check: impl Fn(usize, usize, &Answer) + Sync,
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    // Knuth's multiplicative hash mixes them.
                    let mixed = n.wrapping_mul(2_654_435_761) >> 7;
                    let (kind, seed) = (mixed % KINDS, mixed / KINDS % seeds);
                    check(kind, seed, &ask(server, kind, seed));
                }
            });
        }
    });
}

fn alone(server: &Running, seeds: usize) -> BTreeMap<(usize, usize), Vec<Vec<u8>>> {
    let all = (0..KINDS).flat_map(|kind| (0..seeds).map(move |seed| (kind, seed)));
    all.map(|(kind, seed)| ((kind, seed), essence(&ask(server, kind, seed)))).collect()
}

#[test]
fn every_picture_under_load_is_that_of_its_request_alone() {
    let server = Running::start(&["--queue=64", "--batch=1"]);
    let alone = alone(&server, 6);
    let wrong = AtomicUsize::new(0);
    let after_100 = server.memory();
    load(&server, count(), 6, |kind, seed, answer| {
        if essence(answer) != alone[&(kind, seed)] {
            wrong.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
    // Not a bar, which the benchmark has: pictures that pile up would show.
    let after = server.memory();
    assert!(after < after_100 + 300.0, "{after_100} MB, then {after} MB");
}

#[test]
fn in_batches_every_picture_is_the_same_but_for_rounding() {
    let server = Running::start(&["--queue=64", "--batch=4"]);
    let alone = alone(&server, 6);
    let wrong = AtomicUsize::new(0);
    load(&server, count() / 2, 6, |kind, seed, answer| {
        let images = essence(answer);
        let same = match kind {
            3 => images == alone[&(kind, seed)],
            _ => images
                .iter()
                .zip(&alone[&(kind, seed)])
                .all(|(one, other)| is_same(&decode(one), &decode(other))),
        };
        wrong.fetch_add(usize::from(!same), Ordering::Relaxed);
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let batches = |le: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("unclip_batch_images_bucket{{le=\"{le}\"")));
        line.unwrap().split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert!(batches("4.0") > batches("1.0"), "requests were drawn together: {metrics}");
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let server = Running::start(&["--queue=2"]);
    let body = json!({ "prompt": CAPTION, "n": 4, "decoder_num_inference_steps": 100, "response_format": "url" });
    let statuses: Vec<(u16, Option<String>)> = thread::scope(|scope| {
        let ask = || {
            let answer = server.post_json("/v1/images/generations", &body);
            if answer.status == 429 {
                assert_eq!(answer.error(429)["code"], "queue_full");
            }
            (answer.status, answer.header("retry-after").map(str::to_owned))
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |status: u16| statuses.iter().filter(|(other, _)| *other == status).count();
    assert_eq!(count(200) + count(429), 16, "{statuses:?}");
    // Two wait, and one more is drawn where the first was taken from the queue before the others came.
    assert!(count(200) >= 2 && count(429) >= 8, "{statuses:?}");
    for (status, retry_after) in &statuses {
        let seconds = retry_after.as_ref().map(|seconds| seconds.parse::<u64>().unwrap());
        assert_eq!(seconds.is_some_and(|seconds| (1..=600).contains(&seconds)), *status == 429);
    }
}

#[test]
fn ten_times_the_capacity_is_refused_in_order_and_the_memory_stays() {
    let server = Running::start(&["--queue=4"]);
    let body = fast(CAPTION, json!({ "response_format": "url" }));
    let start = Instant::now();
    server.post_json("/v1/images/generations", &body).ok();
    let end = Instant::now() + Duration::from_secs(number("UNCLIP_SERVER_SECONDS", 5) as u64);
    let statuses = std::sync::Mutex::new(BTreeMap::<u16, usize>::new());
    let before = server.memory();
    thread::scope(|scope| {
        // One is worked on and four wait: fifty clients are ten times as many.
        for _ in 0..50 {
            scope.spawn(|| {
                while Instant::now() < end {
                    let status = server.post_json("/v1/images/generations", &body).status;
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
    });
    let statuses = statuses.into_inner().unwrap();
    assert!(statuses.keys().all(|status| [200, 429, 503].contains(status)), "{statuses:?}");
    assert!(statuses[&200] > 10 && statuses[&429] > 10, "{statuses:?} in {:?}", start.elapsed());
    server.wait_until_idle();
    let after = server.memory();
    assert!(after < before + 200.0, "{before} MB, then {after} MB");
    // Requests that were refused are not waited for.
    let mut server = server;
    let asked = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn a_client_that_hangs_up_frees_its_place_within_a_step() {
    let server = Running::start(&["--queue=4"]);
    let body =
        json!({ "prompt": CAPTION, "n": 10, "decoder_num_inference_steps": 1000 }).to_string();
    for n in 0..number("UNCLIP_SERVER_HANGUPS", 100) as u64 {
        let mut stream = server.connect();
        let bytes = request(
            &server.address,
            "POST",
            "/v1/images/generations",
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        // Some hang up in the middle of what they say.
        let sent = if n % 5 == 0 { bytes.len() / 2 } else { bytes.len() };
        stream.write_all(&bytes[..sent]).unwrap();
        thread::sleep(Duration::from_millis(n * 7 % 23));
        drop(stream);
    }
    let end = Instant::now() + Duration::from_secs(10);
    while server.queue() != (0, 0) {
        assert!(Instant::now() < end, "places are still taken: {:?}", server.queue());
        thread::sleep(Duration::from_millis(5));
    }
    server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
}

#[test]
fn slow_bodies_hold_up_nobody() {
    let server = Running::start(&[]);
    let head = request(
        &server.address,
        "POST",
        "/v1/images/generations",
        &[("Content-Type", "application/json"), ("Content-Length", "1000")],
        b"",
    );
    let mut slow: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        // Half of them have not even said what they want.
        stream.write_all(if n % 2 == 0 { &head } else { b"POST /v1/ima" }).unwrap();
    }
    for _ in 0..5 {
        slow.iter_mut().for_each(|stream| _ = stream.write_all(b" "));
        server.post_json("/v1/images/generations", &fast(CAPTION, json!({}))).ok();
    }
}

#[test]
fn chunks_of_a_byte_are_read() {
    let server = Running::start(&[]);
    let body = fast(CAPTION, json!({})).to_string();
    let mut chunked = Vec::new();
    for byte in body.bytes() {
        chunked.extend_from_slice(&[b"1\r\n", &[byte][..], b"\r\n"].concat());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut stream = server.connect();
    let head = format!(
        "POST /v1/images/generations HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(&[head.as_bytes(), &chunked].concat()).unwrap();
    Answer::read(&mut stream).ok();
}

#[test]
fn values_of_json_are_as_deep_as_they_like() {
    let server = Running::start(&[]);
    let deep = format!("{{\"prompt\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let answer = server.send(
        "POST",
        "/v1/images/generations",
        &[("Content-Type", "application/json")],
        deep.as_bytes(),
    );
    answer.error(400);
    let many: serde_json::Map<String, Value> =
        (0..300).map(|n| (format!("field{n}"), json!(n))).collect();
    server.post_json("/v1/images/generations", &Value::Object(many)).error(400);
}
