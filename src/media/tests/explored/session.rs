//! The conversation with the media host: one attempt, whose outcome the host's script says.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::error::MediaError;
use super::gate::{Gate, HostName, Pass};
use super::host::{Host, Mood};
use super::key::Version;
use super::links::Link;
use super::recording::Progress;
use super::source::Answer;
use super::traffic::Traffic;

pub struct Patience {
    pub silence_max: Duration,
    pub crawl_max: Duration,
}

pub enum Reply {
    Partial { answer: Answer, bytes: Range<u64>, version: Version, pass: Pass },
    Whole { answer: Answer, total: Option<u64>, validator: String, pass: Pass },
    Outside { version: Version },
    Unwanted,
}

pub struct Session<'a> {
    server: &'a Arc<Host>,
    gate: &'a Gate,
    pub host: Option<HostName>,
    pub progress: Option<Arc<watch::Sender<Progress>>>,
    pub traffic: Arc<Traffic>,
    pub link: Option<Link>,
    version: &'a Version,
    pub patience: Patience,
}

impl<'a> Session<'a> {
    pub fn new(server: &'a Arc<Host>, gate: &'a Gate, version: &'a Version) -> Session<'a> {
        Session {
            server,
            gate,
            host: None,
            progress: None,
            traffic: Arc::default(),
            link: None,
            version,
            patience: Patience { silence_max: Duration::MAX, crawl_max: Duration::MAX },
        }
    }

    pub async fn get(&mut self, range: Range<u64>, wanted: impl Fn(bool) -> bool) -> Result<Reply, MediaError> {
        let pass = self.gate.enter(&HostName("the host".into()), &self.traffic).await?;
        let mood = self.server.ask();
        shuttle::future::yield_now().await;
        if !wanted(true) {
            return Ok(Reply::Unwanted);
        }
        let bytes = match mood {
            Mood::IgnoresRanges => {
                let Version { size, validator } = self.version.clone();
                let answer = Answer::whole(self.server);
                return Ok(Reply::Whole { answer, total: Some(size), validator, pass });
            }
            Mood::Serves => range,
            Mood::Fails => return Err(MediaError::source("failed")),
            Mood::SendsLess(bytes) => range.start..range.end.min(range.start + bytes),
        };
        let answer = Answer::new(self.server, bytes.clone());
        Ok(Reply::Partial { answer, bytes, version: self.version.clone(), pass })
    }

    pub fn progressed(&mut self) {}

    pub fn end_of(&self, _link: &Link) -> Option<Timestamp> {
        None
    }

    pub fn note(&self) -> Option<Vec<u8>> {
        Some(b"a note".to_vec())
    }

    pub async fn setback(&mut self, why: &str, _after: Option<Duration>) -> Result<(), MediaError> {
        Err(MediaError::source(why))
    }

    pub fn count_short_part(&mut self) -> Result<(), MediaError> {
        Ok(())
    }
}
