//! A strategy's answers, as a table: the form in which the state machine knows a strategy.

use goagain_env::{Next, Relation, Strategy, View};

/// What a strategy answers to each of the sixteen views, asked once.
///
/// A table is pure and total whatever the strategy's code does, it can be compared and hashed, and every strategy there
/// can be is one of finitely many tables: so a model can explore them all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decisions([Next; 16]);

impl Decisions {
    /// Asks `strategy` for its answer to every view.
    ///
    /// # Panics
    /// If the strategy's `next` does.
    pub fn of<S: Strategy + ?Sized>(strategy: &S) -> Decisions {
        Decisions(std::array::from_fn(|index| strategy.next(view(index))))
    }

    /// The strategy whose answers are these, in the order of [`Decisions::index`]. For models and tests.
    pub fn from_table(table: [Next; 16]) -> Decisions {
        Decisions(table)
    }

    /// Where the answer to `view` stands in the table.
    pub fn index(view: View) -> usize {
        usize::from(view.successor == Relation::Parent) * 8
            + usize::from(view.drained) * 4
            + usize::from(view.probation) * 2
            + usize::from(view.dismissed)
    }

    /// The answer to `view`. Under a parent Exec counts as Exit: the process that was exec'd in place has its pid
    /// already, and its child has nothing to come back to.
    pub fn next(&self, view: View) -> Next {
        match (self.0[Decisions::index(view)], view.successor) {
            (Next::Exec, Relation::Parent) => Next::Exit,
            (next, _) => next,
        }
    }

    /// Whether a predecessor that sees its successor as `relation` may come back by exec: then its pid is the service's,
    /// and a stop that reaches it is meant for the service.
    pub fn may_exec(&self, relation: Relation) -> bool {
        (0..16).map(view).any(|view| view.successor == relation && self.next(view) == Next::Exec)
    }

    /// Whether a predecessor that sees its successor as `relation` may leave by exit, so that its pid is gone.
    pub fn may_exit(&self, relation: Relation) -> bool {
        (0..16).map(view).any(|view| view.successor == relation && self.next(view) == Next::Exit)
    }

    /// Whether the net under a successor of this relation ends by itself, without being dismissed.
    pub fn is_bounded(&self, successor: Relation) -> bool {
        self.next(View { successor, drained: true, probation: true, dismissed: false }) != Next::Stay
    }

    /// Whether the net under a successor of this relation ends with probation alone, however long the drain takes.
    pub fn ends_with_probation(&self, successor: Relation) -> bool {
        self.next(View { successor, drained: false, probation: true, dismissed: false }) == Next::Exit
    }
}

impl std::fmt::Debug for Decisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries((0..16).map(|index| (view(index), self.0[index]))).finish()
    }
}

fn view(index: usize) -> View {
    View {
        successor: if index & 8 == 0 { Relation::Child } else { Relation::Parent },
        drained: index & 4 != 0,
        probation: index & 2 != 0,
        dismissed: index & 1 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_table_is_the_index() {
        for index in 0..16 {
            assert_eq!(Decisions::index(view(index)), index);
        }
    }

    #[test]
    fn exec_under_a_parent_is_exit() {
        let always_exec = Decisions::from_table([Next::Exec; 16]);
        assert_eq!(always_exec.next(view(0)), Next::Exec);
        assert_eq!(always_exec.next(view(8)), Next::Exit);
        assert!(always_exec.may_exec(Relation::Child));
        assert!(!always_exec.may_exec(Relation::Parent));
        assert!(!always_exec.may_exit(Relation::Child));
        assert!(always_exec.may_exit(Relation::Parent));
    }

    #[test]
    fn a_net_that_stays_is_not_bounded() {
        assert!(!Decisions::from_table([Next::Stay; 16]).is_bounded(Relation::Child));
        assert!(Decisions::from_table([Next::Exit; 16]).ends_with_probation(Relation::Child));
    }
}
