//! TCP sockets as sources and sinks.
