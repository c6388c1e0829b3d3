//! The cache's file system stops answering: reads of what is on it end in time, and nobody else waits.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cxonefs::sim::SimSettings;
use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Mount, Sandbox, Tenant, Tree, assert_same_bytes, eventually, plain, tool, true_bytes};

const SOON: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(6);

/// A directory shown at another place by a program that can be stopped.
struct SickDisk {
    at: PathBuf,
    server: Child,
}

impl SickDisk {
    fn at(at: PathBuf, from: &Path) -> SickDisk {
        std::fs::create_dir(&at).unwrap();
        let mut command = Command::new("bindfs");
        command.arg("-f").arg(from).arg(&at).stdin(Stdio::null()).stdout(Stdio::null());
        let server = command.spawn().unwrap();
        let disk = SickDisk { at, server };
        eventually("it is mounted", SOON, || crate::harness::mount_at(&disk.at).is_some());
        disk
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server), signal).unwrap();
    }

    /// Nothing of its files is in the kernel's memory.
    fn forget_pages(&self) {
        for entry in walkdir::WalkDir::new(&self.at).into_iter().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|extension| extension == "data") {
                let file = File::open(entry.path()).unwrap();
                file.sync_all().unwrap();
                fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
        }
    }
}

impl Drop for SickDisk {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.server), Signal::CONT);
        tool("umount").arg("-lq").arg(&self.at).run();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Ends what runs beside, also where a test fails.
struct GoesOn<'a>(&'a SickDisk);

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

#[test]
fn a_disk_that_does_not_answer_ends_its_reads_in_time_and_holds_up_nobody() {
    let tenant = Tenant::start(SimSettings { bulk_bytes: Some(1 << 20), ..plain(1, 24) });
    let sandbox = Sandbox::of(&tenant);
    let disk = SickDisk::at(sandbox.cache(), &sandbox.dir("behind"));
    let deadline = format!("limits.deadline={}s", DEADLINE.as_secs());
    let mount = Mount::start(&sandbox, &["--set", "mount.passthrough=false", "--set", &deadline]);
    let tree = Tree::of(&tenant);
    let places: Vec<(i64, PathBuf)> =
        tree.recorded().map(|place| (place.master, mount.at(&place.path).join("recording.mp4"))).take(17).collect();
    let (fetched, places) = places.split_last().unwrap();
    for (master, path) in places {
        assert_same_bytes(&std::fs::read(path).unwrap(), &true_bytes(&tenant, *master, 1), path);
    }
    // Past the kernel's pages of this mount. Each is read once, so that its files in the cache are open.
    let open = |path: &PathBuf| OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).unwrap();
    let files: Vec<File> = places.iter().map(|(_, path)| open(path)).collect();
    for file in &files {
        file.read_exact_at(&mut [0; 4096], 0).unwrap();
    }
    let unseen = tree.places.iter().skip(20).map(|place| mount.at(&place.path));
    eventually("all of it is on the disk", SOON, || mount.status()["cache"]["trouble"].is_null());
    disk.forget_pages();

    let ended = AtomicUsize::new(0);
    disk.signal(Signal::STOP);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let _goes_on = GoesOn(&disk);
        let reads: Vec<_> = files
            .iter()
            .map(|file| {
                let ended = &ended;
                scope.spawn(move || {
                    let read = file.read_exact_at(&mut [0; 4096], 512 << 10);
                    ended.fetch_add(1, Ordering::SeqCst);
                    read
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        // More reads wait than there are threads for requests.
        for folder in unseen {
            tool("ls").arg("-l").arg(&folder).within(DEADLINE / 2).ok();
            tool("cat").arg(folder.join("contact.json")).within(DEADLINE / 2).ok();
        }
        // What has to be fetched is read as it arrives, whether or not the disk takes it.
        let mut bytes = [0; 4096];
        let fresh = File::open(&fetched.1).unwrap();
        fresh.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == true_bytes(&tenant, fetched.0, 1)[..4096]);
        assert_eq!(ended.load(Ordering::SeqCst), 0, "they waited for the reads, or those for nothing");
        for read in reads {
            assert_eq!(read.join().unwrap().unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
        }
        assert!(begun.elapsed() < DEADLINE * 4, "{:?}", begun.elapsed());
    });
    assert!(mount.stderr().contains("the disk of the cache did not answer in time"), "{}", mount.stderr());
    for (file, (master, _)) in files.iter().zip(places) {
        let (mut bytes, truth) = ([0; 4096], true_bytes(&tenant, *master, 1));
        file.read_exact_at(&mut bytes, 512 << 10).unwrap();
        assert!(bytes == truth[512 << 10..][..4096]);
    }
}
