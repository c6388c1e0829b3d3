//! The conversation of one fetch with the media host: links, refusals, retries, patience. Knows neither blocks nor files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::check::Verdict;
use super::error::MediaError;
use super::hosts::ailing;
use super::key::Version;
use super::links::{Link, LinkSource};
use super::settings::{FETCH_MEMORY_BYTES, Patience};
use super::source::{Answer, Source};
use crate::base::Clock;
use crate::cxone::Breaker;
use crate::cxone::breaker::Admitted;

/// Unit of the memory semaphore (bytes).
const MEMORY_UNIT: u64 = 1024;
/// Links that may be refused one after the other before a recording counts as denied: the one at hand and a fresh one.
const REFUSALS_MAX: u32 = 2;

/// Limits what all fetches together take: connections and memory.
#[derive(Clone, Debug)]
pub struct Gate {
    connections: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_per_fetch: u32,
    /// Connections that readahead leaves to reads that wait.
    kept_free: usize,
}

/// The right to one connection and its buffers; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    _connection: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Gate {
    /// At most `connections` fetches that buffer at most `memory` bytes. One fetch always fits.
    pub fn new(connections: usize, memory: u64) -> Gate {
        let connections = connections.clamp(1, 1024);
        let memory = (memory / MEMORY_UNIT).clamp(1, 1 << 28);
        Gate {
            connections: Arc::new(Semaphore::new(connections)),
            memory: Arc::new(Semaphore::new(memory as usize)),
            memory_per_fetch: (FETCH_MEMORY_BYTES / MEMORY_UNIT).min(memory) as u32,
            kept_free: connections / 4,
        }
    }

    /// Waits for a connection; first come, first served.
    pub async fn enter(&self) -> Result<Pass, MediaError> {
        let closed = |_| MediaError::source("the cache is closed");
        let memory = Arc::clone(&self.memory).acquire_many_owned(self.memory_per_fetch).await.map_err(closed)?;
        let connection = Arc::clone(&self.connections).acquire_owned().await.map_err(closed)?;
        Ok(Pass { _connection: connection, _memory: memory })
    }

    /// Fetches that readahead may start now without making a waiting read queue.
    pub fn spare(&self) -> usize {
        let by_memory = self.memory.available_permits() / self.memory_per_fetch.max(1) as usize;
        self.connections.available_permits().min(by_memory).saturating_sub(self.kept_free)
    }
}

/// What a request ended with.
#[derive(Debug)]
pub enum Reply {
    /// 206 with `bytes` of an object of this version, starting where it was asked to.
    Partial { answer: Answer, bytes: Range<u64>, version: Version, pass: Pass },
    /// 200: the body is the whole object; its size, if the host told it.
    Whole { answer: Answer, total: Option<u64>, validator: String, pass: Pass },
    /// 416: nothing at this range in an object of this version.
    Outside { version: Version },
    /// Nobody wants the bytes any more.
    Unwanted,
}

/// One fetch's conversation.
pub struct Session<'a> {
    source: &'a Source,
    gate: &'a Gate,
    clock: &'a dyn Clock,
    links: &'a dyn LinkSource,
    pub patience: Patience,
    /// Given for the first request.
    leave: Option<Admitted>,
    /// The last link that was refused.
    refused: Option<u64>,
    /// Links refused since the last byte.
    refusals: u32,
    /// Setbacks since the last byte.
    barren: u32,
    /// Setbacks in all.
    attempts: u32,
}

