//! A child process, from its start on.

use std::fmt;
use std::io;
use std::panic::Location;
use std::process::{ExitStatus, Output};
use std::rc::Rc;

use futures::future::try_join3;
use futures::{AsyncReadExt, StreamExt};

use super::exit::{Exit, Exited};
use crate::fd::{PipeReader, PipeWriter};
use crate::job::join::JoinHandle;
use crate::job::registry::{Facts, JobKind};
use crate::runtime::context;

/// A child process.
///
/// Dropping it leaves the child alone, unless [`kill_on_drop`](super::Command::kill_on_drop) was set. A child
/// that runs on is a job of the runtime then, with its number for a name, until it ends: so no zombie stays.
/// One that outlives the runtime, or is dropped outside of it, is reaped when this process starts another
/// child or leaves another.
///
/// ```
/// use aem::process::{Command, Stdio};
///
/// # aem::block_on(async {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let (into, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
/// into.send("meow").await?;
/// assert_eq!(&out.recv().await?[..], b"meow");
/// drop(into);
/// assert!(child.wait().await?.success());
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct Child {
    /// Its standard input, if that was `piped`.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if that was `piped`.
    pub stdout: Option<PipeReader>,
    /// Its standard error, if that was `piped`.
    pub stderr: Option<PipeReader>,
    pub(super) exit: Rc<Exit>,
    pub(super) kill_on_drop: bool,
    pub(super) location: &'static Location<'static>,
}

impl Child {
    /// Its number, unless it is known to have ended: from then on the number may be another's.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        (!self.exit.is_over()).then(|| self.exit.pid())
    }

    /// The number that it has, or had: to be told, not to be used.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.exit.pid()
    }

    /// Waits for its end. Its standard input is closed before, so that a child which reads to the end of that
    /// does not wait for us. May be called any number of times.
    ///
    /// # Errors
    /// `ECHILD` if somebody else has taken the status, as the kernel does where SIGCHLD is ignored; and as
    /// for every source on another runtime.
    ///
    /// # Cancel safety
    /// The end stays to be waited for; the standard input is closed.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let mut exited = self.exited();
        exited.next().await.expect("it has not been asked before")
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), but that it may be asked anywhere on its thread.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.exit.look()
    }

    /// Its end as a source of one event. Any number of them may wait beside each other.
    ///
    /// ```
    /// # aem::block_on(async {
    /// let child = aem::process::Command::new("true").spawn()?;
    /// let done = aem::on_ok(child.exited(), |status| assert!(status.success()));
    /// assert_eq!(done.await?, aem::End::Exhausted);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn exited(&self) -> Exited {
        Exited::new(Rc::clone(&self.exit))
    }

    /// Waits for its end, and for that of its standard output and error, and gives all three. What of them
    /// was not piped, or was taken, is empty.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and what reading fails with.
    ///
    /// # Cancel safety
    /// What was read is lost, and the child is dropped.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let ends = try_join3(self.wait(), read_all(stdout), read_all(stderr)).await?;
        let (status, stdout, stderr) = ends;
        Ok(Output { status, stdout, stderr })
    }

    /// Kills it, and waits for its end.
    ///
    /// # Errors
    /// As for [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    ///
    /// # Cancel safety
    /// It is killed all the same.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Sends it SIGKILL, unless it has ended.
    ///
    /// # Errors
    /// `PermissionDenied` if it has other rights by now; in a forked child of this process.
    pub fn start_kill(&self) -> io::Result<()> {
        self.exit.kill()
    }

    /// Sends it a signal, as a number of signal(7). It reaches this child or nobody, whatever has become of
    /// its number.
    ///
    /// # Errors
    /// `ESRCH` if it has ended, `InvalidInput` for what is no signal, `PermissionDenied` if it has other
    /// rights by now.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.exit.signal(signal)
    }
}

async fn read_all(pipe: Option<PipeReader>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Drop for Child {
    fn drop(&mut self) {
        // In a forked child it is the parent's.
        if self.exit.is_over() || self.exit.reactor().check_process().is_err() {
            return;
        }
        if self.kill_on_drop {
            // With other rights than ours it runs on.
            let _ = self.exit.kill();
        }
        if !self.exit.reactor().is_here() {
            // What the last who holds the exit does with it will do.
            return;
        }
        let mut exited = self.exited();
        let reaping = async move { drop(exited.next().await) };
        let facts = Facts { kind: JobKind::Task, location: self.location };
        let (job, handle) = context::here(|here| JoinHandle::spawn_held(here, reaping, facts));
        job.set_name(super::name(self.pid()));
        drop(handle);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
