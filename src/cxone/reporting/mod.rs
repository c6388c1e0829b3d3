//! The free listing of contacts: which requests, in which slices, and what one record says.

pub mod contact;
pub mod gather;
pub mod listing;
pub mod mend;
pub mod page;
pub mod paging;
pub mod progress;
pub mod shape;
pub mod shared;
pub mod slices;
