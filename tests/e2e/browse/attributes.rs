//! Attributes, extended ones, links, statfs, and that nothing can be written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::harness::{Drive, eventually, mount_at, settings, sh, tool};

#[test]
fn modes_owners_times_and_sizes() {
    let drive = Drive::of(settings(4, 30));
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let started = Timestamp::from_second(std::fs::metadata("/proc/self").unwrap().mtime()).unwrap();
    for place in drive.tree.places.iter().take(40) {
        for above in place.path.ancestors() {
            let metadata = drive.at(above).metadata().unwrap();
            assert!(metadata.is_dir() && metadata.mode() & 0o7777 == 0o550, "{}", above.display());
            assert_eq!((metadata.uid(), metadata.gid()), (uid, gid));
            // Never "now": the newest thing in the tree is the beginning of today.
            assert!(metadata.mtime() + 60 < started.as_second(), "{}", above.display());
        }
        for name in drive.tree.predicted(place.master) {
            let metadata = drive.at(&place.path).join(&name).metadata().unwrap();
            assert!(metadata.is_file() && metadata.mode() & 0o7777 == 0o440, "{name}");
            assert_eq!((metadata.uid(), metadata.gid()), (uid, gid));
            assert!(metadata.size() > 0, "{name} of {} shows no size", place.path.display());
            assert_eq!(metadata.blocks(), metadata.size().div_ceil(512), "{name}");
            assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
            if name != "contact.json" {
                let time = drive.tree.time_of(place.master);
                assert_eq!(metadata.mtime(), time.as_second(), "{name} of {}", place.path.display());
                assert_eq!(metadata.mtime_nsec(), i64::from(time.subsec_nanosecond()));
            }
        }
    }
    drive.assert_nothing_was_paid("stat");
}

#[test]
fn listings_tell_files_from_directories_and_agree_with_stat() {
    let drive = Drive::of(settings(2, 6));
    for place in &drive.tree.places {
        for above in place.path.ancestors() {
            for entry in std::fs::read_dir(drive.at(above)).unwrap() {
                let entry = entry.unwrap();
                let (kind, metadata) = (entry.file_type().unwrap(), entry.metadata().unwrap());
                assert_eq!(kind.is_dir(), metadata.is_dir(), "{}", entry.path().display());
                assert!(!kind.is_symlink() && !kind.is_fifo());
                let ino = std::os::unix::fs::DirEntryExt::ino(&entry);
                assert_eq!(ino, metadata.ino(), "{}", entry.path().display());
            }
        }
    }
    drive.assert_nothing_was_paid("readdir");
}

#[test]
fn inode_numbers_times_and_sizes_outlive_the_process() {
    let mut drive = Drive::of(settings(3, 20));
    let opened = drive.tree.recorded().next().unwrap().path.join("recording.mp4");
    std::fs::read(drive.at(opened)).unwrap();
    let days = |drive: &Drive| -> Vec<i64> {
        std::fs::read_dir(drive.path()).unwrap().map(|day| day.unwrap().metadata().unwrap().mtime()).collect()
    };
    let unlisted = days(&drive);
    // How many links a call has that was transferred over midnight is known when both days are listed.
    tool("find").arg(drive.path()).ok();
    assert_eq!(days(&drive), unlisted, "listing a day changes its time");
    let before = everything(drive.path());
    assert!(before.len() > 500);
    drive.mount.remount();
    let after = everything(drive.path());
    for (path, attributes) in &before {
        assert_eq!(after.get(path), Some(attributes), "{path}");
    }
    assert_eq!(after.len(), before.len());
    let inodes: BTreeMap<u64, Vec<&String>> = after.iter().fold(BTreeMap::new(), |mut inodes, (path, line)| {
        inodes.entry(line.split(' ').next().unwrap().parse().unwrap()).or_insert_with(Vec::new).push(path);
        inodes
    });
    for (ino, paths) in inodes.iter().filter(|(_, paths)| paths.len() > 1) {
        let names: Vec<_> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
        let masters: Vec<_> = paths.iter().map(|path| path.rsplit(['_', '/']).nth(1).unwrap()).collect();
        assert!(names.iter().all(|name| *name == names[0]) && names[0] != "contact.json", "{ino}: {paths:?}");
        assert!(masters.iter().all(|master| *master == masters[0]), "{ino}: {paths:?}");
    }
}

