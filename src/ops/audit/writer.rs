//! The thread that writes: what waits is written together; the head is noted in the state database; files are turned over.
//!
//! A write that fails leaves no part of a line: the file is cut back to its last whole one, the events are counted, and a line says how many as soon as
//! there is room. Lines that somebody waits for are on disk before they are told.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};

use super::erase;
use super::export::Exporter;
use super::figures::{self, Shared};
use super::intake::{Intake, Item, Job, Lost, NotWritten};
use super::keep::Keeper;
use super::line::{Head, Object, SALT_BYTES, sealed};
use super::record::AuditRecord;
use super::segments::{self, CURRENT, Segment};
use super::settings::{AuditSettings, ChainStore};
use crate::base::Clock;
use crate::ops::privacy;
use crate::ops::redact::Meant;

/// A copy of thousands of files must not wake the writer for each: what follows an event within this time is written together. Also
/// what a killed process may leave unwritten.
const GATHER: Duration = Duration::from_millis(10);
/// Between two looks at what is due, while something may be.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks where nothing is.
const IDLE_TICK: Duration = Duration::from_mins(1);
/// After the last line, the head is noted as soon as nothing has come for so long; and while lines come, once a second.
const NOTE_AFTER: Duration = Duration::from_millis(100);
const NOTE_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Lines that are written at once.
const CHUNK_LINES: usize = 256;
/// Between two checkpoints in the program's log.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Between two looks at the disk.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Writes.
pub struct Writer {
    pub dir: PathBuf,
    pub settings: AuditSettings,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn ChainStore>,
    pub intake: Arc<Intake>,
    pub figures: Arc<Shared>,
    pub keeper: Keeper,
    pub exporter: Option<Exporter>,
    pub random: SystemRandom,
    pub file: File,
    /// Its length up to its last whole line.
    pub good_bytes: u64,
    /// Something stands behind that.
    pub is_torn: bool,
    /// Number and time of the file's first line.
    pub first: Option<(u64, Timestamp)>,
    pub head: Head,
    /// What the state database knows.
    pub noted: Head,
    /// The next line repeats the hash that it follows.
    pub says_before: bool,
    /// A line that comes before all others.
    pub begin: Option<AuditRecord>,
    pub lost: Lost,
    pub times: Times,
    pub is_noting_badly: bool,
}

/// When things were done last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub noted: Timestamp,
    pub ticked: Timestamp,
    pub looked: Timestamp,
    pub checked: Timestamp,
}

impl Writer {
    /// Until it is told to end.
    pub fn run(mut self) {
        loop {
            let has_woken = self.intake.wait(self.patience());
            if has_woken && !self.intake.is_urgent() {
                std::thread::sleep(GATHER);
            }
            let (taken, lost) = self.intake.take();
            self.lost_more(&lost);
            let mut items = taken.items;
            let now = self.clock.now();
            let is_tick = now.duration_since(self.times.ticked).unsigned_abs() >= TICK;
            if taken.is_closing {
                items.extend(self.intake.due(super::coalesce::Coalescer::all).into_iter().map(unwaited));
            } else if is_tick {
                self.times.ticked = now;
                items.extend(self.intake.due(|coalescer| coalescer.due(now)).into_iter().map(unwaited));
            }
            self.write_all(items);
            for job in taken.jobs {
                self.work(job);
            }
            if taken.is_closing {
                self.note_head();
                self.checkpoint();
                return;
            }
            self.keep_house(now, !has_woken);
        }
    }

    fn patience(&self) -> Duration {
        if self.head != self.noted && !self.is_noting_badly {
            NOTE_AFTER
        } else if self.lost.count > 0 || self.begin.is_some() || self.intake.due(|coalescer| !coalescer.is_empty()) {
            TICK
        } else {
            IDLE_TICK
        }
    }

    fn work(&mut self, job: Job) {
        // The caller may have gone.
        match job {
            Job::Flush(done) => {
                self.flush();
                let _ = done.try_send(self.head);
            }
            Job::Erase(meant, done) => {
                self.flush();
                let _ = done.try_send(self.erase(&meant));
            }
        }
    }

    fn flush(&mut self) {
        let due = self.intake.due(super::coalesce::Coalescer::all);
        self.write_all(due.into_iter().map(unwaited).collect());
        self.note_head();
    }

    /// In a new file that takes the old one's place.
    fn erase(&mut self, meant: &Meant) -> io::Result<u64> {
        let path = self.dir.join(CURRENT);
        let segment = Segment { path: path.clone(), first: None, is_compressed: false };
        let erased = segments::rewrite(&segment, |text| erase::erased(text, meant))?;
        if erased > 0 {
            self.file = privacy::private_append(&path).map_err(io::Error::other)?;
            self.good_bytes = self.file.metadata()?.len();
            self.is_torn = false;
        }
        Ok(erased)
    }

