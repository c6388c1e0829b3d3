//! The tables and the question of `cxonefs cache`. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::units::size;
use crate::config::units;
use crate::ops::keeping::{CacheReport, PurgeReport, VerifyReport, What};

fn row(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {name:<14} {value}");
}

/// What is in the cache.
pub fn stats(report: &CacheReport) -> String {
    let mut text = format!("{}\n", report.dir);
    if let Some(mount_point) = &report.mount_point {
        row(&mut text, "mounted at", mount_point);
    }
    row(&mut text, "used", &format!("{} of {}", size(report.used_bytes), size(report.size_bytes)));
    let counts = format!("{} ({} complete, {} in part)", report.recordings, report.complete, report.partial);
    row(&mut text, "recordings", &counts);
    row(&mut text, "blocks", &report.blocks.to_string());
    if let (Some(oldest), Some(newest)) = (&report.oldest, &report.newest) {
        row(&mut text, "fetched", &format!("{oldest} to {newest}"));
    }
    row(&mut text, "dropped after", &units::show_duration(Duration::from_secs_f64(report.max_age_s)));
    if let Some(ratio) = report.hit_ratio {
        row(&mut text, "hit ratio", &format!("{:.1} %", 100.0 * ratio));
    }
    text
}

/// What a look at every block found, if all was well; damage is said as a failure.
pub fn verified(report: &VerifyReport) -> String {
    let (recordings, blocks) = (report.recordings, report.blocks);
    let damaged = report.damaged_blocks + report.damaged_recordings;
    let hashed =
        if report.hashed > 0 { format!(", {} compared with their SHA-256", report.hashed) } else { String::new() };
    let damaged = damaged + report.mismatched.len() as u64;
    let verdict = if damaged == 0 { "all sound" } else { "not all sound" };
    format!("{recordings} recordings, {blocks} blocks, {}{hashed}: {verdict}\n", size(report.bytes))
}

/// What goes, in the words of a list.
fn list(what: &What, report: &PurgeReport) -> String {
    let mut text = format!("{} of {} recordings", size(report.bytes), report.recordings);
    if *what != What::Media {
        let _ = write!(
            text,
            ", {} interactions, {} folders, {} documents ({}); in the ledger for whom and by whom {} calls were made; {} lines of logs",
            report.interactions,
            report.folders,
            report.documents,
            size(report.document_bytes),
            report.ledger_rows,
            report.log_lines,
        );
    }
    text
}

/// What a person is asked.
pub fn question(what: &What, would: &PurgeReport) -> String {
    let of = match what {
        What::Media => String::from("Remove from the cache"),
        What::Contacts(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("Erase everything about contact {}", ids.join(", "))
        }
        What::All => String::from("Erase everything about everybody; what was resolved has to be paid for again"),
    };
    format!("{of}: {}?", list(what, would))
}

/// What went.
pub fn purged(what: &What, report: &PurgeReport) -> String {
    let verb = match (report.dry_run, what) {
        (true, _) => "would go",
        (false, What::Media) => "removed",
        (false, _) => "erased",
    };
    let mut text = format!("{verb}: {}\n", list(what, report));
    if let Some(certificate) = &report.certificate {
        // Plain data: it can be written.
        text.push_str(&serde_json::to_string_pretty(certificate).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// That nothing was erased, or some bytes stay, because of holds.
pub fn held(what: &What, report: &PurgeReport) -> String {
    let holds = report.held.iter().map(|hold| {
        let by = hold.user.clone().unwrap_or_else(|| format!("user {}", hold.uid));
        format!("{} is held since {} by {by}: {}", hold.master_contact, hold.since, hold.reason)
    });
    let outcome = if *what == What::Media { "what is held stays" } else { "nothing was erased" };
    format!("{outcome}: {}", holds.collect::<Vec<_>>().join("; "))
}

/// That nothing was known of some contacts.
pub fn unknown(report: &PurgeReport) -> String {
    let contacts = report.unknown.iter().map(|contact| {
        let before = report.erased_before.iter().find(|before| before.contact == *contact);
        before.map_or_else(
            || format!("nothing is known of contact {contact}"),
            |before| format!("contact {contact} was erased before, on {}; it is marked", before.at),
        )
    });
    contacts.collect::<Vec<_>>().join("; ")
}

/// Which recordings are not what they were.
pub fn mismatched(report: &VerifyReport) -> String {
    let each = report.mismatched.iter().map(|found| {
        format!("recording {} of contact {}, hashed on {}", found.recording + 1, found.master_contact, found.hashed_at)
    });
    format!("not what was hashed first: {}", each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_says_what_went() {
        let report =
            PurgeReport { recordings: 2, bytes: 3 << 20, interactions: 1, log_lines: 4, ..PurgeReport::default() };
        assert_eq!(purged(&What::Media, &report), "removed: 3.0 MiB of 2 recordings\n");
        let erased = purged(&What::Contacts(vec![7]), &report);
        assert!(
            erased.starts_with("erased: 3.0 MiB of 2 recordings, 1 interactions") && erased.contains("4 lines"),
            "{erased}"
        );
        let nothing = PurgeReport { unknown: vec![7], ..PurgeReport::default() };
        assert_eq!(unknown(&nothing), "nothing is known of contact 7");
        assert!(question(&What::All, &report).contains("paid for again"));
        assert!(purged(&What::All, &PurgeReport { dry_run: true, ..report }).starts_with("would go: "));
    }

    #[test]
    fn stats_are_for_people() {
        let report = CacheReport {
            dir: "/c".into(),
            mount_point: None,
            used_bytes: 1 << 20,
            size_bytes: 10 << 30,
            recordings: 3,
            complete: 1,
            partial: 2,
            blocks: 9,
            oldest: Some("a".into()),
            newest: Some("b".into()),
            max_age_s: 2_592_000.0,
            hit_ratio: None,
        };
        insta::assert_snapshot!(stats(&report), @r"
        /c
          used           1.0 MiB of 10.0 GiB
          recordings     3 (1 complete, 2 in part)
          blocks         9
          fetched        a to b
          dropped after  30d
        ");
    }
}
