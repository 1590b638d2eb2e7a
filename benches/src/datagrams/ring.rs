//! By hand, on io_uring: one multishot RECVMSG, which the kernel answers for each datagram, in provided
//! buffers that have room for any of them.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::{Fd, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode};

use super::{Bursts, Load};
use crate::provided::{BYTES, GROUP, Provided};

/// Buffers in the ring: a burst and some.
const BUFFERS: u16 = 64;

/// One multishot receive.
///
/// # Errors
///
/// Of the ring and the sockets.
pub fn multishot(load: Load) -> io::Result<f64> {
    let (mut bursts, receiver) = Bursts::new(load)?;
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(1_024)
        .build(64)?;
    let mut buffers = Provided::register(&ring.submitter())?;
    buffers.grow(BUFFERS);
    // SAFETY: all zeros are a valid header: null pointers, and nothing behind them.
    let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
    head.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
    let entry = opcode::RecvMsgMulti::new(Fd(receiver.as_raw_fd()), &head, GROUP).build();
    // SAFETY: what the entry names lives as long as the ring.
    unsafe { ring.submission().push(&entry).expect("the ring is empty") };
    ring.submit()?;
    for _ in 0..load.bursts {
        let meter = bursts.send()?;
        let mut count = 0;
        while count < load.burst {
            ring.submit_and_wait(1)?;
            let mut is_armed = true;
            for answer in ring.completion() {
                is_armed &= cqueue::more(answer.flags());
                let n = answer.result();
                if n < 0 {
                    assert_eq!(n, -libc::ENOBUFS);
                    continue;
                }
                let id = cqueue::buffer_select(answer.flags()).expect("data comes in a buffer");
                buffers.take();
                // SAFETY: the kernel has just written so many bytes to it.
                let bytes = unsafe { std::slice::from_raw_parts(buffers.start_of(id), n as usize) };
                let message = RecvMsgOut::parse(bytes, &head).expect("the kernel's own layout");
                assert_eq!(message.payload_data().len(), load.bytes.min(BYTES));
                buffers.give(id);
                count += 1;
            }
            if !is_armed {
                // SAFETY: as above.
                unsafe { ring.submission().push(&entry).expect("the ring is empty") };
            }
        }
        bursts.received(meter);
    }
    Ok(bursts.each())
}
