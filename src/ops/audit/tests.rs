//! The log as a whole, in a directory, with a store in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::*;
use crate::base::Export;
use crate::base::SystemClock;
use crate::base::clock::ManualClock;

/// Remembers the ends, also when the log is opened again.
#[derive(Default)]
struct Store {
    anchors: Mutex<Option<Anchors>>,
    is_deaf: AtomicBool,
}

impl ChainStore for Store {
    fn anchors(&self) -> Result<Option<Anchors>, String> {
        Ok(*self.anchors.lock())
    }

    fn note_head(&self, head: &Head) -> Result<(), String> {
        if !self.is_deaf.load(Ordering::SeqCst) {
            self.anchors.lock().get_or_insert_default().head = *head;
        }
        Ok(())
    }

    fn note_start(&self, start: &Head) -> Result<(), String> {
        self.anchors.lock().get_or_insert_default().start = *start;
        Ok(())
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    settings: AuditSettings,
}

impl Fixture {
    fn new() -> Fixture {
        let clock = Arc::new(ManualClock::new("2026-11-02T12:00:00Z".parse().unwrap()));
        let settings = AuditSettings::new(Duration::from_hours(24 * 10), false, Export::None);
        Fixture { dir: tempfile::tempdir().unwrap(), store: Arc::default(), clock, settings }
    }

    fn open(&self) -> AuditLog {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        AuditLog::open(self.dir.path(), self.settings.clone(), store, clock).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        read::each(self.dir.path(), |line| {
            lines.push(Value::Object(line));
            true
        })
        .unwrap();
        lines
    }

    fn verdict(&self) -> Verdict {
        read::verify(self.dir.path(), *self.store.anchors.lock(), Vec::new(), false).unwrap()
    }

    fn record(&self, uid: u32, path: &str) -> AuditRecord {
        let actor = Actor { uid, gid: 100, pid: 7, comm: String::from("ffprobe\n\"x"), ..Actor::default() };
        AuditRecord {
            actor: Some(actor),
            path: Some(path.to_owned()),
            master_contact: Some(701_000_000_122),
            billed: Some(true),
            outcome: Some("ok".into()),
            ..AuditRecord::new("open", self.clock.now())
        }
    }

