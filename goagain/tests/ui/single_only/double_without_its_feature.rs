use goagain::{Double, Goagain};

fn main() {
    let _ = Goagain::builder(Double);
}
