//! Bytes to send, known again when they arrive, and awaits that are cut short.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::random::Random;

/// A sum over bytes in their order (FNV-1a), that can be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    sum: u64,
    bytes: u64,
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum { sum: 0xcbf2_9ce4_8422_2325, bytes: 0 }
    }
}

impl Checksum {
    /// The sum of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Checksum {
        let mut sum = Checksum::default();
        sum.add(bytes);
        sum
    }

    /// Adds what follows.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes were added.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Polls a future at most `polls` times, as others wake it, and drops it then.
///
/// The last poll is followed by one more run of the task, so that the future is dropped while what
/// it waits for may be coming about.
pub async fn cut_short<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        if polled.is_pending() && left == 0 {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// Polls a future a few times, as chance has it with runs of other jobs or a short sleep between, and gives
/// it back unless it is ready: to be dropped, or forgotten.
///
/// # Errors
/// The future that is not ready.
pub async fn begin<F: Future>(future: F, random: &mut Random) -> Result<F::Output, Pin<Box<F>>> {
    let mut future = Box::pin(future);
    for _ in 0..random.below(4) {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Ok(output);
        }
        match random.below(4) {
            0 => aem::yield_now().await,
            1 => {
                let time = Duration::from_micros(random.below(100) as u64);
                aem::time::sleep(time).await;
            }
            _ => {}
        }
    }
    Err(future)
}

/// Has the close of a TCP socket reset the connection.
///
/// # Panics
/// If it is none.
pub fn reset_when_closed(socket: impl AsFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (fd, size) = (socket.as_fd().as_raw_fd(), size_of_val(&linger) as libc::socklen_t);
    let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
    let value = (&raw const linger).cast();
    // SAFETY: the kernel reads `size` bytes of `linger`, which lives.
    let failed = unsafe { libc::setsockopt(fd, level, name, value, size) };
    assert_eq!(failed, 0, "SO_LINGER: {}", io::Error::last_os_error());
}
