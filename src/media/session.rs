//! The conversation of one fetch with the media host: links, refusals, retries, patience. Knows neither blocks nor files.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;

use super::check::Verdict;
use super::error::{MediaError, StorageRefusal};
use super::gate::{Gate, HostName, Pass};
use super::hosts::ailing;
use super::key::Version;
use super::links::{Link, LinkSource};
use super::recording::Progress;
use super::settings::Patience;
use super::source::{Answer, Failure, Source};
use super::traffic::Traffic;
use crate::base::Clock;
use crate::net::Breaker;
use crate::net::breaker::Admitted;

/// Links that may be refused one after the other before a recording counts as denied: the one at hand and a fresh one.
const REFUSALS_MAX: u32 = 2;

/// How often it is looked whether a link that is waited for is still wanted: nobody else tells.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    /// Where the last request went.
    pub host: Option<HostName>,
    /// The link that the last request went by.
    pub link: Option<Link>,
    /// Told of waits for a link.
    pub progress: Option<Arc<watch::Sender<Progress>>>,
    /// Counts what becomes of it; as long as it is nobody's fetch, somebody waits for the answer.
    pub traffic: Arc<Traffic>,
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
            host: None,
            link: None,
            progress: None,
            traffic: Arc::new(Traffic::asked()),
            leave: None,
            refused: None,
            refusals: 0,
            barren: 0,
            attempts: 0,
        }
    }

    /// What is to stand beside the bytes.
    pub fn note(&self) -> Option<Vec<u8>> {
        self.links.note()
    }

    /// Asks for the bytes `range` until there is a usable answer, or none to be had. `wanted` is asked before each attempt, and while a
    /// link is waited for: whether the bytes are worth a request, and whether they are worth a link (false).
    pub async fn get(&mut self, range: Range<u64>, wanted: impl Fn(bool) -> bool) -> Result<Reply, MediaError> {
        loop {
            let link = tokio::select! {
                biased;
                link = self.link() => link?,
                () = given_up(|| wanted(false)) => return Ok(Reply::Unwanted),
            };
            let target = self.source.target(&link).map_err(MediaError::source)?;
            let leave = self.leave(&target.breaker).await?;
            let pass = self.enter(&target.host).await?;
            self.host = Some(target.host.clone());
            self.link = Some(link.clone());
            if !wanted(true) {
                return Ok(Reply::Unwanted);
            }
            let answer = self.source.get(&target, &range, self.clock);
            let answer = tokio::time::timeout(self.patience.silence_max, answer).await;
            let silent = || Err(Failure::Unreached(ailing("the media host did not answer")));
            let answer = answer.unwrap_or_else(|_| silent());
            let judged = match &answer {
                Ok(Answer { verdict: Verdict::Transient { why, .. }, redirected: false, .. }) => Err(ailing(why)),
                Err(Failure::Unreached(error)) => Err(error.clone()),
                Ok(_) | Err(Failure::Lost(_) | Failure::Forbidden(_)) => Ok(()),
            };
            target.breaker.conclude(leave, target.ask(), &judged);
            let answer = match answer {
                Ok(answer) => answer,
                Err(Failure::Unreached(error) | Failure::Lost(error)) => {
                    drop(pass);
                    self.setback(&error.to_string(), None).await?;
                    continue;
                }
                Err(Failure::Forbidden(why)) => return Err(MediaError::failed(why)),
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
                    return Err(MediaError::failed("the media host answered 416 without a size"));
                }
                Verdict::LinkRefused => {
                    self.refusals += 1;
                    self.refused = Some(link.serial);
                    tracing::debug!(serial = link.serial, refusals = self.refusals, "link refused");
                    if self.refusals >= REFUSALS_MAX {
                        return Err(MediaError::Refused(StorageRefusal::Denied));
                    }
                }
                Verdict::Refused(refusal) => return Err(MediaError::Refused(refusal)),
                Verdict::Transient { why, after } => {
                    drop((answer, pass));
                    self.setback(&why, after).await?;
                }
                Verdict::Empty => {
                    drop((answer, pass));
                    self.setback("the media host sent an empty recording", None).await?;
                }
                Verdict::Broken { why } => return Err(MediaError::failed(why)),
                Verdict::Elsewhere { .. } => return Err(MediaError::failed("the media host redirects without end")),
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

    /// A connection to a host.
    async fn enter(&self, host: &HostName) -> Result<Pass, MediaError> {
        let mut pass = pin!(self.gate.enter(host, &self.traffic));
        if let Some(at_once) = pass.as_mut().now_or_never() {
            return at_once;
        }
        self.traffic.queue(true);
        let pass = pass.await;
        self.traffic.queue(false);
        pass
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
            return Err(MediaError::failed(format!("{why} ({} attempts)", self.attempts)));
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
            return Err(MediaError::failed("the media host sends crumbs"));
        }
        Ok(())
    }

    /// When a link ends by this machine's clock, as far as that can be told.
    pub fn end_of(&self, link: &Link) -> Option<Timestamp> {
        self.source.end_of(link)
    }

    async fn link(&mut self) -> Result<Link, MediaError> {
        let link = self.sign().await?;
        if !self.source.has_ended(&link, self.clock.now()) {
            return Ok(link);
        }
        // Ended by the host's clock, though perhaps not by ours. A fresh link that looks ended too is tried all the same.
        self.refused = Some(link.serial);
        self.sign().await
    }

    /// A link other than the refused one, and whoever waits for the bytes knows if that takes time.
    async fn sign(&self) -> Result<Link, MediaError> {
        let mut link = pin!(self.links.link(self.refused));
        if let Some(at_hand) = link.as_mut().now_or_never() {
            return at_hand;
        }
        self.tell(true);
        let link = link.await;
        self.tell(false);
        link
    }

    fn tell(&self, signing: bool) {
        if let Some(progress) = &self.progress {
            progress.send_modify(|progress| progress.signing = signing);
        }
    }
}

/// Ends when something is not wanted any more.
async fn given_up(wanted: impl Fn() -> bool) {
    while wanted() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
