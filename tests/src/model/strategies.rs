//! The strategies that are explored.

use goagain_env::{Next, Relation, View};
use goagain_signals::Decisions;

/// Single's answers.
pub fn single() -> Decisions {
    Decisions::of(&goagain::Single)
}

/// Double's answers.
pub fn double() -> Decisions {
    Decisions::of(&goagain::Double)
}

/// The net stays until it is dismissed: a standby.
pub fn standby() -> Decisions {
    of(|view| if view.dismissed { Next::Exit } else { Next::Stay })
}

/// Every strategy there can be. The machine asks only once probation is over, and under a parent Exec is Exit: so what
/// can be told apart are three answers in four views, and two in four more.
pub fn all() -> impl Iterator<Item = Decisions> {
    const CHILD: usize = 81;
    const PARENT: usize = 16;
    (0..CHILD * PARENT).map(|number| {
        of(|view| {
            let place = u32::from(view.drained) * 2 + u32::from(view.dismissed);
            match view.successor {
                Relation::Child => {
                    [Next::Stay, Next::Exit, Next::Exec][(number % CHILD) / 3_usize.pow(place) % 3]
                }
                Relation::Parent => [Next::Stay, Next::Exit][(number / CHILD) >> place & 1],
            }
        })
    })
}

/// The strategy whose answers, once probation is over, are these.
pub fn of(next: impl Fn(View) -> Next) -> Decisions {
    let mut table = [Next::Stay; 16];
    for successor in [Relation::Child, Relation::Parent] {
        for (drained, dismissed) in [(false, false), (false, true), (true, false), (true, true)] {
            let view = View { successor, drained, probation: true, dismissed };
            table[Decisions::index(view)] = next(view);
        }
    }
    Decisions::from_table(table)
}

/// The answers once probation is over, in the order of [`Decisions::index`]: under a child, then under a parent.
pub fn describe(strategy: Decisions) -> String {
    let answer = |(successor, drained, dismissed)| match strategy.next(View {
        successor,
        drained,
        probation: true,
        dismissed,
    }) {
        Next::Stay => "stay",
        Next::Exit => "exit",
        Next::Exec => "exec",
    };
    let views = [Relation::Child, Relation::Parent].into_iter().flat_map(|relation| {
        [(relation, false, false), (relation, false, true), (relation, true, false), (relation, true, true)]
    });
    views.map(answer).collect::<Vec<_>>().join(" ")
}
