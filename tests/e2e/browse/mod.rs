//! What the tree looks like and holds, against what the tenant says is true.

mod access;
mod attributes;
mod caching;
mod contents;
mod open_day;
mod shape;
