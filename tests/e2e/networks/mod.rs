//! What is between the program and its servers: proxies, authorities of a company, answers that were made to do harm.

mod companies;
mod floods;
