//! Proxies, and the hosts that need none.

use std::fmt;

use ureq::Proxy;

use crate::Error;

/// Addresses of proxies. They may hold a password, so that `Debug` shows none.
#[derive(Clone, Default)]
pub struct Proxies {
    /// Of requests by https: `HTTPS_PROXY`, else `ALL_PROXY`.
    pub https: Option<String>,
    /// Of requests by http: `HTTP_PROXY`, else `ALL_PROXY`.
    pub http: Option<String>,
    /// Hosts that are asked without one, with commas between them: `NO_PROXY`.
    pub none: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_struct("Proxies").field("none", &self.none).finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxy of a request to this host, `None` where it goes there itself.
    pub(crate) fn of(&self, is_https: bool, host: &str) -> Result<Option<Proxy>, Error> {
        let (name, address) = match is_https {
            true => ("HTTPS_PROXY or ALL_PROXY", &self.https),
            false => ("HTTP_PROXY or ALL_PROXY", &self.http),
        };
        let address = match address {
            Some(address) if !self.is_excepted(host) => address,
            _ => return Ok(None),
        };
        let proxy = Proxy::new(address).ok().filter(|proxy| {
            matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https)
        });
        let problem = "names no proxy that works here: http://HOST:PORT is one";
        proxy.map(Some).ok_or_else(|| Error::Setting { name, problem: problem.to_owned() })
    }

    /// Whether `NO_PROXY` has the host: itself, a domain that it lies in, or `*`.
    fn is_excepted(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let entries = self.none.iter().flat_map(|none| none.split(','));
        let mut entries = entries.map(|entry| entry.trim().to_ascii_lowercase());
        entries.any(|entry| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            let inside = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
            entry == "*" || !domain.is_empty() && (host == domain || inside)
        })
    }
}
