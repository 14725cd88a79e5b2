//! The requests and answers of the small Hub, as HTTP/1.1 writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET`, `HEAD` or `CONNECT`.
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) target: String,
    /// The headers, with their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// A header's value, and nothing where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer in the place of the usual one.
#[derive(Clone)]
pub(crate) enum Reply {
    /// This status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The usual answer, and the connection ends after so many bytes of its body.
    Cut(usize),
    /// The usual answer, of the whole file, whatever range was asked for.
    WithoutRange,
    /// The usual answer's headers, with these bytes in the place of its body's.
    Body(Vec<u8>),
    /// The usual answer after so long.
    Late(Duration),
}

/// An answer before it is written.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self { status, headers, body: body.into() }
    }

    /// A refusal as the Hub writes it.
    pub(super) fn refusal(status: u16, code: &'static str, message: &str) -> Self {
        let headers =
            vec![("X-Error-Code", code.to_owned()), ("X-Error-Message", message.to_owned())];
        Self::new(status, headers, message)
    }
}

pub(super) fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.by_ref().take(1 << 16).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first().map_or("", String::as_str).split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Ok(Some(Request { method, target, headers: headers.collect() }))
}

pub(super) fn write_answer(
    stream: &mut TcpStream,
    request: &Request,
    reply: Option<Reply>,
    usual: Answer,
) -> std::io::Result<()> {
    let mut answer = usual;
    let mut end = usize::MAX;
    let is_ranged = !matches!(reply, Some(Reply::WithoutRange | Reply::Answer(..)));
    match reply {
        Some(Reply::Answer(status, headers, body)) => answer = Answer { status, headers, body },
        Some(Reply::Cut(bytes)) => end = bytes,
        Some(Reply::Body(body)) => answer.body = body,
        Some(Reply::Late(time)) => thread::sleep(time),
        Some(Reply::WithoutRange) | None => {}
    }
    let range =
        request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    if let (200, true, Some(first)) =
        (answer.status, is_ranged, range.and_then(|r| r.parse::<usize>().ok()))
    {
        let length = answer.body.len();
        match first < length {
            true => {
                answer.status = 206;
                answer
                    .headers
                    .push(("Content-Range", format!("bytes {first}-{}/{length}", length - 1)));
                answer.body.drain(..first);
            }
            false => {
                answer = Answer::new(416, vec![("Content-Range", format!("bytes */{length}"))], "")
            }
        }
    }
    let mut head = format!("HTTP/1.1 {} As a test says\r\n", answer.status);
    if !answer
        .headers
        .iter()
        .any(|(name, _)| *name == "Transfer-Encoding" || *name == "Content-Length")
    {
        let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body[..answer.body.len().min(end)])?;
    }
    stream.flush()
}
