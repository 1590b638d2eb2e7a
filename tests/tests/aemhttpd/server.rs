//! The built example as a child process, ended on every path by its own pid.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aem_tests::example;

/// How long anything may take before a test fails; far above what the slowest machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) backend: String,
    /// Kept open, so that the server never writes to a closed pipe.
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the server on a free port with these flags besides.
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::of(command(flags))
    }

    /// The same with so many descriptors.
    pub(crate) fn start_with_descriptors(limit: usize, flags: &[&str]) -> Server {
        let mut command = command(flags);
        let limit = libc::rlimit { rlim_cur: limit as u64, rlim_max: limit as u64 };
        let set = move || {
            // SAFETY: it reads what it is given, which lives.
            let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec it makes one system call, with a number of its own.
        unsafe { command.pre_exec(set) };
        Server::of(command)
    }

    fn of(mut command: Command) -> Server {
        let mut child = command.args(["--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let parts = line
            .strip_prefix("http://")
            .and_then(|line| line.strip_suffix('\n'))
            .and_then(|line| line.split_once("/ backend="));
        let Some((address, backend)) = parts else {
            panic!("the first line is {line:?}");
        };
        let address = address.parse().unwrap();
        Server { child, address, backend: backend.to_owned(), stdout }
    }

    /// Starts the server on a directory.
    pub(crate) fn on(root: &Path) -> Server {
        Server::start(&["--root", root.to_str().unwrap()])
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: kill has no memory effects. The pid is our child's, which was not waited for
        // yet, so it names no other process.
        let result = unsafe { libc::kill(pid, signal) };
        assert_eq!(result, 0);
    }

    /// Waits for the end; returns how it ended and what it said on standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status, stderr)
    }

    /// What it says on standard output until its end, the first line excepted.
    pub(crate) fn rest_of_output(mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(wait(&mut self.child).success());
        rest
    }

    /// The processor time that it has had.
    pub(crate) fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let nanos = fs::read_to_string(path).unwrap();
        Duration::from_nanos(nanos.split(' ').next().unwrap().parse().unwrap())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// One line of `/proc/PID/status`, as a number.
    pub(crate) fn fact(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `wait` both find no process and do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server with these flags, not started yet.
pub(crate) fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(example::path("aemhttpd"));
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("AEM_BACKEND");
    command
}

/// Waits for a child for a bounded time.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the server does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The site that is shipped with the example.
pub(crate) fn shipped_site() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/aemhttpd/site"))
}

/// A directory for one test, removed at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aemhttpd-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
