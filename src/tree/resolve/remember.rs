//! Remembering refusals: what was answered is kept before anyone is told, so that nobody pays for the same answer again.

use jiff::Timestamp;

use super::Resolver;
use super::kept_role::keep_role;
use super::obstacles::{self, remedy, storage_remedy};
use super::request::recording_key;
use super::role::{Consequence, Role};
use crate::base::MasterId;
use crate::catalog::{CatalogError, FileKind, Interaction, Obstacle, ObstacleKind, Resolution, Scope, State};
use crate::cxone::Refusal;
use crate::media::{MediaError, Version};
use crate::net::ApiError;
use crate::tree::documents;
use crate::tree::error::{ErrorKind, TreeError, to_the_second};
use crate::tree::principal::Principal;

impl Resolver {
    /// Says under which access key calls are made. Under another one than before, refusals that fit all are forgotten.
    pub fn use_key(&self, key: &str) -> Result<(), TreeError> {
        let (role, is_other) = {
            let mut role = self.inner.role.lock();
            let before = role.clone();
            let is_other = role.use_key(key);
            if *role == before {
                return Ok(());
            }
            (role.clone(), is_other)
        };
        if is_other {
            tracing::info!("the access key is another one: what was refused under the one before is asked for again");
            self.inner.catalog.clear_obstacles_in(Scope::Shared)?;
            self.inner.catalog.clear_obstacles_in(Scope::Settled)?;
        }
        Ok(keep_role(&self.inner.catalog, &role)?)
    }

    /// Interactions were erased: nothing at hand names them any more.
    pub(in crate::tree) fn forget(&self, masters: &[MasterId]) {
        for master in masters {
            self.inner.links.forget(*master);
        }
        self.inner.role.lock().forget(Some(masters));
        self.inner.failing.lock().whose.retain(|failing| !masters.contains(failing));
        self.inner.failing_media.lock().whose.retain(|(failing, _)| !masters.contains(failing));
    }

    /// The same of all interactions.
    pub(in crate::tree) fn forget_all(&self) {
        self.inner.links.forget_all();
        self.inner.role.lock().forget(None);
        self.inner.failing.lock().whose.clear();
        self.inner.failing_media.lock().whose.clear();
    }

    /// What keeps from asking Media Playback about an interaction now: what was said of it, or of the role.
    pub(in crate::tree) fn hindrance(&self, interaction: &Interaction, now: Timestamp) -> Option<Obstacle> {
        self.inner.role.lock().hindrance(interaction.hindrance(now), now)
    }

    /// Fails where asking would be in vain.
    pub(super) fn check_askable(&self, master: MasterId) -> Result<(), TreeError> {
        match self.hindrance(&self.interaction(master)?, self.inner.clock.now()) {
            Some(obstacle) => Err(TreeError::hindered(&obstacle)),
            None => Ok(()),
        }
    }

    /// The same for a call that is about to be made.
    pub(super) fn ask(&self, master: MasterId) -> Result<(), TreeError> {
        let (interaction, now) = (self.interaction(master)?, self.inner.clock.now());
        let asked = self.inner.role.lock().ask(interaction.hindrance(now), now);
        asked.map_err(|obstacle| TreeError::hindered(&obstacle))
    }

    /// Keeps a refusal; the error that its askers get.
    pub(super) async fn remember_refusal(&self, master: MasterId, refusal: &Refusal, payer: &Principal) -> TreeError {
        let now = self.inner.clock.now();
        let obstacle = obstacles::of_refusal(refusal, now);
        // Erased meanwhile: nothing is said or kept of it.
        if let Err(error) = self.interaction(master) {
            return error;
        }
        let mut role = None;
        if obstacle.scope == Scope::Shared {
            let mut known = self.inner.role.lock();
            if known.note_refusal(master, &obstacle, now) {
                let (reason, remedy) = (&*obstacle.reason, remedy(obstacle.kind, Scope::Shared));
                tracing::warn!(
                    reason,
                    remedy,
                    "Media Playback refuses whatever is asked for ({reason}); one call in five minutes finds out whether it still does; {remedy}"
                );
            }
            role = Some(known.clone());
        }
        tell(master, None, &obstacle, refusal.correlation_id.as_deref(), payer);
        let refused = self.keep(master, None, obstacle, role).await;
        // Erased since the look above: the role must not name it.
        if self.inner.catalog.erased_at(master.0).is_some() {
            self.inner.role.lock().forget(Some(&[master]));
        }
        refused
    }

