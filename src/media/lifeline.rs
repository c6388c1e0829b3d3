//! What ends the engine when nobody can ask for bytes any more.

use std::sync::Arc;

use super::engine::Engine;

/// Held by whoever can still ask for bytes.
pub struct Lifeline {
    pub engine: Arc<Engine>,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.engine.close();
    }
}
