//! `cache.encryption_key_file`: what lies on disk says nothing of whom and what, and the tree is the same as without it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cxonefs::sim::SimSettings;
use serde_json::Value;

use crate::harness::{
    Drive, Ended, Mount, Sandbox, Tenant, Tree, assert_same_bytes, cxonefs, settings, tool, true_bytes,
};

const BLOCK: usize = 64 * 1024;

fn tenant() -> Tenant {
    Tenant::start(SimSettings { days: 1, midnight_transfer: false, playback_requests: 10_000, ..settings(4, 14) })
}

/// A file with a key of 32 bytes.
fn key_file(sandbox: &Sandbox, byte: u8) -> PathBuf {
    let path = sandbox.path(&format!("key-{byte}"));
    std::fs::write(&path, format!("{}\n", format!("{byte:02x}").repeat(32))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn flags(current: Option<&Path>, previous: Option<&Path>) -> Vec<String> {
    let set = |key: &str, path: &Path| [String::from("--set"), format!("cache.{key}={}", path.display())];
    let current = current.map(|path| set("encryption_key_file", path)).into_iter().flatten();
    let previous = previous.map(|path| set("encryption_previous_key_file", path)).into_iter().flatten();
    let limits = ["limits.playback_requests=10000", "limits.daily_budget=unlimited"];
    let limits = limits.iter().flat_map(|limit| [String::from("--set"), (*limit).to_owned()]);
    current.chain(previous).chain(limits).collect()
}

fn attempt(sandbox: &Sandbox, current: Option<&Path>, previous: Option<&Path>) -> Result<Mount, Ended> {
    let flags = flags(current, previous);
    Mount::attempt(sandbox, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn mounted(sandbox: &Sandbox, current: Option<&Path>, previous: Option<&Path>) -> Mount {
    attempt(sandbox, current, previous).unwrap_or_else(|ended| panic!("{:?}: {}", ended.code, ended.said))
}

/// Reads every file of the tree. Returns texts that stand in them, or in what the tenant tells of them, and that must not be found on disk.
fn read_everything(drive: &Drive) -> BTreeSet<String> {
    let mut telltales = BTreeSet::new();
    for place in &drive.tree.places {
        let folder = drive.at(&place.path);
        std::fs::read(folder.join("metadata.json")).ok();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let Ok(bytes) = std::fs::read(&path) else { continue };
            if path.extension().is_some_and(|extension| extension == "txt" || extension == "eml") {
                let text = String::from_utf8(bytes).unwrap();
                telltales.extend(text.lines().filter(|line| line.len() > 20).map(ToOwned::to_owned));
            }
        }
        for leg in &drive.tree.truth(place.master).legs {
            telltales.extend([&leg.first_name, &leg.last_name].into_iter().flatten().cloned());
        }
    }
    for record in drive.tenant.reported() {
        for (key, value) in record.as_object().unwrap() {
            let key = key.to_lowercase();
            // Numbers and addresses of callers, and names of whatever the tenant has named.
            if let Value::String(text) = value
                && ["addr", "name"].iter().any(|word| key.contains(word))
                && text.len() >= 4
            {
                telltales.insert(text.clone());
            }
        }
    }
    assert!(telltales.len() > 20, "{telltales:?}");
    telltales
}

/// Of the texts, those that stand in any file of the state or the cache.
fn found(sandbox: &Sandbox, telltales: &BTreeSet<String>) -> BTreeSet<String> {
    let patterns = sandbox.path("patterns");
    let lines: Vec<&str> = telltales.iter().map(String::as_str).collect();
    std::fs::write(&patterns, lines.join("\n") + "\n").unwrap();
    let search = tool("grep").args(["-rahoF", "-f"]).arg(&patterns).arg(sandbox.state()).arg(sandbox.cache());
    search.run().lines().into_iter().map(ToOwned::to_owned).collect()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    tool("find").arg(dir).args(["-type", "f"]).ok().lines().into_iter().map(PathBuf::from).collect()
}

/// Blocks of recordings that stand in the cache as they are.
fn blocks_in_the_clear(drive: &Drive) -> usize {
    let mut heads = BTreeSet::new();
    for place in &drive.tree.places {
        for media in &drive.tree.truth(place.master).media {
            let bytes = true_bytes(&drive.tenant, place.master, media.number);
            heads.extend(bytes.chunks(BLOCK).filter(|block| block.len() >= 32).map(|block| block[..32].to_vec()));
        }
    }
    let files = files_below(&drive.sandbox.cache());
    let blocks = files.iter().map(|path| std::fs::read(path).unwrap());
    blocks
        .map(|bytes| bytes.chunks(BLOCK).filter(|block| block.len() >= 32 && heads.contains(&block[..32])).count())
        .sum()
}

#[test]
fn nothing_on_disk_tells_who_called_or_what_was_said() {
    let mut names = Vec::new();
    for encrypted in [false, true] {
        let tenant = tenant();
        let sandbox = Sandbox::of(&tenant);
        let key = encrypted.then(|| key_file(&sandbox, 1));
        let mount = mounted(&sandbox, key.as_deref(), None);
        let tree = Tree::of(&tenant);
        let mut drive = Drive { mount, sandbox, tenant, tree };
        let telltales = read_everything(&drive);
        let status = drive.mount.status();
        assert_eq!(status["cache"]["encrypted"], encrypted);
        if encrypted {
            assert!(status["kernel"]["passthrough"]["why"].as_str().unwrap().contains("encrypted"), "{status}");
        }
        let found_running = found(&drive.sandbox, &telltales);
        drive.mount.terminate();
        let (left, clear) = (found(&drive.sandbox, &telltales), blocks_in_the_clear(&drive));
        if encrypted {
            assert_eq!((&found_running, &left, clear), (&BTreeSet::new(), &BTreeSet::new(), 0));
        } else {
            // The same look finds them where nothing is encrypted.
            assert!(left.len() > telltales.len() / 2 && clear > 10, "{} of {}, {clear}", left.len(), telltales.len());
        }
        let cached = files_below(&drive.sandbox.cache());
        names.push(cached.iter().map(|path| path.file_name().unwrap().to_owned()).collect::<BTreeSet<_>>());
        assert!(names.last().unwrap().len() > 20);

        // All of it can be read again, without the tenant.
        drive.tenant.reset_counters();
        drive.mount.start_again();
        for place in drive.tree.recorded() {
            let path = drive.at(&place.path).join("recording.mp4");
            assert_same_bytes(&std::fs::read(&path).unwrap(), &true_bytes(&drive.tenant, place.master, 1), &path);
        }
        drive.assert_nothing_was_paid("reading it again");
    }
    let shared: Vec<_> = names[0].intersection(&names[1]).filter(|name| *name != "lock" && *name != "tenant").collect();
    assert!(shared.is_empty(), "names in the cache tell which recordings they are: {shared:?}");
}

#[test]
fn another_key_is_refused_before_anything_is_touched_and_a_key_can_be_replaced() {
    let tenant = tenant();
    let sandbox = Sandbox::of(&tenant);
    let [one, two, other] = [1, 2, 9].map(|byte| key_file(&sandbox, byte));
    let mount = mounted(&sandbox, Some(&one), None);
    let tree = Tree::of(&tenant);
    let mut drive = Drive { mount, sandbox, tenant, tree };
    let place = drive.tree.recorded().next().unwrap().clone();
    let path = drive.at(&place.path).join("recording.mp4");
    let truth = true_bytes(&drive.tenant, place.master, 1);
    assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
    let documents = std::fs::read(path.with_file_name("metadata.json")).unwrap();
    let listing = tool("find").arg(drive.path()).ok().stdout;
    drive.mount.terminate();

    let contents = |sandbox: &Sandbox| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = [files_below(&sandbox.state()), files_below(&sandbox.cache())].concat();
        files.retain(|path| !path.to_string_lossy().contains(".db-"));
        files.sort();
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    };
    let before = contents(&drive.sandbox);
    for wrong in [None, Some(other.as_path())] {
        let ended = attempt(&drive.sandbox, wrong, None).err().expect("a wrong key mounts nothing");
        assert!(matches!(ended.code, Some(1 | 2)), "{:?}", ended.code);
        assert!(ended.said.contains("cache.encryption_key_file"), "{}", ended.said);
        assert!(contents(&drive.sandbox) == before, "a refused key touched something");
    }
    let readable = drive.sandbox.path("readable");
    std::fs::copy(&one, &readable).unwrap();
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = attempt(&drive.sandbox, Some(&readable), None).err().unwrap();
    assert!(ended.code == Some(2) && ended.said.contains("chmod 600"), "{}", ended.said);

    // Replaced, given up, and taken up again: what was paid for stays, and the tree is the same.
    let Drive { mount, sandbox, tenant, .. } = drive;
    // Its end would take away whatever is mounted there by then.
    drop(mount);
    for (current, previous) in [(Some(&two), Some(&one)), (None, Some(&two)), (Some(&one), None)] {
        tenant.reset_counters();
        if previous.is_none() {
            let refused = attempt(&sandbox, current.map(PathBuf::as_path), None).err().expect("nothing vouches for it");
            assert!(refused.code == Some(2) && refused.said.contains("cxonefs cache encrypt"), "{}", refused.said);
            let key = current.unwrap().to_str().unwrap();
            let encrypt = cxonefs(&sandbox.home()).args(["cache", "encrypt", "--config"]).arg(sandbox.config());
            encrypt.env("CXONEFS_CACHE_ENCRYPTION_KEY_FILE", key).ok();
        }
        let mut mount = mounted(&sandbox, current.map(PathBuf::as_path), previous.map(PathBuf::as_path));
        assert_eq!(tool("find").arg(mount.path()).ok().stdout, listing);
        assert!(std::fs::read(path.with_file_name("metadata.json")).unwrap() == documents);
        assert_eq!(tenant.counters().playback_calls, 0, "the state knew it");
        assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
        mount.terminate();
    }
}
