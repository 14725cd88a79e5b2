//! Requests that are tried again: which, how often, and after how long.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, StatusCode};

use crate::Error;

/// The most requests for one thing in a row that bring nothing.
pub(crate) const ATTEMPTS: u32 = 5;
/// The longest pause that a server may ask for.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The time between two looks at whether to go on.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Says whether to go on, while something is waited for.
pub(crate) type Wait<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// Waits for so long.
pub(crate) fn pause(duration: Duration, wait: Wait) -> Result<(), Error> {
    let end = Instant::now() + duration;
    loop {
        if wait().is_break() {
            return Err(Error::Interrupted);
        }
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return Ok(()),
            left => thread::sleep(left.min(LOOK)),
        }
    }
}

/// The pause before the next request, after so many that brought nothing.
pub(crate) fn backoff(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

/// Whether the same request may succeed later.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The pause that a server asks for: `Retry-After: 30`, or the Hub's `RateLimit: "api";r=0;t=30`.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let after = header("retry-after").and_then(|value| value.trim().parse().ok());
    let limit =
        header("ratelimit").filter(|value| value.split(';').any(|part| part.trim() == "r=0"));
    let reset = limit.and_then(|value| {
        value.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok())
    });
    after.or(reset).map(Duration::from_secs)
}

/// Whether a connection that failed so may succeed the next time: not where there is no such host, no server, or no trust.
pub(crate) fn may_succeed(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut
                | ErrorKind::Interrupted
                | ErrorKind::WouldBlock
        ),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => false,
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) | ureq::Error::BodyStalled => true,
        _ => false,
    }
}
