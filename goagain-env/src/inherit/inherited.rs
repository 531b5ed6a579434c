//! Descriptors by name, each handed out once.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::Address;

/// The descriptors that a predecessor handed over and nobody has claimed yet.
///
/// Each is handed out once. What is left when the service is ready must be closed (drop it): on a listener that somebody
/// holds and nobody accepts on, clients hang.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Claimed in their order, as a rule: from the front.
    unclaimed: VecDeque<InheritedDescriptor>,
    of_go: bool,
}

/// One descriptor, owned and close-on-exec.
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedDescriptor {
    /// The name that it was handed over by; a seed's label ("tcp:127.0.0.1:48879") if it has none.
    pub name: String,
    /// Where it is bound.
    pub address: Address,
    /// The descriptor.
    pub fd: OwnedFd,
}

impl Inherited {
    pub(super) fn new(unclaimed: Vec<InheritedDescriptor>, of_go: bool) -> Inherited {
        Inherited { unclaimed: unclaimed.into(), of_go }
    }

    /// Hands out the descriptor of a name.
    pub fn take(&mut self, name: &str) -> Option<InheritedDescriptor> {
        let index = self.unclaimed.iter().position(|each| each.name == name)?;
        self.unclaimed.remove(index)
    }

    /// Hands out the descriptor of an address, if a seed handed it over: it knows no names. One of ours is claimed by its
    /// name alone, since two may share an address in turn.
    pub fn take_address(&mut self, address: &Address) -> Option<InheritedDescriptor> {
        let index = self.unclaimed.iter().position(|each| each.address == *address)?;
        if self.of_go { self.unclaimed.remove(index) } else { None }
    }

    /// The names of what is unclaimed, in the order of the handoff.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.unclaimed.iter().map(|each| each.name.as_str())
    }

    /// Where the unclaimed descriptor of a name is bound.
    pub fn address(&self, name: &str) -> Option<&Address> {
        self.unclaimed.iter().find(|each| each.name == name).map(|each| &each.address)
    }

    /// How many are unclaimed.
    pub fn len(&self) -> usize {
        self.unclaimed.len()
    }

    /// Whether all are claimed.
    pub fn is_empty(&self) -> bool {
        self.unclaimed.is_empty()
    }

    /// Hands out all that is left, in the order of the handoff; what is not taken from the iterator is closed with it.
    pub fn drain_unclaimed(&mut self) -> impl Iterator<Item = InheritedDescriptor> + '_ {
        self.unclaimed.drain(..)
    }
}

impl IntoIterator for Inherited {
    type Item = InheritedDescriptor;
    type IntoIter = std::collections::vec_deque::IntoIter<InheritedDescriptor>;

    fn into_iter(self) -> Self::IntoIter {
        self.unclaimed.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(of_go: bool) -> Inherited {
        let of = |name: &str| InheritedDescriptor {
            name: name.into(),
            address: Address::Unix(format!("/{name}").into()),
            fd: tempfile::tempfile().unwrap().into(),
        };
        Inherited::new(vec![of("a"), of("b"), of("c")], of_go)
    }

    #[test]
    fn each_is_handed_out_once() {
        let mut inherited = inherited(false);
        assert_eq!(inherited.address("b"), Some(&Address::Unix("/b".into())));
        assert_eq!(inherited.take("b").unwrap().name, "b");
        assert!(inherited.take("b").is_none());
        assert_eq!(inherited.names().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(inherited.drain_unclaimed().count(), 2);
        assert!(inherited.is_empty());
    }

    #[test]
    fn only_what_a_seed_handed_over_is_claimed_by_address() {
        let address = Address::Unix("/b".into());
        assert!(inherited(false).take_address(&address).is_none());
        assert_eq!(inherited(true).take_address(&address).unwrap().name, "b");
        assert_eq!(inherited(true).into_iter().count(), 3);
    }
}
