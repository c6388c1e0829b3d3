//! What a tenant learns or changes after the fact, laid over the seeded population: legs that arrive late, corrected records, recordings that
//! appear or are deleted. Plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the present differs from what the seed says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Amendments {
    /// Contacts (by contact id) that Reporting does not tell of: not yet, or no more.
    pub hidden: BTreeSet<i64>,
    /// Interactions (by master contact) that Media Playback does not know: not yet, or no more.
    pub unrecorded: BTreeSet<i64>,
    /// Fields of records (by contact id) as they are now. Amended records count as changed since any time.
    pub records: BTreeMap<i64, Map<String, Value>>,
}

impl Amendments {
    /// Puts the amended fields in the place of a record's own.
    pub(super) fn apply(&self, contact: i64, record: &mut Map<String, Value>) {
        if let Some(fields) = self.records.get(&contact) {
            record.extend(fields.clone());
        }
    }
}
