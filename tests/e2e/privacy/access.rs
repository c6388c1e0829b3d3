//! Who may read: owners and modes of the tree as the kernel checks them, directories that belong to somebody else, and a mount by a user
//! without privileges.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::process::geteuid;

use crate::harness::{Done, Mount, Sandbox, Tenant, Tree, plain, sh, tool};

/// Users and groups that need no account: their numbers are enough.
const OWNER: u32 = 64_001;
const MEMBER: u32 = 64_002;
const STRANGER: u32 = 64_003;
const GROUP: u32 = 64_100;

fn as_user(uid: u32, gid: u32, program: &str, path: &Path) -> Done {
    let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
    tool("setpriv").args([uid.as_str(), gid.as_str(), "--clear-groups", program]).arg(path).run()
}

#[test]
fn owner_group_and_modes_of_the_tree_decide_who_reads_it() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    std::fs::set_permissions(sandbox.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let folder = sandbox.mount_point().join(&Tree::of(&tenant).places[0].path);
    let map = [format!("mount.uid={OWNER}"), format!("mount.gid={GROUP}")];
    for (dir_mode, file_mode, member_reads, stranger_reads) in [
        (0o550, 0o440, true, false),
        (0o500, 0o400, false, false),
        (0o555, 0o440, true, false),
        (0o555, 0o444, true, true),
    ] {
        let modes = [format!("mount.dir_mode={dir_mode:04o}"), format!("mount.file_mode={file_mode:04o}")];
        let mut flags = vec!["--allow-other"];
        flags.extend(map.iter().chain(&modes).flat_map(|assignment| ["--set", assignment.as_str()]));
        let mut mount = Mount::start(&sandbox, &flags);
        // The file is opened, read and known to the kernel before anybody else looks.
        std::fs::read(folder.join("recording.mp4")).unwrap();
        let metadata = std::fs::metadata(folder.join("recording.mp4")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (OWNER, GROUP, file_mode));
        let metadata = std::fs::metadata(&folder).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (OWNER, GROUP, dir_mode));
        for (uid, gid, reads) in
            [(OWNER, STRANGER, true), (MEMBER, GROUP, member_reads), (STRANGER, STRANGER, stranger_reads)]
        {
            for name in ["contact.json", "metadata.json", "recording.mp4"] {
                let done = as_user(uid, gid, "cat", &folder.join(name));
                assert_eq!(
                    done.status.success(),
                    reads,
                    "{uid}:{gid} {dir_mode:o} {file_mode:o} {name}: {}",
                    done.stderr
                );
                assert!(
                    reads || (done.stdout.is_empty() && done.stderr.contains("Permission denied")),
                    "{}",
                    done.stderr
                );
            }
            let listed = as_user(uid, gid, "ls", &folder);
            assert_eq!(
                listed.status.success(),
                reads || dir_mode == 0o555,
                "{uid}:{gid} {dir_mode:o}: {}",
                listed.stderr
            );
        }
        mount.terminate();
    }
}

#[test]
fn directories_of_somebody_else_are_refused() {
    let tenant = Tenant::start(plain(1, 1));
    for name in ["state", "cache"] {
        let sandbox = Sandbox::of(&tenant);
        let dir = sandbox.dir(name);
        chown(&dir, Some(STRANGER), None).unwrap();
        let ended = Mount::attempt(&sandbox, &[]).err().expect("it must not mount");
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        let owner = STRANGER.to_string();
        assert!(ended.said.contains(dir.to_str().unwrap()) && ended.said.contains(&owner), "{}", ended.said);
        assert!(ended.said.contains("chown"), "and what to do about it: {}", ended.said);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "nothing was put there");
    }
}

/// Mounts, reads, asks and unmounts; as a user who may nothing but run `fusermount3`.
const SESSION: &str = r#"
    cd "$HOME"
    cxonefs mount --background --config config.toml mnt
    findmnt --noheadings --output FSTYPE,OPTIONS mnt
    find mnt -type f | wc -l
    cat mnt/*/*/*/recording.mp4 | wc -c
    cxonefs status --json mnt | jq -r .mount_point
    pid=$(cxonefs status --json mnt | jq -r .pid)
    grep "Max core file size" "/proc/$pid/limits" | tr -s ' '
    stat --format %u "/proc/$pid/environ"
    cxonefs umount mnt
    ! findmnt mnt
    stat --format %a state cache state/cxonefs.db
    echo well