    /// Keeps that a billed call was not answered; the error that its askers get.
    pub(super) async fn remember_failure(&self, master: MasterId, error: &ApiError, payer: &Principal) -> TreeError {
        let now = self.inner.clock.now();
        let before = match self.interaction(master) {
            Ok(interaction) => interaction.obstacles.playback,
            Err(error) => return error,
        };
        let obstacle = obstacles::of_failure(error, before.as_deref(), now);
        self.inner.failing.lock().note(Some(master), self.inner.breaker.state().down_for.is_some());
        tell(master, None, &obstacle, error.correlation_id.as_deref(), payer);
        let kept = self.keep(master, None, obstacle, None).await;
        kept.because_of(error)
    }

    /// An interaction was answered: what was refused or failed for another reason than its own is forgotten.
    pub(super) async fn forget_after_answer(&self, known: &Interaction) -> Result<(), TreeError> {
        let (consequence, role) = {
            let mut role = self.inner.role.lock();
            (role.note_answer(), role.clone())
        };
        let mut masters = self.inner.failing.lock().take();
        if known.obstacles.playback.is_some() {
            masters.push(known.master_id);
        }
        if consequence == Consequence::Nothing && masters.is_empty() {
            return Ok(());
        }
        let catalog = self.inner.catalog.clone();
        let forgotten = tokio::task::spawn_blocking(move || -> Result<(), CatalogError> {
            match consequence {
                Consequence::Forget => drop(catalog.clear_obstacles_in(Scope::Shared)?),
                Consequence::Settle => catalog.settle_obstacles()?,
                Consequence::Nothing | Consequence::Note => {}
            }
            for master in masters {
                catalog.clear_obstacle(master, None)?;
            }
            if consequence == Consequence::Nothing { Ok(()) } else { keep_role(&catalog, &role) }
        });
        Ok(forgotten.await.map_err(|_| interrupted())??)
    }

    /// Keeps what a media host said of a recording, or that it failed, where that lasts: no other link would be better.
    pub(in crate::tree) async fn note_media_failure(
        &self,
        master: MasterId,
        index: u8,
        error: &MediaError,
        principal: &Principal,
    ) {
        let (kind, now) = (FileKind::Recording(index), self.inner.clock.now());
        let is_outage = matches!(error, MediaError::Down(_));
        if is_outage || error.is_failure() {
            self.inner.failing_media.lock().note((!is_outage).then_some((master, kind)), is_outage);
        }
        let Ok(known) = self.interaction(master) else { return };
        let before = known.obstacles.of_file(kind);
        let Some(obstacle) = obstacles::of_media(error, before, now) else { return };
        // Of one that was erased meanwhile nothing is said or kept: it is not known any more.
        if !before.is_some_and(|before| before.holds(now)) {
            tell(master, Some(index), &obstacle, None, principal);
            self.keep(master, Some(kind), obstacle, None).await;
        }
    }

    /// A media host gave bytes of a recording: what it said before does not hold any more, nor do the failures of others for which it was down.
    pub(in crate::tree) async fn note_media_success(&self, master: MasterId, index: u8) {
        let kind = FileKind::Recording(index);
        let mut files = self.inner.failing_media.lock().take();
        if self.interaction(master).is_ok_and(|known| known.obstacles.of_file(kind).is_some()) {
            files.push((master, kind));
        }
        if files.is_empty() {
            return;
        }
        let catalog = self.inner.catalog.clone();
        let cleared = tokio::task::spawn_blocking(move || {
            files.iter().try_for_each(|(master, kind)| catalog.clear_obstacle(*master, Some(*kind)))
        });
        if let Ok(Err(error)) = cleared.await {
            tracing::debug!(%master, %error, "an obstacle that is gone is still noted");
        }
    }

    /// A billed call for a resolved interaction brought links to some of its recordings, which `has_link` tells: that the others were withdrawn is
    /// kept, because the next call would say the same.
    pub(super) async fn note_links(
        &self,
        known: &Interaction,
        has_link: impl Fn(u8) -> bool,
        payer: &Principal,
    ) -> Result<(), TreeError> {
        let Resolution::Resolved { files, .. } = &known.resolution else { return Ok(()) };
        let (master, now) = (known.master_id, self.inner.clock.now());
        for file in files.iter() {
            let FileKind::Recording(index) = file.kind else { continue };
            let before = known.obstacles.of_file(file.kind);
            let is_withdrawn = before.is_some_and(|before| before.kind == ObstacleKind::Withdrawn);
            if !has_link(index) {
                let obstacle = obstacles::of_absence(documents::recheck_at(known.mtime, now), now);
                tell(master, Some(index), &obstacle, None, payer);
                self.keep(master, Some(file.kind), obstacle, None).await;
            } else if is_withdrawn {
                let (catalog, kind) = (self.inner.catalog.clone(), file.kind);
                let cleared = tokio::task::spawn_blocking(move || catalog.clear_obstacle(master, Some(kind)));
                cleared.await.map_err(|_| interrupted())??;
            }
        }
        Ok(())
    }

