//! Every limit of the server but those of a request, each with the reason for its value.
//!
//! Together they bound what one connection can cost: at most `MAX_HEAD` and `MAX_BODY` of a request
//! that is not yet complete and one chunk behind it, and [`BATCH`] and one [`MAX_SMALL`] of answers that
//! it does not take. An idle connection holds none of them.

use std::time::Duration;

/// Bytes of a page that is read into memory. The kernel sends a bigger one from its own, which costs calls
/// that do not pay for a small one.
pub(crate) const MAX_SMALL: u64 = 64 * 1024;

/// Bytes of such pages that are kept. When they are full, all go.
pub(crate) const MAX_SHELF: u64 = 16 * 1024 * 1024;

/// How long a page that is kept is believed to be what its file is.
pub(crate) const FRESH: Duration = Duration::from_millis(1);

/// How long ago a file has to have changed for its page to be kept: longer than the steps in which file
/// systems count time.
pub(crate) const SETTLED: Duration = Duration::from_secs(3);

/// Bytes of an answer that a client has to take in the time of `--busy`, unless that is all.
pub(crate) const TAKEN_LEAST: usize = 64 * 1024;

/// Room that is made for the head of an answer, so that it grows its buffer once. Ours are about 250 bytes.
pub(crate) const HEAD_ROOM: usize = 512;

/// Bytes of answers to pipelined requests that are gathered before they are sent. When this much
/// is there and requests remain, the rest waits until the kernel has taken what was sent.
pub(crate) const BATCH: usize = 128 * 1024;

/// How long a connection may be idle, unless `--idle` says otherwise. Long enough for a person who reads a
/// page and clicks.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// How long a request may take to come, from its first byte to its last, and [`TAKEN_LEAST`] of an answer
/// to be taken, unless `--busy` says otherwise. Bytes that trickle in do not extend it.
pub(crate) const BUSY: Duration = Duration::from_secs(20);

/// Bytes of lines of the access log that are gathered before they are written.
pub(crate) const MAX_LOG: usize = 32 * 1024;

/// Looks at the connections in the shorter of these times. More looks are more exact and cost more; with 4 a
/// connection is closed at most a quarter late.
pub(crate) const LOOKS_PER_IDLE: u32 = 4;

/// How long a connection that we end stays open for the client to read its last answer. Closing
/// at once, with bytes of the client unread, would reset the connection and destroy that answer.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are thrown away meanwhile. A client that sends more than this is not listening.
pub(crate) const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// How long answers in progress may take after the signal to end, unless `--drain` says otherwise. Service
/// managers commonly kill after 10 to 90 seconds.
pub(crate) const DRAIN: Duration = Duration::from_secs(8);

/// Tries of an `openat2` that met a rename of one of the path's directories. Each needs another
/// rename at the very moment.
pub(crate) const MAX_OPEN_TRIES: usize = 4;