    fn current(&self) -> PathBuf {
        self.dir.path().join(segments::CURRENT)
    }
}

#[tokio::test]
async fn events_are_lines_in_order_and_the_chain_holds_over_restarts() {
    let fixture = Fixture::new();
    for round in 0..3 {
        let log = fixture.open();
        for number in 0..500 {
            log.event(fixture.record(1000, &format!("d/a/i/{round}_{number}.mp4"))).await.unwrap();
        }
    }
    let lines = fixture.lines();
    let opens: Vec<&Value> = lines.iter().filter(|line| line["event"] == "open").collect();
    assert_eq!((lines.len(), opens.len()), (1503, 1500));
    assert_eq!(opens[501]["path"], "d/a/i/1_1.mp4");
    assert_eq!(
        (&opens[0]["comm"], &opens[0]["master_contact"]),
        (&Value::from("ffprobe^J\"x"), &Value::from(701_000_000_122_i64))
    );
    assert!(opens[0].get("session").is_none(), "what is not known is not there");
    let verdict = fixture.verdict();
    assert!(verdict.is_sound() && verdict.lines == 1503 && verdict.beyond_head == 0, "{verdict:?}");
}

#[tokio::test]
async fn a_flood_of_one_user_loses_no_line_of_another() {
    let fixture = Fixture::new();
    let log = Arc::new(fixture.open());
    let flood = {
        let (log, record) = (Arc::clone(&log), fixture.record(1, ""));
        tokio::spawn(async move {
            for number in 0..30_000 {
                let path = Some(format!("d/a/i_{number}/\u{1}x.mp4"));
                log.event(AuditRecord { path, ..record.clone() }).await.unwrap();
            }
        })
    };
    for number in 0..200 {
        log.event(fixture.record(2, &format!("d/a/other_{number}"))).await.unwrap();
        tokio::task::yield_now().await;
    }
    flood.await.unwrap();
    drop(log);
    let lines = fixture.lines();
    let of = |uid: u32| lines.iter().filter(|line| line["uid"] == uid).count();
    assert_eq!((of(2), of(1)), (200, 30_000), "and none of his own, because he is slowed down");
    assert!(fixture.verdict().is_sound());
}

#[tokio::test]
async fn files_are_turned_over_by_size_compressed_and_deleted_by_age_alone() {
    let mut fixture = Fixture::new();
    fixture.settings.segment_bytes = 20_000;
    let log = fixture.open();
    for number in 0..2000 {
        log.event(fixture.record(1000, &format!("d/a/i/{number}.mp4"))).await.unwrap();
        if number % 50 == 0 {
            log.flush();
        }
    }
    log.flush();
    log.keeper.keep_house();
    let files = segments::list(fixture.dir.path()).unwrap();
    assert!(files.len() > 5 && files.iter().all(|file| file.is_compressed == file.first.is_some()), "{files:?}");
    let figures = log.figures();
    assert!(figures.files == files.len() as u64 && figures.bytes() > 0 && figures.oldest.is_some());
    assert!(fixture.verdict().is_sound());
    assert_eq!(fixture.lines().len(), 2001, "volume deletes nothing");
    // Ten days later a line of today, then all that is older goes.
    fixture.clock.advance(Duration::from_hours(24 * 11));
    log.event(fixture.record(1000, "d/a/i/today.mp4")).await.unwrap();
    log.flush();
    log.keeper.keep_house();
    for number in 0..100 {
        log.event(fixture.record(1000, &format!("d/a/i/new_{number}.mp4"))).await.unwrap();
    }
    log.flush();
    log.keeper.keep_house();
    drop(log);
    let lines = fixture.lines();
    assert!(lines.len() < 300, "{}", lines.len());
    assert!(lines.iter().any(|line| line["event"] == "expire"));
    let verdict = fixture.verdict();
    assert!(verdict.is_sound() && verdict.first.unwrap() > 1900, "{verdict:?}");
    std::fs::remove_file(&segments::list(fixture.dir.path()).unwrap()[0].path).unwrap();
    assert_eq!(fixture.verdict().findings[0].kind, "removed", "what age did not delete is missing");
}

#[tokio::test]
async fn a_torn_line_is_cut_off_and_said_and_what_is_missing_is_not_smoothed_over() {
    let fixture = Fixture::new();
    let log = fixture.open();
    for number in 0..10 {
        log.event(fixture.record(1000, &format!("{number}"))).await.unwrap();
    }
    drop(log);
    // As a killed process leaves it: what was noted last is some lines back.
    let text = std::fs::read(fixture.current()).unwrap();
    let known = fixture.store.anchors.lock().unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let eighth = line::Line::read(lines[7].strip_suffix(b"\n").unwrap()).unwrap();
    fixture.store.anchors.lock().as_mut().unwrap().head = eighth.head;
    std::fs::write(fixture.current(), &text[..text.len() - 20]).unwrap();
    assert_eq!(fixture.verdict().findings[0].kind, "torn");
    drop(fixture.open());
    let verdict = fixture.verdict();
    assert!(verdict.is_sound(), "{verdict:?}");
    let said = fixture.lines().last().unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("not finished"), "{said}");
    // Cut off behind what is known, and begun anew.
    *fixture.store.anchors.lock() = Some(known);
    std::fs::write(fixture.current(), lines[..5].concat()).unwrap();
    assert_eq!(fixture.verdict().findings[0].kind, "cut");
    drop(fixture.open());
    let verdict = fixture.verdict();
    assert_eq!(
        (verdict.findings[0].kind.as_str(), verdict.findings[0].number, verdict.findings[0].to),
        ("removed", Some(6), Some(11))
    );
}

#[tokio::test]
async fn a_contact_is_erased_from_all_files_and_the_chain_holds() {
    let mut fixture = Fixture::new();
    fixture.settings.segment_bytes = 20_000;
    let log = fixture.open();
    for number in 0..200 {
        let contact = 701 + i64::from(number % 2);
        let path = format!("d/a/i_{contact}/{number}.mp4");
        log.event(AuditRecord { master_contact: Some(contact), ..fixture.record(1000, &path) }).await.unwrap();
    }
    // Counted, and not written yet.
    log.event(AuditRecord { master_contact: Some(701), ..fixture.record(1000, "d/a/i_701/198.mp4") }).await.unwrap();
    let meant = Meant::Numbers(vec![String::from("701")]);
    log.keeper.keep_house();
    assert_eq!(log.count(&meant).unwrap(), 101);
    assert_eq!(log.erase(&meant).unwrap(), 101);
    log.event(fixture.record(1000, "d/a/i_702/after.mp4")).await.unwrap();
    drop(log);
    let lines = fixture.lines();
    assert!(lines.iter().all(|line| !line.to_string().contains("i_701") && line["master_contact"] != 701));
    let verdict = fixture.verdict();
    assert!(verdict.is_sound() && verdict.erased == 101, "{verdict:?}");
    assert_eq!(erase::in_all(fixture.dir.path(), &Meant::All).unwrap(), 101, "the others");
    assert!(fixture.verdict().is_sound());
}

