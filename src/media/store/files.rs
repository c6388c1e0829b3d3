//! The open files of one recording: blocks and their entries, read and written in the clear or encrypted. Knows no directory.

use std::io::{self, IoSlice};
use std::ops::Range;

use bytes::Bytes;

use crate::media::disk::{DiskFile, Stamp, Wait};
use crate::media::geometry::{BLOCK_SIZE, block_at, block_len, block_start, blocks_of};
use crate::media::index::{self, Form};
use crate::media::seal::BlockCipher;

/// The open files of one recording.
#[derive(Debug)]
pub struct Files {
    pub(super) data: Box<dyn DiskFile>,
    pub(super) index: Box<dyn DiskFile>,
    pub(super) size: u64,
    pub(super) cipher: Option<BlockCipher>,
}

/// This block cannot be read, or fails its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub u32);

impl Files {
    /// Whether reading compares every byte with a tag, so that checksums need not be.
    pub fn is_sealed(&self) -> bool {
        self.cipher.is_some()
    }

    /// What tells that somebody wrote to the data file, as far as it can be had.
    pub fn stamp(&self) -> Option<Stamp> {
        self.data.meta().ok().map(|meta| meta.stamp())
    }

    fn form(&self) -> Form {
        if self.is_sealed() { Form::Sealed } else { Form::Plain }
    }

