//! Pages to read.

#[doc = include_str!("../docs/strategy.md")]
pub mod strategy {}
