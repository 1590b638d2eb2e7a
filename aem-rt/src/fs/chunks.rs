//! The pieces of a file, one after the other, as a source.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::stream::{FusedStream, Stream};

use super::doing::{Underway, begin};
use crate::backend::file::OpenFile;
use crate::backend::{FileAnswer, FileOp};
use crate::chunk::Chunk;

/// So many bytes are in a piece, but for the last one.
const PIECE: usize = 128 * 1024;

/// While one piece is waited for, the next one is on its way.
const AT_ONCE: usize = 2;

/// The source of a file's bytes, made by [`File::chunks`](super::File::chunks).
///
/// Pieces of 128 KiB, the last one shorter, come in order; while one is awaited or handled the next one is
/// read. It ends at the end of its range or of the file, or with the first error, which for what has no
/// positions is `ESPIPE`. An await that is given up loses nothing (KEPT).
///
/// ```
/// # #[aem::main] async fn main() -> std::io::Result<()> {
/// use aem::fs::File;
/// use futures::TryStreamExt;
///
/// let file = File::open(std::env::current_exe()?).await?;
/// let size = file.chunks(4..).try_fold(0, async |sum, chunk| Ok(sum + chunk.len())).await?;
/// assert_eq!(size as u64 + 4, file.metadata().await?.len());
/// # Ok(()) }
/// ```
#[must_use = "chunks come only while somebody takes them"]
pub struct Chunks {
    file: Arc<OpenFile>,
    /// What nobody reads yet.
    next: u64,
    end: u64,
    reads: VecDeque<Read>,
    over: bool,
}

struct Read {
    read: Underway,
    wanted: usize,
}

impl Chunks {
    pub(super) fn new(file: Arc<OpenFile>, range: impl RangeBounds<u64>) -> Chunks {
        // Beyond the largest position there is nothing.
        let most = i64::MAX as u64;
        let next = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => most,
        };
        Chunks { file, next, end: end.min(most), reads: VecDeque::new(), over: false }
    }

    /// Has as many pieces under way as there may be.
    fn read_ahead(&mut self) -> io::Result<()> {
        if !self.file.has_positions() {
            return Err(io::Error::from_raw_os_error(libc::ESPIPE));
        }
        while self.reads.len() < AT_ONCE && self.next < self.end {
            let wanted = (self.end - self.next).min(PIECE as u64) as usize;
            let (file, buffer) = (Arc::clone(&self.file), Vec::with_capacity(wanted));
            let read = FileOp::Read { file, buffer, full: wanted, offset: self.next };
            self.reads.push_back(Read { read: begin(read)?.needs_me(), wanted });
            self.next += wanted as u64;
        }
        Ok(())
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        self.read_ahead()?;
        let Some(Read { read, wanted }) = self.reads.front_mut() else {
            return Poll::Ready(Ok(Vec::new()));
        };
        let (answer, wanted) = (ready!(read.poll_unpin(cx)), *wanted);
        self.reads.pop_front();
        let FileAnswer::Read(mut bytes) = answer? else { unreachable!("a read brings bytes") };
        if bytes.len() < wanted {
            // So the file has no more.
            self.end = self.next;
            self.reads.clear();
            bytes.shrink_to_fit();
        }
        Poll::Ready(Ok(bytes))
    }
}

impl Stream for Chunks {
    type Item = io::Result<Chunk>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Chunk>>> {
        if self.over {
            return Poll::Ready(None);
        }
        match ready!(self.poll_chunk(cx)) {
            Ok(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(bytes.into()))),
            end => {
                self.over = true;
                self.reads.clear();
                Poll::Ready(end.err().map(Err))
            }
        }
    }
}

impl FusedStream for Chunks {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("next", &self.next).field("end", &self.end).finish()
    }
}
