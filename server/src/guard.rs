//! Who may ask: the host that a request names, the page that it comes from, and its key.
//!
//! A page of another site can send requests to this machine without asking anybody: forms of the simple types and images need no
//! preflight, and a name that its owner points here makes it the same site (DNS rebinding). So the host must be one of this
//! server's own, and what changes something must come from a page of the same origin, or from no page.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::ApiError;
use crate::options::ServerOptions;

/// The policy of the page: nothing from elsewhere, and nothing that stands in the page itself runs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of answers that scripts of another origin may read.
const EXPOSED_HEADERS: &str = "retry-after, x-request-id, x-unclip-model, x-unclip-ignored, x-unclip-drawn-size, x-unclip-unknown-words";

/// The beginning of the addresses in an answer.
pub(crate) fn base(app: &App, headers: &HeaderMap) -> String {
    match &app.options.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", host(headers).unwrap_or("localhost")),
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Lets a request through or refuses it, and adds what every answer says.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let options = &app.options;
    let cors = cors_origin(options, request.headers()).cloned();
    let is_preflight = request.method() == Method::OPTIONS && cors.is_some();
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_file = request.uri().path().starts_with("/v1/files/");
    let mut response = match check(options, &request) {
        Ok(()) if is_preflight => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    let mut add = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    add("x-content-type-options", HeaderValue::from_static("nosniff"));
    add("content-security-policy", HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    add("referrer-policy", HeaderValue::from_static("no-referrer"));
    // A picture's address is for whoever has it.
    let readers = if is_file || cors.is_some() { "cross-origin" } else { "same-origin" };
    add("cross-origin-resource-policy", HeaderValue::from_static(readers));
    if app.options.cors_origin.is_some() {
        add("vary", HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = cors {
        add("access-control-allow-origin", origin);
        add("access-control-expose-headers", HeaderValue::from_static(EXPOSED_HEADERS));
        if is_preflight {
            add("access-control-allow-methods", HeaderValue::from_static("GET, POST, DELETE"));
            let plain = HeaderValue::from_static("authorization, content-type");
            add("access-control-allow-headers", wanted.unwrap_or(plain));
        }
    }
    response
}

/// The request's origin, where the operator allows it.
fn cors_origin<'a>(options: &ServerOptions, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let allowed = options.cors_origin.as_deref()?;
    headers.get(header::ORIGIN).filter(|origin| origin.as_bytes() == allowed.as_bytes())
}

fn check(options: &ServerOptions, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(ApiError::bad_request("the request names its host more than once"));
    }
    let host = host(headers).ok_or_else(|| ApiError::bad_request("the request names no host"))?;
    if !is_own_host(options, host) {
        let message = format!(
            "the request names the host {}, which is none of this server's: its operator can let that in, with its port",
            files::text::excerpt(host)
        );
        return Err(ApiError::forbidden(message));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && cors_origin(options, headers).is_none() {
        check_origin(headers, host, options.public_url.as_deref())?;
    }
    let path = request.uri().path();
    // Pages of other sites may link to the page, and show pictures by their addresses.
    let is_shown = path == "/" || path.starts_with("/v1/files/");
    if !changes
        && !is_shown
        && is_of_another_site(headers)
        && cors_origin(options, headers).is_none()
    {
        return Err(another_origin());
    }
    match &options.api_key {
        Some(key) if needs_key(path) && !has_key(headers, key, path) => match request.method() {
            &Method::OPTIONS => Ok(()),
            _ => Err(ApiError::unauthorized()),
        },
        _ => Ok(()),
    }
}

/// Whether a host is the server's: a name for this machine where it listens on that alone, an address where it listens on all,
/// or one that the operator lets in.
fn is_own_host(options: &ServerOptions, host: &str) -> bool {
    let (name, port) = split_port(host);
    let Ok(port) = port.map_or(Ok(80), str::parse::<u16>) else {
        return false;
    };
    let is_named =
        |allowed: &String| allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name);
    if options.hosts.iter().any(is_named) {
        return true;
    }
    let public = options.public_url.as_deref().and_then(|url| url.split_once("://"));
    if public.is_some_and(|(_, rest)| {
        rest.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }) {
        return true;
    }
    let address = options.address;
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let ip = match ip {
        Some(ip) => ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    };
    let is_loopback =
        name.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback());
    // No name can be pointed at an address that stands there itself.
    let is_address = ip.is_some() && !address.ip().is_loopback();
    (is_loopback || is_address) && port == address.port()
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    let end_of_name = host.rfind(']').map_or(0, |bracket| bracket + 1);
    match host[end_of_name..].rfind(':') {
        Some(colon) => (&host[..end_of_name + colon], Some(&host[end_of_name + colon + 1..])),
        None => (host, None),
    }
}

fn another_origin() -> ApiError {
    ApiError::forbidden("a page of another origin sent this")
}

/// Whether a browser says that a page of another site's asks.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// Refuses what a page of another origin sends.
fn check_origin(headers: &HeaderMap, host: &str, public_url: Option<&str>) -> Result<(), ApiError> {
    if is_of_another_site(headers) {
        return Err(another_origin());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().map_err(|_| another_origin())?;
    let is_public = public_url.is_some_and(|url| {
        let end = url.find("://").map_or(0, |scheme| scheme + 3);
        let length = url[end..].find('/').map_or(url.len(), |slash| end + slash);
        origin.eq_ignore_ascii_case(&url[..length])
    });
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    match is_public || own.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
        true => Ok(()),
        false => Err(another_origin()),
    }
}

/// The page asks for the key itself, pictures' addresses are secrets of their own, and probes have none.
pub(crate) fn needs_key(path: &str) -> bool {
    let is_open = ["/", "/healthz", "/readyz", "/v1/capabilities", "/openapi.json"].contains(&path);
    !(is_open || path.starts_with("/page/") || path.starts_with("/v1/files/"))
}

/// Whether a request brings the key: as a bearer, or for A1111's clients as the password of basic authentication.
fn has_key(headers: &HeaderMap, key: &str, path: &str) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Some((scheme, credentials)) = value.split_once(' ') else {
        return false;
    };
    let is_equal = |brought: &[u8]| brought.ct_eq(key.as_bytes()).into();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => is_equal(credentials.trim().as_bytes()),
        "basic" if path.starts_with("/sdapi/") => {
            let decoded = STANDARD.decode(credentials.trim()).unwrap_or_default();
            let password =
                decoded.iter().position(|&byte| byte == b':').map(|colon| &decoded[colon + 1..]);
            password.is_some_and(is_equal)
        }
        _ => false,
    }
}
