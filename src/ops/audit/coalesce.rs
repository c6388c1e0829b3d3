//! Which events are lines of their own, and which are counted: repeats of one reader and file, and walks over many `contact.json`.
//!
//! The first of a kind is a line at once. What the same reader does to the same file with the same outcome within a minute is counted and becomes one
//! line at the end of the minute. Beyond 100 `contact.json` in a minute, a reader's opens in one agent's folder become one line that lists the master
//! contacts. Memory is bounded: what does not fit becomes a line earlier. Pure; the time is an argument.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use super::record::{Actor, AuditRecord};

/// How long repeats are counted.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// `contact.json` of one reader within [`WINDOW`] that have lines of their own.
const SINGLE_CONTACTS_MAX: u64 = 100;
/// Master contacts of one line: about 5 KB, so that a line is still a datagram of syslog.
const LISTED_MAX: usize = 350;
/// A group to which nothing is added for so long is written: a killed process loses no more than that of it.
const GROUP_IDLE: SignedDuration = SignedDuration::from_secs(5);
/// Pairs of reader and file that are remembered. At 500 bytes each this is 2 MiB.
const REPEATS_MAX: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Readers whose `contact.json` are counted.
const READERS_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Folders of which a line is being gathered. At 10 KiB each this is 1.3 MiB.
const GROUPS_MAX: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// The file in each interaction's folder that is free to read.
const CONTACT_JSON: &str = "contact.json";

/// One reader and file, with what came of it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    event: String,
    actor: Option<Actor>,
    door: Option<Arc<str>>,
    path: Option<String>,
    outcome: Option<String>,
    billed: Option<bool>,
}

impl Kind {
    fn of(record: &AuditRecord, path: Option<String>) -> Kind {
        Kind {
            event: record.event.to_string(),
            actor: record.actor.clone(),
            door: record.door.clone(),
            path,
            outcome: record.outcome.as_ref().map(ToString::to_string),
            billed: record.billed,
        }
    }
}

struct Repeats {
    /// Of the line that was written.
    first: Timestamp,
    /// That line is on disk, or need not be.
    is_sure: bool,
    /// Since that line.
    count: u64,
    from: Timestamp,
    last: AuditRecord,
}

struct Group {
    record: AuditRecord,
    count: u64,
    last: Timestamp,
    known: HashSet<i64>,
}

/// A process at a door.
type Reader = (Actor, Option<Arc<str>>);

/// Decides.
pub struct Coalescer {
    repeats: LruCache<Kind, Repeats>,
    readers: LruCache<Reader, (Timestamp, u64)>,
    groups: LruCache<Kind, Group>,
    /// Whether the first line of each file must be on disk: then walks do not become groups.
    is_strict: bool,
}

/// What becomes of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The event itself, if it is a line of its own.
    pub own: Option<AuditRecord>,
    /// Lines that are due because of it.
    pub due: Vec<AuditRecord>,
}

impl Coalescer {
    /// Nothing happened yet.
    pub fn new(is_strict: bool) -> Coalescer {
        Coalescer {
            repeats: LruCache::new(REPEATS_MAX),
            readers: LruCache::new(READERS_MAX),
            groups: LruCache::new(GROUPS_MAX),
            is_strict,
        }
    }

    /// An event of a file.
    pub fn take(&mut self, record: AuditRecord) -> Lines {
        let mut due = Vec::new();
        if self.joins_a_group(&record) {
            due.extend(self.group(record));
            return Lines { own: None, due };
        }
        let now = record.time;
        let kind = Kind::of(&record, record.path.clone());
        if let Some(repeats) = self.repeats.get_mut(&kind) {
            if !repeats.is_sure {
                return Lines { own: Some(record), due };
            }
            if is_within(repeats.first, now, WINDOW) {
                if repeats.count == 0 {
                    repeats.from = now;
                }
                repeats.count += 1;
                repeats.last = record;
                return Lines::default();
            }
            due.extend(self.repeats.pop(&kind).and_then(Repeats::line));
        }
        let repeats = Repeats { first: now, is_sure: !self.is_strict, count: 0, from: now, last: record.clone() };
        due.extend(self.repeats.push(kind, repeats).and_then(|(_, pushed_out)| pushed_out.line()));
        Lines { own: Some(record), due }
    }

    /// Whether the line of an event is on disk. If not, the next one of its kind is a line again.
    pub fn written(&mut self, record: &AuditRecord, is_written: bool) {
        let kind = Kind::of(record, record.path.clone());
        if is_written {
            if let Some(repeats) = self.repeats.get_mut(&kind) {
                repeats.is_sure = true;
            }
        } else if self.repeats.peek(&kind).is_some_and(|repeats| !repeats.is_sure) {
            self.repeats.pop(&kind);
        }
    }

