//! The strategies that are explored.

use goagain_env::{Next, Relation, View};
use goagain_signals::Decisions;

/// Returns the decisions of Single.
pub fn single() -> Decisions {
    Decisions::of(&goagain::Single)
}

/// Returns the decisions of Double.
pub fn double() -> Decisions {
    Decisions::of(&goagain::Double)
}

/// Returns the decisions of a standby: the fallback stays until it is dismissed.
pub fn standby() -> Decisions {
    of(|view| if view.dismissed { Next::Exit } else { Next::Stay })
}

/// Returns all possible strategies. The machine asks only once the probation period is over, and over a parent Exec counts as
/// Exit. So three answers in four views, and two answers in four more views, can be told apart.
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

/// Returns the strategy that has these answers once the probation period is over.
pub fn of(next: impl Fn(View) -> Next) -> Decisions {
    let mut table = [Next::Stay; 16];
    for successor in [Relation::Child, Relation::Parent] {
        for (drained, dismissed) in [(false, false), (false, true), (true, false), (true, true)] {
            let view = View { successor, drained, probation_over: true, dismissed };
            table[Decisions::index(view)] = next(view);
        }
    }
    Decisions::from_table(table)
}

/// Returns the answers once the probation period is over, in the order of [`Decisions::index`]: over a child, then over a parent.
pub fn describe(strategy: Decisions) -> String {
    let answer = |(successor, drained, dismissed)| match strategy.next(View {
        successor,
        drained,
        probation_over: true,
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
