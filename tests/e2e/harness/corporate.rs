//! The network of a company, on loopback: an HTTP proxy that connects (CONNECT), counts and asks for a password, an authority of its own, and
//! servers that speak TLS with its certificates. Plain threads; nothing of the product.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::tool::tool;

/// No peer in these tests is silent for longer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// An authority, made anew: `NAME.pem` is its certificate.
pub struct Authority {
    dir: PathBuf,
    name: &'static str,
}

impl Authority {
    pub fn new(dir: &Path, name: &'static str) -> Authority {
        let authority = Authority { dir: dir.to_owned(), name };
        let args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let make = tool("openssl").args(args).arg("-subj").arg(format!("/CN={name}"));
        make.arg("-keyout").arg(authority.file("key")).arg("-out").arg(authority.certificate()).ok();
        authority
    }

    pub fn certificate(&self) -> PathBuf {
        self.file("pem")
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    /// A server's certificate for these names, such as `DNS:x.example,IP:127.0.0.1`.
    fn issue(&self, names: &str) -> Arc<ServerConfig> {
        let (key, request) = (self.file("server-key"), self.file("server-request"));
        let (certificate, extensions) = (self.file("server-pem"), self.file("extensions"));
        let args = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server"];
        tool("openssl").args(args).arg("-keyout").arg(&key).arg("-out").arg(&request).ok();
        std::fs::write(&extensions, format!("subjectAltName={names}\n")).unwrap();
        let sign = tool("openssl").args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        let sign = sign.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.file("key"));
        sign.arg("-extfile").arg(&extensions).arg("-out").arg(&certificate).ok();
        let chain = CertificateDer::pem_file_iter(&certificate).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// A server that speaks TLS with a certificate of this authority, and passes requests on in clear text.
    pub fn serve(&self, names: &str, upstream: SocketAddr) -> SocketAddr {
        let config = self.issue(names);
        listen(move |stream| {
            let Ok(connection) = ServerConnection::new(Arc::clone(&config)) else { return };
            let mut stream = StreamOwned::new(connection, stream);
            while pass_on(&mut stream, upstream).is_ok() {}
        })
    }
}

/// One request and its answer; an error ends the connection.
fn pass_on(stream: &mut (impl Read + Write), upstream: SocketAddr) -> io::Result<()> {
    let (head, mut body) = read_head(stream)?;
    let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0_usize);
    while body.len() < length {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece)?;
        body.extend_from_slice(&piece[..read]);
    }
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(SILENCE_MAX))?;
    server.write_all(head.trim_end().as_bytes())?;
    server.write_all(b"\r\nconnection: close\r\n\r\n")?;
    server.write_all(&body)?;
    io::copy(&mut server, stream)?;
    stream.flush()?;
    Err(io::Error::other("the answer's end is the connection's"))
}

/// What the proxy was asked.
#[derive(Default)]
struct Asked {
    /// Connections by `host:port`.
    connects: BTreeMap<String, usize>,
    refused: usize,
}

/// The proxy of the company.
pub struct Connecting {
    address: SocketAddr,
    asked: Arc<Mutex<Asked>>,
}

impl Connecting {
    /// Knows these names and no other, and the addresses of this machine; wants `Authorization` as given.
    pub fn start(known: Vec<(&'static str, SocketAddr)>, password: Option<&'static str>) -> Connecting {
        let asked: Arc<Mutex<Asked>> = Arc::default();
        let noted = Arc::clone(&asked);
        let address = listen(move |mut client| {
            let Ok((head, _)) = read_head(&mut client) else { return };
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if !head.starts_with("CONNECT ") || header(&head, "proxy-authorization").as_deref() != password {
                noted.lock().unwrap().refused += 1;
                let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
                return;
            }
            *noted.lock().unwrap().connects.entry(target.clone()).or_default() += 1;
            let host = target.rsplit_once(':').map_or("", |(host, _)| host);
            let named = known.iter().find(|(name, _)| *name == host).map(|(_, address)| *address);
            let Some(server) =
                named.or_else(|| target.parse().ok()).and_then(|address| TcpStream::connect(address).ok())
            else {
                let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
                return;
            };
            if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_ok() {
                join(client, server);
            }
        });
        Connecting { address, asked }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked to connect to `host:port`.
    pub fn connects(&self, target: &str) -> usize {
        self.asked.lock().unwrap().connects.get(target).copied().unwrap_or_default()
    }

    /// Everything that it connected to.
    pub fn targets(&self) -> Vec<String> {
        self.asked.lock().unwrap().connects.keys().cloned().collect()
    }

    /// How often it refused.
    pub fn refused(&self) -> usize {
        self.asked.lock().unwrap().refused
    }
}

/// Passes bytes both ways until either side ends.
fn join(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = up.join();
}

/// A thread for each connection, for as long as the test runs.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            let _ = stream.set_read_timeout(Some(SILENCE_MAX));
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The head of a request, and what came of its body.
pub fn read_head(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while bytes.len() < HEAD_BYTES_MAX {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
    }
    Err(io::Error::other("no request"))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
