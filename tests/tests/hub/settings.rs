//! Settings, as an environment gives them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ::hub::{Error, Settings, Token};
use tempfile::TempDir;

fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    Settings::from_variables(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

#[test]
fn the_caches_folder_is_that_of_pythons_client() {
    let all = [
        ("HF_HUB_CACHE", "/hub"),
        ("HUGGINGFACE_HUB_CACHE", "/older"),
        ("HF_HOME", "/home"),
        ("XDG_CACHE_HOME", "/xdg"),
        ("HOME", "/user"),
    ];
    let folders =
        ["/hub", "/older", "/home/hub", "/xdg/huggingface/hub", "/user/.cache/huggingface/hub"];
    for (first, folder) in folders.into_iter().enumerate() {
        assert_eq!(settings(&all[first..]).unwrap().cache, Path::new(folder));
        // An empty variable is none.
        let mut emptied = all;
        emptied[..first].iter_mut().for_each(|variable| variable.1 = "");
        assert_eq!(settings(&emptied).unwrap().cache, Path::new(folder));
    }
    let folder = settings(&[("HF_HOME", "~/hf"), ("HOME", "/user")]).unwrap().cache;
    assert_eq!(folder, Path::new("/user/hf/hub"));
    let error = settings(&[]).unwrap_err().to_string();
    assert!(error.contains("HF_HOME") && error.contains("HOME"), "{error}");
}

#[test]
fn the_token_is_that_of_the_variable_or_of_the_file() {
    let home = TempDir::new().unwrap();
    let path = home.path().to_str().unwrap();
    let token = |variables: &[(&str, &str)]| {
        let all: Vec<_> = variables.iter().copied().chain([("HF_HOME", path)]).collect();
        settings(&all).unwrap().token
    };
    assert_eq!(token(&[]), None);
    fs::write(home.path().join("token"), "hf_file\r\n").unwrap();
    fs::write(home.path().join("other"), "hf_other").unwrap();
    let other = home.path().join("other");
    let other = other.to_str().unwrap();
    assert_eq!(token(&[]), Token::new("hf_file"));
    assert_eq!(token(&[("HF_TOKEN_PATH", other)]), Token::new("hf_other"));
    assert_eq!(token(&[("HF_TOKEN", " hf_variable ")]), Token::new("hf_variable"));
    assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "hf_older")]), Token::new("hf_older"));
    assert_eq!(token(&[("HF_TOKEN", " ")]), Token::new("hf_file"));
    assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"), ("HF_TOKEN", "hf_variable")]), None);
    fs::write(home.path().join("token"), "\n").unwrap();
    assert_eq!(token(&[]), None);
    let of_user = home.path().join(".cache/huggingface");
    fs::create_dir_all(&of_user).unwrap();
    fs::write(of_user.join("token"), "hf_user").unwrap();
    assert_eq!(settings(&[("HOME", path)]).unwrap().token, Token::new("hf_user"));
    assert_eq!(settings(&[("HF_HUB_CACHE", path)]).unwrap().token, None);
}

#[test]
fn a_token_that_is_none_is_an_error_that_does_not_repeat_it() {
    let home = TempDir::new().unwrap();
    let path = home.path().to_str().unwrap();
    let error = settings(&[("HF_HOME", path), ("HF_TOKEN", "hf secret")]).unwrap_err().to_string();
    assert!(error.contains("HF_TOKEN") && !error.contains("secret"), "{error}");
    for bytes in [&b"hf secret"[..], b"hf_\xffsecret", b"hf_secret\nmore", &[b's'; 10_000]] {
        fs::write(home.path().join("token"), bytes).unwrap();
        let error = settings(&[("HF_HOME", path)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{path}/token")) && !error.contains("secret"), "{error}");
    }
    let token = format!("{:?}", Token::new("hf_secret").unwrap());
    assert_eq!(token, "Token(..)");
}

#[test]
fn offline_is_what_python_takes_for_yes() {
    let offline = |variables: &[(&str, &str)]| {
        let all: Vec<_> = variables.iter().copied().chain([("HOME", "/user")]).collect();
        settings(&all).unwrap().offline
    };
    for yes in ["1", "ON", "yes", "True"] {
        assert!(offline(&[("HF_HUB_OFFLINE", yes)]) && offline(&[("TRANSFORMERS_OFFLINE", yes)]));
    }
    for no in ["", "0", "no", "false", "2"] {
        assert!(!offline(&[("HF_HUB_OFFLINE", no)]), "{no}");
    }
    assert!(!offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]));
    assert!(offline(&[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "1")]));
}

#[test]
fn the_network_is_as_its_variables_say() {
    let plain = settings(&[("HOME", "/user")]).unwrap();
    assert_eq!(
        (&*plain.endpoint, plain.timeout),
        ("https://huggingface.co", Duration::from_secs(10))
    );
    assert_eq!((plain.proxies.https, plain.proxies.http, plain.certificates), (None, None, None));
    let all = settings(&[
        ("HOME", "/user"),
        ("HF_ENDPOINT", "http://mirror/hub//"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "3"),
        ("HTTPS_PROXY", "http://first"),
        ("https_proxy", "http://second"),
        ("ALL_PROXY", "http://third"),
        ("no_proxy", "a,b"),
        ("SSL_CERT_FILE", "/certificates"),
    ])
    .unwrap();
    assert_eq!((&*all.endpoint, all.timeout), ("http://mirror/hub", Duration::from_secs(3)));
    assert_eq!(all.proxies.https.as_deref(), Some("http://first"));
    assert_eq!(all.proxies.http.as_deref(), Some("http://third"));
    assert_eq!(all.proxies.none.as_deref(), Some("a,b"));
    assert_eq!(all.certificates.as_deref(), Some(Path::new("/certificates")));
    for seconds in ["0", "-1", "ten", "1.5", "18446744073709551615"] {
        let error = settings(&[("HOME", "/user"), ("HF_HUB_DOWNLOAD_TIMEOUT", seconds)]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("HF_HUB_DOWNLOAD_TIMEOUT") && error.contains(seconds), "{error}");
    }
}
