//! Loops of Rust that call a handler, or name who is ready.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::relay::{Readers, Relay};
use super::{Figures, laps};

/// Events that one call of mio's may bring, as many as the loops by hand take.
const EVENTS: usize = 1_024;

/// mio.
///
/// # Errors
///
/// Of epoll, and if bytes were lost; so for all loops here.
pub fn mio(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    use ::mio::unix::SourceFd;
    use ::mio::{Events, Interest, Poll, Token};

    let mut poll = Poll::new()?;
    for (at, reader) in readers.iter().enumerate() {
        let registry = poll.registry();
        registry.register(&mut SourceFd(&reader.as_raw_fd()), Token(at), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(EVENTS);
    laps(&relay, || {
        while !relay.is_over() {
            poll.poll(&mut events, None)?;
            for event in &events {
                relay.ready(event.token().0, &readers[event.token().0]);
            }
        }
        Ok(())
    })
}

/// calloop, level-triggered as its own sources are.
///
/// # Errors
///
/// See [`mio`].
pub fn calloop(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    use ::calloop::generic::Generic;
    use ::calloop::{EventLoop, Interest, Mode, PostAction};

    let mut event_loop = EventLoop::<Rc<Relay>>::try_new().map_err(io::Error::other)?;
    for (at, reader) in readers.into_iter().enumerate() {
        let source = Generic::new(reader, Interest::READ, Mode::Level);
        let inserted = event_loop.handle().insert_source(source, move |_, reader, relay| {
            relay.ready(at, reader);
            Ok(PostAction::Continue)
        });
        inserted.map_err(|error| io::Error::other(error.to_string()))?;
    }
    let mut own = relay.clone();
    laps(&relay, || {
        while !relay.is_over() {
            event_loop.dispatch(None, &mut own).map_err(io::Error::other)?;
        }
        Ok(())
    })
}