/// Path → inode, size, links and times.
fn everything(mount: &Path) -> BTreeMap<String, String> {
    let found = tool("find").in_dir(mount).args([".", "-printf", "%i %s %n %T@ %C@ %m\t%p\n"]).ok();
    let lines = found.lines().into_iter().map(|line| line.split_once('\t').unwrap());
    lines.map(|(attributes, path)| (path.to_owned(), attributes.to_owned())).collect()
}

#[test]
fn a_transferred_call_is_one_file_under_each_of_its_agents() {
    let drive = Drive::of(settings(6, 40));
    let is_transferred = |legs: &[cxonefs::sim::TruthLeg]| legs.len() == 2 && legs[0].agent != legs[1].agent;
    let master = drive.tree.first(|truth| is_transferred(&truth.legs) && !truth.media.is_empty()).master;
    let places = drive.tree.places_of_master(master);
    assert_eq!(places.len(), 2);
    for name in ["metadata.json", "recording.mp4"] {
        let [one, other] = [0, 1].map(|n| drive.at(&places[n].path).join(name).metadata().unwrap());
        assert_eq!(one.ino(), other.ino(), "{name}");
        assert_eq!((one.nlink(), other.nlink()), (2, 2), "{name}");
        assert_eq!(one.mtime(), other.mtime(), "{name}");
    }
    let contacts = [0, 1].map(|n| drive.at(&places[n].path).join("contact.json").metadata().unwrap());
    assert_ne!(contacts[0].ino(), contacts[1].ino());
    assert_eq!((contacts[0].nlink(), contacts[1].nlink()), (1, 1));
    // Known to both after one of them was opened.
    std::fs::read(drive.at(&places[0].path).join("recording.mp4")).unwrap();
    let sizes = [0, 1].map(|n| drive.at(&places[n].path).join("recording.mp4").metadata().unwrap().len());
    assert_eq!(sizes, [drive.tree.truth(master).media[0].bytes; 2]);
}

#[test]
fn extended_attributes_say_ids_and_state() {
    let drive = Drive::of(settings(4, 30));
    let place = drive.tree.recorded().next().unwrap();
    let (folder, recording) = (drive.at(&place.path), drive.at(&place.path).join("recording.mp4"));
    let value = |path: &Path, name: &str| {
        let done = tool("getfattr").args(["--only-values", "-n", &format!("user.cxone.{name}")]).arg(path).ok();
        done.stdout
    };
    for path in [&folder, &recording, &folder.join("contact.json"), &folder.join("metadata.json")] {
        assert_eq!(value(path, "master_id"), place.master.to_string(), "{}", path.display());
        assert_eq!(value(path, "agent_id"), place.agent.to_string());
        assert_eq!(value(path, "contact_id"), place.contacts[0].to_string());
    }
    assert_eq!(value(&recording, "state"), "unresolved");
    assert_eq!(value(&folder, "state"), "unresolved");
    drive.assert_nothing_was_paid("getfattr");
    drop(File::open(folder.join("metadata.json")).unwrap());
    assert_eq!(value(&folder.join("metadata.json"), "state"), "resolved");
    std::fs::read(&recording).unwrap();
    // A reader has its bytes before the last of them is on disk.
    eventually("the recording is cached", Duration::from_secs(30), || value(&recording, "state") == "cached");
    assert_eq!(value(&folder, "state"), "cached");
    let lost = drive.tree.first(|truth| !truth.known && truth.channel == "call" && truth.legs[0].agent != 0);
    assert!(File::open(drive.at(&lost.path).join("recording.mp4")).is_err());
    assert_eq!(value(&drive.at(&lost.path), "state"), "none");
    let listed = tool("getfattr").arg(&recording).ok().stdout;
    for name in ["contact_id", "master_id", "agent_id"] {
        assert!(listed.contains(&format!("user.cxone.{name}\n")), "{listed}");
    }
    assert!(!listed.contains("user.cxone.state"), "it changes without the file changing: {listed}");
    let absent = tool("getfattr").args(["-n", "user.other"]).arg(&recording).run();
    assert!(absent.stderr.contains("No such attribute"), "{}", absent.stderr);
}

