//! `state backup`: a copy that is taken while the mount is in use, and put back.

use std::os::unix::fs::MetadataExt;

use crate::harness::{Drive, cxonefs, plain, sh};

#[test]
fn a_copy_of_a_mount_in_use_is_put_back_and_nothing_is_paid_again() {
    for is_encrypted in [false, true] {
        let mut drive = Drive::encrypted(is_encrypted, plain(2, 8), &[]);
        let home = drive.sandbox.home();
        let folders: Vec<_> = drive.tree.recorded().map(|place| drive.at(&place.path)).collect();
        let read = |count: usize| -> Vec<Vec<u8>> {
            let files = folders[..count]
                .iter()
                .flat_map(|folder| ["recording.mp4", "metadata.json"].map(|name| folder.join(name)));
            files.map(|file| std::fs::read(file).unwrap()).collect()
        };
        let before = read(3);
        let copy = drive.sandbox.path("copy.db");
        let backup = |to: &std::path::Path| cxonefs(&home).args(["state", "backup"]).arg(to);
        // Somebody goes on reading, and paying, meanwhile.
        std::thread::scope(|scope| {
            scope.spawn(|| read(8));
            backup(&copy).arg(drive.path()).ok();
        });
        assert_eq!(copy.metadata().unwrap().mode() & 0o7777, 0o600);
        let bytes = std::fs::read(&copy).unwrap();
        let agent =
            folders[0].parent().unwrap().file_name().unwrap().to_str().unwrap().split('_').next().unwrap().to_owned();
        let tells = bytes.windows(agent.len()).any(|part| part == agent.as_bytes());
        assert_eq!(tells, !is_encrypted, "{agent}");
        // Never replaced, whatever it is.
        let refused = backup(&copy).arg(drive.path()).run();
        assert_eq!(refused.code(), 1, "{}", refused.stderr);
        assert!(refused.stderr.contains("never replaced"), "{}", refused.stderr);
        assert_eq!(std::fs::read(&copy).unwrap(), bytes);
        // By its configuration, mounted or not.
        backup(&drive.sandbox.path("second.db")).arg("--config").arg(drive.sandbox.config()).ok();
        drive.mount.terminate();
        backup(&drive.sandbox.path("third.db")).arg("--state-dir").arg(drive.sandbox.state()).ok();
        let nothing =
            backup(&drive.sandbox.path("fourth.db")).arg("--state-dir").arg(drive.sandbox.path("nowhere")).run();
        assert_eq!((nothing.code(), drive.sandbox.path("fourth.db").exists()), (1, false), "{}", nothing.stderr);
        assert_eq!(cxonefs(&home).args(["state", "backup"]).run().code(), 2);
        // Lost, and put back as the documents say; the recordings' bytes are lost with it.
        std::fs::remove_dir_all(drive.sandbox.state()).unwrap();
        std::fs::remove_dir_all(drive.sandbox.cache()).unwrap();
        let put_back = format!(
            "install -d -m 0700 '{state}' && install -m 0600 '{copy}' '{state}/cxonefs.db'",
            state = drive.sandbox.state().display(),
            copy = copy.display()
        );
        sh(&put_back).ok();
        drive.mount.start_again();
        drive.tenant.reset_counters();
        for (folder, files) in folders.iter().zip(before.chunks(2)) {
            assert_eq!(
                folder.join("recording.mp4").metadata().unwrap().len(),
                files[0].len() as u64,
                "known before any open"
            );
            assert_eq!(std::fs::read(folder.join("metadata.json")).unwrap(), files[1]);
        }
        assert_eq!(drive.counters().playback_calls, 0);
        let ledger = cxonefs(&home).args(["ledger", "--csv"]).arg(drive.path()).ok().stdout;
        assert!(ledger.lines().count() > 3, "{ledger}");
    }
}
