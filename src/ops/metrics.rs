//! Metrics for Prometheus: what is measured is handed in, `names` says what it is called, and this serves it by HTTP where it is
//! asked to. Nothing personal is in it: no path, no contact, no user.

mod encode;
mod measures;
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

pub use measures::{Measured, Measures};

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
