//! The AEM paper's Figure 6: what idle connections cost those that are active.
//!
//! ```text
//! cargo run --release --bin figure6 [-- --quick] [--rounds N] [--seconds S]
//!     [--aemhttpd PATH] [--csv PATH] [--svg PATH] [CONTENDER ..]
//! cargo run --release --bin figure6 -- --draw [--csv PATH] [--svg PATH]
//! cargo run --release --bin figure6 -- --server CONTENDER ADDRESS:PORT/PAGE
//! ```
//!
//! AEMhttpd is built before, in the main workspace: `cargo build --release --example aemhttpd`.
//! A round starts each server anew and takes it through all numbers of idle connections before the next
//! one has its turn; the next round begins with the next server. With `--draw` tables and picture
//! are made of the figures of an earlier run. Ends with 1 if something was wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use aem_benches::figure6::records::Records;
use aem_benches::figure6::{ACTIVE, PAGE, SERVERS, STEPS, drawing, round, summary};
use aem_benches::http::{self, AEMHTTPD, Contender, Model};
use aem_benches::kernel;
use aem_benches::rounds::{self, Arguments, interleave};
use aem_benches::server::{CLIENT_CORE, SERVER_CORE, hold_to_core};

const CSV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figure6.csv");
const SVG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figure6.svg");

/// Of a step, and of one with `--quick`.
const SECONDS: f64 = 0.8;
const SECONDS_QUICKLY: f64 = 0.2;

/// Descriptors of a process beside its connections.
const OTHERS: usize = 64;

/// What is to be done.
struct Wish {
    arguments: Arguments,
    seconds: Option<f64>,
    aemhttpd: String,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
    only_draw: bool,
}

fn main() -> ExitCode {
    if let Some(ended) = http::serve_if_asked() {
        return ended;
    }
    let wish = Wish::read();
    let done = if wish.only_draw { wish.draw().map(|()| true) } else { wish.measure() };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("figure6: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Wish {
    fn read() -> Wish {
        let (mut seconds, mut aemhttpd) = (None, AEMHTTPD.to_owned());
        let (mut csv, mut svg, mut only_draw) = (None, None, false);
        let arguments = Arguments::read_beside(9, |word, words| {
            match word {
                "--seconds" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    seconds = Some(number.expect("--seconds S"));
                }
                "--aemhttpd" => aemhttpd = words.next().expect("--aemhttpd PATH"),
                "--csv" => csv = Some(words.next().expect("--csv PATH").into()),
                "--svg" => svg = Some(words.next().expect("--svg PATH").into()),
                "--draw" => only_draw = true,
                _ => return false,
            }
            true
        });
        Wish { arguments, seconds, aemhttpd, csv, svg, only_draw }
    }

    /// Measures, and writes all that comes of it. Whether nothing was wrong.
    fn measure(&self) -> io::Result<bool> {
        if let Err(error) = hold_to_core(SERVER_CORE).and_then(|()| hold_to_core(CLIENT_CORE)) {
            println!("Not held to two cores, so that servers and who asks share theirs: {error}");
        }
        let steps = possible_steps()?;
        let model = Model::start(&self.aemhttpd, PAGE)?;
        let field: Vec<Contender> = SERVERS
            .iter()
            .filter(|name| self.arguments.wants(name))
            .filter_map(|name| http::named(name))
            .collect();
        let usual = if self.arguments.quick { SECONDS_QUICKLY } else { SECONDS };
        let time = Duration::from_secs_f64(self.seconds.unwrap_or(usual));
        let contenders = field.iter().map(|contender| rounds::Contender {
            name: contender.name,
            round: Box::new(|| round(*contender, &model, &steps, time)),
        });
        let series = interleave(self.arguments.rounds, contenders.collect());
        let mut all = Vec::new();
        for series in &series {
            for (round, records) in series.figures.iter().enumerate() {
                let mut records = records.clone();
                records.iter_mut().for_each(|record| record.round = round);
                all.append(&mut records);
            }
        }
        if all.is_empty() {
            return Err(io::Error::other("nothing was measured"));
        }
        let records = Records { caption: caption(self.arguments.rounds)?, all };
        match &self.csv {
            Some(csv) => records.write(csv)?,
            // What only shows that it runs is not what is to be seen from now on.
            None if self.arguments.quick => {
                summary::print(&records);
                return Ok(series.len() == field.len());
            }
            None => records.write(Path::new(CSV))?,
        }
        self.draw()?;
        Ok(series.len() == field.len())
    }

    /// Makes tables and picture of the file.
    fn draw(&self) -> io::Result<()> {
        let records = Records::read(self.csv.as_deref().unwrap_or(Path::new(CSV)))?;
        summary::print(&records);
        drawing::draw(&records, self.svg.as_deref().unwrap_or(Path::new(SVG)))
    }
}

/// The numbers of idle connections for which there are descriptors.
fn possible_steps() -> io::Result<Vec<usize>> {
    let wanted = STEPS.iter().max().unwrap_or(&0) + ACTIVE + OTHERS;
    let limit = kernel::raise_descriptors(wanted as u64)? as usize;
    let is_possible = |idle: &&usize| **idle + ACTIVE + OTHERS <= limit;
    if limit < wanted {
        println!("SKIPPED some steps: {limit} descriptors where {wanted} are needed (ulimit -n)");
    }
    Ok(STEPS.iter().filter(is_possible).copied().collect())
}

/// When and where.
fn caption(rounds: usize) -> io::Result<String> {
    // As in "Fri, 27 Nov 2026 16:36:21 GMT".
    let date = httpdate::fmt_http_date(SystemTime::now());
    let date = date.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let is_guest = processors.contains(" hypervisor");
    let machine = if is_guest { "virtual machine" } else { "machine" };
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    Ok(format!("{date}; Linux {kernel}, {machine}, {cores} cores; medians of {rounds} rounds"))
}
