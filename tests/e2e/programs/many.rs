//! Many unresolved recordings in a row, by the programs whose end the kernel takes from the size before `open`: every byte, nothing to be seen of
//! the second open that the kernel makes, and one call, one row and one line for each.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;

use cxonefs::sim::SimSettings;

use super::lane::FLAGS;
use super::lane::open_to_all;
use super::servers;
use crate::harness::{Drive, NO_LIMIT, assert_same_bytes, is_full, plain, sh, tool, true_bytes};

/// Copies all of them by a line that reads `$S` and writes `$D`, for each pair of `pairs`; it opens two files so many times.
#[track_caller]
fn all_are_exact(line: &str, is_root: bool, opens: u32) {
    let count = if is_full() { 1000 } else { 100 };
    let settings = SimSettings { playback_requests: 100_000, recording_seconds: (2.0, 9.0), ..plain(count / 25, 25) };
    let drive = Drive::with(settings, &[&FLAGS[..], &NO_LIMIT].concat());
    std::fs::set_permissions(drive.sandbox.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let out = drive.sandbox.dir("out");
    open_to_all(&out);
    let places: Vec<_> = drive.tree.recorded().cloned().collect();
    assert_eq!(places.len(), count as usize);
    // The kernel hears every guess before.
    sh("ls -lR . > /dev/null").in_dir(drive.path()).ok();
    drive.assert_nothing_was_paid("ls -lR");
    let mut pairs = String::new();
    for place in &places {
        writeln!(pairs, "{}\t{}", drive.at(&place.path).join("recording.mp4").display(), place.master).unwrap();
    }
    std::fs::write(out.join("pairs"), pairs).unwrap();
    let user: &[&str] = if is_root { &[] } else { &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] };
    // Names may have spaces.
    let script = format!("call() {{ \"$PYTHON\" \"$CALLS\" \"$@\"; }}\nIFS=$'\\t\\n'; set -f\n{line}\n");
    let run = tool("env").args(user).args(["bash", "-euc", &script]).env("PYTHON", servers::python());
    let run = run.env("CALLS", servers::calls()).in_dir(&out).within(std::time::Duration::from_mins(10)).ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "it is seen");
    for place in &places {
        let copy = out.join(place.master.to_string());
        assert_same_bytes(&std::fs::read(&copy).unwrap(), &true_bytes(&drive.tenant, place.master, 1), &copy);
    }
    assert_eq!(drive.counters().playback_calls, u64::from(count));
    let ledger = tool("sqlite3").arg("-readonly").arg(drive.sandbox.state().join("cxonefs.db"));
    let ledger = ledger.arg("SELECT count(*) || ' ' || group_concat(DISTINCT outcome) FROM ledger").ok().stdout;
    assert_eq!(ledger.trim(), format!("{count} found"));
    let (lines, times) = drive.audited(|line| line["event"] == "open");
    let masters: BTreeSet<i64> = lines.iter().filter_map(|line| line["master_contact"].as_i64()).collect();
    assert_eq!((times, masters.len()), ((count * opens / 2) as usize, count as usize), "each open is counted");
    let billed = lines.iter().filter(|line| line["billed"] == true).count();
    assert!(
        billed == count as usize && lines.iter().all(|line| line["outcome"] == "ok"),
        "{billed} billed: {}",
        lines[0]
    );
}

#[test]
fn busybox_cp() {
    all_are_exact(r#"while read -r S D; do busybox cp "$S" "$D"; done < pairs"#, false, 2);
}

#[test]
fn uutils_cat_and_cp() {
    let line = r#"n=0; while read -r S D; do n=$((n + 1))
        if [ $((n % 2)) = 0 ]; then /usr/lib/cargo/bin/coreutils/cp "$S" "$D"; else /usr/lib/cargo/bin/coreutils/cat "$S" > "$D"; fi
        done < pairs"#;
    // Its cp opens a file twice: to clone it, and when that is not to be had.
    all_are_exact(line, true, 3);
}

#[test]
fn sendfile() {
    all_are_exact(r"call sendfile $(cat pairs)", true, 2);
}

#[test]
fn splice() {
    all_are_exact(r"call splice $(cat pairs)", false, 2);
}
