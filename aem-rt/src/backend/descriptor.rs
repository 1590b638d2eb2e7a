//! A descriptor that the backend knows, and the way it is closed.
//!
//! Ops hold a [`Descriptor`] by `Rc`, so it is closed when its user and its last op are through
//! with it, never under an op (LENT). Its drop may happen anywhere, in a handler, in another
//! drop, while the backend is at work; so it only leaves its number on the list of a [`Registry`],
//! and the keeper takes it out of the kernel's tables and closes it in its next turn, in this
//! order: an entry that outlives its number would report somebody else's events.
//!
//! A *borrowed* descriptor belongs to a user's value, which may close it at any time from its own
//! drop. It is therefore taken out of the kernel's tables at once, by [`Descriptor::release`].
//!
//! In a forked child a drop only closes: the tables are the parent's as well, and an entry that the
//! child took out of them would be gone there.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

use crate::sys::epoll::Epoll;
use crate::sys::fork::Process;

/// The number by which a keeper knows a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port(pub(super) u32);

/// Who closes it.
#[derive(Debug)]
pub(super) enum Hold {
    /// We do.
    Owned(OwnedFd),
    /// Its owner, who promised to release it here before that.
    Borrowed(RawFd),
}

impl Hold {
    pub(super) fn as_raw_fd(&self) -> RawFd {
        match self {
            Hold::Owned(fd) => fd.as_raw_fd(),
            Hold::Borrowed(fd) => *fd,
        }
    }
}

/// An open descriptor that ops can be submitted for.
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// Taken by the drop only.
    hold: Option<Hold>,
    port: Port,
    released: Cell<bool>,
    registry: Weak<Registry>,
}

impl Descriptor {
    pub(super) fn new(hold: Hold, port: Port, registry: &Rc<Registry>) -> Rc<Descriptor> {
        let registry = Rc::downgrade(registry);
        Rc::new(Descriptor { hold: Some(hold), port, released: Cell::new(false), registry })
    }

    /// Its number.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.hold().as_raw_fd()
    }

    /// Takes a borrowed descriptor out of the kernel's tables, now. Its ops must be cancelled:
    /// no event will reach them any more.
    pub(crate) fn release(&self) {
        let Hold::Borrowed(fd) = *self.hold() else { return };
        if self.released.replace(true) {
            return;
        }
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(fd, self.port);
        }
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    fn hold(&self) -> &Hold {
        self.hold.as_ref().expect("only the drop takes it")
    }
}

impl AsFd for Descriptor {
    /// # Panics
    ///
    /// For a borrowed one, whose owner alone can say that it is open.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.hold() {
            Hold::Owned(fd) => fd.as_fd(),
            Hold::Borrowed(_) => panic!("a borrowed descriptor is only ever polled"),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.release();
        let Some(hold) = self.hold.take() else { return };
        // Without a registry the backend is gone, and its entries with it: `hold` just closes.
        let Some(registry) = self.registry.upgrade() else { return };
        if !registry.process.is_current() {
            // No turn comes that would look at the list.
            return;
        }
        if registry.shut.get() {
            registry.forget(hold.as_raw_fd(), self.port);
        } else {
            registry.closing.borrow_mut().push((hold, self.port));
        }
    }
}

/// The part of a keeper that descriptors reach from wherever they are dropped.
#[derive(Debug)]
pub(super) struct Registry {
    /// The table of what is watched. A keeper that has its own means to wait needs it only to be
    /// told, as all users are, what cannot be waited for or is registered twice: it makes one then.
    epoll: OnceCell<Epoll>,
    /// Whose tables these are.
    process: Process,
    /// Which port entered a number last, by number: only that one may take it out again. A borrowed
    /// descriptor that its owner closed under us must not take out its number's next bearer.
    bearers: RefCell<Vec<u32>>,
    closing: RefCell<Vec<(Hold, Port)>>,
    /// Whether the keeper has had its last turn, so that everybody must close for himself.
    shut: Cell<bool>,
}

/// What `bearers` holds for a number that is not entered.
const NOBODY: u32 = u32::MAX;

impl Registry {
    pub(super) fn new(epoll: Option<Epoll>) -> io::Result<Rc<Registry>> {
        let process = Process::current()?;
        let epoll = epoll.map_or_else(OnceCell::new, OnceCell::from);
        let (bearers, closing, shut) = Default::default();
        Ok(Rc::new(Registry { epoll, process, bearers, closing, shut }))
    }

    /// The table of a keeper that waits for it.
    pub(super) fn epoll(&self) -> &Epoll {
        self.epoll.get().expect("made with the registry")
    }

    fn table(&self) -> io::Result<&Epoll> {
        if self.epoll.get().is_none() {
            let made = Epoll::new()?;
            return Ok(self.epoll.get_or_init(|| made));
        }
        Ok(self.epoll())
    }

    /// Enters a number into epoll's table, to be told of these edges.
    pub(super) fn enter(&self, fd: RawFd, port: Port, edges: u32, key: u64) -> io::Result<()> {
        self.table()?.add(fd, edges, key)?;
        let mut bearers = self.bearers.borrow_mut();
        let index = fd as usize;
        if bearers.len() <= index {
            bearers.resize(index + 1, NOBODY);
        }
        bearers[index] = port.0;
        Ok(())
    }

    /// Has a number that was entered told of these edges from now on.
    pub(super) fn change(&self, fd: RawFd, edges: u32, key: u64) -> io::Result<()> {
        self.table()?.change(fd, edges, key)
    }

    /// Takes it out again, if it is still this port's. In a forked child it stays: it is the parent's.
    pub(super) fn forget(&self, fd: RawFd, port: Port) {
        if !self.process.is_current() {
            return;
        }
        let mut bearers = self.bearers.borrow_mut();
        match bearers.get_mut(fd as usize) {
            Some(bearer) if *bearer == port.0 => *bearer = NOBODY,
            _ => return,
        }
        // A number that its owner closed has left epoll's table by that (ENOENT, EBADF).
        let _ = self.epoll().delete(fd);
    }

    /// From here on no keeper looks at the list.
    pub(super) fn shut(&self) {
        self.shut.set(true);
    }

    /// Whether there is a descriptor to be closed.
    #[inline]
    pub(super) fn has_closing(&self) -> bool {
        !self.closing.borrow().is_empty()
    }

    /// The next descriptor to be closed.
    pub(super) fn next_closing(&self) -> Option<(Hold, Port)> {
        self.closing.borrow_mut().pop()
    }
}
