//! Pipes: chunks out of one end, payloads into the other.
//!
//! The ends have the verbs of a stream. Reading takes from the pipe what is there when somebody asks, so
//! that nothing lies in between. Sending writes at once what the pipe takes; the rest is queued, and a job,
//! which there is only while there is a rest, writes that as room comes.
//!
//! It promises: a cancelled await loses no byte (KEPT); bytes leave in the order of the sends, also those
//! that are queued when the writer is dropped; the first error of writing is kept and told again.

mod reader;
mod writer;

use std::io;

pub use self::reader::{PipeChunks, PipeReader};
pub use self::writer::{PipeWriter, Sending};

/// Makes a pipe, with both ends on this runtime.
///
/// ```
/// # aem::block_on(async {
/// let (reader, writer) = aem::fd::pipe()?;
/// writer.send("through the pipe").await?;
/// drop(writer);
/// assert_eq!(&reader.recv().await?[..], b"through the pipe");
/// assert!(reader.recv().await?.is_empty(), "the end of the file");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// If the process is out of descriptors or memory.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::from_fd(reader.into())?, PipeWriter::from_fd(writer.into())?))
}
