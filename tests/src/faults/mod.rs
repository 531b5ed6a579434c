//! Faults at every step, under load: the matrix of all points, kinds, strategies and transports.
//!
//! The points are the library's own, compiled with `--cfg goagain_faults` only; the programs that a [`Cell`] is run with have to
//! be built so. What has to come of each is in the tables of [`points`], after the invariants of the design.

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
