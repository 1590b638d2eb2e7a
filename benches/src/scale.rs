//! Millions of armed events: what one takes of memory, and what it costs to arm it and to have it fire.
//!
//! An event is a timer with somebody of its own who waits for it: a handler, or a task. All are armed
//! before the first is due, and all are due at the same moment, which is the worst there is. Each
//! contender does it in a process of its own, so that the memory is its own.

use std::cell::Cell;
use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::meter::thread_nanos;

/// What one event has cost, on average.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Resident memory of its own, in bytes.
    pub bytes: f64,
    /// Processor time to arm it.
    pub arm_nanos: f64,
    /// The same to have it fire, end and give its memory back.
    pub fire_nanos: f64,
}

/// Arms so many events, and has them fire.
pub type Contender = fn(usize) -> io::Result<Figures>;

/// Who arms events.
pub const CONTENDERS: &[(&str, Contender)] = &[
    ("aem, handlers", aem_handlers),
    ("aem, tasks", aem_tasks),
    ("tokio current_thread, tasks", tokio_tasks),
];

/// The word that has this program be a contender.
pub const ARM: &str = "arm";

/// Has a contender do it in a process of its own.
///
/// # Errors
///
/// If it does not, or has lost an event.
pub fn measure(name: &str, events: usize) -> io::Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    let output =
        command.args([ARM, name, &events.to_string()]).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [bytes, arm_nanos, fire_nanos] if output.status.success() => {
            Ok(Figures { bytes, arm_nanos, fire_nanos })
        }
        _ => Err(io::Error::other(format!("{} and {text:?}", output.status))),
    }
}

/// Does what the words of this program ask for, and prints the figures for who has started it.
///
/// # Errors
///
/// If there is no such contender, or it has lost an event.
pub fn arm(name: &str, events: &str) -> io::Result<()> {
    let contender = CONTENDERS.iter().find(|(known, _)| *known == name);
    let (_, run) = contender.ok_or_else(|| io::Error::other(format!("there is no {name}")))?;
    let events = events.parse().map_err(io::Error::other)?;
    let Figures { bytes, arm_nanos, fire_nanos } = run(events)?;
    println!("{bytes} {arm_nanos} {fire_nanos}");
    Ok(())
}

/// One run: from the start on, what each step has cost.
struct Run {
    events: usize,
    fired: Rc<Cell<usize>>,
    /// When all are due.
    due: Instant,
    bytes: u64,
    nanos: u64,
}

/// How long all may take to be armed, each.
const ARMING: Duration = Duration::from_micros(2);

impl Run {
    fn begin(events: usize) -> io::Result<Run> {
        let due = Instant::now() + ARMING * events as u32;
        let (bytes, nanos) = (resident()?, thread_nanos());
        Ok(Run { events, fired: Rc::default(), due, bytes, nanos })
    }

    /// All are armed. Gives what that took, each, and the processor time until now.
    fn armed(&self) -> io::Result<(f64, f64, u64)> {
        let nanos = thread_nanos();
        if Instant::now() >= self.due {
            return Err(io::Error::other("the first are due before the last is armed"));
        }
        let each = |sum: u64| sum as f64 / self.events as f64;
        Ok((each(resident()? - self.bytes), each(nanos - self.nanos), nanos))
    }

    /// Whether some have not fired that still may.
    fn is_behind(&self) -> bool {
        self.fired.get() < self.events && self.due.elapsed() < PATIENCE
    }

    /// All have fired.
    fn end(&self, armed: (f64, f64, u64)) -> io::Result<Figures> {
        let (bytes, arm_nanos, nanos) = armed;
        let (fired, events) = (self.fired.get(), self.events);
        if fired != events {
            return Err(io::Error::other(format!("{fired} of {events} have fired")));
        }
        let fire_nanos = (thread_nanos() - nanos) as f64 / events as f64;
        Ok(Figures { bytes, arm_nanos, fire_nanos })
    }
}

/// Bytes of this process's own memory that are resident.
fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no RssAnon"))
}

/// All are due some time before this one.
const AFTER: Duration = Duration::from_millis(1);

/// Who has not fired so long after that is lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn aem_handlers(events: usize) -> io::Result<Figures> {
    aem::block_on(async {
        let run = Run::begin(events)?;
        for _ in 0..events {
            let fired = run.fired.clone();
            let timer = aem::time::after(run.due - Instant::now());
            aem::on(timer, move |_tick| fired.set(fired.get() + 1)).detach();
        }
        aem_fires(run).await
    })
}

/// The same for handlers and tasks: each arms its timer when it first runs.
async fn aem_fires(run: Run) -> io::Result<Figures> {
    aem::yield_now().await;
    let armed = run.armed()?;
    aem::time::sleep_until(run.due + AFTER).await;
    while run.is_behind() {
        aem::yield_now().await;
    }
    run.end(armed)
}

fn aem_tasks(events: usize) -> io::Result<Figures> {
    aem::block_on(async {
        let run = Run::begin(events)?;
        for _ in 0..events {
            let (fired, due) = (run.fired.clone(), run.due);
            drop(aem::spawn(async move {
                aem::time::sleep_until(due).await;
                fired.set(fired.get() + 1);
            }));
        }
        aem_fires(run).await
    })
}

fn tokio_tasks(events: usize) -> io::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let run = Run::begin(events)?;
        let due = tokio::time::Instant::from_std(run.due);
        for _ in 0..events {
            let fired = run.fired.clone();
            drop(tokio::task::spawn_local(async move {
                tokio::time::sleep_until(due).await;
                fired.set(fired.get() + 1);
            }));
        }
        tokio::task::yield_now().await;
        let armed = run.armed()?;
        tokio::time::sleep_until(due + AFTER).await;
        while run.is_behind() {
            tokio::task::yield_now().await;
        }
        run.end(armed)
    })
}
