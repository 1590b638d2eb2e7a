//! An io_uring instance: two rings that we share with the kernel.
//!
//! What is asked is pushed into one ring, and one system call takes all of it along, waits if told to, and
//! fills the other ring with completions. Nothing in here knows what an entry asks for; whoever pushes one
//! promises that what it names outlives it.
//!
//! The ring belongs to the thread that makes it: the kernel then runs what completions need when this thread
//! asks for them, and at no other time (`SINGLE_ISSUER`, `DEFER_TASKRUN`), and a flag in shared memory says
//! whether there is anything to ask for.

use std::fmt;
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, squeue};

use super::buffer_ring::BufferRing;
use super::fork::Process;

/// How a ring is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many entries fit into the ring of what is asked.
    pub(crate) entries: u32,
    /// How many completions fit into the other one. The kernel keeps those that do not fit.
    pub(crate) completions: u32,
    /// `SINGLE_ISSUER` and `DEFER_TASKRUN` (Linux 6.1): completions are made ready when we ask for them.
    pub(crate) deferred: bool,
    /// `COOP_TASKRUN` (5.19): the kernel does not interrupt us to make completions ready.
    pub(crate) cooperative: bool,
    /// `SUBMIT_ALL` (5.18): an entry that is refused does not hold up those behind it.
    pub(crate) submit_all: bool,
}

/// How long an [`enter`](Ring::enter) may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Not at all.
    No,
    /// At most so long.
    For(Duration),
    /// Until there is one.
    UntilOne,
}

/// An io_uring instance.
pub(crate) struct Ring {
    /// Dropped by the drop only.
    ring: ManuallyDrop<IoUring>,
    /// After `ring`, as it may be unmapped only when the kernel looks at it no more.
    buffers: Option<BufferRing>,
    /// Whose ring it is.
    process: Process,
}

impl Drop for Ring {
    /// A forked child, which has no such memory, closes its descriptor and unmaps nothing: what else it has
    /// mapped since may lie there.
    fn drop(&mut self) {
        if self.process.is_current() {
            // SAFETY: this is the drop, so nobody uses it again.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        } else {
            // SAFETY: nobody else closes it, as the value that would is left where it is.
            drop(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) });
        }
    }
}

impl Ring {
    /// Makes one, which belongs to this thread.
    ///
    /// # Errors
    ///
    /// `ENOSYS` and `EPERM` where io_uring may not be used, `EINVAL` where this kernel does not know
    /// something of `shape`, `ENOMEM` where memory may not be locked, `EMFILE`.
    pub(crate) fn open(shape: &Shape) -> io::Result<Ring> {
        Ring::new(builder(shape).build(shape.entries)?)
    }

    fn new(ring: IoUring) -> io::Result<Ring> {
        let (ring, process) = (ManuallyDrop::new(ring), Process::current()?);
        Ok(Ring { ring, buffers: None, process })
    }

    /// The same, of which the kernel then refuses all entries but these, and buffer rings unless `buffers`.
    #[cfg(test)]
    pub(crate) fn restricted(shape: &Shape, entries: &[u8], buffers: bool) -> io::Result<Ring> {
        use io_uring::register::Restriction;
        let ring = builder(shape).setup_r_disabled().build(shape.entries)?;
        let mut allowed: Vec<_> = entries.iter().copied().map(Restriction::sqe_op).collect();
        allowed.push(Restriction::register_op(REGISTER_PROBE));
        allowed.push(Restriction::sqe_flags_allowed(
            (squeue::Flags::BUFFER_SELECT | squeue::Flags::ASYNC).bits(),
        ));
        if buffers {
            allowed.push(Restriction::register_op(REGISTER_PBUF_RING));
        }
        ring.submitter().register_restrictions(&mut allowed)?;
        ring.submitter().register_enable_rings()?;
        Ring::new(ring)
    }