    /// Fails where a media host said of a recording that it may not be had now.
    pub(in crate::tree) fn check_storage(&self, interaction: &Interaction, kind: FileKind) -> Result<(), TreeError> {
        let now = self.inner.clock.now();
        match interaction.obstacles.of_file(kind).filter(|obstacle| obstacle.holds(now)) {
            Some(obstacle) => Err(TreeError::hindered(obstacle)),
            None => Ok(()),
        }
    }

    /// The same where asking would be in vain or cost something: with a link at hand it costs nothing to ask again, because a refusal may have come
    /// from what stands between. Of an archive the host leaves no doubt.
    pub(in crate::tree) fn check_reachable(&self, interaction: &Interaction, index: u8) -> Result<(), TreeError> {
        let (kind, now) = (FileKind::Recording(index), self.inner.clock.now());
        let in_archive =
            |obstacle: &Obstacle| matches!(obstacle.kind, ObstacleKind::Archived | ObstacleKind::Restoring);
        if !interaction.obstacles.of_file(kind).is_some_and(in_archive)
            && self.inner.links.lasts(interaction.master_id, index, now)
        {
            return Ok(());
        }
        self.check_storage(interaction, kind)
    }

    /// Whether all bytes of a recording are here.
    pub(in crate::tree) fn is_cached(&self, master: MasterId, index: u8, version: &Version) -> bool {
        self.inner.media.is_complete(&recording_key(master, index), version)
    }

    /// Forgets refusals, so that the next ask makes a call: all of them, or those of `masters`, and of these also that they have no recording.
    /// Returns how many there were.
    pub async fn retry(&self, masters: Option<Vec<MasterId>>) -> Result<u64, TreeError> {
        let role = {
            let mut role = self.inner.role.lock();
            role.retry();
            role.clone()
        };
        let (catalog, now) = (self.inner.catalog.clone(), self.inner.clock.now());
        let of = masters.clone();
        let forgotten = tokio::task::spawn_blocking(move || -> Result<u64, CatalogError> {
            keep_role(&catalog, &role)?;
            match &of {
                Some(masters) => catalog.clear_obstacles_of(masters),
                None => catalog.clear_obstacles(),
            }
        });
        let mut forgotten = forgotten.await.map_err(|_| interrupted())??;
        for master in masters.unwrap_or_default() {
            self.inner.links.forget_absence(master);
            let Some(before) = self.inner.catalog.interaction(master)? else { continue };
            let catalog = self.inner.catalog.clone();
            let recheck = tokio::task::spawn_blocking(move || catalog.recheck_at(master, now));
            if recheck.await.map_err(|_| interrupted())?? {
                forgotten += 1;
                self.shown_otherwise(&before).await;
            }
        }
        Ok(forgotten)
    }

    async fn keep(
        &self,
        master: MasterId,
        file: Option<FileKind>,
        obstacle: Obstacle,
        role: Option<Role>,
    ) -> TreeError {
        let (catalog, error) = (self.inner.catalog.clone(), TreeError::hindered(&obstacle));
        let kept = tokio::task::spawn_blocking(move || {
            catalog.put_obstacle(master, file, &obstacle)?;
            role.map_or(Ok(()), |role| keep_role(&catalog, &role))
        });
        match kept.await {
            Ok(Ok(())) => error,
            Ok(Err(error)) => error.into(),
            Err(_) => interrupted(),
        }
    }
}

fn interrupted() -> TreeError {
    TreeError::new(ErrorKind::Io, "storing what CXone said was interrupted")
}

/// The one line about an obstacle; who meets it later is told by the errno and the attribute `reason`.
fn tell(
    master: MasterId,
    recording: Option<u8>,
    obstacle: &Obstacle,
    correlation_id: Option<&str>,
    principal: &Principal,
) {
    let state = State::Hindered(obstacle.clone()).word();
    let remedy =
        if recording.is_some() { storage_remedy(obstacle.kind) } else { remedy(obstacle.kind, obstacle.scope) };
    let what = recording.map_or_else(String::new, |index| format!("recording {} of ", u32::from(index) + 1));
    let (errno, reason) = (TreeError::hindered(obstacle).kind().name(), &*obstacle.reason);
    let again_at = to_the_second(obstacle.again_at);
    tracing::warn!(
        %master,
        recording,
        state,
        reason,
        asked_again_at = %again_at,
        correlation_id,
        remedy,
        uid = principal.user().uid,
        pid = principal.pid(),
        comm = principal.comm(),
        "{what}master contact {master} cannot be had now: {errno} for {}: {reason} (state {state}); it is not asked for again before \
         {again_at}; {remedy}",
        principal.words()
    );
}
