#![deny(unused_must_use)]

use goagain::{Goagain, Strategy};
use goagain::error::StartError;

fn dropped_at_once(strategy: impl Strategy + 'static) -> Result<(), StartError> {
    Goagain::builder(strategy).start()?;
    Ok(())
}

fn never_started(strategy: impl Strategy + 'static) {
    Goagain::builder(strategy);
}

fn never_bound(again: &mut Goagain) {
    again.bind("http").backlog(1);
}

fn main() {}
