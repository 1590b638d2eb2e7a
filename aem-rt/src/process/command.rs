//! What is to be started, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Child;
use super::exit::Exit;
use super::leftovers;
use crate::fd::{PipeReader, PipeWriter};
use crate::reactor::Reactor;
use crate::runtime::context;
use crate::sys::process::{Identity, blocks_signals, open, run_as, unblock_signals};

/// A program to be started, in the shape of [`std::process::Command`].
///
/// It is the standard library that starts it. The child begins with no signal blocked; SIGPIPE and whatever
/// this process has handlers for do what they do by default, and what it ignores is ignored. Of our
/// descriptors the child has those that it was given.
///
/// ```
/// use aem::process::Command;
///
/// # aem::block_on(async {
/// let output = Command::new("echo").args(["one", "two"]).output().await?;
/// assert_eq!(output.stdout, b"one two\n");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct Command {
    inner: std::process::Command,
    /// Which of the three streams were said.
    said: [bool; 3],
    /// Once one of its parts was said.
    identity: Option<Arc<Mutex<Identity>>>,
    /// Whether its children unblock the signals that this thread blocks.
    unblocks: bool,
    kill_on_drop: bool,
}

// What it is.
impl Command {
    /// A program, looked for in `PATH` unless there is a slash in its name. It gets no arguments, and the
    /// environment, the directory and the three streams of this process, unless said.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// One more argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(argument);
        self
    }

    /// More arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.inner.args(arguments);
        self
    }

    /// What the program is told its own name is.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg0(name);
        self
    }

    /// A variable of the environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(name, value);
        self
    }

    /// Several variables of the environment.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Command {
        self.inner.envs(variables);
        self
    }

    /// A variable that the program does not get.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(name);
        self
    }

    /// No variables but those that are said from here on.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// The directory that it begins in.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(directory);
        self
    }
}

// What it is given.
impl Command {
    /// Its standard input: inherited by [`spawn`](Self::spawn) and [`status`](Self::status) unless said, and
    /// nothing (`/dev/null`) for [`output`](Self::output).
    pub fn stdin(&mut self, input: impl Into<Stdio>) -> &mut Command {
        self.said[0] = true;
        self.inner.stdin(input);
        self
    }

    /// Its standard output: inherited by [`spawn`](Self::spawn) and [`status`](Self::status) unless said, and
    /// caught by [`output`](Self::output).
    pub fn stdout(&mut self, output: impl Into<Stdio>) -> &mut Command {
        self.said[1] = true;
        self.inner.stdout(output);
        self
    }

    /// Its standard error, as [`stdout`](Self::stdout).
    pub fn stderr(&mut self, output: impl Into<Stdio>) -> &mut Command {
        self.said[2] = true;
        self.inner.stderr(output);
        self
    }

    /// The user it runs as, which takes the right to be that: root's, as a rule. Whoever gives up being root
    /// by this gives up its groups as well, unless others are [said](Self::groups).
    pub fn uid(&mut self, user: u32) -> &mut Command {
        self.identity().user = Some(user);
        self
    }

    /// The group it runs as.
    pub fn gid(&mut self, group: u32) -> &mut Command {
        self.identity().group = Some(group);
        self
    }

    /// The other groups that it belongs to.
    pub fn groups(&mut self, groups: &[u32]) -> &mut Command {
        self.identity().groups = Some(groups.to_vec());
        self
    }

    fn identity(&mut self) -> MutexGuard<'_, Identity> {
        let identity = self.identity.get_or_insert_with(|| {
            let identity = Arc::<Mutex<Identity>>::default();
            run_as(&mut self.inner, Arc::clone(&identity));
            identity
        });
        identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process group that it joins: one of its own with 0. What is typed at a terminal (ctrl-c) goes to
    /// the group in the foreground.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self
    }

    /// Whether the child is killed when its [`Child`] is dropped, as in an await that is cancelled. It is
    /// not, unless said.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// The command of the standard library in here, for what else that can say.
    pub fn as_std(&self) -> &std::process::Command {
        &self.inner
    }

    /// The same, to be changed: `pre_exec`, for one.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }
}

