//! Any signal as a source.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{FusedStream, Stream};

use super::ear::Ear;
use super::kind::SignalKind;
use crate::sys::signal::{Found, Record};

/// Listens for a signal from now on: each that comes is an event of the source.
///
/// What the signal did before, ending the program in most cases, it does not do while anybody listens; the
/// disposition that was in force comes back with the end of the last listener, unless somebody has put in
/// another one since. Any number may listen, in any number of runtimes: each hears each signal.
///
/// # Errors
/// `InvalidInput` for what nobody can listen to (SIGKILL and SIGSTOP, faults as SIGSEGV, numbers without
/// a signal), and what the kernel says when the process is out of descriptors.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn watch(kind: SignalKind) -> io::Result<Signals> {
    kind.check()?;
    let (ear, before) = Ear::new(&[kind.as_raw()])?;
    Ok(Signals { ear, kind, cursor: before[0], lost: 0, ended: false })
}

/// A signal that came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalInfo {
    /// Which.
    pub kind: SignalKind,
    /// The process that sent it: by kill(2), sigqueue(3) and the like, or by ending, if this is a SIGCHLD.
    /// None if the kernel did, and if that is not known.
    pub pid: Option<i32>,
    /// The real user of that process.
    pub uid: Option<u32>,
    /// What was sent along by sigqueue(3), or set with a timer: a number, or the bits of a pointer.
    pub value: Option<usize>,
    /// What sigaction(2) calls `si_code`: where it came from. None if that is not known.
    pub code: Option<i32>,
    /// So many signals of this kind came just before it of which no more is known: they came faster than
    /// they were read, or two of them at the same moment.
    pub merged: u64,
}

impl SignalInfo {
    fn new(kind: SignalKind, merged: u64, record: Option<Record>) -> SignalInfo {
        let code = record.map(|record| record.code);
        let by_process = match code {
            Some(libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL | libc::SI_MESGQ) => true,
            // Codes above zero are a matter of the signal: for this one, which way a child went.
            Some(1..) => kind == SignalKind::CHLD,
            _ => false,
        };
        let with_value = matches!(
            code,
            Some(libc::SI_QUEUE | libc::SI_MESGQ | libc::SI_TIMER | libc::SI_ASYNCIO)
        );
        let sender = record.filter(|_| by_process);
        SignalInfo {
            kind,
            pid: sender.map(|record| record.pid),
            uid: sender.map(|record| record.uid),
            value: record.filter(|_| with_value).map(|record| record.value),
            code,
            merged,
        }
    }
}

/// The source of a signal, made by [`watch`]. It ends with its runtime.
///
/// The kernel itself makes one of several that wait to be handled, but for real-time signals; after the
/// last there is at least one event. Two that are on their way at the same time may be taken by two
/// threads, and come in either order.
///
/// # Cancel safety
/// A signal that comes while nobody awaits it waits here: the last 64 with all that is known of them, the
/// others as a number.
#[must_use = "dropped, it listens no more, and the signal does again what it did before"]
pub struct Signals {
    ear: Ear,
    kind: SignalKind,
    /// As far as the records were read.
    cursor: u64,
    /// Signals that were told of by no event yet.
    lost: u64,
    ended: bool,
}

impl Signals {
    /// Which signal it listens for.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }
}

impl Stream for Signals {
    type Item = SignalInfo;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SignalInfo>> {
        let this = &mut *self;
        if this.ended || !this.ear.is_open() {
            this.ended = true;
            return Poll::Ready(None);
        }
        this.ear.listen(context);
        let records = this.ear.records();
        while let Some(found) = records.next(&mut this.cursor) {
            match found {
                Found::Lost(many) => this.lost += many,
                Found::Record(record) => {
                    let merged = std::mem::take(&mut this.lost);
                    return Poll::Ready(Some(SignalInfo::new(this.kind, merged, Some(record))));
                }
            }
        }
        match std::mem::take(&mut this.lost) {
            0 => Poll::Pending,
            // Of the last one nothing else is known either; that it came must be told.
            lost => Poll::Ready(Some(SignalInfo::new(this.kind, lost - 1, None))),
        }
    }
}

impl FusedStream for Signals {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("kind", &self.kind).field("ended", &self.ended).finish()
    }
}