#[tokio::test]
async fn repeats_are_written_at_the_end_of_their_minute_and_before_the_log_ends() {
    let fixture = Fixture::new();
    let log = fixture.open();
    for _ in 0..50 {
        log.event(fixture.record(1000, "d/a/i/x.mp4")).await.unwrap();
    }
    log.flush();
    log.event(fixture.record(1000, "d/a/i/x.mp4")).await.unwrap();
    log.event(fixture.record(1000, "d/a/i/x.mp4")).await.unwrap();
    drop(log);
    let counts: Vec<u64> = fixture
        .lines()
        .iter()
        .filter(|line| line["event"] == "open")
        .map(|line| line["count"].as_u64().unwrap_or(1))
        .collect();
    assert_eq!(counts, [1, 49, 1, 1]);
}

#[tokio::test]
async fn what_is_required_is_on_disk_or_refused() {
    let mut fixture = Fixture::new();
    fixture.settings.required = true;
    let log = fixture.open();
    log.event(fixture.record(1000, "d/a/i/x.mp4")).await.unwrap();
    let text = std::fs::read_to_string(fixture.current()).unwrap();
    assert!(text.contains("d/a/i/x.mp4"), "before anybody is told");
    log.event(fixture.record(1000, "d/a/i/x.mp4")).await.unwrap();
    log.check().unwrap();
    log.figures.lock().trouble = Some(String::from("no space left"));
    let refused = log.check().unwrap_err().to_string();
    assert!(refused.contains("audit.required") && refused.contains("no space left"), "{refused}");
}

/// A file that takes nothing: the events are counted, and a line says so once it does.
#[tokio::test]
async fn what_cannot_be_written_is_counted_and_told_when_there_is_room() {
    let fixture = Fixture::new();
    // Opened beforehand for reading alone, so that every write fails.
    let log = fixture.open();
    let path = fixture.current();
    drop(log);
    let file = std::fs::File::open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let figures = Arc::<figures::Shared>::default();
    let intake = Arc::new(Intake::new(Coalescer::new(false)));
    let known = fixture.store.anchors.lock().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Arc<dyn ChainStore> = Arc::clone(&fixture.store) as Arc<dyn ChainStore>;
    let keeper = Keeper {
        dir: fixture.dir.path().to_owned(),
        keep: fixture.settings.keep,
        clock: Arc::clone(&clock),
        store: Arc::clone(&store),
        intake: Arc::clone(&intake),
        figures: Arc::clone(&figures),
        lock: Arc::default(),
    };
    let mut writer = Writer {
        dir: fixture.dir.path().to_owned(),
        settings: fixture.settings.clone(),
        clock,
        store,
        intake,
        figures: Arc::clone(&figures),
        keeper,
        exporter: None,
        random: SystemRandom::new(),
        file,
        good_bytes: length,
        is_torn: false,
        first: Some((1, fixture.clock.now())),
        head: known.head,
        noted: known.head,
        says_before: false,
        begin: None,
        lost: Lost::default(),
        times: Times::default(),
        is_noting_badly: false,
    };
    let item = |number: u32| Item { record: fixture.record(1000 + number % 2, &number.to_string()), waiter: None };
    writer.write_all((0..300).map(item).collect());
    let told = figures.lock().clone();
    assert_eq!((told.lost, told.trouble.is_some()), (300, true));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    writer.file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    writer.write_all([item(1)].into());
    writer.note_head();
    let lines = fixture.lines();
    let marker = &lines[lines.len() - 2];
    assert_eq!(
        (&marker["event"], &marker["lost"], &marker["lost_by_uid"]["1001"]),
        (&Value::from("lost"), &Value::from(300), &Value::from(150))
    );
    assert!(figures.lock().trouble.is_none());
    let verdict = fixture.verdict();
    assert!(verdict.is_sound() && verdict.lost == 300, "{verdict:?}");
}
