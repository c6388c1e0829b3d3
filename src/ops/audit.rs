//! The audit log: one JSON line per open of a recording or of its metadata, in the state directory, 0600, rotated.
//!
//! Writing is a thread's business, so that no file operation waits for the disk. The queue is bounded; what does not fit is
//! counted, and the count is written as a line of its own as soon as there is room. Knows no catalog and no policy.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::privacy::PrivacyError;
use super::rotate::{RotatingFile, Rotation};
use crate::base::MasterId;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "audit.log";

/// Records that may wait for the disk. At 300 bytes each this is about 1 MiB.
const QUEUE_RECORDS: usize = 4096;

/// A copy of thousands of files must not wake the writer for each: what follows a record within this time is written together. Also
/// what a killed process may leave unwritten.
const GATHER: Duration = Duration::from_millis(10);

/// One open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub time: Timestamp,
    pub uid: u32,
    pub gid: u32,
    /// 0 where the caller is outside of this process's pid namespace.
    pub pid: u32,
    /// The process's short name; empty where it could not be seen.
    pub comm: String,
    /// Path of its executable file, where it may be seen.
    pub exe: Option<String>,
    /// The user who logged in, and the session, where the kernel's audit knows them.
    pub login_uid: Option<u32>,
    pub session: Option<u32>,
    /// Below the mount point, without a leading slash.
    pub path: String,
    pub master_contact: MasterId,
    /// Whether this open made a billed call.
    pub billed: bool,
    /// `ok`, or the name of the errno.
    pub outcome: String,
}

/// The line's form. Field names are part of what users see.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    uid: u32,
    gid: u32,
    pid: u32,
    comm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u32>,
    path: &'a str,
    master_contact: i64,
    billed: bool,
    outcome: &'a str,
}

/// What the writer is sent.
#[derive(Debug)]
enum Entry {
    Record(AuditRecord),
    /// To be answered when all before it is written.
    Mark(SyncSender<()>),
}

/// Takes records. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub struct AuditLog {
    /// `None` only while dropping.
    sender: Option<SyncSender<Entry>>,
    dropped: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// Opens or creates the log in `dir` and starts its writer.
    pub fn open(dir: &Path, rotation: Rotation) -> Result<AuditLog, PrivacyError> {
        let path = dir.join(FILE_NAME);
        let file = RotatingFile::open(&path, rotation)?;
        let (sender, receiver) = sync_channel(QUEUE_RECORDS);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { file, dropped: Arc::clone(&dropped), failing: false };
        let writer = std::thread::Builder::new()
            .name(String::from("audit"))
            .spawn(move || writer.run(&receiver))
            .map_err(|source| PrivacyError::Create { path, source })?;
        Ok(AuditLog { sender: Some(sender), dropped, writer: Some(writer) })
    }

    /// Queues a record. Never waits; a record that does not fit is counted as lost.
    pub fn record(&self, record: AuditRecord) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(Entry::Record(record)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was recorded so far is in the file.
    pub fn flush(&self) {
        let (mark, written) = sync_channel(1);
        if let Some(sender) = &self.sender
            && sender.send(Entry::Mark(mark)).is_ok()
        {
            // An error: the writer ended, and so there is nothing to wait for.
            let _ = written.recv();
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(
                "internal error: the audit log's writer ended; no line is written any more; please report it"
            );
        }
    }
}

struct Writer {
    file: RotatingFile,
    dropped: Arc<AtomicU64>,
    /// Whether the last write failed, so that a full disk is one line in the log and not thousands.
    failing: bool,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Entry>) {
        while let Ok(entry) = receiver.recv() {
            self.take(entry);
            for entry in receiver.try_iter() {
                self.take(entry);
            }
            std::thread::sleep(GATHER);
        }
        self.write_loss();
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Record(record) => self.write(&record),
            // Whoever asked may have gone.
            Entry::Mark(mark) => drop(mark.try_send(())),
        }
    }

    fn write(&mut self, record: &AuditRecord) {
        self.write_loss();
        let result = line(record).and_then(|line| self.file.append(&line));
        if result.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.note(result);
    }

    /// Says in the log itself how many records are missing at this place.
    fn write_loss(&mut self) {
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let result = self.file.append(format!("{{\"lost\":{lost}}}\n").as_bytes());
        if result.is_err() {
            self.dropped.fetch_add(lost, Ordering::Relaxed);
        }
        self.note(result);
    }

    /// Logs changes between failing and working, nothing in between.
    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                if self.failing {
                    tracing::info!("the audit log can be written again");
                }
                self.failing = false;
            }
            Err(error) => {
                if !self.failing {
                    let error = crate::base::chain(&error);
                    tracing::error!(
                        error,
                        "the audit log cannot be written ({error}): see to the state directory; what is lost is counted in the next line"
                    );
                }
                self.failing = true;
            }
        }
    }
}

fn line(record: &AuditRecord) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line {
        time: record.time.to_string(),
        uid: record.uid,
        gid: record.gid,
        pid: record.pid,
        comm: &record.comm,
        exe: record.exe.as_deref(),
        login_uid: record.login_uid,
        session: record.session,
        path: &record.path,
        master_contact: record.master_contact.0,
        billed: record.billed,
        outcome: &record.outcome,
    })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn record(pid: u32) -> AuditRecord {
        AuditRecord {
            time: "2026-11-02T13:59:31Z".parse().unwrap(),
            uid: 1000,
            gid: 100,
            pid,
            comm: String::from("ffprobe\n\"x"),
            exe: Some(String::from("/usr/bin/ffprobe")),
            login_uid: Some(1000),
            session: None,
            path: String::from("2026-11-02/Keller_Rosa_8812345/085931_call_in_701000000122/recording.mp4"),
            master_contact: MasterId(701_000_000_122),
            billed: true,
            outcome: String::from("ok"),
        }
    }

    #[test]
    fn one_json_line_per_record_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), Rotation::LOG).unwrap();
        for pid in 0..1000 {
            log.record(record(pid));
        }
        drop(log);
        let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1000);
        for (pid, line) in lines.iter().enumerate() {
            assert_eq!(line["pid"], pid);
        }
        assert_eq!(lines[0]["time"], "2026-11-02T13:59:31Z");
        assert_eq!(lines[0]["comm"], "ffprobe\n\"x");
        assert_eq!(lines[0]["exe"], "/usr/bin/ffprobe");
        assert_eq!(lines[0]["login_uid"], 1000);
        assert!(lines[0].get("session").is_none(), "what is not known is not there");
        assert_eq!(lines[0]["master_contact"], 701_000_000_122_i64);
        assert_eq!(lines[0]["billed"], true);
    }

    #[test]
    fn what_was_lost_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), Rotation::LOG).unwrap();
        log.dropped.store(7, Ordering::Relaxed);
        drop(log);
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), "{\"lost\":7}\n");
    }
}
