//! That the search for secrets, which ends every test here, finds them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cxonefs::sim::{Credentials, SimSettings};

use crate::harness::{Mount, Sandbox, Tenant, cxonefs, plain};

/// What a sandbox says when it goes.
fn complaint(sandbox: Sandbox) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| drop(sandbox)));
    outcome.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn every_kind_of_secret_is_found_wherever_it_is_written() {
    let tenant = Tenant::start(plain(1, 2));
    let known = tenant.settings().credentials.clone();
    {
        let sandbox = Sandbox::of(&tenant);
        let mount = Mount::start(&sandbox, &[]);
        let file = walkdir::WalkDir::new(mount.path())
            .into_iter()
            .flatten()
            .find(|entry| entry.file_name() == "recording.mp4");
        std::fs::read(file.unwrap().path()).unwrap();
    }
    let handed = tenant.handed_out();
    let signature =
        handed.iter().find(|secret| secret.len() == 64 && !secret.contains('.')).expect("a link was signed");
    let token = handed.iter().find(|secret| secret.contains('.')).expect("a token was given out");
    let encoded: String = url::form_urlencoded::byte_serialize(known.access_key_secret.as_bytes()).collect();
    for (place, secret) in [
        ("state/audit.log", known.access_key_secret.clone()),
        ("cache/v1/x", encoded),
        ("stderr", token.clone()),
        ("home/core", signature.clone()),
        ("state/cxonefs.db-wal", String::from("?X-Amz-Signature=")),
    ] {
        let sandbox = Sandbox::of(&tenant);
        let path = sandbox.path(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("before {secret} after")).unwrap();
        let said = complaint(sandbox).unwrap_or_else(|| panic!("nothing was found in {place}"));
        assert!(said.contains(place) && !said.contains(&secret), "{said}");
    }
    let sandbox = Sandbox::of(&tenant);
    assert_eq!(complaint(sandbox), None, "nothing is found where nothing is");
}

#[test]
fn what_commands_print_is_searched() {
    // A secret of its own: what is printed is searched by every sandbox of this process.
    let credentials =
        Credentials { access_key_secret: String::from("only-here-and-nowhere-else"), ..Credentials::default() };
    let tenant = Tenant::start(SimSettings { credentials, ..plain(1, 1) });
    let sandbox = Sandbox::of(&tenant);
    // A secret where a name belongs is repeated in the message.
    let secret = &tenant.settings().credentials.access_key_secret;
    cxonefs(&sandbox.home()).args(["umount"]).arg(format!("/{secret}")).run();
    let said = complaint(sandbox).expect("it was printed");
    assert!(said.contains("umount"), "{said}");
}
