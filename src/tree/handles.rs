//! Open files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::base::MasterId;
use crate::media::Reader;
use crate::tree::evidence::Wanted;
use crate::tree::node::Place;

/// One open file.
pub enum OpenFile {
    /// A document, as it was when opened.
    Document(OpenDocument),
    Recording(OpenRecording),
    /// What was open was erased: nothing of it is kept here.
    Erased,
}

impl OpenFile {
    /// The interaction that it is about, unless that was erased.
    pub fn master(&self) -> Option<MasterId> {
        match self {
            OpenFile::Document(document) => Some(document.master),
            OpenFile::Recording(recording) => Some(recording.place.master),
            OpenFile::Erased => None,
        }
    }

    /// Which version of which recording it is; none for documents.
    pub fn recorded(&self) -> Option<Wanted> {
        let OpenFile::Recording(recording) = self else { return None };
        let version = recording.reader.version().clone();
        Some(Wanted { master: recording.place.master, recording: recording.index, version })
    }
}

/// One open document.
pub struct OpenDocument {
    pub bytes: Bytes,
    /// The interaction that it is about.
    pub master: MasterId,
}

/// One open recording.
pub struct OpenRecording {
    /// Which of the interaction.
    pub index: u8,
    pub place: Place,
    pub reader: Reader,
}

/// One table of handles; the numbers are never used twice.
pub struct Handles<T> {
    next: AtomicU64,
    open: RwLock<HashMap<u64, Arc<T>>>,
}

impl<T> Handles<T> {
    /// An empty table.
    pub fn new() -> Handles<T> {
        Handles { next: AtomicU64::new(1), open: RwLock::new(HashMap::new()) }
    }

    /// Opens `item`.
    pub fn insert(&self, item: T) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::new(item));
        handle
    }

    /// The item behind an open handle.
    pub fn get(&self, handle: u64) -> Option<Arc<T>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned()
    }

    /// Closes a handle.
    pub fn remove(&self, handle: u64) -> Option<Arc<T>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle)
    }

    /// Puts another item behind each handle for whose item `f` gives one.
    pub fn replace(&self, f: impl Fn(&T) -> Option<T>) {
        let mut replaced = Vec::new();
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        for item in open.values_mut() {
            if let Some(other) = f(item) {
                replaced.push(std::mem::replace(item, Arc::new(other)));
            }
        }
        drop(open);
        // Closing a file may take its time.
        drop(replaced);
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles::new()
    }
}
