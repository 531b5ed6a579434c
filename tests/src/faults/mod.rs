//! Faults at every step, under load: the matrix of all points, kinds, strategies and transports.
//!
//! The points belong to the library, and are compiled with `--cfg goagain_faults` only. The programs that a [`Cell`] runs have to
//! be built that way. The expected outcomes are in the tables of [`points`], which follow the invariants of the design.

pub mod cell;
pub mod ends;
pub mod gap;
pub mod kind;
mod losses;
pub mod matrix;
pub mod point;
pub mod points;
mod rest;
mod run;
pub mod share;

pub use self::cell::Cell;
