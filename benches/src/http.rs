//! The web servers that are measured: AEMhttpd, loops written by hand, runtimes, nginx.
//!
//! Each has one thread and is a process of its own, and all give the same answer: the others take it
//! from a running AEMhttpd when they start. Whether an answer is the same is seen whenever one starts.

pub mod connection;
pub mod count;
pub mod hand_epoll;
pub mod hand_uring;
pub mod hyper;
pub mod libuv;
pub mod may_minihttp;
pub mod monoio;
pub mod page;
pub mod poll;
pub mod readiness;
pub mod request;
pub mod select;
pub mod tokio;

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode};

use page::{Likeness, Page};

use crate::interface::Interface;
use crate::kernel;
use crate::server::{self, Server, on_server_core};

/// The files that are served.
pub const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/aemhttpd/site");

/// Where `cargo build --release --example aemhttpd` puts AEMhttpd.
pub const AEMHTTPD: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/examples/aemhttpd");

/// The first word of a program that is to be one of the servers. Its name follows, and the page with
/// the address of an AEMhttpd that has it: `--server poll 127.0.0.1:8080/index.html`.
pub const SERVER: &str = "--server";

/// A server that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// As it stands in the tables, and in commands.
    pub name: &'static str,
    /// What it is built on, and so with which loop it is compared.
    pub interface: Interface,
    program: Program,
}

/// What a server's process runs.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// AEMhttpd with this backend.
    Aemhttpd(&'static str),
    Nginx,
    /// This program itself.
    Own(fn(TcpListener, Page) -> io::Result<()>),
}

/// All of them, the yardsticks first.
pub const CONTENDERS: &[Contender] = {
    use Interface::{Epoll, Uring};
    use Program::{Aemhttpd, Nginx, Own};
    const fn new(name: &'static str, interface: Interface, program: Program) -> Contender {
        Contender { name, interface, program }
    }
    &[
        new("hand-epoll", Epoll, Own(hand_epoll::serve)),
        new("hand-uring", Uring, Own(hand_uring::serve)),
        new("aemhttpd-epoll", Epoll, Aemhttpd("epoll")),
        new("aemhttpd-uring", Uring, Aemhttpd("io_uring")),
        new("select", Epoll, Own(select::serve)),
        new("poll", Epoll, Own(poll::serve)),
        new("nginx", Epoll, Nginx),
        new("hyper", Epoll, Own(hyper::serve_from_memory)),
        new("hyper-disk", Epoll, Own(hyper::serve_from_disk)),
        new("tokio", Epoll, Own(tokio::serve)),
        new("libuv", Epoll, Own(libuv::serve)),
        new("may_minihttp", Epoll, Own(may_minihttp::serve)),
        new("monoio", Uring, Own(monoio::serve)),
    ]
};

/// The contender of that name.
pub fn named(name: &str) -> Option<Contender> {
    CONTENDERS.iter().copied().find(|contender| contender.name == name)
}

/// An AEMhttpd that runs beside and is only asked for its answer, and that answer.
#[derive(Debug)]
pub struct Model {
    aemhttpd: String,
    name: String,
    server: Server,
    page: Page,
}

impl Model {
    /// Starts the program at this path, and asks it for the page of this name.
    ///
    /// # Errors
    ///
    /// It is not there, or does not give what its site has.
    pub fn start(aemhttpd: &str, name: &str) -> io::Result<Model> {
        let server = on_server_core(|| Server::start(&mut self::aemhttpd(aemhttpd, "auto")))
            .map_err(|error| io::Error::new(error.kind(), format!("{aemhttpd}: {error}")))?;
        let page = Page::fetch(server.address(), name)?;
        if page.body() != std::fs::read(Path::new(SITE).join(name))? {
            return Err(io::Error::other(format!("{name} is not what its file is")));
        }
        Ok(Model { aemhttpd: aemhttpd.to_owned(), name: name.to_owned(), server, page })
    }

    /// The page's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The answer.
    pub fn page(&self) -> &Page {
        &self.page
    }
}

impl Contender {
    /// Starts it on its core. Its answer is the model's, as far as it can be.
    ///
    /// # Errors
    ///
    /// It cannot be had here, or its answer is another one.
    pub fn start(&self, model: &Model) -> io::Result<Server> {
        let server = on_server_core(|| match self.command(model)? {
            Some(mut command) => Server::start(&mut command),
            None => Server::start_nginx(Path::new(SITE)),
        })?;
        let likeness = Page::fetch(server.address(), &model.name)?.likeness(&model.page);
        if likeness >= Some(self.likeness()) {
            return Ok(server);
        }
        Err(io::Error::other(format!("its answer is another one: alike is {likeness:?}")))
    }

    /// What starts it. None for one that needs more than that.
    ///
    /// # Errors
    ///
    /// This program is not found.
    pub fn command(&self, model: &Model) -> io::Result<Option<Command>> {
        Ok(match self.program {
            Program::Aemhttpd(backend) => Some(aemhttpd(&model.aemhttpd, backend)),
            Program::Nginx => None,
            Program::Own(_) => {
                let page = format!("{}/{}", model.server.address(), model.name);
                let mut command = Command::new(env::current_exe()?);
                command.args([SERVER, self.name, &page]);
                Some(command)
            }
        })
    }

    /// How like AEMhttpd's its answer has to be.
    fn likeness(&self) -> Likeness {
        match self.name {
            // They have names and fields of their own, and no setting for them.
            "nginx" | "may_minihttp" => Likeness::Body,
            // It writes the names of fields in small letters, and the date last.
            "hyper" | "hyper-disk" => Likeness::Fields,
            _ => Likeness::Bytes,
        }
    }
}

fn aemhttpd(path: &str, backend: &str) -> Command {
    let words = ["--listen", "127.0.0.1:0", "--root", SITE, "--idle", "0", "--backend", backend];
    let mut command = Command::new(path);
    command.args(words);
    command
}

/// Whether this process is to be a server: then it is one until it is ended, and the answer is how that
/// went. An error is its first line.
pub fn serve_if_asked() -> Option<ExitCode> {
    let mut words = env::args().skip(1);
    words.next().filter(|word| word == SERVER)?;
    kernel::end_with_parent();
    let Err(error) = serve(&words.next().unwrap_or_default(), &words.next().unwrap_or_default());
    println!("{error}");
    Some(ExitCode::FAILURE)
}

fn serve(name: &str, page: &str) -> io::Result<std::convert::Infallible> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let Some(Contender { program: Program::Own(serve), .. }) = named(name) else {
        return Err(wrong("there is no such server"));
    };
    let (address, page) =
        page.split_once('/').ok_or_else(|| wrong("--server NAME ADDRESS:PORT/PAGE"))?;
    let address: SocketAddr = address.parse().map_err(|_| wrong("that is no address"))?;
    let page = Page::fetch(address, page)?;
    serve(server::listen()?, page)?;
    Err(io::Error::other("it ended by itself"))
}

#[cfg(test)]
mod tests;
