//! Hashes of recordings: a day's manifest, and whether what is here still hashes to what it did.

use super::{Keeper, say};
use crate::base::Day;
use crate::media::Version;
use crate::ops::keeping::{Manifest, ManifestLine, Mismatch, Progress, VerifyReport};
use crate::tree;

impl Keeper {
    pub(super) fn day_manifest(&self, day: &str, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, String> {
        let day: Day = day.parse().map_err(|_| format!("{day:?} is no day of the tree (YYYY-MM-DD)"))?;
        let tree = self.live.as_ref().map(|live| &live.tree);
        let tree = tree.ok_or("a manifest is made by the mount that shows the day")?;
        let (first, last) = tree.days();
        if day < first || day > last {
            return Err(format!("the tree has no day {day}: it shows {first} to {last} (tree.since, tree.timezone)"));
        }
        let failed = |error: tree::TreeError| crate::base::failure::chain(&error);
        tree.list_day_here(day).map_err(failed)?;
        let listed = tree.manifest(day, &mut |done| progress(Progress { done, of: 0 })).map_err(failed)?;
        let mut manifest = Manifest { day: day.to_string(), lines: Vec::new(), missing: Vec::new() };
        for line in listed {
            match line.evidence {
                None => manifest.missing.push(line.path),
                Some(evidence) => manifest.lines.push(ManifestLine {
                    sha256: evidence.hex(),
                    path: line.path,
                    size: evidence.size,
                    hashed_at: evidence.at.to_string(),
                    host: evidence.host,
                    validator: evidence.validator,
                }),
            }
        }
        Ok(manifest)
    }

    /// Compares recordings that are here as a whole with what they hashed to first.
    pub(super) fn compare_hashes(
        &self,
        report: &mut VerifyReport,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<(), String> {
        let Some(catalog) = &self.catalog else { return Ok(()) };
        let evidence = catalog.current_evidence().map_err(say)?;
        let of = evidence.len() as u64;
        for (done, known) in (1..).zip(evidence) {
            let version = Version { size: known.size, validator: known.validator.clone() };
            let now = self.media.sha256(&tree::recording_key(known.master, known.recording), &version);
            if let Some(now) = now {
                report.hashed += 1;
                if now != known.sha256 {
                    let (master, recording) = (known.master, u32::from(known.recording) + 1);
                    tracing::error!(
                        %master,
                        recording,
                        "recording {recording} of master contact {master} is not what it was when it was hashed first"
                    );
                    report.mismatched.push(Mismatch {
                        master_contact: known.master.0,
                        recording: known.recording,
                        hashed_at: known.at.to_string(),
                    });
                }
            }
            if !progress(Progress { done, of }) {
                break;
            }
        }
        Ok(())
    }
}