impl<'a> Session<'a> {
    pub fn new(
        source: &'a Source,
        gate: &'a Gate,
        clock: &'a dyn Clock,
        links: &'a dyn LinkSource,
        patience: Patience,
    ) -> Session<'a> {
        Session {
            source,
            gate,
            clock,
            links,
            patience,
            leave: None,
            refused: None,
            refusals: 0,
            barren: 0,
            attempts: 0,
        }
    }

    /// Asks for the bytes `range` until there is a usable answer, or none to be had. `wanted` is asked before each attempt.
    pub async fn get(&mut self, range: Range<u64>, wanted: impl Fn() -> bool) -> Result<Reply, MediaError> {
        loop {
            let link = self.link().await?;
            let target = self.source.target(&link).map_err(MediaError::source)?;
            let leave = self.leave(&target.breaker).await?;
            let pass = self.gate.enter().await?;
            if !wanted() {
                return Ok(Reply::Unwanted);
            }
            let answer = self.source.get(&target, &range, self.clock);
            let answer = tokio::time::timeout(self.patience.silence_max, answer).await;
            let answer = answer.unwrap_or_else(|_| Err(ailing("the media host did not answer")));
            let judged = match &answer {
                Ok(Answer { verdict: Verdict::Transient { why, .. }, .. }) => Err(ailing(why)),
                Ok(_) => Ok(()),
                Err(error) => Err(error.clone()),
            };
            target.breaker.conclude(leave, &judged);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    drop(pass);
                    self.setback(&error.to_string(), None).await?;
                    continue;
                }
            };
            let validator = answer.validator.clone();
            match answer.verdict.clone() {
                Verdict::Partial { bytes, total } => {
                    let version = Version { size: total, validator };
                    return Ok(Reply::Partial { answer, bytes, version, pass });
                }
                Verdict::Whole { total } => return Ok(Reply::Whole { answer, total, validator, pass }),
                Verdict::Outside { total: Some(total) } => {
                    return Ok(Reply::Outside { version: Version { size: total, validator } });
                }
                Verdict::Outside { total: None } => {
                    return Err(MediaError::source("the media host answered 416 without a size"));
                }
                Verdict::Refused => {
                    self.refusals += 1;
                    self.refused = Some(link.serial);
                    tracing::debug!(serial = link.serial, refusals = self.refusals, "link refused");
                    if self.refusals >= REFUSALS_MAX {
                        return Err(MediaError::Denied);
                    }
                }
                Verdict::Gone => return Err(MediaError::Gone),
                Verdict::Transient { why, after } => {
                    drop((answer, pass));
                    self.setback(&why, after).await?;
                }
                Verdict::Broken { why } => return Err(MediaError::source(why)),
            }
        }
    }

    /// Whether the host may be asked. Only the first request waits for the answer: later ones are retries of their own.
    async fn leave(&mut self, breaker: &Breaker) -> Result<Admitted, MediaError> {
        let leave = match self.leave {
            Some(leave) => leave.now(),
            None => breaker.admit().await.map_err(|error| MediaError::Down(Arc::new(error)))?,
        };
        self.leave = Some(leave);
        Ok(leave)
    }

    /// A byte arrived: what failed before does not count any more.
    pub fn progressed(&mut self) {
        self.refusals = 0;
        self.barren = 0;
    }

    /// Something failed that may go better: waits a little, or gives up.
    pub async fn setback(&mut self, why: &str, after: Option<Duration>) -> Result<(), MediaError> {
        self.attempts += 1;
        self.barren += 1;
        if self.barren >= self.patience.barren_attempts_max || self.attempts >= self.patience.attempts_max {
            return Err(MediaError::source(format!("{why} ({} attempts)", self.attempts)));
        }
        let pause = self.patience.pause(self.barren, fastrand::f64());
        let pause = after.map_or(pause, |after| after.clamp(pause, self.patience.pause_max.max(pause)));
        tracing::debug!(why, attempt = self.attempts, ?pause, "will ask again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The host sent a shorter part than asked: no failure, but no host may do so for ever.
    pub fn count_short_part(&mut self) -> Result<(), MediaError> {
        self.attempts += 1;
        if self.attempts >= self.patience.attempts_max {
            return Err(MediaError::source("the media host sends crumbs"));
        }
        Ok(())
    }

    async fn link(&mut self) -> Result<Link, MediaError> {
        let link = self.links.link(self.refused).await?;
        if !self.source.has_ended(&link, self.clock.now()) {
            return Ok(link);
        }
        // Ended by the host's clock, though perhaps not by ours. A fresh link that looks ended too is tried all the same.
        self.refused = Some(link.serial);
        self.links.link(self.refused).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readahead_leaves_connections_and_memory_to_waiting_reads() {
        let gate = Gate::new(8, 1 << 30);
        assert_eq!(gate.spare(), 6);
        let passes = [gate.enter().await.unwrap(), gate.enter().await.unwrap()];
        assert_eq!(gate.spare(), 4);
        drop(passes);
        assert_eq!(Gate::new(8, 3 * FETCH_MEMORY_BYTES).spare(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_fits_into_any_memory() {
        let gate = Gate::new(1, 0);
        let pass = gate.enter().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), gate.enter()).await.is_err());
        drop(pass);
        assert!(gate.enter().await.is_ok());
    }
}
