//! Committing faults: before an answer is made, and on its way out. Knows no endpoint's meaning.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, header};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::answers::{empty, header_only, json_answer, s3_error, typed, with_header};
use super::switches::{Endpoint, Fault};

/// Turns true (or is closed) when the tenant stops.
pub(super) type Closing = watch::Receiver<bool>;

/// The answer of a fault that keeps the endpoint from doing anything; `None` where it is to do its work.
pub(super) async fn instead(fault: &Fault, endpoint: Endpoint, path: &str, closing: &Closing) -> Option<Response> {
    match fault {
        Fault::Status { status, retry_after_s } => {
            let response = failure(*status, endpoint, path);
            Some(match retry_after_s {
                Some(seconds) => with_header(response, "retry-after", &seconds.to_string()),
                None => response,
            })
        }
        Fault::Answer { status, headers, body } => {
            let mut response = typed(*status, "application/json", body.clone());
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            Some(response)
        }
        Fault::HeaderOnly { status } => Some(header_only(*status, "Simulated failure")),
        Fault::Redirect { location } => Some(with_header(empty(307), "location", location)),
        Fault::Hang => {
            unless_closing(closing, std::future::pending::<()>()).await;
            Some(empty(503))
        }
        Fault::Delay { ms } => {
            unless_closing(closing, sleep(Duration::from_millis(*ms))).await;
            None
        }
        Fault::Garbage { body } => Some(typed(200, "application/json", body.clone())),
        Fault::Endless => {
            let noise = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[b'['; 4096])));
            Some(typed(200, "application/json", Body::from_stream(noise)))
        }
        _ => None,
    }
}

/// The code that S3 sends with a status.
fn storage_code(status: u16) -> &'static str {
    match status {
        400 => "ExpiredToken",
        401 | 403 => "AccessDenied",
        404 | 410 => "NoSuchKey",
        503 => "SlowDown",
        _ => "SimulatedFailure",
    }
}

/// An error as the endpoint words it.
fn failure(status: u16, endpoint: Endpoint, path: &str) -> Response {
    match endpoint {
        Endpoint::Media => s3_error(status, storage_code(status), "Simulated failure"),
        Endpoint::Login => json_answer(status, &json!({"error": "simulated", "errorDescription": "simulated failure"})),
        _ if status == 429 => json_answer(status, &json!({"message": "API rate limit exceeded", "route": path})),
        _ if status == 401 => json_answer(status, &json!({"message": "Unauthorized"})),
        _ => json_answer(status, &json!({"internalCode": "SIM", "message": "simulated failure"})),
    }
}

/// Waits for something, but not beyond the tenant's end.
pub(super) async fn unless_closing(closing: &Closing, wait: impl Future<Output = ()>) {
    let mut closing = closing.clone();
    tokio::select! {
        () = wait => {}
        // An error means that the tenant is gone.
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// Commits a fault on an answer that has been made.
pub(super) fn on_the_way(fault: &Fault, mut response: Response, closing: &Closing) -> Response {
    let length = length_of(&response);
    let shape = match *fault {
        Fault::Drop => Shape::Cut { after: 0 },
        Fault::CutAfter { bytes } => Shape::Cut { after: bytes },
        Fault::StallAfter { bytes } => Shape::Stall { after: bytes },
        Fault::Trickle { bytes_per_s } => Shape::Trickle { bytes_per_s: bytes_per_s.max(1) },
        Fault::SlowFirstByte { ms } => Shape::SlowStart { ms },
        Fault::FlipByte { at } => Shape::Flip { at },
        Fault::Truncate { bytes } => {
            set_length(&mut response, length.map(|length| length.min(bytes)));
            return response.map(|body| shaped(body, Shape::End { after: bytes }, closing.clone()));
        }
        Fault::NoLength => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            return response.map(|body| Body::from_stream(body.into_data_stream()));
        }
        Fault::LongBody { bytes } => {
            set_length(&mut response, length.map(|length| length.saturating_add(bytes)));
            return response.map(|body| lengthened(body, bytes));
        }
        Fault::LongChunkedBody { bytes } => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            return response.map(|body| lengthened(body, bytes));
        }
        Fault::WrongLength { by } => {
            let Some(length) = length else { return response };
            set_length(&mut response, Some(length.saturating_add(by)));
            // The whole body goes out, and then the connection, as the length is never reached.
            return response.map(|body| shaped(body, Shape::Cut { after: length }, closing.clone()));
        }
        _ => return response,
    };
    // A stream has no size of its own; the answer keeps the one it had.
    set_length(&mut response, length);
    response.map(|body| shaped(body, shape, closing.clone()))
}

/// The body with bytes after its end.
fn lengthened(body: Body, bytes: u64) -> Body {
    let more = Bytes::from(vec![b'+'; usize::try_from(bytes).unwrap_or(usize::MAX)]);
    Body::from_stream(body.into_data_stream().chain(stream::iter([Ok(more)])))
}

fn length_of(response: &Response) -> Option<u64> {
    let stated = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    stated.or_else(|| response.body().size_hint().exact())
}

