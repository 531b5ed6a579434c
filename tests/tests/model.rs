//! The protocol, explored.

use goagain_tests::model::explore::Protocol;
use goagain_tests::model::strategies;
use goagain_tests::model::world::Bounds;

#[test]
fn try_it() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(0u8);
    let strategies = match std::env::var("S").as_deref() {
        Ok("double") => vec![strategies::double()],
        Ok("standby") => vec![strategies::standby()],
        Ok("both") => vec![strategies::single(), strategies::double()],
        _ => vec![strategies::single()],
    };
    let bounds = Bounds { restarts: number("R"), stops: number("T"), dismissals: number("D"), crashes: number("C"), hangs: number("H"), failures: number("F") };
    let begin = std::time::Instant::now();
    let found = Protocol { strategies, bounds, mutant: None }.explore();
    println!("{bounds:?}: {} states, depth {}, {:?}", found.states, found.depth, begin.elapsed());
    if let Some((broken, steps)) = found.broken {
        println!("{broken:?}");
        for step in steps { println!("  {step:?}"); }
    }
}
