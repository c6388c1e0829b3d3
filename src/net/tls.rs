//! The process's cryptography for TLS.

use std::sync::Once;

/// Chooses `ring`, once for the process: reqwest is built without a provider of its own.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program has chosen a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