    /// The first of these operations that the kernel does not have.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to tell.
    pub(crate) fn first_missing(&self, opcodes: &[u8]) -> io::Result<Option<u8>> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        Ok(opcodes.iter().copied().find(|opcode| !probe.is_supported(*opcode)))
    }

    /// Which of these operations the kernel has.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to tell.
    pub(crate) fn known<const N: usize>(&self, opcodes: [u8; N]) -> io::Result<[bool; N]> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        Ok(opcodes.map(|opcode| probe.is_supported(opcode)))
    }

    /// Whether waits can be given in time: `EXT_ARG`, Linux 5.11; and entries may be changed as soon as
    /// they were submitted: `SUBMIT_STABLE`, 5.5; and no completion is ever dropped: `NODROP`, 5.5; and a
    /// poll may tell again and again, which came with `RSRC_TAGS`, 5.13.
    pub(crate) fn is_complete(&self) -> bool {
        let params = self.ring.params();
        params.is_feature_ext_arg()
            && params.is_feature_submit_stable()
            && params.is_feature_nodrop()
            && params.is_feature_resource_tagging()
    }

    /// Has receives take their buffers from a ring of `entries`, a power of two, under this number.
    ///
    /// # Errors
    ///
    /// `EINVAL` before Linux 5.19, `ENOMEM`.
    pub(crate) fn register_buffer_ring(&mut self, entries: u16, group: u16) -> io::Result<()> {
        let buffers = BufferRing::new(entries)?;
        let start = buffers.address();
        let submitter = self.ring.submitter();
        // SAFETY: `buffers` has room for `entries` entries, all zero, and lives behind `ring` in this
        // structure, so until the kernel has let go of it.
        unsafe { submitter.register_buf_ring_with_flags(start, entries, group, 0) }?;
        self.buffers = Some(buffers);
        Ok(())
    }

    /// The ring of buffers, if one is registered.
    #[inline]
    pub(crate) fn buffers(&mut self) -> Option<&mut BufferRing> {
        self.buffers.as_mut()
    }

    /// Puts an entry into the ring; it is submitted by the next [`enter`](Self::enter). False if there is
    /// no room.
    ///
    /// # Safety
    ///
    /// All that the entry names, memory above all, stays valid, where it is and untouched, until its last
    /// completion was reaped.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        let mut queue = self.ring.submission();
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { queue.push(entry) }.is_ok()
    }

    /// Whether an entry waits to be submitted.
    #[inline]
    pub(crate) fn has_entries(&mut self) -> bool {
        !self.ring.submission().is_empty()
    }

    /// Whether a completion waits to be reaped.
    #[inline]
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Whether the kernel has completions that it can hand over only if it is entered.
    #[inline]
    pub(crate) fn must_be_entered(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Submits all entries and waits for a completion as long as told.
    ///
    /// A signal, and the end of the time, end the wait without an error.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EBUSY` or `ENOMEM` when the kernel has no room at the moment: what was not submitted
    /// is still in the ring. `EEXIST` on another thread, or in a forked child.
    pub(crate) fn enter(&mut self, sleep: Sleep) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let result = match sleep {
            Sleep::No => submitter.submit(),
            Sleep::UntilOne => submitter.submit_and_wait(1),
            Sleep::For(wait) => {
                let limit = Timespec::from(wait);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes completions out of the ring, as many as there are and fit.
    #[inline]
    pub(crate) fn reap(&mut self, into: &mut Completions) {
        let taken = self.ring.completion().fill(&mut into.buffer).len();
        into.count = taken;
    }
}

/// Asks for a ring of this shape.
fn builder(shape: &Shape) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    // A child of a fork has no business with it: what it wrote there the parent would submit.
    builder.dontfork().setup_clamp().setup_cqsize(shape.completions);
    if shape.deferred {
        builder.setup_single_issuer().setup_defer_taskrun();
    }
    if shape.cooperative {
        builder.setup_coop_taskrun();
    }
    if shape.deferred || shape.cooperative {
        builder.setup_taskrun_flag();
    }
    if shape.submit_all {
        builder.setup_submit_all();
    }
    builder
}

/// The numbers of what a ring may be asked to register, for restrictions.
#[cfg(test)]
const REGISTER_PROBE: u8 = 8;
#[cfg(test)]
const REGISTER_PBUF_RING: u8 = 22;

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.ring.params();
        f.debug_struct("Ring")
            .field("entries", &params.sq_entries())
            .field("completions", &params.cq_entries())
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

/// Room for the completions of one [`reap`](Ring::reap).
pub(crate) struct Completions {
    buffer: Box<[MaybeUninit<cqueue::Entry>]>,
    count: usize,
}

impl Completions {
    /// Room for `capacity` of them.
    pub(crate) fn new(capacity: usize) -> Completions {
        Completions { buffer: Box::new_uninit_slice(capacity), count: 0 }
    }

    /// How many the last reap brought.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &cqueue::Entry {
        let entry = &self.buffer[..self.count][index];
        // SAFETY: the first `count` of them were written by the last reap.
        unsafe { entry.assume_init_ref() }
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map(|index| self.get(index))).finish()
    }
}

#[cfg(test)]
mod tests;
