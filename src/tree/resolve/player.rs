//! Who makes billed calls.

use std::sync::Arc;

use async_trait::async_trait;

use crate::base::MasterId;
use crate::cxone::{PlaybackAnswer, Service};
use crate::net::{ApiError, Probe};

/// Makes billed calls: the tenant, or a double in tests.
#[async_trait]
pub trait Player: Send + Sync + 'static {
    /// Logs in if that is due, so that a call that is made next leaves at once; costs nothing.
    async fn ready(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// One billed call, exactly one request. With `renew`, a token that was refused is renewed, and the error says so.
    async fn playback(&self, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError>;

    /// Whether it could be made now; costs nothing.
    async fn probe(&self) -> Result<(), ApiError>;
}

#[async_trait]
impl Player for crate::cxone::Tenant {
    async fn ready(&self) -> Result<(), ApiError> {
        crate::cxone::Tenant::ready(self).await
    }

    async fn playback(&self, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError> {
        self.playback_once(master, renew).await
    }

    async fn probe(&self) -> Result<(), ApiError> {
        crate::cxone::Tenant::probe(self, Service::Playback).await
    }
}

/// Whether Media Playback answers, by a player.
pub struct PlayerProbe(pub Arc<dyn Player>);

#[async_trait]
impl Probe for PlayerProbe {
    async fn probe(&self) -> Result<(), ApiError> {
        self.0.probe().await
    }
}
