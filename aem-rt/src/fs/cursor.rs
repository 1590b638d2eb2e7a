//! A file as a stream: where it is read and written next, and what is under way there.
//!
//! What is under way is a job of its own, so the file can be carried to other threads meanwhile. A read that
//! nobody awaits any more stays, and what it brings is for the next one (KEPT). A write owns a copy of its
//! bytes and is accepted at once; one is under way at a time, and what becomes of it is told by whatever
//! is done next with the stream: another write, a flush, a seek, a sync or a close.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::doing::{Underway, begin};
use super::{File, no_status};
use crate::backend::file::{NO_POSITION, Named, OpenFile};
use crate::backend::{FileAnswer, FileOp};

/// At most so many bytes are read or written by one call: a copy of that size is made in between.
const MOST_BYTES: usize = 256 * 1024;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Cursor {
    /// That of the first byte which is still to be handed out, or else of the next one to be written.
    position: u64,
    reading: Option<Underway>,
    /// What was read, of which the first bytes have been handed out.
    bytes: Vec<u8>,
    handed_out: usize,
    writing: Option<Writing>,
    /// Somebody seeks from the end.
    sizing: Option<Underway>,
}

struct Writing {
    write: Underway,
    /// Where it began.
    position: u64,
}

impl Cursor {
    fn poll_read(
        &mut self,
        file: &Arc<OpenFile>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if file.has_positions() {
            ready!(self.poll_written(cx))?;
        }
        loop {
            let rest = &self.bytes[self.handed_out..];
            if !rest.is_empty() {
                let n = rest.len().min(into.len());
                into[..n].copy_from_slice(&rest[..n]);
                self.handed_out += n;
                self.position += n as u64;
                return Poll::Ready(Ok(n));
            }
            let Some(reading) = &mut self.reading else {
                self.reading = Some(self.begin_read(file, into.len())?);
                continue;
            };
            let read = ready!(reading.poll_unpin(cx));
            self.reading = None;
            match read? {
                FileAnswer::Read(bytes) if bytes.is_empty() => return Poll::Ready(Ok(0)),
                FileAnswer::Read(bytes) => (self.bytes, self.handed_out) = (bytes, 0),
                other => unreachable!("{other:?} in place of bytes"),
            }
        }
    }

    fn begin_read(&mut self, file: &Arc<OpenFile>, wanted: usize) -> io::Result<Underway> {
        let mut buffer = std::mem::take(&mut self.bytes);
        self.handed_out = 0;
        buffer.clear();
        let full = wanted.min(MOST_BYTES);
        buffer.try_reserve_exact(full).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let offset = self.offset(file);
        let read = FileOp::Read { file: Arc::clone(file), buffer, full, offset };
        Ok(begin(read)?.needs_me())
    }

    fn offset(&self, file: &OpenFile) -> u64 {
        if file.has_positions() { self.position } else { NO_POSITION }
    }

    /// Forgets what was read ahead of the position.
    fn forget_read(&mut self) {
        self.reading = None;
        self.bytes.clear();
        self.handed_out = 0;
    }

    fn poll_write(
        &mut self,
        file: &Arc<OpenFile>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if file.has_positions() {
            self.forget_read();
        }
        let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
        let offset = self.offset(file);
        let (file, payload) = (Arc::clone(file), bytes.to_vec().into());
        let write = begin(FileOp::Write { file, payload, written: 0, offset })?;
        self.writing = Some(Writing { write, position: self.position });
        self.position += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Waits for the write that is under way. If it failed, the position is back where it began.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Writing { write, position }) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let (result, position) = (ready!(write.poll_unpin(cx)), *position);
        self.writing = None;
        Poll::Ready(result.map(drop).inspect_err(|_| self.position = position))
    }

    fn poll_seek(
        &mut self,
        file: &Arc<OpenFile>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        if !file.has_positions() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ESPIPE)));
        }
        ready!(self.poll_written(cx))?;
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => {
                ready!(self.poll_size(file, cx))?.checked_add_signed(distance)
            }
        };
        let Some(target) = target.filter(|target| i64::try_from(*target).is_ok()) else {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        if target != self.position {
            self.forget_read();
            self.position = target;
        }
        Poll::Ready(Ok(target))
    }

    fn poll_size(&mut self, file: &Arc<OpenFile>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let sizing = match &mut self.sizing {
            Some(sizing) => sizing,
            none => {
                let of = Named::Open(Arc::clone(file));
                none.insert(begin(FileOp::Status { of, status: no_status() })?)
            }
        };
        let answer = ready!(sizing.poll_unpin(cx));
        self.sizing = None;
        match answer? {
            FileAnswer::Status(status) => Poll::Ready(Ok(status.stx_size)),
            other => unreachable!("{other:?} in place of a status"),
        }
    }
}

/// Reads on from the position of the stream.
///
/// At most 256 KiB come at once. A file is read until the buffer is full, and so fewer bytes mean its end;
/// what has no positions, as a pipe or a terminal, is read as it comes.
///
/// Dropping the future of a read loses nothing: what it brings is for the next one, though the file was
/// changed meanwhile by another way than this stream.
impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let File { open, cursor } = self.get_mut();
        cursor.get_mut().poll_read(open, cx, into)
    }
}

/// Writes on from the position of the stream.
///
/// Bytes are accepted, at most 256 KiB at once, before they are written: what became of them is told by the
/// next write, seek, flush, sync or close. So the last of these must be awaited, or an error is not heard.
/// After an error a first part of what was accepted last may have been written, and the position is where
/// that began.
///
/// What is under way when its runtime ends may not be written, and once that was told to shut down, when
/// all jobs are cancelled, a stream fails: use [`write_at`](File::write_at) then. Of what was opened to be
/// appended to, the position means nothing.
///
/// `poll_close` flushes; the descriptor is closed by [`close`](File::close), or by the drop.
impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let File { open, cursor } = self.get_mut();
        cursor.get_mut().poll_write(open, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().cursor.get_mut().poll_written(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Moves the position of the stream. It is one of this `File`'s own: the kernel's is neither used nor moved.
impl AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let File { open, cursor } = self.get_mut();
        cursor.get_mut().poll_seek(open, cx, to)
    }
}
