//! Metrics for Prometheus: what is measured is handed in, `names` says what it is called, and this serves it by HTTP where it is
//! asked to. Nothing personal is in it: no path, no contact, no user.

mod encode;
pub mod names;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use tokio::task::JoinHandle;

use super::status::Status;
use crate::base::Counted;

/// Everything that is measured, as of now.
#[derive(Clone, Debug)]
pub struct Measures {
    pub status: Status,
    /// Operation, how long it took.
    pub requests: Vec<(&'static str, Counted)>,
    /// Operation, errno, how many.
    pub errors: Vec<(&'static str, &'static str, u64)>,
    /// What for, outcome, how many.
    pub api_calls: Vec<(&'static str, &'static str, u64)>,
    /// Class, how long billed calls waited for the rate limit.
    pub waits: Vec<(&'static str, Counted)>,
    /// Reads that the cache answered, and those that waited for the media host.
    pub reads: (u64, u64),
}

/// Who measures.
pub trait Measured: Send + Sync + 'static {
    /// As of now. Never waits for the network.
    fn measures(&self) -> Measures;
}

/// The page that Prometheus asks for.
#[must_use]
pub fn page(measures: Measures) -> Option<String> {
    encode::page(measures)
}

/// An address that is listened on, before anything is served.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// A page that is being served; it goes when this is dropped.
#[derive(Debug)]
pub struct Server(JoinHandle<()>);

impl Listener {
    /// Takes the address, so that one that cannot be had is known before a mount.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Listener(listener))
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `/metrics`. Within a runtime.
    pub fn serve(self, measured: Arc<dyn Measured>) -> io::Result<Server> {
        let listener = tokio::net::TcpListener::from_std(self.0)?;
        let router = Router::new().route("/metrics", get(metrics)).with_state(measured);
        Ok(Server(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "metrics are no longer served: {error}");
            }
        })))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn metrics(State(measured): State<Arc<dyn Measured>>) -> Response {
    let text = tokio::task::spawn_blocking(move || page(measured.measures())).await;
    match text.ok().flatten() {
        Some(text) => ([(header::CONTENT_TYPE, encode::CONTENT_TYPE)], text).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
