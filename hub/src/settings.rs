//! The Hub's address, the token, the folder of the cache: as its Python client takes them from the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::whole_file;

use crate::{Error, Proxies, Token};

/// The longest timeout, a day in seconds.
const LONGEST_TIMEOUT: u64 = 86_400;

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
    /// The longest that a connection, or an answer's next bytes, are waited for: `HF_HUB_DOWNLOAD_TIMEOUT`.
    pub timeout: Duration,
    /// The first pause before a request is tried again; each next one is twice as long.
    pub pause: Duration,
    /// The proxies.
    pub proxies: Proxies,
    /// A file of certificates in the place of the system's: `SSL_CERT_FILE`.
    pub certificates: Option<PathBuf>,
}

/// The public Hub.
const ENDPOINT: &str = "https://huggingface.co";

impl Settings {
    /// The public Hub without a token, and a cache in this folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            endpoint: ENDPOINT.to_owned(),
            token: None,
            offline: false,
            timeout: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            proxies: Proxies::default(),
            certificates: None,
        }
    }

    /// Those of this process's environment.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Those of an environment.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let environment = Environment(&variable);
        let mut settings = Self::new(environment.cache()?);
        if let Some(endpoint) = environment.text("HF_ENDPOINT")? {
            settings.endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        settings.token = environment.token()?;
        // As in Python, the second is asked where the first is empty, not where it says no.
        settings.offline = match environment.text("HF_HUB_OFFLINE")? {
            Some(offline) => is_true(&offline),
            None => environment.is_true("TRANSFORMERS_OFFLINE")?,
        };
        if let Some(seconds) = environment.text("HF_HUB_DOWNLOAD_TIMEOUT")? {
            let whole =
                seconds.parse().ok().filter(|seconds| (1..=LONGEST_TIMEOUT).contains(seconds));
            settings.timeout = Duration::from_secs(whole.ok_or_else(|| Error::Setting {
                name: "HF_HUB_DOWNLOAD_TIMEOUT",
                problem: format!(
                    "is {}, and must be a number of seconds from 1 to {LONGEST_TIMEOUT}",
                    files::text::excerpt(&seconds)
                ),
            })?);
        }
        let either = |capital, small| {
            environment.text(capital).and_then(|value| match value {
                Some(value) => Ok(Some(value)),
                None => environment.text(small),
            })
        };
        let all = either("ALL_PROXY", "all_proxy")?;
        settings.proxies = Proxies {
            https: either("HTTPS_PROXY", "https_proxy")?.or_else(|| all.clone()),
            http: either("HTTP_PROXY", "http_proxy")?.or(all),
            none: either("NO_PROXY", "no_proxy")?,
        };
        settings.certificates = environment.path("SSL_CERT_FILE");
        Ok(settings)
    }
}

/// Variables by their names; an empty one is as none.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Environment<'_> {
    fn text(&self, name: &'static str) -> Result<Option<String>, Error> {
        let value = (self.0)(name).filter(|value| !value.is_empty());
        value
            .map(OsString::into_string)
            .transpose()
            .map_err(|_| Error::Setting { name, problem: "is no UTF-8".to_owned() })
    }

    fn is_true(&self, name: &'static str) -> Result<bool, Error> {
        Ok(self.text(name)?.is_some_and(|value| is_true(&value)))
    }

    /// A path, whose `~` at its beginning is the user's folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from((self.0)(name).filter(|value| !value.is_empty())?);
        match (path.strip_prefix("~"), (self.0)("HOME")) {
            (Ok(rest), Some(user)) => Some(Path::new(&user).join(rest)),
            _ => Some(path),
        }
    }

    /// The folder of all that Hugging Face's tools write.
    fn home(&self) -> Result<PathBuf, Error> {
        let cache =
            || self.path("XDG_CACHE_HOME").or_else(|| Some(self.path("HOME")?.join(".cache")));
        let home = self.path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
        home.ok_or(Error::NoCache)
    }

    fn cache(&self) -> Result<PathBuf, Error> {
        match self.path("HF_HUB_CACHE").or_else(|| self.path("HUGGINGFACE_HUB_CACHE")) {
            Some(cache) => Ok(cache),
            None => Ok(self.home()?.join("hub")),
        }
    }

    fn token(&self) -> Result<Option<Token>, Error> {
        if self.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")? {
            return Ok(None);
        }
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let Some(text) = self.text(name)?.filter(|text| !text.trim().is_empty()) {
                let problem =
                    "is no token of the Hub: those are letters, digits and `_` alone".to_owned();
                return Token::new(&text).map(Some).ok_or(Error::Setting { name, problem });
            }
        }
        let file = match self.path("HF_TOKEN_PATH") {
            Some(file) => file,
            // Without a home there is no file.
            None => match self.home() {
                Ok(home) => home.join("token"),
                Err(_) => return Ok(None),
            },
        };
        match whole_file::read(&file, 1 << 12) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(None),
            Ok(bytes) => {
                let token = std::str::from_utf8(&bytes).ok().and_then(Token::new);
                let reason = || {
                    std::io::Error::other("it holds no token of the Hub: `hf auth login` writes it")
                };
                token.map(Some).ok_or_else(|| Error::io("read", &file)(reason()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &file)(error)),
        }
    }
}

/// The values that Python's client takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}
