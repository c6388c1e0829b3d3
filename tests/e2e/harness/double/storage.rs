//! The storage of a case: objects whose bytes follow from their name and, where each signing is another object, from the link.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;

/// Bytes that a connection is handed at a time.
const PIECE: u64 = 64 * 1024;

/// An object as one link leads to it.
#[derive(Clone, Debug)]
pub struct Content {
    pub size: u64,
    /// 0: the same for all links.
    pub version: u64,
    word: u64,
}

impl Content {
    pub fn new(name: &str, size: u64, version: u64) -> Content {
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Content { size, version, word: seed ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    pub fn etag(&self) -> String {
        format!("\"{:016x}\"", scrambled(self.word))
    }

    /// The bytes from `start` to `end`.
    pub fn bytes(&self, start: u64, end: u64) -> Vec<u8> {
        (start..end.min(self.size))
            .map(|at| scrambled(self.word.wrapping_add(at / 8)).to_le_bytes()[(at % 8) as usize])
            .collect()
    }

    /// A body that is made as it is taken, at `rate` bytes per second.
    pub fn stream(self, start: u64, end: u64, rate: Option<u64>) -> Body {
        Body::from_stream(stream::unfold(start, move |at| {
            let content = self.clone();
            async move {
                let piece = rate.map_or(PIECE, |rate| PIECE.min(rate / 10).max(1));
                let until = (at + piece).min(end);
                if at >= until {
                    return None;
                }
                if let Some(rate) = rate {
                    tokio::time::sleep(Duration::from_secs_f64((until - at) as f64 / rate as f64)).await;
                }
                Some((Ok::<Bytes, Infallible>(content.bytes(at, until).into()), until))
            }
        }))
    }
}

/// splitmix64's output function.
fn scrambled(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The part of an object that a `Range` header asks for: start and end. `Err`: there is none of it.
pub fn span(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, (last + 1).min(size)),
        (Ok(first), Err(_)) => (first, size),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size),
        _ => return Ok(None),
    };
    if start < end { Ok(Some((start, end))) } else { Err(()) }
}
