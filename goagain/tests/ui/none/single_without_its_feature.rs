use goagain::{Goagain, Single};

fn main() {
    let _ = Goagain::builder(Single);
}
