//! A piece of received data, owned by whoever holds it.
