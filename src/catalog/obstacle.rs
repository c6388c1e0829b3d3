//! What stands in the way of a file, as its source said it. Plain data.

use std::sync::Arc;

use jiff::Timestamp;

use super::kind::FileKind;

/// What a source said that stands in the way of a file, and when it may be asked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    pub kind: ObstacleKind,
    /// One sentence, in the source's own words where it had some.
    pub reason: Arc<str>,
    /// When it was said.
    pub said_at: Timestamp,
    /// Nobody asks before.
    pub again_at: Timestamp,
    /// How often in a row.
    pub times: u32,
    pub scope: Scope,
}

impl Obstacle {
    /// Whether it still keeps from asking.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.again_at
    }
}

/// What kind of obstacle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObstacleKind {
    /// 403: permission is missing.
    Denied,
    /// Any other refusal, and what cannot be understood.
    Refused,
    /// The recording is being brought back from an archive.
    Restoring,
    /// The recording is in an archive.
    Archived,
    /// There was no answer: 5xx, a cut, silence.
    Failed,
    /// A recording that was published is not given out any more.
    Withdrawn,
}

impl ObstacleKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [ObstacleKind; 6] = [
        ObstacleKind::Denied,
        ObstacleKind::Refused,
        ObstacleKind::Restoring,
        ObstacleKind::Archived,
        ObstacleKind::Failed,
        ObstacleKind::Withdrawn,
    ];

    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ObstacleKind::Denied => "denied",
            ObstacleKind::Refused => "refused",
            ObstacleKind::Restoring => "restoring",
            ObstacleKind::Archived => "archived",
            ObstacleKind::Failed => "failed",
            ObstacleKind::Withdrawn => "withdrawn",
        }
    }
}

/// Whom an obstacle concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This interaction or file alone, by its source's words.
    Own,
    /// The words fit every other interaction as well: it is forgotten when one of them is answered.
    Shared,
    /// The words fit all, but others were answered: it concerns this one, under this access key.
    Settled,
}

/// The obstacles of an interaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Obstacles {
    /// In the way of asking Media Playback.
    pub playback: Option<Arc<Obstacle>>,
    /// In the way of a file's bytes.
    pub storage: Vec<(FileKind, Arc<Obstacle>)>,
}

impl Obstacles {
    /// What the media host said of a file.
    #[must_use]
    pub fn of_file(&self, kind: FileKind) -> Option<&Obstacle> {
        self.storage.iter().find(|(of, _)| *of == kind).map(|(_, obstacle)| &**obstacle)
    }
}
