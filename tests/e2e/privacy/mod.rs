//! Recordings are people's: erasing, ageing, who may read, what is written where.

mod erasing;
mod keeping;
