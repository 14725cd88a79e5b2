//! Requests to the Hub: the token stays with the Hub's own host, and what may succeed later is tried again.

use std::fmt::Write;

use files::contents::{self, Contents};
use files::{json, whole_file};
use serde::de::DeserializeOwned;
use tracing::debug;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::retry::{
    ATTEMPTS, LONGEST_PAUSE, Wait, asked, backoff, is_transient, may_succeed, pause,
};
use crate::url::{self, Origin};
use crate::{Error, Repository, Settings};

/// The most redirects of one request.
const REDIRECTS: usize = 10;

/// Requests with these settings.
pub(crate) struct Client<'a> {
    pub(crate) settings: &'a Settings,
    endpoint: Origin,
    agent: Agent,
}

/// A request's subject, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) repository: &'a Repository,
    /// The commit and the path, where it is about a file.
    pub(crate) file: Option<(&'a str, &'a str)>,
}

/// An answer, and where it came from at last.
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) response: Response<Body>,
}

impl Answer {
    pub(crate) fn is_page(&self) -> bool {
        self.response.body().mime_type().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
    }
}

/// A request without an answer.
enum Failure {
    Connection(ureq::Error, String),
    Final(Error),
}

impl<'a> Client<'a> {
    /// Opens no socket.
    pub(crate) fn new(settings: &'a Settings) -> Result<Self, Error> {
        let endpoint = endpoint(&settings.endpoint)?;
        let timeout = Some(settings.timeout);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("unclip/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_per_read(timeout)
            .timeout_per_write(timeout)
            .tls_config(TlsConfig::builder().root_certs(roots(settings)?).build())
            .proxy(None)
            .build();
        Ok(Self { settings, endpoint, agent: config.new_agent() })
    }

    /// The Hub's host, for messages.
    pub(crate) fn hub(&self) -> String {
        url::shown(&self.settings.endpoint)
    }

    /// The answer to a request for what is at `url`, from byte `from` on: a success, or that there is no such byte.
    pub(crate) fn get(
        &self,
        url: &str,
        from: u64,
        subject: Subject,
        wait: Wait,
    ) -> Result<Answer, Error> {
        let mut failures = 0;
        loop {
            let outcome = self.follow(url, from);
            failures += 1;
            let delay = match outcome {
                Ok(answer) => {
                    let status = answer.response.status();
                    if status.is_success()
                        || from > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE
                    {
                        return Ok(answer);
                    }
                    let asked = asked(answer.response.headers());
                    let short = asked.is_none_or(|asked| asked <= LONGEST_PAUSE);
                    if !is_transient(status) || failures == ATTEMPTS || !short {
                        return Err(self.refusal(&answer, subject, failures));
                    }
                    asked.unwrap_or_else(|| backoff(self.settings.pause, failures))
                }
                Err(Failure::Connection(error, _))
                    if may_succeed(&error) && failures < ATTEMPTS =>
                {
                    backoff(self.settings.pause, failures)
                }
                Err(Failure::Connection(error, url)) => return Err(self.unreachable(&error, &url)),
                Err(Failure::Final(error)) => return Err(error),
            };
            debug!(url = url::shown(url), failures, ?delay, "the Hub is asked again");
            pause(delay, wait)?;
        }
    }

    /// A JSON answer, and its headers.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        url: &str,
        subject: Subject,
    ) -> Result<(T, HeaderMap), Error> {
        let wait: Wait = &mut || std::ops::ControlFlow::Continue(());
        let mut failures = 0;
        let (bytes, headers, url) = loop {
            let answer = self.get(url, 0, subject, wait)?;
            let (parts, body) = answer.response.into_parts();
            let bytes = body.into_with_config().limit(whole_file::LONGEST_TEXT).read_to_vec();
            failures += 1;
            match bytes {
                Ok(bytes) => break (bytes, parts.headers, answer.url),
                Err(error) if may_succeed(&error) && failures < ATTEMPTS => {
                    pause(backoff(self.settings.pause, failures), wait)?;
                }
                Err(error) => return Err(self.unreachable(&error, &answer.url)),
            }
        };
        if Contents::of(&bytes[..bytes.len().min(contents::ENOUGH)]) == Some(Contents::Html) {
            return Err(Error::NotTheHub { url: url::shown(&url) });
        }
        let problem = |error: json::JsonError| Error::Answer {
            url: url::shown(&url),
            problem: self.hide(&error.to_string()),
        };
        Ok((json::parse(&bytes, json::VOCABULARY).map_err(problem)?, headers))
    }

