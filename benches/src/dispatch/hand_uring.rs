//! The yardstick on io_uring: one call that waits for a batch of answers of multishot requests.
//!
//! A request a pair brings what was read, in provided buffers; or it says that there is something to read,
//! and then it is read by a call. The write is a call of its own either way, as it would have to be a
//! request more.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::types::Fd;
use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use super::relay::{ROOM, Readers, Relay};
use super::{Figures, laps};
use crate::provided::{GROUP, Provided};

/// Requests between two calls.
const ENTRIES: u32 = 1_024;

/// Answers between two calls: more than bytes are on their way.
const ANSWERS: u32 = 4_096;

/// A receive for each pair.
///
/// # Errors
///
/// Of the ring, and if bytes were lost; so for all loops here.
pub fn receives(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    run::<true>(&readers, &relay)
}

/// A poll for each pair, and calls that read.
///
/// # Errors
///
/// See [`receives`].
pub fn polls(readers: Readers, relay: Rc<Relay>) -> io::Result<Figures> {
    run::<false>(&readers, &relay)
}

fn run<const RECEIVES: bool>(readers: &Readers, relay: &Relay) -> io::Result<Figures> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    builder.setup_submit_all().setup_no_sqarray().setup_cqsize(ANSWERS);
    let ring: IoUring = builder.build(ENTRIES)?;
    // Declared before the ring that is moved below, so that the kernel lets go of them first.
    let mut buffers = Provided::register_sized(&ring.submitter(), ROOM)?;
    let mut ring = ring;
    let (mut submitter, mut requests, mut answers) = ring.split();
    let request = |at: usize| {
        let fd = Fd(readers[at].as_raw_fd());
        let request = match RECEIVES {
            true => opcode::RecvMulti::new(fd, GROUP).build(),
            false => opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build(),
        };
        request.user_data(at as u64)
    };
    for at in 0..readers.len() {
        push(&submitter, &mut requests, request(at))?;
    }
    // Saves the kernel a look-up a call.
    submitter.register_ring_fd()?;
    let figures = laps(relay, || {
        while !relay.is_over() {
            requests.sync();
            submitter.submit_and_wait(1)?;
            requests.sync();
            answers.sync();
            for answer in &mut answers {
                let (at, flags) = (answer.user_data() as usize, answer.flags());
                if !cqueue::more(flags) {
                    push(&submitter, &mut requests, request(at))?;
                }
                match answer.result() {
                    result if result == -libc::ENOBUFS => buffers.grow(buffers.count()),
                    result if result < 0 => return Err(io::Error::from_raw_os_error(-result)),
                    _ if !RECEIVES => _ = relay.ready(at, &readers[at]),
                    count => {
                        let buffer = cqueue::buffer_select(flags).expect("data comes in a buffer");
                        buffers.take();
                        relay.pass_on(at, Ok(count as usize));
                        buffers.give(buffer);
                    }
                }
            }
        }
        Ok(())
    });
    // What is registered with this thread would stay when the ring is dropped.
    submitter.unregister_ring_fd()?;
    figures
}

fn push(
    submitter: &Submitter<'_>,
    requests: &mut SubmissionQueue<'_>,
    request: squeue::Entry,
) -> io::Result<()> {
    // SAFETY: requests name no memory but the provided buffers, which stay until the ring is gone.
    while unsafe { requests.push(&request) }.is_err() {
        requests.sync();
        submitter.submit()?;
        requests.sync();
    }
    Ok(())
}
