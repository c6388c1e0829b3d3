//! Tenants as public clients have met them, one case file each (`tests/data/tenants`), and the right value of each. The tenant is a double
//! that shares no code with the product.

mod double;
mod listing;
mod logins;
mod media;
mod neighbours;
mod odd;
mod said;
mod states;
mod storage;
