//! The inherited descriptors by name. Each can be taken once.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::Address;

/// The inherited descriptors that have not been taken yet.
///
/// Each can be taken once. Close the rest (drop this value) when the service is ready: clients hang on a listening
/// socket that is open but on which nobody accepts.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Usually taken in order, from the front.
    remaining: VecDeque<InheritedDescriptor>,
    from_go: bool,
}

/// One inherited descriptor, owned and close-on-exec.
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedDescriptor {
    /// The name under which it was handed over. From a Go process: the label ("tcp:127.0.0.1:48879"), since it has no
    /// name.
    pub name: String,
    /// The address to which it is bound.
    pub address: Address,
    /// The descriptor.
    pub fd: OwnedFd,
}

impl Inherited {
    pub(super) fn new(remaining: Vec<InheritedDescriptor>, from_go: bool) -> Inherited {
        Inherited { remaining: remaining.into(), from_go }
    }

    /// Takes the descriptor with this name.
    pub fn take(&mut self, name: &str) -> Option<InheritedDescriptor> {
        let index = self.remaining.iter().position(|each| each.name == name)?;
        self.remaining.remove(index)
    }

    /// Takes the descriptor with this address, if a Go process handed it over, since that knows no names. A descriptor
    /// from this library is found only by its name, because two may have the same address one after the other.
    pub fn take_address(&mut self, address: &Address) -> Option<InheritedDescriptor> {
        let index = self.remaining.iter().position(|each| each.address == *address)?;
        if self.from_go { self.remaining.remove(index) } else { None }
    }

    /// Returns the names of the descriptors that are left, in the order of the handoff.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.remaining.iter().map(|each| each.name.as_str())
    }

    /// Returns the address of the descriptor with this name, if it has not been taken.
    pub fn address(&self, name: &str) -> Option<&Address> {
        self.remaining.iter().find(|each| each.name == name).map(|each| &each.address)
    }

    /// Returns how many descriptors are left.
    pub fn len(&self) -> usize {
        self.remaining.len()
    }

    /// Returns whether all descriptors have been taken.
    pub fn is_empty(&self) -> bool {
        self.remaining.is_empty()
    }

    /// Takes all descriptors that are left, in the order of the handoff. Those not taken from the iterator are closed
    /// with it.
    pub fn drain_remaining(&mut self) -> impl Iterator<Item = InheritedDescriptor> + '_ {
        self.remaining.drain(..)
    }
}

impl IntoIterator for Inherited {
    type Item = InheritedDescriptor;
    type IntoIter = std::collections::vec_deque::IntoIter<InheritedDescriptor>;

    fn into_iter(self) -> Self::IntoIter {
        self.remaining.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(from_go: bool) -> Inherited {
        let of = |name: &str| InheritedDescriptor {
            name: name.into(),
            address: Address::Unix(format!("/{name}").into()),
            fd: tempfile::tempfile().unwrap().into(),
        };
        Inherited::new(vec![of("a"), of("b"), of("c")], from_go)
    }

    #[test]
    fn each_descriptor_is_taken_once() {
        let mut inherited = inherited(false);
        assert_eq!(inherited.address("b"), Some(&Address::Unix("/b".into())));
        assert_eq!(inherited.take("b").unwrap().name, "b");
        assert!(inherited.take("b").is_none());
        assert_eq!(inherited.names().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(inherited.drain_remaining().count(), 2);
        assert!(inherited.is_empty());
    }

    #[test]
    fn only_a_descriptor_from_go_is_taken_by_address() {
        let address = Address::Unix("/b".into());
        assert!(inherited(false).take_address(&address).is_none());
        assert_eq!(inherited(true).take_address(&address).unwrap().name, "b");
        assert_eq!(inherited(true).into_iter().count(), 3);
    }
}
