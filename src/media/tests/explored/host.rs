//! A media host that notes what is asked of it, and panics if a block is on its way twice.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    Serves,
    Fails,
    /// Answers with everything, whatever was asked.
    IgnoresRanges,
    /// Answers with so many bytes at most.
    SendsLess(u64),
}

pub struct Host {
    pub truth: Bytes,
    notes: Mutex<Notes>,
}

struct Notes {
    /// The next answers; the last one stays.
    moods: VecDeque<Mood>,
    asked: usize,
    on_their_way: BTreeSet<u32>,
}

impl Host {
    pub fn new(truth: Bytes, moods: impl IntoIterator<Item = Mood>) -> Arc<Host> {
        let notes = Notes { moods: moods.into_iter().collect(), asked: 0, on_their_way: BTreeSet::new() };
        Arc::new(Host { truth, notes: Mutex::new(notes) })
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.notes.lock().unwrap().asked
    }

    pub fn ask(&self) -> Mood {
        let mut notes = self.notes.lock().unwrap();
        notes.asked += 1;
        if notes.moods.len() > 1 { notes.moods.pop_front().unwrap() } else { notes.moods[0] }
    }

    pub fn begin(&self, blocks: Range<u32>) {
        let mut notes = self.notes.lock().unwrap();
        for block in blocks {
            assert!(notes.on_their_way.insert(block), "block {block} is fetched twice at a time");
        }
    }

    pub fn end(&self, block: u32) {
        self.notes.lock().unwrap().on_their_way.remove(&block);
    }
}