fn set_length(response: &mut Response, length: Option<u64>) {
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// What happens to a body while it is sent.
#[derive(Clone, Copy)]
enum Shape {
    /// The connection is closed.
    Cut {
        after: u64,
    },
    /// Nothing more comes.
    Stall {
        after: u64,
    },
    /// The body ends.
    End {
        after: u64,
    },
    Trickle {
        bytes_per_s: u64,
    },
    SlowStart {
        ms: u64,
    },
    Flip {
        at: u64,
    },
}

struct Shaper {
    body: BodyDataStream,
    shape: Shape,
    sent: u64,
    /// Taken from the body and not sent yet.
    held: Bytes,
    failed: bool,
    closing: Closing,
}

fn shaped(body: Body, shape: Shape, closing: Closing) -> Body {
    let shaper = Shaper { body: body.into_data_stream(), shape, sent: 0, held: Bytes::new(), failed: false, closing };
    Body::from_stream(stream::unfold(shaper, |mut shaper| async move {
        let piece = shaper.next().await?;
        shaper.failed = piece.is_err();
        Some((piece, shaper))
    }))
}

impl Shaper {
    /// The next piece to send.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.failed {
            return None;
        }
        let left = match self.shape {
            Shape::Cut { after } | Shape::Stall { after } | Shape::End { after } => after.saturating_sub(self.sent),
            Shape::Trickle { bytes_per_s } => (bytes_per_s / 10).max(1),
            Shape::SlowStart { .. } | Shape::Flip { .. } => u64::MAX,
        };
        if left == 0 {
            return self.stop().await;
        }
        if self.held.is_empty() {
            match self.body.next().await? {
                Ok(piece) => self.held = piece,
                Err(error) => return Some(Err(io::Error::other(error))),
            }
        }
        let length = self.held.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let piece = self.held.split_to(length);
        let piece = delay_or_damage(self.shape, self.sent, &self.closing, piece).await;
        self.sent += length as u64;
        Some(Ok(piece))
    }

    /// What comes after the last byte that is sent.
    async fn stop(&mut self) -> Option<io::Result<Bytes>> {
        match self.shape {
            Shape::End { .. } => return None,
            // What was sent has to leave the buffers before the connection goes, or the cut would fall anywhere.
            Shape::Cut { after } if after > 0 => sleep(Duration::from_millis(20)).await,
            Shape::Stall { .. } => unless_closing(&self.closing, std::future::pending::<()>()).await,
            _ => {}
        }
        Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "simulated cut")))
    }
}

async fn delay_or_damage(shape: Shape, sent: u64, closing: &Closing, piece: Bytes) -> Bytes {
    match shape {
        Shape::Trickle { bytes_per_s } => {
            let wait = Duration::from_secs_f64(piece.len() as f64 / bytes_per_s as f64);
            unless_closing(closing, sleep(wait)).await;
        }
        Shape::SlowStart { ms } if sent == 0 => {
            unless_closing(closing, sleep(Duration::from_millis(ms))).await;
        }
        Shape::Flip { at } if (sent..sent + piece.len() as u64).contains(&at) => {
            let mut damaged = BytesMut::from(&piece[..]);
            damaged[(at - sent) as usize] ^= 0xff;
            return damaged.freeze();
        }
        _ => {}
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(fault: Fault) -> (Option<u64>, Result<Vec<u8>, Vec<u8>>) {
        let (_stop, closing) = watch::channel(false);
        let response = on_the_way(&fault, typed(200, "text/plain", "0123456789"), &closing);
        let length = response.headers().get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        let mut got = Vec::new();
        let mut stream = response.into_body().into_data_stream();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => got.extend_from_slice(&piece),
                Err(_) => return (length, Err(got)),
            }
        }
        (length, Ok(got))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_cut_shortened_and_damaged() {
        assert_eq!(sent(Fault::CutAfter { bytes: 4 }).await, (Some(10), Err(b"0123".to_vec())));
        assert_eq!(sent(Fault::Drop).await, (Some(10), Err(Vec::new())));
        assert_eq!(sent(Fault::Truncate { bytes: 4 }).await, (Some(4), Ok(b"0123".to_vec())));
        assert_eq!(sent(Fault::WrongLength { by: 5 }).await, (Some(15), Err(b"0123456789".to_vec())));
        assert_eq!(sent(Fault::NoLength).await, (None, Ok(b"0123456789".to_vec())));
        assert_eq!(sent(Fault::LongBody { bytes: 2 }).await, (Some(12), Ok(b"0123456789++".to_vec())));
        assert_eq!(sent(Fault::LongChunkedBody { bytes: 1 }).await, (None, Ok(b"0123456789+".to_vec())));
        assert_eq!(sent(Fault::FlipByte { at: 1 }).await, (Some(10), Ok(b"0\xce23456789".to_vec())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_takes_its_time() {
        let start = tokio::time::Instant::now();
        let (_, body) = sent(Fault::Trickle { bytes_per_s: 2 }).await;
        assert_eq!(body.unwrap().len(), 10);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_ends_with_the_tenant() {
        let (stop, closing) = watch::channel(false);
        let hang = tokio::spawn(async move {
            instead(&Fault::Hang, Endpoint::Media, "/", &closing).await.map(|response| response.status())
        });
        sleep(Duration::from_hours(1)).await;
        assert!(!hang.is_finished());
        drop(stop);
        assert_eq!(hang.await.unwrap().unwrap(), 503);
    }
}
