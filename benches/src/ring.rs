//! A ring of io_uring's for a loop written by hand: one thread, and one call a turn.

use std::io;

use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, squeue};

/// Requests between two calls: those of each connection, and the accept.
const ENTRIES: u32 = 1_024;

/// Answers between two calls: a receive and a send of each connection, and then some.
const ANSWERS: u32 = 4_096;

/// The parts of a ring.
pub struct Ring<'a> {
    submitter: Submitter<'a>,
    requests: SubmissionQueue<'a>,
    answers: CompletionQueue<'a>,
}

/// A ring with all the settings that make one thread's cheaper.
///
/// # Errors
///
/// The kernel does not have them, or may not be asked.
pub fn build() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    builder.setup_submit_all().setup_no_sqarray().setup_cqsize(ANSWERS);
    builder.build(ENTRIES)
}

impl<'a> Ring<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    ///
    /// The kernel does not keep its descriptor.
    pub fn new(whole: &'a mut IoUring) -> io::Result<Ring<'a>> {
        let (mut submitter, requests, answers) = whole.split();
        // Saves the kernel a look-up a call.
        submitter.register_ring_fd()?;
        Ok(Ring { submitter, requests, answers })
    }

    /// Hands over the requests and waits for an answer.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub fn turn(&mut self) -> io::Result<()> {
        // Not after the call only: one that sees answers which were taken already does not wait.
        self.answers.sync();
        self.requests.sync();
        match self.submitter.submit_and_wait(1) {
            Ok(_) => {}
            // A signal; or too many answers are there, and they are taken now.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
            Err(error) => return Err(error),
        }
        self.requests.sync();
        self.answers.sync();
        Ok(())
    }

    /// Hands over the requests.
    ///
    /// # Errors
    ///
    /// The call's own.
    pub fn submit(&mut self) -> io::Result<()> {
        self.requests.sync();
        self.submitter.submit().map(drop)
    }

    /// The next of the answers that the last turn has found.
    pub fn answer(&mut self) -> Option<cqueue::Entry> {
        self.answers.next()
    }

    /// Adds a request, and hands over those before it where there is no room.
    ///
    /// # Safety
    ///
    /// What the request points to stays, and is nobody else's, until it is answered or the ring gone.
    pub unsafe fn push(&mut self, request: &squeue::Entry) {
        // SAFETY: the caller's word, passed on.
        while unsafe { self.requests.push(request) }.is_err() {
            // Interrupted or not, the queue says in the next round whether there is room.
            let _ = self.submit();
            self.requests.sync();
        }
    }
}
