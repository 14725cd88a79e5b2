//! The server as its clients meet it: the real binary over a tiny model, and requests byte by byte.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::command::Workplace;
use crate::command::interrupts::send;

mod access;
mod documents;
mod images_api;
mod jobs;
mod load;
mod operation;
mod uploads;

/// Steps that a tiny model takes no time for.
const FAST: [(&str, u64); 3] = [
    ("prior_num_inference_steps", 2),
    ("decoder_num_inference_steps", 2),
    ("super_res_num_inference_steps", 2),
];

/// A server over the tiny model `deep`, which ends with this value.
struct Running {
    child: Child,
    client: Client,
    workplace: Workplace,
}

/// A client of the server at an address.
struct Client {
    address: String,
}

/// A server's answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// In lower case.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Running {
    /// Starts `unclip serve` with the tiny model and these arguments, and waits until it is ready.
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(Workplace::new(), &[&["--model", "tiny=model"], arguments].concat())
    }

    /// Starts it in a workplace, with no argument but these.
    fn start_in(workplace: Workplace, arguments: &[&str]) -> Self {
        let server = Self::listen(workplace, arguments);
        let end = Instant::now() + Duration::from_secs(60);
        while server.get("/readyz").status != 200 {
            assert!(Instant::now() < end, "the server is not ready after a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Starts it and waits until it listens.
    fn listen(workplace: Workplace, arguments: &[&str]) -> Self {
        let mut command = workplace.command(&[&["serve", "--port=0"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_default().to_owned();
        if address.is_empty() {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the server did not start: {error}");
        }
        Self { child, client: Client { address }, workplace }
    }

    /// Peak and present memory of the process in MB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Jobs that wait and jobs that are worked on.
    fn queue(&self) -> (u64, u64) {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let number = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (number("unclip_queue_length "), number("unclip_running "))
    }

    /// Waits until nothing waits and nothing is worked on.
    fn wait_until_idle(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.queue() != (0, 0) {
            assert!(Instant::now() < end, "the server is still at work: {:?}", self.queue());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGTERM and waits for the exit code.
    fn terminate(&mut self) -> Option<i32> {
        send("-TERM", &self.child);
        self.child.wait().unwrap().code()
    }
}

impl Client {
    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    fn post_form(&self, path: &str, form: &Form) -> Answer {
        let (content_type, body) = form.encode();
        self.send("POST", path, &[("Content-Type", &content_type)], &body)
    }

    /// Sends a request, whose host is the server's unless `headers` have another, and reads the answer.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses early may not read the body.
        let _ = stream.write_all(&request(&self.address, method, path, headers, body));
        Answer::read(&mut stream)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }
}

impl Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a request that asks for the connection to be closed.
fn request(host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !has("host") {
        head += &format!("Host: {host}\r\n");
    }
    if !has("content-length") && method != "GET" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    [head.as_bytes(), b"\r\n", body].concat()
}

impl Answer {
    /// Reads until the server closes the connection.
    fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        };
        let headers: Vec<(String, String)> = lines.filter_map(header).collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Some(Self { status, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The JSON of an answer that is one.
    fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }

    /// The error object, which has all its keys, of an answer with this status.
    fn error(&self, status: u16) -> Value {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{body}");
        let error = &self.json()["error"];
        let keys: Vec<&String> = error.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["code", "message", "param", "type"]);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        error.clone()
    }

    /// The bytes of the images in an answer.
    fn images(&self) -> Vec<Vec<u8>> {
        let answer = self.ok();
        let data = answer["data"].as_array().unwrap();
        data.iter().map(|datum| base64(datum["b64_json"].as_str().unwrap())).collect()
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
        let chunk = &rest[end + 2..];
        if length == 0 || chunk.len() < length {
            break;
        }
        body.extend_from_slice(&chunk[..length]);
        rest = chunk.get(length + 2..).unwrap_or_default();
    }
    body
}

fn base64(text: &str) -> Vec<u8> {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A multipart form.
#[derive(Clone, Default)]
struct Form {
    body: Vec<u8>,
}

const BOUNDARY: &str = "a-boundary-that-no-part-has";

impl Form {
    fn text(mut self, name: &str, value: &str) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        self.body.extend_from_slice(head.as_bytes());
        self
    }

    fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
        );
        self.body.extend_from_slice(&[head.as_bytes(), bytes, b"\r\n"].concat());
        self
    }

    /// The same with few steps.
    fn fast(self) -> Self {
        FAST.iter().fold(self, |form, (name, steps)| form.text(name, &steps.to_string()))
    }

    fn encode(&self) -> (String, Vec<u8>) {
        let body = [&self.body[..], format!("--{BOUNDARY}--\r\n").as_bytes()].concat();
        (format!("multipart/form-data; boundary={BOUNDARY}"), body)
    }
}

/// A request for pictures of a caption in few steps, with more fields.
fn fast(caption: &str, more: Value) -> Value {
    let mut body = json!({ "prompt": caption });
    FAST.iter().for_each(|(name, steps)| body[*name] = (*steps).into());
    let Value::Object(more) = more else { panic!("an object is wanted") };
    more.into_iter().for_each(|(name, value)| body[name] = value);
    body
}

/// A PNG of a picture with a gradient.
fn png(width: u32, height: u32) -> Vec<u8> {
    let image =
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
    encode(&image.into())
}

fn encode(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A PNG that is transparent in its middle.
fn mask(width: u32, height: u32) -> Vec<u8> {
    let is_inside =
        |x, y| (width / 4..width * 3 / 4).contains(&x) && (height / 4..height * 3 / 4).contains(&y);
    let image = image::RgbaImage::from_fn(width, height, |x, y| {
        image::Rgba([0, 0, 0, if is_inside(x, y) { 0 } else { 255 }])
    });
    encode(&image.into())
}

fn decode(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).expect("a picture").into_rgb8()
}

/// The pixels that the command draws with these arguments, by a file that it writes.
fn drawn_by_command(workplace: &Workplace, arguments: &[&str]) -> RgbImage {
    let out = ["--model", "model", "--out", "by-command.png", "--force"];
    workplace.run(&[arguments, &out].concat()).succeeds();
    image::open(workplace.path("by-command.png")).unwrap().into_rgb8()
}