    /// Writes what is given, and before it what was lost.
    pub fn write_all(&mut self, mut items: VecDeque<Item>) {
        if items.is_empty() && self.lost.count == 0 && self.begin.is_none() {
            return;
        }
        loop {
            let chunk: Vec<Item> = items.drain(..items.len().min(CHUNK_LINES)).collect();
            self.write_chunk(chunk);
            if self.is_full() {
                self.turn_over();
            }
            if items.is_empty() {
                return;
            }
        }
    }

    fn write_chunk(&mut self, chunk: Vec<Item>) {
        let now = self.clock.now();
        let must_sync = chunk.iter().any(|item| item.waiter.is_some());
        let marker = self.marker(now);
        let firsts = self.begin.clone().into_iter().chain(marker).collect::<Vec<AuditRecord>>();
        let (mut bytes, mut head, mut lines) = (Vec::new(), self.head, Vec::new());
        for record in firsts.iter().chain(chunk.iter().map(|item| &item.record)) {
            let says_before = self.says_before && lines.is_empty();
            let (line, next) = sealed(&record.fields(), &head, says_before, self.salt());
            lines.push(bytes.len()..bytes.len() + line.len());
            bytes.extend(line);
            head = next;
        }
        match self.append(&bytes, must_sync) {
            Ok(()) => {
                self.first = self.first.or(Some((self.head.number + 1, now)));
                self.head = head;
                self.says_before = false;
                self.begin = None;
                self.lost = Lost::default();
                self.well(lines.len() as u64);
                self.export(&bytes, &lines);
                self.answer(chunk, &Ok(()));
            }
            Err(error) => {
                self.trouble(&error);
                let mut lost = Lost::default();
                for item in &chunk {
                    lost.add(item.record.actor.as_ref().map(|actor| actor.uid), item.record.count);
                }
                self.lost_more(&lost);
                self.answer(chunk, &Err(NotWritten(error.to_string())));
            }
        }
    }

