//! Who gets in: the owner alone, unless the configuration says otherwise, and then the kernel goes by the modes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Done, Mount, Sandbox, Tenant, Tree, plain, tool};

/// A command as a user who owns nothing. Needs root.
fn as_nobody(program: &str, path: &Path) -> Done {
    tool("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", program]).arg(path).run()
}

#[test]
fn others_stay_out_unless_they_are_let_in() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    std::fs::set_permissions(sandbox.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let contact = sandbox.mount_point().join(&Tree::of(&tenant).places[0].path).join("contact.json");
    let modes = ["--set", "mount.dir_mode=0555", "--set", "mount.file_mode=0444"];
    let open = [&["--allow-other"], &modes[..]].concat();
    let cases: [(&[&str], bool); 3] = [(&modes, false), (&["--allow-other"], false), (&open, true)];
    for (flags, is_let_in) in cases {
        let mut mount = Mount::start(&sandbox, flags);
        // Somebody who may has looked before: what the kernel keeps of that must not help others.
        assert!(std::fs::read_to_string(&contact).unwrap().contains("contactId"));
        let done = as_nobody("cat", &contact);
        assert_eq!(done.status.success(), is_let_in, "{flags:?}: {}", done.stderr);
        assert_eq!(done.stdout.contains("contactId"), is_let_in, "{flags:?}");
        assert!(is_let_in || done.stderr.contains("Permission denied"), "{flags:?}: {}", done.stderr);
        mount.terminate();
    }
}

#[test]
fn state_and_cache_are_private() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &[]);
    let recording = mount.at(&Tree::of(&tenant).places[0].path).join("recording.mp4");
    std::fs::read(recording).unwrap();
    let below =
        [sandbox.state(), sandbox.cache()].map(|dir| walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap));
    let mut files = 0;
    for entry in below.into_iter().flatten() {
        let metadata = entry.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} is {mode:o}", entry.path().display());
        files += usize::from(metadata.is_file());
    }
    assert!(files >= 4, "{files} files");
}
