//! Everything that strangers write and this program reads, as fuzz targets: the tenant's answers, the media host's, names, files on
//! disk, the configuration. Compiled for tests and fuzzers only.
//!
//! A target takes any bytes and panics where a promise is broken. `fuzz/` runs each under a coverage-guided fuzzer; `tests` runs all
//! of them for a moment in the ordinary suite, over what a simulated tenant really sends and over every input that once did harm.

pub mod seeds;
#[cfg(test)]
mod tests;

use crate::{catalog, config, cxone, media, tree};

/// A target and its name, which is also that of its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "reporting_page", run: reporting_page },
    Target { name: "playback_document", run: playback_document },
    Target { name: "media_answer", run: media_answer },
    Target { name: "names", run: names },
    Target { name: "block_index", run: block_index },
    Target { name: "configuration", run: configuration },
];

/// A page of a listing: its rows, the plan for the other pages, the names and files that come of it.
pub fn reporting_page(bytes: &[u8]) {
    if let Some(answer) = cxone::fuzz::reporting_page(bytes) {
        catalog::fuzz::day(&answer.contacts);
    }
}

/// A Media Playback document and the files that come of it.
pub fn playback_document(bytes: &[u8]) {
    for plain_loopback in [false, true] {
        if let Some(answer) = cxone::fuzz::playback_document(bytes, plain_loopback) {
            tree::fuzz::documents(&answer);
        }
    }
}

/// The head of a media host's answer; each of its lines also as an address and a link.
pub fn media_answer(bytes: &[u8]) {
    let said = String::from_utf8_lossy(bytes);
    media::fuzz::answer(&said);
    for line in said.lines().take(32) {
        cxone::fuzz::addresses(line);
    }
}

/// An agent's names: two lines, last and first name.
pub fn names(bytes: &[u8]) {
    let said = String::from_utf8_lossy(bytes);
    let mut words = said.splitn(2, '\n');
    let (last, first) = (words.next(), words.next());
    for agent in [7, i64::MAX, 0, -1] {
        catalog::fuzz::agent_name(crate::base::AgentId(agent), last, first);
    }
}

/// A block index as it stands on disk, or the note behind it.
pub fn block_index(bytes: &[u8]) {
    tree::fuzz::note(bytes);
    for sealed in [false, true] {
        media::fuzz::block_index(bytes, sealed);
    }
}

/// A configuration file.
pub fn configuration(bytes: &[u8]) {
    config::fuzz::configuration(&String::from_utf8_lossy(bytes));
}
