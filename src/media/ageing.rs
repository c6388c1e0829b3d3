//! `cache.max_age`: recordings' bytes go so long after they were fetched, at start and from then on, whether anybody has them open or not.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Media;
use super::lifeline::Lifeline;

/// How often it is looked, as a part of the age, and within which bounds: nothing stays longer than this past its time.
const LOOKS_PER_AGE: u32 = 20;
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);
const LOOK_EVERY_MAX: Duration = Duration::from_mins(10);

impl Media {
    /// Drops what is too old now, and from then on, until the last clone of this is gone. To be called once, within a runtime.
    pub fn start_ageing(&self) {
        tokio::spawn(age(Arc::downgrade(&self.lifeline)));
    }

    /// Drops what is too old now. Gives how many recordings that were. Takes long where there are many.
    pub fn drop_expired(&self) -> u64 {
        self.lifeline.engine.cache.drop_expired()
    }
}

async fn age(lifeline: Weak<Lifeline>) {
    loop {
        let Some(media) = lifeline.upgrade().map(|lifeline| Media { lifeline, never: None }) else { return };
        let pause = look_every(media.lifeline.engine.settings.max_age);
        let dropped = tokio::task::spawn_blocking(move || media.drop_expired()).await.unwrap_or(0);
        if dropped > 0 {
            tracing::info!(
                recordings = dropped,
                "{dropped} recordings were dropped from the cache: they are older than cache.max_age"
            );
        }
        tokio::time::sleep(pause).await;
    }
}

fn look_every(max_age: Duration) -> Duration {
    (max_age / LOOKS_PER_AGE).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_neither_rare_nor_many() {
        assert_eq!(look_every(Duration::from_secs(5)), LOOK_EVERY_MIN);
        assert_eq!(look_every(Duration::from_mins(20)), Duration::from_mins(1));
        assert_eq!(look_every(Duration::from_hours(720)), LOOK_EVERY_MAX);
    }
}
