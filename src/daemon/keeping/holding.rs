//! Holds: setting and ending them, and what is missing of what is held.

use std::collections::BTreeSet;

use super::{Keeper, ended, keys, record, say};
use crate::base::MasterId;
use crate::base::accounts::user_name;
use crate::catalog::{Catalog, FileKind, Hold, Resolution};
use crate::media::Version;
use crate::ops::AuditRecord;
use crate::ops::keeping::{HoldReport, HoldRequest, HoldsReport};
use crate::tree;

impl Keeper {
    /// Every hold, with what is here of it.
    pub(super) fn list_holds(&self) -> Result<Vec<HoldReport>, String> {
        let Some(catalog) = &self.catalog else { return Ok(Vec::new()) };
        catalog.holds().map_err(say)?.iter().map(|hold| self.hold_report(catalog, hold)).collect()
    }

    pub(super) fn hold(&self, request: &HoldRequest, uid: u32) -> Result<HoldsReport, String> {
        let _one_at_a_time = self.exclusively();
        let (catalog, masters, unknown) = self.meant(&request.contacts)?;
        if !unknown.is_empty() {
            return Ok(HoldsReport { unknown, ..HoldsReport::default() });
        }
        let numbers: Vec<i64> = masters.iter().map(|master| master.0).collect();
        self.on_record(["hold", "held"], &numbers, || self.hold_all(catalog, &masters, request, uid))
    }

