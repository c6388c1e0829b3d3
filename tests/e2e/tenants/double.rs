//! That the double itself is a tenant like another: a plain day lists, reads whole, and costs one call per interaction.

use std::fs;

use crate::harness::{Case, CaseDrive, Kind, assert_same_bytes};

#[test]
fn a_good_tenant_is_listed_and_read() {
    let mut case = Case::named("E500-one");
    case.playback.remove("701000000005");
    let drive = CaseDrive::of(case, &[]);
    let folders = drive.interactions();
    assert_eq!(folders.len(), 40, "{folders:?}");
    assert_eq!(drive.tenant.count(Kind::Playback), 0, "looking is free");
    for master in [701_000_000_005, 701_000_000_006] {
        let path = drive.folder(master).join("recording.mp4");
        let expected = drive.tenant.bytes(&format!("{master}.mp4"), 0);
        for _ in 0..2 {
            assert_same_bytes(&fs::read(&path).unwrap(), &expected, &path);
        }
        assert_eq!(drive.tenant.calls_for(master), 1);
    }
    assert!(drive.tenant.seen().iter().all(|seen| seen.kind != Kind::Media || !seen.bears_token));
    assert!(!drive.tenant.seen().iter().any(|seen| seen.kind == Kind::Unknown), "{:?}", drive.tenant.seen());
}
