//! Requests by https, to a server whose certificate an authority of the tests signed.

use std::io::{Read, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use ::hub::{Hub, Settings, Token};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{CONFIG, NAME, NoProgress, Place, fetch, repository, says};
use crate::hub_server::Reply;

/// Files of the tests' authority and of its server, for a hundred years.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub/certificates").join(name)
}

/// The address of a server by https that hands on what it is asked to the place's.
fn encrypted(place: &Place) -> String {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("key.pem")).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behind = place.server.endpoint().replace("http://", "");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let stream = StreamOwned::new(connection, stream.unwrap());
            // A client without trust hangs up.
            drop(hand_on(stream, &behind));
        }
    });
    format!("https://{address}")
}

fn hand_on(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    behind: &str,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let mut server = TcpStream::connect(behind)?;
    server.write_all(&request)?;
    copy(&mut server, &mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn hub(place: &Place, endpoint: String, certificates: Option<PathBuf>) -> Hub {
    let token = Token::new("hf_secret");
    Hub::new(Settings { endpoint, certificates, token, ..place.settings() }).unwrap()
}

#[test]
fn a_server_is_trusted_by_the_certificates_of_the_file_alone() {
    let place = Place::new();
    let endpoint = encrypted(&place);
    let trusting = hub(&place, endpoint.clone(), Some(certificate("authority.pem")));
    fetch(&trusting, &[CONFIG.0], &mut NoProgress).unwrap();
    assert_eq!(place.server.requests().len(), 3);

    let error = hub(&place, endpoint, None).resolve(&repository(NAME)).unwrap_err();
    says(&error, &["cannot reach 127.0.0.1", "certificate", "SSL_CERT_FILE"]);
    assert_eq!(place.server.requests(), []);
}

#[test]
fn a_redirect_from_https_to_http_is_not_followed() {
    let place = Place::new();
    let location = format!("{}/api/models/{NAME}/revision/main", place.server.endpoint());
    place.server.script("/api/", 1, Reply::Answer(302, vec![("Location", location)], vec![]));
    let hub = hub(&place, encrypted(&place), Some(certificate("authority.pem")));
    let error = hub.resolve(&repository(NAME)).unwrap_err();
    says(&error, &["https://127.0.0.1", &place.server.endpoint(), "not followed"]);
    assert_eq!(place.server.requests().len(), 1);
}
