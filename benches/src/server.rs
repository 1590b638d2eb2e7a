//! Servers that are processes of their own: started, asked, metered, ended.
//!
//! A server is held to one core and its client to another, so that neither takes the other's time.
//! Its cost is the processor time of its whole process, and of those it started, as the scheduler
//! counts it.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::accounts::{self, Memory};
use crate::kernel;

/// The core of all servers. Only one is busy at a time.
pub const SERVER_CORE: usize = 0;

/// The core of the one who asks.
pub const CLIENT_CORE: usize = 1;

/// How long a server may take to come or to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// As many may connect before a server has accepted the first.
const BACKLOG: libc::c_int = 1_024;

/// What nginx may have. It makes room for all of them when it starts, and ends idle ones when it has
/// room for fewer than a sixteenth more.
const MOST_CONNECTIONS: usize = 19_900;

/// Between two looks at what is to come.
const LOOK: Duration = Duration::from_millis(10);

/// Until the scheduler has accounted for a server that sleeps: a tick of its clock, and more.
const SETTLE: Duration = Duration::from_millis(10);

/// Holds this thread, and the processes it starts from now on, to one core.
///
/// # Errors
///
/// The machine has no such core, or this process may not have it.
pub fn hold_to_core(core: usize) -> io::Result<()> {
    // SAFETY: a set is plain bits, all zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is there, and a core beyond its end is not added.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the kernel reads as many bytes as it is told, which are the set.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has something done, such as a start, on the servers' core, and this thread on the other again
/// afterwards. Where they cannot be had it is done all the same.
pub fn on_server_core<T>(start: impl FnOnce() -> T) -> T {
    // Whether they can be had is for the program to say, once and in its beginning.
    let _ = hold_to_core(SERVER_CORE);
    let started = start();
    let _ = hold_to_core(CLIENT_CORE);
    started
}

/// A listener on a free port of the loopback.
///
/// # Errors
///
/// The calls' own.
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // SAFETY: a plain call on a descriptor that is open. A second one changes the backlog.
    kernel::checked(unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) })?;
    Ok(listener)
}

/// Says on standard output where this process listens, as [`Server::start`] wants to hear it.
///
/// # Errors
///
/// Nobody can hear it.
pub fn announce(scheme: &str, listener: &TcpListener) -> io::Result<()> {
    announce_at(scheme, listener.local_addr()?)
}

/// [`announce`] for a server that has bound its listener itself.
///
/// # Errors
///
/// Nobody can hear it.
pub fn announce_at(scheme: &str, address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{scheme}://{address}/")?;
    out.flush()
}

/// A server that runs, and ends with this.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: SocketAddr,
    /// What it was given for itself, which goes with it.
    directory: Option<PathBuf>,
}

impl Server {
    /// Starts a server whose first line begins with `http://ADDR/`, or with another scheme.
    ///
    /// # Errors
    ///
    /// It is not there, or ends before it has said so.
    pub fn start(command: &mut Command) -> io::Result<Server> {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        // From here on it is ended whatever happens.
        let mut server = Server { process, address: ([0; 4], 0).into(), directory: None };
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        server.address = address.and_then(|address| address.parse().ok()).ok_or_else(|| {
            io::Error::other(format!("in place of its address it said {:?}", line.trim_end()))
        })?;
        Ok(server)
    }

    /// Starts nginx with one worker and a configuration of its own.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not come.
    pub fn start_nginx(root: &Path) -> io::Result<Server> {
        let directory = std::env::temp_dir().join(format!("aem-benches-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        // Between this and nginx somebody else could take the port; then nginx says so and ends.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(address, root))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(&configuration).args(["-e", "stderr"]);
        let process = match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(process) => process,
            Err(error) => {
                fs::remove_dir_all(&directory)?;
                return Err(error);
            }
        };
        let mut server = Server { process, address, directory: Some(directory) };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.process.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                return Err(io::Error::other("it did not come"));
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time that it and its children have had, in nanoseconds.
    ///
    /// # Errors
    ///
    /// As of [`accounts::cpu_nanos`].
    pub fn cpu_nanos(&self) -> io::Result<u64> {
        accounts::cpu_nanos(self.process.id())
    }

    /// The same of one that sleeps now, once the scheduler has accounted for that.
    ///
    /// # Errors
    ///
    /// As of [`accounts::cpu_nanos`].
    pub fn settled_cpu_nanos(&self) -> io::Result<u64> {
        thread::sleep(SETTLE);
        self.cpu_nanos()
    }

    /// The memory it has now, with that of its children.
    ///
    /// # Errors
    ///
    /// As of [`accounts::memory`].
    pub fn memory(&self) -> io::Result<Memory> {
        accounts::memory(self.process.id())
    }

    /// Waits for one that ends by itself, and for those who watch it.
    ///
    /// # Errors
    ///
    /// It does not, and is ended, or it says that it failed.
    pub fn finish(mut self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("it ended with {status}"))),
                None if began.elapsed() > PATIENCE => {
                    return Err(io::Error::other("it did not end by itself"));
                }
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// What it was given for itself cannot be removed.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.process.try_wait()?.is_none() {
            // SAFETY: a signal to a child that was not waited for, so the number is still its own.
            unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        }
        let began = Instant::now();
        while self.process.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                self.process.kill()?;
            }
            thread::sleep(LOOK);
        }
        self.directory.take().map_or(Ok(()), fs::remove_dir_all)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("a server was not ended: {error}");
        }
    }
}

fn nginx_configuration(address: SocketAddr, root: &Path) -> String {
    // SAFETY: it asks for a number and touches nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    // As root it would go to a user who may not be able to read the site.
    let user = if is_root { "user root root;" } else { "" };
    let root = root.display();
    format!(
        "{user} daemon off; worker_processes 1; pid nginx.pid; error_log stderr;
        events {{ worker_connections {MOST_CONNECTIONS}; }}
        http {{
            access_log off; sendfile on; default_type text/html;
            keepalive_timeout 1h; keepalive_requests 1000000000;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {{ listen {address}; root \"{root}\"; }}
        }}\n"
    )
}