    /// Follows redirects.
    fn follow(&self, first: &str, from: u64) -> Result<Answer, Failure> {
        let mut url = first.to_owned();
        for _ in 0..=REDIRECTS {
            let response = self.send(&url, from)?;
            debug!(url = url::shown(&url), status = response.status().as_u16(), "an answer");
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer { url, response });
            }
            let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let next = location.map(|location| url::join(&url, location));
            let origin = next.as_deref().and_then(Origin::of);
            let downgrade = Origin::of(&url).is_some_and(|here| here.is_https)
                && origin.as_ref().is_some_and(|next| !next.is_https);
            url = match (next, origin) {
                (Some(next), Some(_)) if !downgrade => next,
                (next, _) => {
                    let next =
                        next.map_or("nowhere".to_owned(), |next| self.hide(&url::shown(&next)));
                    let problem = format!("it redirects to {next}, which is not followed");
                    return Err(Failure::Final(Error::Answer { url: url::shown(&url), problem }));
                }
            };
        }
        Err(Failure::Final(Error::Redirects { url: url::shown(first), most: REDIRECTS }))
    }

    /// One request. The token goes to the Hub's own scheme, host and port alone.
    fn send(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let origin = Origin::of(url).ok_or_else(|| {
            let problem = "it names an address that is none".to_owned();
            Failure::Final(Error::Answer { url: self.hub(), problem })
        })?;
        let proxy =
            self.settings.proxies.of(origin.is_https, &origin.host).map_err(Failure::Final)?;
        let request = self.agent.get(url).config().proxy(proxy).build();
        let mut request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.settings.token.as_ref().filter(|_| origin == self.endpoint) {
            request = request.header(header::AUTHORIZATION, token.authorization());
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| Failure::Connection(error, url.to_owned()))
    }

    /// An answer that is no success, as an error.
    fn refusal(&self, answer: &Answer, subject: Subject, attempts: u32) -> Error {
        let header = |name: &str| answer.response.headers().get(name)?.to_str().ok();
        let (status, url) = (answer.response.status(), url::shown(&answer.url));
        let repository = subject.repository.id();
        let with_token = self.settings.token.is_some();
        match (header("x-error-code").unwrap_or_default(), subject.file, status.as_u16()) {
            ("GatedRepo", ..) => {
                let page = format!("{}/{repository}", self.hub());
                Error::Gated { repository, page, with_token }
            }
            ("RevisionNotFound", ..) => {
                let revision = subject.repository.revision().to_owned();
                Error::RevisionNotFound { repository, revision }
            }
            ("EntryNotFound", Some((commit, path)), _) => Error::EntryNotFound {
                repository,
                commit: commit.to_owned(),
                path: path.to_owned(),
            },
            (code, _, 401) if with_token && code != "RepoNotFound" => {
                Error::TokenNotAccepted { hub: self.hub() }
            }
            // Whoever is not known is not told which repositories there are.
            ("RepoNotFound", ..) | (_, _, 401) => {
                Error::RepositoryNotFound { repository, hub: self.hub(), with_token }
            }
            _ if is_transient(status) => {
                let asked = asked(answer.response.headers()).map(|asked| asked.as_secs());
                let attempts = match attempts {
                    1 => "a request".to_owned(),
                    several => format!("{several} requests in a row"),
                };
                let wait =
                    asked.map_or(String::new(), |s| format!(", and asks to wait for {s} seconds"));
                Error::Busy { url, status: status.as_u16(), attempts, wait }
            }
            _ if answer.is_page() => Error::NotTheHub { url },
            _ => {
                let mut message = String::new();
                if let Some(words) = header("x-error-message") {
                    let words = files::text::excerpt(&self.hide(words));
                    let _ = write!(message, ": {words}");
                }
                Error::Status { url, status: status.as_u16(), message }
            }
        }
    }

    /// A connection that failed, as an error.
    pub(crate) fn unreachable(&self, error: &ureq::Error, url: &str) -> Error {
        let host = Origin::of(url).map_or_else(|| url::shown(url), |origin| origin.host);
        let seconds = self.settings.timeout.as_secs_f32();
        let certificates =
            ": where the network has certificates of its own, SSL_CERT_FILE names their file";
        let (reason, advice) = match error {
            ureq::Error::HostNotFound => {
                ("there is no such host".to_owned(), ": please check the network")
            }
            ureq::Error::Timeout(_) => {
                (format!("no answer for {seconds} seconds"), ": please try again later")
            }
            ureq::Error::Rustls(error) => (error.to_string(), certificates),
            ureq::Error::Io(error)
                if error.get_ref().is_some_and(|e| e.to_string().contains("certificate")) =>
            {
                (error.to_string(), certificates)
            }
            ureq::Error::Io(error) => (error.to_string(), ": please check the network"),
            ureq::Error::ConnectProxyFailed(reason) => (format!("the proxy refuses: {reason}"), ""),
            error => (error.to_string(), ""),
        };
        let reason = files::text::excerpt(&self.hide(&reason));
        Error::Unreachable { host, reason, advice: advice.to_owned() }
    }

    /// Someone else's words without the token.
    fn hide(&self, words: &str) -> String {
        self.settings.token.as_ref().map_or_else(|| words.to_owned(), |token| token.hide(words))
    }
}

/// The origin of the Hub's address.
pub(crate) fn endpoint(address: &str) -> Result<Origin, Error> {
    let origin = Origin::of(address).filter(|_| !address.contains(['@', '?', '#']));
    origin.ok_or_else(|| Error::Setting {
        name: "HF_ENDPOINT",
        problem: "must be the address of a Hub, as https://huggingface.co is".to_owned(),
    })
}

/// The certificates that are trusted: those of `SSL_CERT_FILE`, else the system's, and where it has none Mozilla's.
fn roots(settings: &Settings) -> Result<RootCerts, Error> {
    let loaded = match &settings.certificates {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    };
    match (&settings.certificates, loaded.certs.is_empty()) {
        (Some(file), true) => {
            let error = loaded.errors.first().map(ToString::to_string);
            let reason = error.unwrap_or_else(|| "it holds no certificate".to_owned());
            let problem = format!("names {}, which cannot be used: {reason}", file.display());
            Err(Error::Setting { name: "SSL_CERT_FILE", problem })
        }
        (None, true) => Ok(RootCerts::WebPki),
        (_, false) => {
            let certificates = loaded.certs.iter().map(|der| Certificate::from_der(der).to_owned());
            Ok(RootCerts::from(certificates.collect::<Vec<_>>()))
        }
    }
}
