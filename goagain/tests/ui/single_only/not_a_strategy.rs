use goagain::Goagain;

struct Triple;

fn main() {
    let _ = Goagain::builder(Triple);
}