    /// Lines that are due at that time.
    pub fn due(&mut self, now: Timestamp) -> Vec<AuditRecord> {
        let mut due = Vec::new();
        let ended: Vec<Kind> = self
            .repeats
            .iter()
            .filter(|(_, repeats)| !is_within(repeats.first, now, WINDOW))
            .map(|(kind, _)| kind.clone())
            .collect();
        due.extend(ended.iter().filter_map(|kind| self.repeats.pop(kind)).filter_map(Repeats::line));
        let ended: Vec<Kind> = self
            .groups
            .iter()
            .filter(|(_, group)| {
                let first = group.record.since.unwrap_or(group.last);
                !is_within(first, now, WINDOW) || !is_within(group.last, now, GROUP_IDLE)
            })
            .map(|(kind, _)| kind.clone())
            .collect();
        due.extend(ended.iter().filter_map(|kind| self.groups.pop(kind)).map(Group::line));
        due.sort_by_key(|record| record.time);
        due
    }

    /// Whatever was not written yet; nothing is remembered.
    pub fn all(&mut self) -> Vec<AuditRecord> {
        let mut due = Vec::new();
        while let Some((_, repeats)) = self.repeats.pop_lru() {
            due.extend(repeats.line());
        }
        while let Some((_, group)) = self.groups.pop_lru() {
            due.push(group.line());
        }
        due.sort_by_key(|record| record.time);
        due
    }

    /// Whether nothing can become due.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.repeats.is_empty() && self.groups.is_empty()
    }

    fn joins_a_group(&mut self, record: &AuditRecord) -> bool {
        let is_contact = record.path.as_deref().is_some_and(|path| path.rsplit('/').next() == Some(CONTACT_JSON));
        let (Some(actor), true, false) = (&record.actor, is_contact, self.is_strict) else { return false };
        let reader = (actor.clone(), record.door.clone());
        if let Some((since, count)) = self.readers.get_mut(&reader)
            && is_within(*since, record.time, WINDOW)
        {
            *count += 1;
            return *count > SINGLE_CONTACTS_MAX;
        }
        self.readers.put(reader, (record.time, 1));
        false
    }

    fn group(&mut self, mut record: AuditRecord) -> Vec<AuditRecord> {
        let master = record.master_contact.take();
        // day/agent/interaction/contact.json
        let agent = record.path.take().map(|path| path.splitn(4, '/').take(2).collect::<Vec<_>>().join("/"));
        let kind = Kind::of(&record, agent.clone());
        let mut due = Vec::new();
        let now = record.time;
        let has_room = self.groups.peek(&kind).is_none_or(|group| {
            group.record.contacts.len() < LISTED_MAX && is_within(group.record.since.unwrap_or(now), now, WINDOW)
        });
        if !has_room {
            due.extend(self.groups.pop(&kind).map(Group::line));
        }
        if let Some(group) = self.groups.get_mut(&kind) {
            group.add(master, now);
            return due;
        }
        let record = AuditRecord { path: agent, since: Some(now), ..record };
        let mut group = Group { record, count: 0, last: now, known: HashSet::new() };
        group.add(master, now);
        due.extend(self.groups.push(kind, group).map(|(_, pushed_out)| pushed_out.line()));
        due
    }
}

impl Repeats {
    fn line(self) -> Option<AuditRecord> {
        let since = (self.count > 1).then_some(self.from);
        (self.count > 0).then_some(AuditRecord { count: self.count, since, ..self.last })
    }
}

impl Group {
    fn add(&mut self, master: Option<i64>, now: Timestamp) {
        self.count += 1;
        self.last = now;
        if let Some(master) = master.filter(|master| self.known.insert(*master)) {
            self.record.contacts.push(master);
        }
    }

    fn line(self) -> AuditRecord {
        AuditRecord { count: self.count, time: self.last, ..self.record }
    }
}

