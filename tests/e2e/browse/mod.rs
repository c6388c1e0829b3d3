//! What the tree looks like and holds, against what the tenant says is true.

mod attributes;
mod contents;
mod shape;
