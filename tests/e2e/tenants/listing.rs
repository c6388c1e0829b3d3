//! What a tenant lists, in every form and by every way of counting: all of it, on the day on which it began.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::harness::{Case, CaseDrive, Kind, List, ListMode, Mount, eventually};

fn names(folders: &[PathBuf]) -> Vec<&str> {
    folders.iter().map(|folder| folder.to_str().unwrap()).collect()
}

fn contact_json(drive: &CaseDrive, folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(drive.at(folder).join("contact.json")).unwrap()).unwrap()
}

/// A call of agent 7.
fn call(number: u64, start: &str) -> Map<String, Value> {
    let id = 701_000_100_000 + number;
    let record = json!({"contactId": id, "masterContactId": id, "contactStartDate": start, "totalDurationSeconds": 60, "agentId": 7,
        "firstName": "Rosa", "lastName": "Keller", "mediaTypeId": 4, "isOutbound": false, "lastUpdateTime": start});
    record.as_object().unwrap().clone()
}

/// A day on which calls come every thirty seconds.
fn busy(calls: u64, list: List) -> Case {
    let midnight: jiff::Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let at = |number: u64| (midnight + jiff::SignedDuration::from_secs(number as i64 * 30)).to_string();
    Case { records: (0..calls).map(|number| call(number, &at(number))).collect(), list, ..Case::default() }
}

#[test]
fn an_answer_that_is_wrapped_or_all_text_lists() {
    for case in ["A-resultset", "A2-strings"] {
        let drive = CaseDrive::named(case);
        let folders = drive.interactions();
        assert_eq!(names(&folders), ["2026-11-02/Agent_Test_999999/162931_call_in_2789879875"], "{case}");
        assert_eq!(contact_json(&drive, &folders[0])[0]["totalDurationSeconds"], 295, "{case}");
    }
}

#[test]
fn a_call_over_midnight_is_on_the_day_on_which_it_began() {
    // Looked at alone, before the next day was.
    let drive = CaseDrive::named("C-by-end");
    assert_eq!(std::fs::read_dir(drive.at("2026-11-02")).unwrap().count(), 1);
    assert_eq!(names(&drive.interactions()), ["2026-11-02/Keller_Rosa_8812000/235500_call_in_701000000001"]);
}

#[test]
fn every_record_is_a_call_on_its_day_however_it_is_written() {
    let drive = CaseDrive::named("K");
    let folders = drive.interactions();
    let told: Vec<String> = folders
        .iter()
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let minutes = ["0800", "0801", "0802", "0803", "0804", "0805", "0806", "0807", "0808", "0809", "0809", "0810"];
    assert_eq!(told.len(), 12, "{told:?}");
    for (number, (name, minute)) in (1..).zip(told.iter().zip(minutes)) {
        let direction = if number == 8 { "out" } else { "in" };
        assert_eq!(*name, format!("{minute}00_call_{direction}_{}", 701_000_000_000_u64 + number));
    }
    let agents: std::collections::BTreeSet<&str> =
        folders.iter().map(|folder| folder.parent().unwrap().file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(agents.into_iter().collect::<Vec<_>>(), ["Keller_Rosa_8812000", "no_agent"]);
    assert_eq!(drive.mount.status()["tree"]["unreadable"], json!([]));
}

#[test]
fn both_emails_of_an_answer_are_files() {
    let drive = CaseDrive::named("L");
    let master = 701_000_000_001;
    assert_eq!(drive.names(master), ["contact.json", "email.eml", "metadata.json"], "predicted");
    let folder = drive.folder(master);
    let first = std::fs::read_to_string(folder.join("email.eml")).unwrap();
    assert!(first.contains("Subject: first"), "{first}");
    assert_eq!(drive.names(master), ["contact.json", "email.eml", "email_2.eml", "metadata.json"]);
    let second = std::fs::read_to_string(folder.join("email_2.eml")).unwrap();
    assert!(second.contains("Subject: Re: first") && second.contains("two"), "{second}");
    assert_eq!(drive.tenant.calls_for(master), 1);
}

#[test]
fn a_day_is_whole_whatever_the_tenant_counts() {
    let plain = || List { drop: vec!["_links".into()], ..List::default() };
    for (what, list) in [
        ("the total counts the page", List { mode: ListMode::TotalIsPage, ..plain() }),
        ("and so it does where links lead on", List { mode: ListMode::TotalIsPage, ..List::default() }),
        ("the total is capped", List { total_cap: Some(1000), ..plain() }),
        ("the total is missing", List { drop: vec!["_links".into(), "totalRecords".into()], ..List::default() }),
        (
            "pages are small and the total counts them",
            List { mode: ListMode::TotalIsPage, page_max: Some(500), ..plain() },
        ),
        ("long windows are refused", List { window_max_hours: Some(7.0), mode: ListMode::TotalIsPage, ..plain() }),
    ] {
        let drive = CaseDrive::of(busy(2500, list), &[]);
        assert_eq!(std::fs::read_dir(drive.at("2026-11-02/Keller_Rosa_7")).unwrap().count(), 2500, "{what}");
        assert_eq!(drive.tenant.count(Kind::Playback), 0);
    }
}

#[test]
fn a_contact_that_completes_long_after_its_day_appears_by_itself() {
    let (tenant, sandbox) = CaseDrive::unmounted(busy(1, List::default()));
    let mount = Mount::start(&sandbox, &[]);
    let agent = "2026-11-02/Keller_Rosa_7";
    let count = |mount: &Mount| std::fs::read_dir(mount.at(agent)).unwrap().count();
    assert_eq!(count(&mount), 1);
    let first = mount.at(agent).join("000000_call_in_701000100000");
    let before = std::fs::metadata(first.join("contact.json")).unwrap();
    drop(mount);

    let mut late = call(1, "2026-11-02T09:00:00.000Z");
    late.insert("lastUpdateTime".into(), json!("2099-01-01T00:00:00.000Z"));
    tenant.change(|case| case.records.push(late));
    let mount = Mount::start(&sandbox, &[]);
    // The kernel keeps what it was shown, and is told.
    eventually("the contact appears", Duration::from_mins(1), || count(&mount) == 2);
    let after = std::fs::metadata(first.join("contact.json")).unwrap();
    assert_eq!((before.ino(), before.mtime(), before.len()), (after.ino(), after.mtime(), after.len()));
    let changes = tenant.seen().into_iter().filter(|seen| seen.query.contains("updatedSince"));
    assert!(changes.clone().count() > 0 && changes.into_iter().all(|seen| !seen.query.contains("startDate")));
}

#[test]
fn what_cannot_be_read_is_counted_and_harms_nothing_else() {
    let mut case = busy(3, List::default());
    case.records.push(json!({"contactId": 5, "contactStartDate": "soon"}).as_object().unwrap().clone());
    let drive = CaseDrive::of(case, &[]);
    assert_eq!(std::fs::read_dir(drive.at("2026-11-02/Keller_Rosa_7")).unwrap().count(), 3);
    assert_eq!(drive.mount.status()["tree"]["unreadable"], json!([{"day": "2026-11-02", "contacts": 1}]));
    let told = drive.mount.stderr();
    assert!(told.contains("a contact record cannot be read") && told.contains("contactStartDate"), "{told}");
}
