//! Evidence: what recordings hash to, by name, as a manifest, and compared again.

use std::path::Path;
use std::time::Duration;

use crate::harness::{Done, Drive, cxonefs, eventually, plain, tool};

fn manifest(drive: &Drive, day: &Path) -> Done {
    cxonefs(&drive.sandbox.home()).arg("manifest").arg(drive.at(day)).run()
}

fn attribute(path: &Path) -> Result<String, i32> {
    let mut value = [0; 128];
    match rustix::fs::getxattr(path, "user.cxone.sha256", &mut value) {
        Ok(length) => Ok(String::from_utf8(value[..length].to_vec()).unwrap()),
        Err(error) => Err(error.raw_os_error()),
    }
}

fn sha256sum(path: &Path) -> String {
    tool("sha256sum").arg(path).ok().stdout.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn recordings_that_were_whole_once_have_a_hash_for_ever() {
    let mut drive = Drive::of(plain(2, 3));
    let day = drive.tree.places[0].path.iter().next().unwrap().to_owned();
    let day = Path::new(&day);
    let files: Vec<_> = drive.tree.places.iter().map(|place| drive.at(&place.path).join("recording.mp4")).collect();
    assert_eq!(attribute(&files[0]), Err(libc::ENODATA));
    let none = manifest(&drive, day);
    assert_eq!((none.code(), none.stdout.as_str()), (1, ""), "{}", none.stderr);
    let stem = drive.tree.places[0].path.iter().nth(2).unwrap().to_str().unwrap();
    assert!(none.stderr.contains(stem) && none.stderr.contains("cxonefs warm"), "{}", none.stderr);
    assert_eq!(drive.counters().playback_calls, 0, "a manifest never bills");

    let expected: Vec<String> = files.iter().map(|file| sha256sum(file)).collect();
    let folder = drive.at(&drive.tree.places[0].path);
    eventually("asked for, it is there", Duration::from_secs(10), || attribute(&files[0]).is_ok());
    assert_eq!(attribute(&files[0]).as_ref(), Ok(&expected[0]));
    assert_eq!(attribute(&folder), Err(libc::ENODATA));
    assert_eq!(attribute(&folder.join("contact.json")), Err(libc::ENODATA));
    let listed = tool("getfattr").args(["-d", "--absolute-names"]).arg(&files[0]).ok().stdout;
    assert!(listed.contains("master_id") && !listed.contains("sha256"), "{listed}");
    let mut whole = manifest(&drive, day);
    eventually("all are whole", Duration::from_secs(10), || {
        whole = manifest(&drive, day);
        whole.code() == 0
    });
    assert_eq!((whole.lines().len(), whole.stderr.as_str()), (files.len(), ""));
    let sums = drive.sandbox.path("sums");
    std::fs::write(&sums, &whole.stdout).unwrap();
    tool("sha256sum").args(["-c", "--quiet"]).arg(&sums).in_dir(&drive.at(day)).ok();

    // Bytes go, hashes stay.
    let verified = cxonefs(&drive.sandbox.home()).args(["cache", "verify"]).arg(drive.path()).ok();
    assert!(verified.stdout.contains(&format!("{} compared with their SHA-256", files.len())), "{}", verified.stdout);
    cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes"]).arg(drive.path()).ok();
    drive.mount.remount();
    let still = manifest(&drive, day);
    assert_eq!((still.code(), &still.stdout), (0, &whole.stdout), "{}", still.stderr);
    assert_eq!(attribute(&files[0]).as_ref(), Ok(&expected[0]));

    // What is not what it was is said.
    std::fs::read(&files[0]).unwrap();
    drive.mount.terminate();
    let database = drive.sandbox.state().join("cxonefs.db");
    let change = format!("UPDATE evidence SET sha256 = zeroblob(32) WHERE master_id = {}", drive.tree.places[0].master);
    tool("sqlite3").arg(&database).arg(change).ok();
    let verify = cxonefs(&drive.sandbox.home()).args(["cache", "verify", "--config"]).arg(drive.sandbox.config()).run();
    assert_eq!(verify.code(), 1, "{}", verify.stdout);
    let master = drive.tree.places[0].master.to_string();
    assert!(
        verify.stderr.contains("not what was hashed first") && verify.stderr.contains(&master),
        "{}",
        verify.stderr
    );
}

/// A recording that was read is hashed without anybody asking, before its bytes go.
#[test]
fn what_was_read_is_hashed_when_nothing_else_is_to_do() {
    let drive = Drive::of(plain(1, 2));
    let place = &drive.tree.places[0];
    let file = drive.at(&place.path).join("recording.mp4");
    let expected = sha256sum(&file);
    let query = "SELECT lower(hex(sha256)) FROM evidence";
    let database = drive.sandbox.state().join("cxonefs.db");
    eventually("it is hashed", Duration::from_secs(15), || {
        tool("sqlite3").arg("-readonly").arg(&database).arg(query).ok().stdout.trim() == expected
    });
    cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes"]).arg(drive.path()).ok();
    assert_eq!(attribute(&file), Ok(expected));
}
