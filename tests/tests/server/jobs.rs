//! Jobs: progress, previews, queue positions, cancelling, and answers that are kept.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Form, Running, fast, png, request};
use crate::command::CAPTION;

/// A request that takes a tiny model long enough to be met at work.
fn slow() -> Value {
    json!({ "task": "generations", "prompt": CAPTION, "n": 10, "decoder_num_inference_steps": 1000 })
}

impl Running {
    fn create(&self, body: &Value) -> String {
        let job = self.post_json("/v1/jobs", body).ok();
        assert_eq!(job["object"], "job");
        job["id"].as_str().unwrap().to_owned()
    }

    fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).ok()
    }

    /// A job's events until its stream ends.
    fn events(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/jobs/{id}/events"));
        let text = String::from_utf8(answer.body).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    fn cancel(&self, id: &str) -> Value {
        self.send("DELETE", &format!("/v1/jobs/{id}"), &[], b"").ok()
    }

    fn wait_for(&self, id: &str, status: &str) -> Value {
        for _ in 0..2000 {
            let job = self.job(id);
            if job["status"] == status {
                return job;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("job {id} is not {status}: {}", self.job(id));
    }
}

#[test]
fn a_job_shows_how_far_it_is_and_keeps_its_answer() {
    let server = Running::start(&[]);
    let mut body = fast(CAPTION, json!({ "seed": 4, "n": 2 }));
    body["task"] = "generations".into();
    let id = server.create(&body);
    let events = server.events(&id);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"job.progress") && kinds.last() == Some(&"job.completed"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "job.image").count(), 2);
    let stages: Vec<&str> = events.iter().filter_map(|event| event["stage"].as_str()).collect();
    assert!(
        stages.iter().all(|stage| ["prior", "decoder", "upsampler"].contains(stage)),
        "{stages:?}"
    );
    let job = server.job(&id);
    assert_eq!(job["status"], "completed");
    assert_eq!(job["result"], events.last().unwrap()["result"]);
    let plain = server
        .post_json("/v1/images/generations", &fast(CAPTION, json!({ "seed": 4, "n": 2 })))
        .ok();
    for n in 0..2 {
        assert_eq!(job["result"]["data"][n]["b64_json"], plain["data"][n]["b64_json"]);
    }
    // A stream of a job that is done says so at once.
    assert_eq!(server.events(&id).last().unwrap()["type"], "job.completed");
    assert_eq!(server.cancel(&id)["status"], "completed");
}

#[test]
fn every_task_can_be_a_job_and_wrong_ones_are_refused() {
    let server = Running::start(&[]);
    let image = Form::default().file("image", &png(24, 24)).text("task", "variations").fast();
    let image = server.post_form("/v1/jobs", &image);
    // A prior takes no part in variations.
    assert_eq!(image.ok()["task"], "variations");
    let way = json!({ "task": "interpolations", "prompt_a": "a house", "prompt_b": CAPTION, "frames": 2, "preset": "fast" });
    let id = server.create(&way);
    let job = server.wait_for(&id, "completed");
    let places: Vec<f64> = job["result"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|datum| datum["t"].as_f64().unwrap())
        .collect();
    assert_eq!(places, [0.0, 1.0]);
    for task in [json!(null), json!("nothing"), json!(5)] {
        let error =
            server.post_json("/v1/jobs", &json!({ "task": task, "prompt": CAPTION })).error(400);
        assert_eq!(error["param"], "task");
    }
    server.get("/v1/jobs/0123456789abcdef0123456789abcdef").error(404);
    server.get("/v1/jobs/x/events").error(404);
    server.send("DELETE", "/v1/jobs/x", &[], b"").error(404);
}

#[test]
fn a_cancelled_job_frees_its_place_at_once() {
    let server = Running::start(&[]);
    let (first, second, third) =
        (server.create(&slow()), server.create(&slow()), server.create(&slow()));
    server.wait_for(&first, "running");
    assert_eq!(
        (&server.job(&second)["position"], &server.job(&third)["position"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(server.cancel(&second)["status"], "cancelled");
    assert_eq!(server.job(&third)["position"], 1);
    assert_eq!(server.cancel(&first)["status"], "cancelled");
    server.wait_for(&third, "running");
    assert_eq!(server.events(&first).last().unwrap()["type"], "job.cancelled");
    server.cancel(&third);
    server.wait_until_idle();
}

#[test]
fn the_first_event_comes_at_once() {
    let server = Running::start(&[]);
    let id = server.create(&slow());
    let mut stream = server.connect();
    let asked = std::time::Instant::now();
    stream
        .write_all(&request(&server.address, "GET", &format!("/v1/jobs/{id}/events"), &[], b""))
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let event = lines.find(|line| line.starts_with("event:")).unwrap();
    assert!(event.contains("job."), "{event}");
    // No bar of speed, but an event that waited for the job would take far longer.
    assert!(asked.elapsed() < Duration::from_secs(5));
    server.cancel(&id);
}

#[test]
fn jobs_and_pictures_are_kept_for_a_time() {
    let server = Running::start(&["--keep=1", "--keep-jobs=2"]);
    let mut body = fast(CAPTION, json!({ "response_format": "url" }));
    body["task"] = "generations".into();
    let ids: Vec<String> = (0..3).map(|_| server.create(&body)).collect();
    server.get(&format!("/v1/jobs/{}", ids[0])).error(410);
    let job = server.wait_for(&ids[2], "completed");
    let address = job["result"]["data"][0]["url"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", server.address)).unwrap();
    assert_eq!(server.get(path).status, 200);
    std::thread::sleep(Duration::from_millis(1100));
    server.get(path).error(410);
    server.get(&format!("/v1/jobs/{}", ids[2])).error(410);
    let small = Running::start(&["--keep-bytes=2500"]);
    let first = small
        .post_json("/v1/images/generations", &fast(CAPTION, json!({ "response_format": "url" })))
        .ok();
    let address = first["data"][0]["url"].as_str().unwrap().to_owned();
    small
        .post_json("/v1/images/generations", &fast(CAPTION, json!({ "response_format": "url" })))
        .ok();
    small.get(address.strip_prefix(&format!("http://{}", small.address)).unwrap()).error(410);
}
