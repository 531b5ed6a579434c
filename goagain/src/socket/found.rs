//! Finding the socket of a name: the inherited one, an adopted one, or a new one.

use crate::error::ListenError;
use crate::server::kept::{Kept, KeptDatagrams, KeptListener};
use crate::socket::adopt::{AdoptFd, AdoptKind};
use crate::socket::kinds::{DatagramSocket, Socket};
use crate::socket::requested::Requested;
use crate::socket::shared::SharedSocket;
use crate::socket::{Bind, Datagrams, Listener};
use goagain_env::Address;
use goagain_env::InheritedDescriptor;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A socket that is not kept yet, and where it came from.
pub(super) struct Found {
    name: String,
    fd: OwnedFd,
    address: Address,
    inherited: bool,
    listens_later: bool,
}

impl Found {
    fn inherited(name: String, InheritedDescriptor { fd, address, .. }: InheritedDescriptor) -> Found {
        Found { name, fd, address, inherited: true, listens_later: false }
    }
}

impl Bind<'_> {
    /// Returns the socket that the predecessor handed over under this name, if it fits.
    fn inherit(
        &mut self,
        name: &str,
        fits: impl Fn(&Address) -> bool,
        asked: impl FnOnce() -> Option<Address>,
    ) -> Result<Option<Found>, ListenError> {
        let serving = self.goagain.serving_mut();
        let name = name.to_owned();
        if serving.has(&name) {
            return Err(ListenError::NameTaken { name });
        }
        match serving.inherited.address(&name) {
            Some(address) if fits(address) => {
                let descriptor = serving.inherited.take(&name);
                Ok(descriptor.map(|descriptor| Found::inherited(name, descriptor)))
            }
            Some(address) if !self.rebinds => {
                let (inherited, asked) = (address.clone(), asked());
                Err(ListenError::AnotherAddress { name, inherited, asked })
            }
            // A descriptor that the application has not claimed is dropped when this process is ready.
            _ => Ok(None),
        }
    }

    pub(super) fn inherit_or_adopt(
        &mut self,
        adoptable: AdoptFd,
        kind: AdoptKind,
    ) -> Result<Found, ListenError> {
        let name = self.name.clone();
        if let Some(found) = self.inherit(&name, |address| kind.fits(address), || None)? {
            return Ok(found);
        }
        match adoptable.take(kind) {
            Ok((fd, address)) => Ok(Found { name, fd, address, inherited: false, listens_later: false }),
            Err((given, reason)) => Err(ListenError::NotAdopted { name, given, reason }),
        }
    }

    pub(super) fn inherit_or_bind(
        &mut self,
        name: String,
        requested: &Requested,
    ) -> Result<Found, ListenError> {
        if let Some(found) = self.inherit(&name, |address| requested.fits(address), || requested.asked())? {
            return Ok(found);
        }
        // A listener that a Go process hands over has an address and no name.
        let serving = self.goagain.serving_mut();
        let go_address = serving.go_address(|address| requested.fits(address));
        if let Some(descriptor) = go_address.and_then(|address| serving.inherited.take_address(&address)) {
            return Ok(Found::inherited(name, descriptor));
        }
        let made = requested.make(&mut self.options);
        let (fd, address) = made.map_err(|source| ListenError::bind(&name, requested.asked(), source))?;
        let listens_later = self.options.listens_later;
        Ok(Found { name, fd, address, inherited: false, listens_later })
    }

    /// All members are found before one of them is kept, so that the names stay free if one cannot be bound.
    pub(super) fn group<T>(
        mut self,
        requested: Requested,
        members: usize,
        keep: impl Fn(&mut Self, Found) -> Result<T, ListenError>,
    ) -> Result<Vec<T>, ListenError> {
        self.options.reuse_port = true;
        let first = self.inherit_or_bind(self.name.clone(), &requested)?;
        let requested = requested.at(&first.address);
        let member = |name: &str, number: usize| format!("{name}#{number}");
        let members = if first.inherited {
            let inherited = &self.goagain.serving_mut().inherited;
            let is_inherited = |number: &usize| inherited.address(&member(&self.name, *number)).is_some();
            let inherited_members = 1 + (2..).take_while(is_inherited).count();
            // A new member must not be given connections before this process accepts.
            self.options.listens_later = true;
            let keeps_its_size = matches!(first.address, Address::Udp(_));
            if keeps_its_size { inherited_members } else { members.max(inherited_members) }
        } else {
            members
        };
        let mut all = vec![first];
        for number in 2..=members {
            all.push(self.inherit_or_bind(member(&self.name, number), &requested)?);
        }
        all.into_iter().map(|found| keep(&mut self, found)).collect()
    }

    pub(super) fn keep_listener(&mut self, found: Found) -> Result<Listener, ListenError> {
        let Found { name, fd, address, inherited, listens_later } = found;
        let failed = |source| ListenError::bind(&name, Some(address.clone()), source);
        let socket = Arc::new(Socket::new(&address, fd).map_err(failed)?);
        let (shared, calls_ended) = SharedSocket::new(Arc::clone(&socket));
        let backlog = self.options.backlog;
        let serving = self.goagain.serving_mut();
        let migrations = serving.migrations_of(&name).map_err(failed)?;
        let listener = KeptListener { shared: shared.clone(), socket, backlog, listens_later, calls_ended };
        serving.keep(Kept::listener(&name, &address, inherited, listener));
        let (term, connections) = (serving.term.clone(), serving.connections.clone());
        Ok(Listener { name, address, inherited, shared, term, connections, migrations })
    }

    pub(super) fn keep_datagrams(&mut self, found: Found) -> Result<Datagrams, ListenError> {
        let Found { name, fd, address, inherited, .. } = found;
        let socket = DatagramSocket::new(&address, fd)
            .map_err(|source| ListenError::bind(&name, Some(address.clone()), source))?;
        let socket = Arc::new(socket);
        let (shared, calls_ended) = SharedSocket::new(Arc::clone(&socket));
        let serving = self.goagain.serving_mut();
        let datagrams = KeptDatagrams { shared: shared.clone(), socket, calls_ended };
        serving.keep(Kept::datagrams(&name, &address, inherited, datagrams));
        let (term, connections) = (serving.term.clone(), serving.connections.clone());
        Ok(Datagrams { name, address, inherited, shared, term, connections })
    }
}
