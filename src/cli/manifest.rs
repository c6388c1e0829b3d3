//! `cxonefs manifest`: what a day's recordings hash to, in the form that `sha256sum -c` reads.

use std::fmt::Write as _;

use indicatif::ProgressBar;

use super::args::ManifestArgs;
use super::{cache, status, units, within};
use crate::base::complain;
use crate::base::failure::Failure;
use crate::base::shown as printable;
use crate::ops::keeping::{Manifest, ManifestRequest};

/// Asks the mount in which the day is.
pub fn run(args: &ManifestArgs) -> Result<(), Failure> {
    let shown = args.day.display();
    let failed = |error: std::io::Error| Failure::failed(error).while_doing(shown.to_string());
    let found = within::locate(&args.day).map_err(failed)?;
    let found = found.ok_or_else(|| {
        Failure::failed(format!("{shown} is in no cxonefs mount"))
            .remedy("name a day of a mount: cxonefs manifest DIR/2026-11-02")
    })?;
    let mut parts = found.relative.components();
    let (Some(day), None) = (parts.next(), parts.next()) else {
        return Err(Failure::usage(format!("{shown} is no day of a mount"))
            .remedy("name the folder of one day: cxonefs manifest DIR/2026-11-02"));
    };
    let request = ManifestRequest { day: day.as_os_str().to_string_lossy().into_owned() };
    let socket = status::socket(&found.mount_point)?;
    let manifest: Manifest = cache::follow(&socket, "/manifest", &request, &ProgressBar::hidden())?;
    cache::print(args.json, &manifest, lines)?;
    if manifest.missing.is_empty() {
        return Ok(());
    }
    for path in &manifest.missing {
        complain(format_args!("cxonefs: not hashed, because it was never here as a whole: {}", printable(path)));
    }
    let all = units::count(manifest.lines.len() + manifest.missing.len(), "recording");
    Err(Failure::failed(format!("{} of {all} have no hash", manifest.missing.len()))
        .remedy(format!("to fetch them, at a cost that is said first: cxonefs warm '{shown}'")))
}

/// Names of the tree have no backslash and no line break, which is all that `sha256sum` would want escaped.
fn lines(manifest: &Manifest) -> String {
    let mut text = String::new();
    for line in &manifest.lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}", line.sha256, line.path);
    }
    text
}
