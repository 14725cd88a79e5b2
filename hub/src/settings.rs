//! The Hub's address, the token, the folder of the cache: as its Python client takes them from the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// Where repositories are, and where their files are put.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the cache, `HF_HUB_CACHE`.
    pub cache: PathBuf,
    /// The Hub's address, `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// `HF_TOKEN`, or what the token file holds.
    pub token: Option<Token>,
    /// No socket is opened: `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`.
    pub offline: bool,
    /// The longest that a connection, or an answer's next bytes, are waited for.
    pub timeout: Duration,
    /// The first pause before a request is tried again; each next one is twice as long.
    pub pause: Duration,
    /// The proxies.
    pub proxies: Proxies,
    /// Certificates in the place of the system's: `SSL_CERT_FILE`.
    pub certificates: Option<PathBuf>,
}

/// Addresses of proxies.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Of requests by https: `HTTPS_PROXY`, else `ALL_PROXY`.
    pub https: Option<String>,
    /// Of requests by http: `HTTP_PROXY`, else `ALL_PROXY`.
    pub http: Option<String>,
    /// Hosts that are asked without one, with commas between them: `NO_PROXY`.
    pub none: Option<String>,
}

/// A token of the Hub's. No message, log or `Debug` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("Token(..)")
    }
}

impl Settings {
    /// Those of this process's environment.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Those of an environment.
    pub fn from_variables(_variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        Err(Error::NoCache)
    }
}
