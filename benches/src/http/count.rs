//! How many instructions of the user's side a request takes of a server, counted as
//! [`echo::count`](crate::echo::count) does: the difference of two runs, one with three times the requests.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::page::{Page, request};
use super::{Contender, Model};
use crate::counting::{Counted, Counts};
use crate::server::{Server, on_server_core};

/// Who asks, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// All ask before any answer is read.
    pub connections: usize,
    /// Requests at once on each.
    pub pipeline: usize,
    /// In the shorter of the two runs, or as many as make a turn.
    pub requests: usize,
}

impl Load {
    /// What all connections ask at once.
    fn of_turn(self) -> usize {
        self.connections * self.pipeline
    }
}

/// The instructions that a request takes. None of a server that cannot be counted so.
///
/// # Errors
///
/// The server does not run under valgrind, or does not answer.
pub fn instructions(contender: &Contender, model: &Model, load: Load) -> io::Result<Option<f64>> {
    let turns = load.requests.div_ceil(load.of_turn());
    let (Some(few), Some(many)) =
        (total(contender, model, load, turns)?, total(contender, model, load, 3 * turns)?)
    else {
        return Ok(None);
    };
    Ok(Some((many as f64 - few as f64) / (2 * turns * load.of_turn()) as f64))
}

fn total(
    contender: &Contender,
    model: &Model,
    load: Load,
    turns: usize,
) -> io::Result<Option<u64>> {
    let Some(command) = contender.command(model)? else { return Ok(None) };
    let counts = Counts::new(Counted::Instructions);
    let server = on_server_core(|| Server::start(&mut counts.command(&command)))?;
    let answer = Page::fetch(server.address(), model.name())?.answer().len();
    let connect = |_| TcpStream::connect(server.address());
    let mut streams = (0..load.connections).map(connect).collect::<io::Result<Vec<_>>>()?;
    let question = request(&format!("/{}", model.name())).repeat(load.pipeline);
    let mut answers = vec![0; answer * load.pipeline];
    for _ in 0..turns {
        streams.iter_mut().try_for_each(|stream| stream.write_all(question.as_bytes()))?;
        streams.iter_mut().try_for_each(|stream| stream.read_exact(&mut answers))?;
    }
    drop(streams);
    server.stop()?;
    Ok(counts.read()?.first().map(|(_, total)| *total))
}