"#;

#[test]
fn a_user_without_privileges_mounts_reads_and_unmounts() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    std::fs::set_permissions(sandbox.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let home = sandbox.home();
    std::fs::create_dir(home.join("mnt")).unwrap();
    let config = tenant.config_toml(&home.join("state"), &home.join("cache"), &home.join("secret"));
    std::fs::write(home.join("config.toml"), config).unwrap();
    std::fs::copy(sandbox.secret(), home.join("secret")).unwrap();
    std::fs::write(home.join("session"), format!("set -eu\n{SESSION}")).unwrap();
    let bin = sandbox.dir("bin");
    let session = format!(
        "env -i HOME='{0}' TMPDIR='{0}' PATH='{1}':/usr/bin:/bin sh '{0}/session'",
        home.display(),
        bin.display()
    );
    let program = env!("CARGO_BIN_EXE_cxonefs");
    let done = if geteuid().is_root() {
        for entry in walkdir::WalkDir::new(&home).into_iter().map(Result::unwrap) {
            chown(entry.path(), Some(OWNER), Some(GROUP)).unwrap();
        }
        std::fs::write(bin.join("cxonefs"), "").unwrap();
        // fusermount3 asks for the user's name.
        let passwd = sandbox.path("passwd");
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
        std::fs::write(&passwd, format!("{accounts}\ncxonefs-e2e:x:{OWNER}:{GROUP}::/:/bin/sh\n")).unwrap();
        std::fs::set_permissions(&passwd, std::fs::Permissions::from_mode(0o644)).unwrap();
        // The device may be root's alone, and the program lie where others cannot go: both are put where they can, in a mount namespace
        // that goes with the session, whatever becomes of that.
        let dev = sandbox.dir("dev");
        let inside = format!(
            "mount -t tmpfs -o mode=0711 none '{dev}'; mknod -m 0666 '{dev}/fuse' c 10 229; mount --bind '{dev}/fuse' /dev/fuse; \
             mount --bind '{program}' '{bin}/cxonefs'; mount --bind '{passwd}' /etc/passwd; \
             exec setpriv --reuid={OWNER} --regid={GROUP} --clear-groups {session}",
            dev = dev.display(),
            bin = bin.display(),
            passwd = passwd.display(),
        );
        tool("unshare").args(["--mount", "--propagation", "private", "sh", "-euc", &inside]).run()
    } else {
        std::os::unix::fs::symlink(program, bin.join("cxonefs")).unwrap();
        sh(&session).run()
    };
    let said = std::fs::read_to_string(home.join("state/cxonefs.log")).unwrap_or_default();
    assert_eq!(done.code(), 0, "{}{}{said}", done.stdout, done.stderr);
    let lines = done.lines();
    let options: Vec<&str> = lines[0].split_whitespace().nth(1).unwrap().split(',').collect();
    assert!(lines[0].starts_with("fuse.cxonefs"), "{lines:?}");
    for option in ["ro", "nosuid", "nodev", "noexec", "default_permissions"] {
        assert!(options.contains(&option), "{option} of {options:?}");
    }
    assert_eq!(lines[1], "6", "three files each of two calls: {lines:?}");
    let sizes = tenant.truth().iter().flat_map(|truth| &truth.media).map(|media| media.bytes).sum::<u64>();
    assert_eq!(lines[2], sizes.to_string());
    assert_eq!(lines[3], home.join("mnt").display().to_string());
    // No core is dumped; and who cannot be dumped can be looked into by root alone.
    assert!(lines[4].starts_with("Max core file size 0 0"), "{}", lines[4]);
    assert_eq!(lines[5], "0");
    assert_eq!(lines[6..], ["700", "700", "600", "well"]);
}
