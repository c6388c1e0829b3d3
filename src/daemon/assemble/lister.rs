//! The tenant as the catalog's lister, behind a breaker.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::catalog::Lister;
use crate::cxone::{ChangesAnswer, ContactRecord, ContactsAnswer, ListingProgress, Service, Tenant};
use crate::net::{ApiError, Ask, Breaker, Probe};
use crate::ops::Trimmer;

/// Lists days. Memory that a large day took goes back to the system.
pub struct TenantLister {
    pub tenant: Tenant,
    pub breaker: Breaker,
    /// A listing that is silent for so long makes a probe.
    pub quiet: Duration,
    pub trimmer: Trimmer,
}

/// Finds out whether Reporting answers again.
pub struct ReportingProbe(pub Tenant);

#[async_trait]
impl Probe for ReportingProbe {
    async fn probe(&self) -> Result<(), ApiError> {
        self.0.probe(Service::Reporting).await
    }
}

#[async_trait]
impl Lister for TenantLister {
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
        progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError> {
        let admitted = self.breaker.admit().await?;
        let listing = self.tenant.completed_contacts_telling(start, end, updated_since, progress);
        let answer = self.breaker.watch(self.quiet, listing).await;
        self.breaker.conclude(admitted, Ask::of(&start), &answer);
        self.trimmer.burst_ends();
        answer
    }

    async fn changed(
        &self,
        since: Timestamp,
        into: mpsc::Sender<Vec<ContactRecord>>,
    ) -> Result<ChangesAnswer, ApiError> {
        let admitted = self.breaker.admit().await?;
        let answer = self.tenant.changed_contacts(since, into).await;
        self.breaker.conclude(admitted, Ask::of(&"changes"), &answer);
        self.trimmer.burst_ends();
        answer
    }
}