    /// Appends `len` bytes at `offset` to `out`. An end of the file before that is an error, which names the first block that is not whole.
    pub fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.read(offset, len, Wait::Allowed, out).map(drop)
    }

    /// The same. False: the disk has to be waited for, which is not allowed; what `out` is longer by then is to be cut off.
    pub fn read(&self, offset: u64, len: usize, wait: Wait, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        match &self.cipher {
            None => {
                let before = out.len();
                let read = read(self.data.as_ref(), offset, len, wait, out);
                read.map_err(|_| Unreadable(block_at(offset + (out.len() - before) as u64)))
            }
            Some(cipher) => self.read_sealed(cipher, offset..offset + len as u64, wait, out),
        }
    }

    fn read_sealed(
        &self,
        cipher: &BlockCipher,
        span: Range<u64>,
        wait: Wait,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unreadable> {
        let blocks = blocks_of(&span);
        let mut entries = Vec::new();
        let entries_len = (blocks.end - blocks.start) as usize * index::SEALED_ENTRY_LEN;
        let entries_at = index::entry_offset(blocks.start, Form::Sealed);
        let read_entries = read(self.index.as_ref(), entries_at, entries_len, wait, &mut entries);
        if !read_entries.map_err(|_| Unreadable(blocks.start))? {
            return Ok(false);
        }
        for (block, entry) in blocks.zip(entries.chunks_exact(index::SEALED_ENTRY_LEN)) {
            let (start, len) = (block_start(block), block_len(self.size, block));
            let at = out.len();
            match read(self.data.as_ref(), start, len as usize, wait, out) {
                Ok(true) if cipher.open(block, entry, &mut out[at..]) => {}
                Ok(false) => return Ok(false),
                Ok(true) | Err(_) => return Err(Unreadable(block)),
            }
            out.truncate(at + (span.end.min(start + len) - start) as usize);
            out.drain(at..at + span.start.saturating_sub(start) as usize);
        }
        Ok(true)
    }

    /// Writes adjacent blocks, given as the pieces of all of them, then the entries that vouch for them.
    pub fn write_run(&self, first: u32, pieces: &[&[Bytes]], crcs: &[u32]) -> io::Result<()> {
        let lens = pieces.iter().map(|block| block.iter().map(|piece| piece.len() as u64).sum());
        debug_assert!(lens.zip(first..).all(|(len, block): (u64, u32)| len == block_len(self.size, block)));
        let entries = match &self.cipher {
            None => {
                let slices = pieces.iter().copied().flatten().map(|piece| IoSlice::new(piece));
                self.data.write_at(slices.collect(), block_start(first))?;
                crcs.iter().flat_map(|crc| index::encode_present(*crc)).collect()
            }
            Some(cipher) => {
                let (bytes, entries) = sealed(cipher, first, pieces)?;
                self.data.write_at(vec![IoSlice::new(&bytes)], block_start(first))?;
                entries
            }
        };
        self.index.write_at(vec![IoSlice::new(&entries)], index::entry_offset(first, self.form()))
    }

    /// Writes a note behind the entries, in place of one that is there.
    pub fn write_note(&self, note: &[u8]) -> io::Result<()> {
        let mut bytes = note.to_vec();
        let entry = match &self.cipher {
            None => index::encode_present(crc32c::crc32c(note)).to_vec(),
            Some(cipher) => cipher.seal(index::NOTE_BLOCK, &mut bytes)?.to_vec(),
        };
        let start = self.entries_end();
        self.index.set_len(start)?;
        let written = self.index.write_at(vec![IoSlice::new(&entry), IoSlice::new(&bytes)], start);
        if written.is_err() {
            let _ = self.index.set_len(start);
        }
        written
    }

    /// The note, if there is a sound one.
    pub fn read_note(&self) -> Option<Vec<u8>> {
        let (len, entry_len) = (usize::try_from(self.note_len()).ok()?, self.form().entry_len());
        if len <= entry_len || len > entry_len + index::NOTE_LEN_MAX {
            return None;
        }
        let mut entry = Vec::new();
        self.index.read_into(self.entries_end(), len, &mut entry).ok()?;
        let mut note = entry.split_off(entry_len);
        let is_sound = match &self.cipher {
            None => index::decode_entries(&entry, Form::Plain) == [Some(crc32c::crc32c(&note))],
            Some(cipher) => cipher.open(index::NOTE_BLOCK, &entry, &mut note),
        };
        is_sound.then_some(note)
    }

    /// Bytes behind the entries: a note with its entry, sound or not.
    pub fn note_len(&self) -> u64 {
        self.index.meta().map_or(0, |meta| meta.len.saturating_sub(self.entries_end()))
    }

    fn entries_end(&self) -> u64 {
        index::index_len(self.size, self.form())
    }

    /// Takes back the entry of a block, then its bytes. An error leaves the block without an entry or untouched.
    pub fn remove_block(&self, block: u32) -> io::Result<()> {
        let absent = &index::ABSENT[..self.form().entry_len()];
        self.index.write_at(vec![IoSlice::new(absent)], index::entry_offset(block, self.form()))?;
        self.punch(block..block + 1)
    }

    /// Frees the disk space of blocks.
    pub fn punch(&self, blocks: Range<u32>) -> io::Result<()> {
        // To the end of the block and not of the file: a hole frees whole units of the file system only.
        let len = u64::from(blocks.end.saturating_sub(blocks.start)) * BLOCK_SIZE;
        self.data.punch(block_start(blocks.start), len)
    }

    /// Bytes that the data file occupies.
    pub fn data_bytes(&self) -> io::Result<u64> {
        Ok(self.data.meta()?.occupied)
    }

    /// Notes on disk that the recording was used at `unix_s`, for the order of eviction after a restart.
    pub fn note_used(&self, unix_s: i64) -> io::Result<()> {
        self.index.set_modified(unix_s)
    }
}

fn read(file: &dyn DiskFile, offset: u64, len: usize, wait: Wait, out: &mut Vec<u8>) -> io::Result<bool> {
    match wait {
        Wait::Allowed => file.read_into(offset, len, out).map(|()| true),
        Wait::Forbidden => file.read_now(offset, len, out),
    }
}

/// Bytes that a note takes in the index, with its entry.
pub fn note_len(note: &[u8], form: Form) -> u64 {
    (form.entry_len() + note.len()) as u64
}

/// Adjacent blocks and their entries, encrypted. The bytes in the clear stay in `pieces` alone.
fn sealed(cipher: &BlockCipher, first: u32, pieces: &[&[Bytes]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(pieces.iter().copied().flatten().map(Bytes::len).sum());
    let mut entries = Vec::with_capacity(pieces.len() * index::SEALED_ENTRY_LEN);
    for (block, pieces) in (first..).zip(pieces) {
        let at = bytes.len();
        for piece in *pieces {
            bytes.extend_from_slice(piece);
        }
        entries.extend_from_slice(&cipher.seal(block, &mut bytes[at..])?);
    }
    Ok((bytes, entries))
}
