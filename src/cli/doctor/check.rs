//! One thing that was looked at, and what came of it.

use serde::Serialize;

use crate::base::failure::Failure;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// It works, but somebody may want to know.
    Hint,
    Failed,
    /// Not looked at, and the detail says why.
    Skipped,
}

impl Outcome {
    /// What stands before the line.
    pub fn mark(self) -> char {
        match self {
            Outcome::Ok => '✓',
            Outcome::Hint => '!',
            Outcome::Failed => '✗',
            Outcome::Skipped => '-',
        }
    }
}

/// One thing that was looked at. Names are part of what users see with `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub outcome: Outcome,
    pub detail: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Ok, detail: detail.into(), remedy: None }
    }

    pub fn hint(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Hint, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub fn failed(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Failed, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub fn skipped(name: &'static str, why: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Skipped, detail: why.into(), remedy: None }
    }

    /// What a mount would say and do.
    pub fn of_failure(name: &'static str, failure: &Failure) -> Check {
        Check {
            name,
            outcome: Outcome::Failed,
            detail: failure.line(),
            remedy: failure.remedy_text().map(str::to_owned),
        }
    }
}