// Its start.
impl Command {
    /// Starts it.
    ///
    /// This thread waits until the program has taken the child's place, a third to half of a millisecond
    /// where we measured it. It is more for a process that holds gigabytes and whose child is to have another
    /// identity ([`uid`](Self::uid) and its like) or to unblock signals, as that takes a copy of its tables
    /// of memory. Where it is too long for the jobs beside it, have [`Capsules`](super::Capsules) ready.
    ///
    /// # Errors
    /// `NotFound` if there is no such program, and whatever else keeps it from running; out of descriptors.
    /// Then no child is left.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        let reactor = context::reactor();
        reactor.check_open()?;
        reactor.check_process()?;
        leftovers::sweep();
        // Only where it must be, as the child of a fork takes longer than one that shares our memory until
        // it has its own.
        if !self.unblocks && blocks_signals() {
            self.unblocks = true;
            unblock_signals(&mut self.inner);
        }
        let mut started = self.inner.spawn()?;
        let exit = watch(reactor, &mut started)?;
        let location = Location::caller();
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            exit,
            // Until it is whole.
            kill_on_drop: true,
            location,
        };
        let pipe = |fd: Option<OwnedFd>| fd.map(PipeReader::from_fd).transpose();
        let stdin = started.stdin.take().map(|pipe| PipeWriter::from_fd(pipe.into()));
        child.stdin = stdin.transpose()?;
        child.stdout = pipe(started.stdout.take().map(OwnedFd::from))?;
        child.stderr = pipe(started.stderr.take().map(OwnedFd::from))?;
        child.kill_on_drop = self.kill_on_drop;
        Ok(child)
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Panics
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    /// The child is dropped, and so killed or left alone as [`kill_on_drop`](Self::kill_on_drop) says.
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait().await
    }

    /// Starts it, and waits for its end and all that it says.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    /// Outside of a runtime.
    ///
    /// # Cancel safety
    /// As for [`status`](Self::status); what was read is lost.
    pub async fn output(&mut self) -> io::Result<Output> {
        let [input, output, error] = self.said;
        if !input {
            self.inner.stdin(Stdio::null());
        }
        if !output {
            self.inner.stdout(Stdio::piped());
        }
        if !error {
            self.inner.stderr(Stdio::piped());
        }
        let spawned = self.spawn();
        // The next start is as if there had been none.
        if !input {
            self.inner.stdin(Stdio::inherit());
        }
        if !output {
            self.inner.stdout(Stdio::inherit());
        }
        if !error {
            self.inner.stderr(Stdio::inherit());
        }
        spawned?.wait_with_output().await
    }
}

/// Watches a child from its first moment on. One that cannot be watched is killed.
fn watch(reactor: Rc<Reactor>, child: &mut std::process::Child) -> io::Result<Rc<Exit>> {
    let pid = child.id();
    // It has not been reaped, so the number is its own.
    let watched = open(pid).and_then(|pidfd| Exit::watch(reactor, pid, pidfd));
    if watched.is_err() {
        // It may have ended by itself, and that is as good.
        let _ = child.kill();
        leftovers::leave_unwatched(pid);
    }
    watched
}

/// A descriptor as a stream of a child: a duplicate, in the mode in which reads and writes wait, as programs
/// expect it.
///
/// The mode is that of all duplicates. A stream of ours that is used on here does not mind; a listener or a
/// pipe would have this thread wait. What was received here already the child does not see.
///
/// ```
/// use aem::net::{TcpListener, TcpStream};
/// use aem::process::{Command, stdio};
///
/// # aem::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (served, _) = listener.accept().await?;
/// let status = Command::new("echo").arg("hello").stdout(stdio(&served)?).status().await?;
/// assert!(status.success());
/// assert_eq!(&client.recv().await?[..], b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// If the process is out of descriptors.
pub fn stdio(descriptor: impl AsFd) -> io::Result<Stdio> {
    let fd = descriptor.as_fd().try_clone_to_owned()?;
    crate::sys::pipe::set_waits(fd.as_fd(), true)?;
    Ok(fd.into())
}

impl From<std::process::Command> for Command {
    /// What it says of the three streams does not count for [`output`](Command::output).
    fn from(inner: std::process::Command) -> Command {
        Command { inner, said: [false; 3], identity: None, unblocks: false, kill_on_drop: false }
    }
}

impl fmt::Debug for Command {
    /// As one would type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