    fn answer(&self, chunk: Vec<Item>, result: &Result<(), NotWritten>) {
        for Item { record, waiter } in chunk {
            if let Some(waiter) = waiter {
                self.intake.due(|coalescer| coalescer.written(&record, result.is_ok()));
                // The waiter may have gone.
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// A line that says how many are missing.
    fn marker(&self, now: Timestamp) -> Option<AuditRecord> {
        (self.lost.count > 0).then(|| AuditRecord {
            lost: Some((self.lost.count, self.lost.by_user.clone())),
            detail: Some(String::from("events that could not be written before this line")),
            ..AuditRecord::new("lost", now)
        })
    }

    fn lost_more(&mut self, lost: &Lost) {
        if lost.count > 0 {
            self.lost.add_all(lost);
            self.figures.lock().lost += lost.count;
        }
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        // It cannot fail on any system that we run on; without salt a digest could be guessed, and everything else holds.
        let _ = self.random.fill(&mut salt);
        salt
    }

    /// All of it, or nothing.
    fn append(&mut self, bytes: &[u8], must_sync: bool) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.good_bytes)?;
            self.is_torn = false;
        }
        let written = self.file.write_all(bytes).and_then(|()| if must_sync { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => self.good_bytes += bytes.len() as u64,
            Err(_) => self.is_torn = self.file.set_len(self.good_bytes).is_err(),
        }
        written
    }

    fn export(&mut self, bytes: &[u8], lines: &[std::ops::Range<usize>]) {
        let Some(exporter) = &mut self.exporter else { return };
        let objects = lines.iter().filter_map(|range| serde_json::from_slice::<Object>(&bytes[range.clone()]).ok());
        let not_taken = objects.filter(|object| !exporter.send(object)).count();
        self.figures.lock().not_exported += not_taken as u64;
    }

    fn well(&self, lines: u64) {
        let mut figures = self.figures.lock();
        figures.written += lines;
        figures.number = self.head.number;
        figures.open_bytes = self.good_bytes;
        if figures.trouble.take().is_some() {
            tracing::info!("the audit log is being written again");
        }
    }

    /// Logs changes between failing and working, nothing in between.
    fn trouble(&self, error: &io::Error) {
        let mut figures = self.figures.lock();
        if figures.trouble.replace(error.to_string()).is_none() {
            let required = self.settings.required;
            tracing::error!(%error, required, "cannot write the audit log: with audit.required files are not opened, without it opens go unrecorded and are counted");
        }
    }

    fn keep_house(&mut self, now: Timestamp, is_idle: bool) {
        let since = |then: Timestamp| now.duration_since(then).abs();
        if self.head != self.noted && (is_idle || since(self.times.noted) >= NOTE_EVERY) {
            self.times.noted = now;
            self.note_head();
        }
        if since(self.times.looked) >= LOOK_EVERY {
            self.times.looked = now;
            self.look_at_disk(now);
            self.look_at_file(now);
            self.turn_over_if_old(now);
        }
        if since(self.times.checked) >= CHECKPOINT_EVERY {
            self.times.checked = now;
            self.checkpoint();
            self.keeper.begin();
        }
    }

    /// Lines first, so that the head is never ahead of them.
    pub fn note_head(&mut self) {
        if self.head == self.noted {
            return;
        }
        let noted =
            self.file.sync_data().map_err(|error| error.to_string()).and_then(|()| self.store.note_head(&self.head));
        match noted {
            Ok(()) => self.noted = self.head,
            Err(error) if !self.is_noting_badly => {
                tracing::error!(
                    error,
                    "cannot note the end of the audit log in the state database: lines cut off there would not show"
                );
            }
            Err(_) => {}
        }
        self.is_noting_badly = self.head != self.noted;
    }

    /// For copies of the program's log that are kept elsewhere; names no person.
    pub fn checkpoint(&self) {
        if self.head.number > 0 {
            let checkpoint = format!("{}:{}", self.head.number, self.head.hash);
            tracing::info!(checkpoint, "audit log checkpoint {checkpoint}: this is the last line now");
        }
    }

    /// Says before the disk is full that it will be.
    pub fn look_at_disk(&mut self, now: Timestamp) {
        let free = figures::free(&self.dir);
        let mut figures = self.figures.lock();
        let keep_s = self.settings.keep.as_secs_f64();
        let before = figures.warning(keep_s, now);
        figures.free_bytes = free;
        let warning = figures.warning(keep_s, now);
        drop(figures);
        if let Some(warning) = warning.filter(|_| before.is_none()) {
            tracing::warn!(dir = %self.dir.display(), "{warning}: free some space, choose another state.dir, or lower audit.keep");
        }
    }

    /// Somebody may have removed or replaced the file.
    fn look_at_file(&mut self, now: Timestamp) {
        let path = self.dir.join(CURRENT);
        let is_same = path.symlink_metadata().is_ok_and(|there| {
            self.file.metadata().is_ok_and(|ours| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        });
        if is_same {
            return;
        }
        tracing::error!(path = %path.display(), "the audit log was removed or replaced while it was in use: it goes on in a new file");
        match privacy::private_append(&path) {
            Ok(file) => {
                self.good_bytes = file.metadata().map_or(0, |metadata| metadata.len());
                self.file = file;
                (self.first, self.is_torn, self.says_before) = (None, false, true);
                let detail = Some(String::from("the file before was removed or replaced while it was in use"));
                self.begin = Some(AuditRecord { detail, ..AuditRecord::new("begin", now) });
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no new file for the audit log"),
        }
    }

    /// Turns the file over if its first line is old.
    pub fn turn_over_if_old(&mut self, now: Timestamp) {
        if self.is_old(now) {
            self.turn_over();
        }
    }

    fn is_full(&self) -> bool {
        self.good_bytes >= self.settings.segment_bytes
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.first.is_some_and(|(_, time)| now.duration_since(time) > self.settings.segment_age)
    }

    /// The file gets its number and is compressed elsewhere; a new one is begun.
    fn turn_over(&mut self) {
        let Some((first, _)) = self.first else { return };
        self.note_head();
        let (path, old) = (self.dir.join(CURRENT), segments::old(&self.dir, first));
        let turned = || -> io::Result<File> {
            std::fs::rename(&path, &old)?;
            privacy::private_append(&path).map_err(|error| {
                // Lines go on in the file that is there.
                let _ = std::fs::rename(&old, &path);
                io::Error::other(error)
            })
        }();
        match turned {
            Ok(file) => {
                self.file = file;
                (self.good_bytes, self.first, self.is_torn, self.says_before) = (0, None, false, true);
                let _ = segments::sync_dir(&path);
                self.checkpoint();
                self.keeper.begin();
            }
            Err(error) => tracing::warn!(%error, "the audit log cannot be turned over; it grows on"),
        }
    }
}

fn unwaited(record: AuditRecord) -> Item {
    Item { record, waiter: None }
}