/// False also where the clock went back.
fn is_within(since: Timestamp, now: Timestamp, window: SignedDuration) -> bool {
    let passed = now.duration_since(since);
    passed < window && passed > -window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn opened(second: i64, pid: u32, path: &str, master: i64) -> AuditRecord {
        let actor = Actor { uid: 1000, pid, comm: String::from("cat"), ..Actor::default() };
        AuditRecord {
            actor: Some(actor),
            path: Some(path.to_owned()),
            master_contact: Some(master),
            outcome: Some("ok".into()),
            ..AuditRecord::new("open", at(second))
        }
    }

    fn counts(lines: &[AuditRecord]) -> u64 {
        lines.iter().map(|line| line.count).sum()
    }

    #[test]
    fn repeats_within_a_minute_are_one_line_with_a_count() {
        let mut coalescer = Coalescer::new(false);
        let first = coalescer.take(opened(0, 7, "d/a/i/x.mp4", 701));
        assert!(first.own.is_some() && first.due.is_empty());
        for second in 1..50 {
            assert_eq!(coalescer.take(opened(second, 7, "d/a/i/x.mp4", 701)), Lines::default());
        }
        assert!(coalescer.take(opened(50, 8, "d/a/i/x.mp4", 701)).own.is_some(), "another process");
        assert!(coalescer.take(opened(50, 7, "d/a/i/y.mp4", 701)).own.is_some(), "another file");
        let refused = AuditRecord { outcome: Some("EDQUOT".into()), ..opened(50, 7, "d/a/i/x.mp4", 701) };
        assert!(coalescer.take(refused).own.is_some(), "another outcome");
        assert!(coalescer.due(at(59)).is_empty());
        let due = coalescer.due(at(60));
        assert_eq!((due.len(), due[0].count, due[0].since, due[0].time), (1, 49, Some(at(1)), at(49)));
        assert!(coalescer.take(opened(61, 7, "d/a/i/x.mp4", 701)).own.is_some(), "another minute");
    }

    #[test]
    fn a_repeat_after_its_minute_brings_the_count_before_it() {
        let mut coalescer = Coalescer::new(false);
        coalescer.take(opened(0, 7, "f", 1));
        coalescer.take(opened(1, 7, "f", 1));
        let lines = coalescer.take(opened(70, 7, "f", 1));
        assert_eq!((lines.due.len(), lines.due[0].count, lines.due[0].since), (1, 1, None));
        assert!(lines.own.is_some());
        coalescer.take(opened(71, 7, "f", 1));
        assert_eq!(counts(&coalescer.all()), 1);
        assert!(coalescer.all().is_empty());
        let back = coalescer.take(opened(-1000, 7, "f", 1));
        assert!(back.own.is_some(), "a clock that goes back hides nothing");
    }

    #[test]
    fn a_walk_becomes_one_line_per_folder_that_lists_the_contacts() {
        let mut coalescer = Coalescer::new(false);
        let (mut own, mut due) = (0, Vec::new());
        for number in 0..1000_i64 {
            let path = format!("2026-11-02/Keller_Rosa_{}/i_{number}/contact.json", number / 500);
            let lines = coalescer.take(opened(number / 100, 7, &path, number));
            own += u64::from(lines.own.is_some());
            due.extend(lines.due);
        }
        due.extend(coalescer.due(at(70)));
        assert_eq!((own, counts(&due)), (100, 900));
        // 100 to 449, 450 to 499, and those of the other folder.
        assert_eq!(due.len(), 4);
        let mut listed: Vec<i64> = due.iter().flat_map(|line| line.contacts.clone()).collect();
        listed.sort_unstable();
        assert_eq!(listed, (100..1000).collect::<Vec<i64>>());
        assert!(due.iter().all(|line| line.master_contact.is_none() && line.contacts.len() <= LISTED_MAX));
        assert_eq!(due[0].path.as_deref(), Some("2026-11-02/Keller_Rosa_0"));
    }

    #[test]
    fn a_walk_that_pauses_is_written_soon() {
        let mut coalescer = Coalescer::new(false);
        for number in 0..103 {
            coalescer.take(opened(0, 7, &format!("d/a/i_{number}/contact.json"), number));
        }
        assert!(coalescer.due(at(4)).is_empty());
        assert_eq!(counts(&coalescer.due(at(6))), 3);
    }

    #[test]
    fn where_each_first_line_must_be_on_disk_nothing_is_gathered() {
        let mut coalescer = Coalescer::new(true);
        let own = (0..300).filter(|number| {
            let lines = coalescer.take(opened(0, 7, &format!("d/a/i_{number}/contact.json"), *number));
            lines.own.is_some()
        });
        assert_eq!(own.count(), 300);
    }

    #[test]
    fn nothing_is_a_repeat_of_a_line_that_is_not_on_disk() {
        let mut coalescer = Coalescer::new(true);
        let opened = || opened(0, 7, "d/a/i/x.mp4", 701);
        assert!(coalescer.take(opened()).own.is_some());
        assert!(coalescer.take(opened()).own.is_some(), "nobody knows yet");
        coalescer.written(&opened(), false);
        assert!(coalescer.take(opened()).own.is_some());
        coalescer.written(&opened(), true);
        assert_eq!(coalescer.take(opened()), Lines::default());
        assert_eq!(counts(&coalescer.all()), 1);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut coalescer = Coalescer::new(false);
        let mut written = 0;
        let files = REPEATS_MAX.get() as i64 * 3;
        for round in 0..2 {
            for number in 0..files {
                let path = format!("d/a/i_{number}/x.mp4");
                for lines in [coalescer.take(opened(round, 7, &path, 1)), coalescer.take(opened(round, 7, &path, 1))] {
                    written += counts(&lines.due) + u64::from(lines.own.is_some());
                }
                assert!(coalescer.repeats.len() <= REPEATS_MAX.get());
            }
        }
        written += counts(&coalescer.all());
        assert_eq!(written, files as u64 * 4);
    }
}
