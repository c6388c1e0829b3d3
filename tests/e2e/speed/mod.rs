//! Passthrough and what may go wrong around it: modes that mix, files that are evicted while the kernel reads them. That it is fast is
//! `scripts/bench`'s business.

mod passthrough;
mod verified;