    /// Does something to holds, on record before and after.
    fn on_record(
        &self,
        [begins, ends]: [&'static str; 2],
        contacts: &[i64],
        act: impl FnOnce() -> Result<HoldsReport, String>,
    ) -> Result<HoldsReport, String> {
        let log = self.log()?;
        let record = |event| AuditRecord { contacts: contacts.to_vec(), ..record(event) };
        self.begun(log.as_deref(), record(begins))?;
        let done = act();
        if let Some(log) = &log {
            ended(log, record(ends), if done.is_ok() { "ok" } else { "refused" });
        }
        done
    }

    fn hold_all(
        &self,
        catalog: &Catalog,
        masters: &[MasterId],
        request: &HoldRequest,
        uid: u32,
    ) -> Result<HoldsReport, String> {
        let held: BTreeSet<MasterId> = catalog.holds().map_err(say)?.into_iter().map(|hold| hold.master).collect();
        let all: BTreeSet<MasterId> = held.iter().chain(masters).copied().collect();
        let would_hold: u64 = all.iter().map(|master| self.needs(catalog, *master)).sum::<Result<u64, String>>()?;
        let size = self.media.cache_size();
        if would_hold > size / 2 {
            return Err(format!(
                "{would_hold} bytes would be held, more than half of cache.size ({size} bytes): nothing is held that was not before; \
                 raise cache.size, or remove holds"
            ));
        }
        let at = self.clock.now();
        for master in masters {
            catalog.add_hold(&Hold { master: *master, reason: request.reason.clone(), at, uid }).map_err(say)?;
            keys(&[*master]).for_each(|key| self.media.hold(&key, true));
        }
        let count = masters.len();
        tracing::info!(interactions = count, uid, "{count} interactions are held from now on (cxonefs hold add)");
        let holds = catalog.holds().map_err(say)?;
        let of_request = holds.iter().filter(|hold| masters.contains(&hold.master));
        let holds = of_request.map(|hold| self.hold_report(catalog, hold)).collect::<Result<_, _>>()?;
        Ok(HoldsReport { holds, unknown: Vec::new() })
    }

    pub(super) fn release(&self, contacts: &[i64]) -> Result<HoldsReport, String> {
        let _one_at_a_time = self.exclusively();
        let Some(catalog) = &self.catalog else {
            return Ok(HoldsReport { unknown: contacts.to_vec(), ..HoldsReport::default() });
        };
        let before = catalog.holds().map_err(say)?;
        let (mut meant, mut unknown) = (Vec::new(), Vec::new());
        for contact in contacts {
            let masters = catalog.holdings(&[*contact]).map_err(say)?.masters;
            let is_meant = |hold: &&Hold| hold.master.0 == *contact || masters.contains(&hold.master);
            match before.iter().find(is_meant) {
                Some(hold) => meant.push(hold),
                None => unknown.push(*contact),
            }
        }
        if meant.is_empty() {
            return Ok(HoldsReport { unknown, ..HoldsReport::default() });
        }
        let numbers: Vec<i64> = meant.iter().map(|hold| hold.master.0).collect();
        let release_all = || {
            let mut report = HoldsReport { unknown, ..HoldsReport::default() };
            for hold in meant {
                report.holds.push(self.hold_report(catalog, hold)?);
                catalog.remove_hold(hold.master).map_err(say)?;
                keys(&[hold.master]).for_each(|key| self.media.hold(&key, false));
            }
            let count = report.holds.len();
            tracing::info!(interactions = count, "{count} interactions are no longer held (cxonefs hold remove)");
            Ok(report)
        };
        self.on_record(["release", "released"], &numbers, release_all)
    }

    /// Those of some interactions that are held.
    pub(super) fn held_of(&self, masters: &[MasterId]) -> Result<Vec<HoldReport>, String> {
        let Some(catalog) = &self.catalog else { return Ok(Vec::new()) };
        let holds = catalog.holds().map_err(say)?;
        let meant = holds.iter().filter(|hold| masters.contains(&hold.master));
        meant.map(|hold| self.hold_report(catalog, hold)).collect()
    }

    /// The interactions of some contacts, and the contacts of which nothing is known.
    fn meant(&self, contacts: &[i64]) -> Result<(&Catalog, Vec<MasterId>, Vec<i64>), String> {
        let catalog = self.catalog.as_ref().ok_or("there is no state here: nothing is known of any contact")?;
        let (mut masters, mut unknown) = (Vec::new(), Vec::new());
        for contact in contacts {
            let of_contact = catalog.holdings(&[*contact]).map_err(say)?.masters;
            let mut shown = Vec::new();
            for master in of_contact {
                if catalog.interaction(master).map_err(say)?.is_some() {
                    shown.push(master);
                }
            }
            if shown.is_empty() {
                unknown.push(*contact);
            }
            masters.extend(shown);
        }
        masters.sort();
        masters.dedup();
        Ok((catalog, masters, unknown))
    }

    /// Bytes that an interaction's recordings take once all of them are here, as far as that is known.
    fn needs(&self, catalog: &Catalog, master: MasterId) -> Result<u64, String> {
        let occupied: u64 = keys(&[master]).map(|key| self.media.occupied(&key)).sum();
        let whole: u64 =
            recordings(catalog, master)?.iter().filter_map(|(_, version)| Some(version.as_ref()?.size)).sum();
        Ok(occupied.max(whole))
    }

    fn hold_report(&self, catalog: &Catalog, hold: &Hold) -> Result<HoldReport, String> {
        let recordings = recordings(catalog, hold.master)?;
        let is_here = |(index, version): &&(u8, Option<Version>)| {
            let version = version.as_ref();
            version.is_some_and(|version| self.media.is_complete(&tree::recording_key(hold.master, *index), version))
        };
        let here = recordings.iter().filter(is_here).count() as u64;
        let places = catalog.holdings(&[hold.master.0]).map_err(say)?.places;
        let paths = places.iter().map(|place| format!("{}/{}/{}", place.day, place.agent_name, place.folder_name));
        Ok(HoldReport {
            master_contact: hold.master.0,
            reason: hold.reason.clone(),
            since: hold.at.to_string(),
            uid: hold.uid,
            user: user_name(hold.uid),
            bytes: keys(&[hold.master]).map(|key| self.media.occupied(&key)).sum(),
            recordings: recordings.len() as u64,
            missing: recordings.len() as u64 - here,
            paths: paths.collect(),
        })
    }
}

/// The recordings that an interaction has, or is expected to have, with the versions that are known.
fn recordings(catalog: &Catalog, master: MasterId) -> Result<Vec<(u8, Option<Version>)>, String> {
    let Some(interaction) = catalog.interaction(master).map_err(say)? else { return Ok(Vec::new()) };
    let Resolution::Resolved { files, .. } = &interaction.resolution else {
        return Ok(if tree::expects_recording(interaction.channel) { vec![(0, None)] } else { Vec::new() });
    };
    let recordings = files.iter().filter_map(|file| match file.kind {
        FileKind::Recording(index) => {
            let version = file.size.map(|size| Version { size, validator: file.validator.clone() });
            Some((index, version))
        }
        _ => None,
    });
    Ok(recordings.collect())
}
