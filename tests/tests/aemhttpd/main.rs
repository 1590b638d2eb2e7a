//! AEMhttpd as a client sees it: a child process, plain sockets, every byte compared.
//!
//! ```text
//! pages       what is served, byte for byte, and how connections are kept
//! strangers   bad input, traversal, limits: who asks for what he must not get
//! crowds      crowds, floods and sloth, and what they cost
//! strict      the RFCs, request by request
//! operation   by a supervisor, and with a log
//! endings     signals, drains, a busy port, and what the process costs meanwhile
//! ```

mod client;
mod crowds;
mod endings;
mod operation;
mod pages;
mod server;
mod strangers;
mod strict;
#[path = "../../../examples/aemhttpd/dialogue/strict_table.rs"]
mod strict_table;