#[test]
fn nothing_can_be_written() {
    let drive = Drive::of(settings(2, 4));
    let place = drive.at(&drive.tree.recorded().next().unwrap().path);
    let (contact, recording) = (place.join("contact.json"), place.join("recording.mp4"));
    let outside = drive.sandbox.path("outside");
    std::fs::write(&outside, "x").unwrap();
    let now = Timestamps {
        last_access: Timespec { tv_sec: 1, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
    };
    let kind = rustix::fs::FileType::Fifo;
    let refused: Vec<(&str, io::Result<()>)> = vec![
        ("create", File::create(place.join("new")).map(drop)),
        ("open for writing", OpenOptions::new().write(true).open(&contact).map(drop)),
        ("open for appending", OpenOptions::new().append(true).open(&recording).map(drop)),
        ("open and truncate", OpenOptions::new().write(true).truncate(true).open(&contact).map(drop)),
        ("mkdir", std::fs::create_dir(drive.at("2026-01-01"))),
        ("mkdir below", std::fs::DirBuilder::new().mode(0o700).create(place.join("new"))),
        ("unlink", std::fs::remove_file(&contact)),
        ("rmdir", std::fs::remove_dir(&place)),
        ("rename", std::fs::rename(&contact, place.join("new"))),
        ("link", std::fs::hard_link(&contact, place.join("new"))),
        ("symlink", std::os::unix::fs::symlink("x", place.join("new"))),
        ("mknod", rustix::fs::mknodat(CWD, place.join("new"), kind, 0o600.into(), 0).map_err(Into::into)),
        ("chmod", std::fs::set_permissions(&contact, std::fs::Permissions::from_mode(0o777))),
        ("chown", std::os::unix::fs::chown(&contact, Some(1), Some(1))),
        ("utimens", rustix::fs::utimensat(CWD, &contact, &now, AtFlags::empty()).map_err(Into::into)),
        ("setxattr", set_attribute(&contact, "user.cxone.state")),
        ("setxattr of a new one", set_attribute(&contact, "user.x")),
        ("removexattr", rustix::fs::removexattr(&contact, "user.cxone.state").map_err(Into::into)),
    ];
    for (operation, result) in refused {
        let error = result.expect_err(operation);
        assert_eq!(error.raw_os_error(), Some(libc::EROFS), "{operation}: {error}");
    }
    let outside = tool("mv").arg(&outside).arg(place.join("moved")).run();
    assert!(outside.stderr.contains("Read-only file system"), "{}", outside.stderr);
    drive.assert_nothing_was_paid("attempts to write");
}

fn set_attribute(path: &Path, name: &str) -> io::Result<()> {
    Ok(rustix::fs::setxattr(path, name, b"x", rustix::fs::XattrFlags::empty())?)
}

#[test]
fn the_mount_is_marked_and_statfs_answers() {
    let drive = Drive::of(settings(2, 10));
    assert_eq!(mount_at(drive.path()).as_deref(), Some("fuse.cxonefs"));
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line = table.lines().find(|line| line.contains(&*drive.path().to_string_lossy())).unwrap();
    let options: Vec<&str> = line.split(' ').nth(3).unwrap().split(',').collect();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.contains(&option), "{option} is missing: {line}");
    }
    tool("find").arg(drive.path()).ok();
    drive.assert_nothing_was_paid("find");
    let recording = drive.tree.recorded().next().unwrap();
    std::fs::read(drive.at(&recording.path).join("recording.mp4")).unwrap();
    let statfs = rustix::fs::statvfs(drive.path()).unwrap();
    let bytes = (statfs.f_blocks - statfs.f_bfree) * statfs.f_frsize;
    assert!(bytes >= drive.tree.truth(recording.master).media[0].bytes, "{bytes} bytes are in use");
    assert!(statfs.f_bavail * 2 >= statfs.f_blocks && statfs.f_ffree > 0, "it looks full");
    assert!((statfs.f_files - statfs.f_ffree) as usize >= drive.tree.interactions.len(), "{} files", statfs.f_files);
    let source = line.split(' ').next().unwrap();
    let names_the_tenant = format!("cxonefs:{}@", drive.tenant.settings().credentials.access_key_id);
    assert!(source.starts_with(&names_the_tenant) && source.contains("127.0.0.1"), "{line}");
    assert_eq!(statfs.f_namemax, 255);
    let place = drive.at(&drive.tree.places[0].path);
    let run = sh(&format!("'{}/contact.json'", place.display())).run();
    assert!(run.stderr.contains("Permission denied"), "a recording must not run: {}", run.stderr);
}
