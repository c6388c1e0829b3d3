//! `cache.never`: which recordings may not be on disk, by the skills that took part in their interaction. What cannot be told may not.

use std::collections::HashSet;
use std::sync::Arc;

use super::resolve::master_of;
use crate::catalog::Catalog;
use crate::media::{IsNever, RecordingKey};

/// Tells it by what Reporting says at that time. Names are compared without regard to case, and to blanks around them.
pub fn never(catalog: &Catalog, skills: &[String]) -> IsNever {
    let (catalog, skills): (Catalog, HashSet<String>) =
        (catalog.clone(), skills.iter().map(|name| plain(name)).collect());
    Arc::new(move |key: &RecordingKey| {
        let Some(master) = master_of(key) else { return true };
        match catalog.skills(master) {
            Ok(found) => found.iter().any(|skill| skills.contains(&plain(skill))),
            Err(error) => {
                tracing::warn!(%master, error = &error as &dyn std::error::Error, "cannot tell an interaction's skills: it is kept off the disk");
                true
            }
        }
    })
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MasterId;
    use crate::tree::resolve::recording_key;

    #[test]
    fn a_key_tells_its_interaction() {
        assert_eq!(master_of(&recording_key(MasterId(701), 3)), Some(MasterId(701)));
        assert_eq!(master_of(&RecordingKey("x".into())), None);
        assert_eq!(plain(" Card Payments "), "card payments");
    }
}
