//! The billed call: one request for one interaction, what its answer means, and what of it may be kept.

pub mod call;
pub mod interaction;
pub mod link;
pub mod scrub;
pub mod signed;
pub mod verdict;
