//! The answers of a strategy as a table, which is how the state machine knows a strategy.

use goagain_env::{Next, Relation, Strategy, View};

/// The answers of a strategy to the sixteen views. The strategy is asked once for each.
///
/// A table is pure and total, whatever the strategy's code does. It can be compared and hashed. And there are finitely many
/// tables, so a model can explore every possible strategy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decisions([Next; 16]);

impl Decisions {
    /// Asks `strategy` for its answer to every view.
    ///
    /// # Panics
    /// If the strategy's `next` panics.
    pub fn of<S: Strategy + ?Sized>(strategy: &S) -> Decisions {
        Decisions(std::array::from_fn(|index| strategy.next(view(index))))
    }

    /// Makes a table of these answers, in the order of [`Decisions::index`]: for models and tests.
    pub fn from_table(table: [Next; 16]) -> Decisions {
        Decisions(table)
    }

    /// Returns the index of the answer to `view`.
    pub fn index(view: View) -> usize {
        usize::from(view.successor == Relation::Parent) * 8
            + usize::from(view.drained) * 4
            + usize::from(view.probation_over) * 2
            + usize::from(view.dismissed)
    }

    /// Returns the answer to `view`. If the successor is the parent, `Exec` counts as `Exit`: the parent has exec'd in place and
    /// has the pid of the service, so there is no pid that its child could keep by an exec.
    pub fn next(&self, view: View) -> Next {
        match (self.0[Decisions::index(view)], view.successor) {
            (Next::Exec, Relation::Parent) => Next::Exit,
            (next, _) => next,
        }
    }

    /// Returns whether a predecessor may exec in place, if its successor is its `relation`. Then supervisors know the service by
    /// its pid, and a stop that is sent to it is meant for the service.
    pub fn may_exec(&self, relation: Relation) -> bool {
        (0..16).map(view).any(|view| view.successor == relation && self.next(view) == Next::Exec)
    }

    /// Returns whether a predecessor may exit, so that its pid is gone, if its successor is its `relation`.
    pub fn may_exit(&self, relation: Relation) -> bool {
        (0..16).map(view).any(|view| view.successor == relation && self.next(view) == Next::Exit)
    }

    /// Returns whether the fallback of a successor of this relation ends without being dismissed.
    pub fn is_bounded(&self, successor: Relation) -> bool {
        self.next(View { successor, drained: true, probation_over: true, dismissed: false }) != Next::Stay
    }

    /// Returns whether the fallback of a successor of this relation ends with the probation period, however long the drain takes.
    pub fn ends_with_probation(&self, successor: Relation) -> bool {
        self.next(View { successor, drained: false, probation_over: true, dismissed: false }) == Next::Exit
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
        probation_over: index & 2 != 0,
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
    fn a_fallback_that_stays_is_not_bounded() {
        assert!(!Decisions::from_table([Next::Stay; 16]).is_bounded(Relation::Child));
        assert!(Decisions::from_table([Next::Exit; 16]).ends_with_probation(Relation::Child));
    }
}
