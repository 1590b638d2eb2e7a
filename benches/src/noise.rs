//! Whether the machine was quiet: what others took of the two cores while something was measured.
//!
//! The kernel counts how long each core was busy, in ticks, and how long our processes ran, exactly.
//! What is left is others', among them the kernel's own threads; and what the host of a virtual machine
//! gave to another guest is counted as stolen. Contenders in turns all meet what others do, but it widens
//! what is seen of them.

use std::time::{Duration, Instant};
use std::{fs, io};

use crate::accounts;
use crate::server::{CLIENT_CORE, SERVER_CORE};

/// A share of the cores that others may have without being named.
const QUIET: f64 = 0.02;

/// The same of a single round, of which some are short beside a tick.
const QUIET_ROUND: f64 = 0.1;

/// A round that is shorter says little, as ticks are counted.
const SHORTEST: Duration = Duration::from_millis(200);

/// A watch that began.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    cores: Cores,
    own_nanos: u64,
}

/// What others took while it was watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// The time that the cores had, together.
    core_time: Duration,
    /// What other processes had of it.
    others: Duration,
    /// What other machines had of it.
    stolen: Duration,
}

/// Ticks of the two cores together, since the start of the machine.
#[derive(Clone, Copy, Debug)]
struct Cores {
    busy: u64,
    stolen: u64,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// `/proc` is not there.
    pub fn start() -> io::Result<Watch> {
        let (cores, own_nanos) = (Cores::now()?, own_nanos()?);
        Ok(Watch { began: Instant::now(), cores, own_nanos })
    }

    /// What was seen since.
    ///
    /// # Errors
    ///
    /// As of [`start`](Watch::start).
    pub fn stop(&self) -> io::Result<Noise> {
        let (cores, own_nanos) = (Cores::now()?, own_nanos()?);
        let own = Duration::from_nanos(own_nanos.saturating_sub(self.own_nanos));
        let count = if SERVER_CORE == CLIENT_CORE { 1 } else { 2 };
        Ok(Noise {
            core_time: self.began.elapsed() * count,
            others: ticks(cores.busy - self.cores.busy).saturating_sub(own),
            stolen: ticks(cores.stolen - self.cores.stolen),
        })
    }
}

impl Noise {
    /// The share of the cores' time that was not ours to have.
    pub fn share(&self) -> f64 {
        let lost = self.others + self.stolen;
        lost.as_secs_f64() / self.core_time.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Says aloud if others had more of the cores during these rounds than does not matter.
pub fn warn(rounds: &[Noise]) {
    let sum = rounds.iter().fold(Noise::default(), |sum, round| Noise {
        core_time: sum.core_time + round.core_time,
        others: sum.others + round.others,
        stolen: sum.stolen + round.stolen,
    });
    let long = rounds.iter().filter(|round| round.core_time >= 2 * SHORTEST);
    let (mut count, mut noisy, mut worst) = (0, 0, 0.0_f64);
    for share in long.map(Noise::share) {
        count += 1;
        noisy += usize::from(share > QUIET_ROUND);
        worst = worst.max(share);
    }
    if sum.core_time < 2 * SHORTEST || (sum.share() <= QUIET && noisy == 0) {
        return;
    }
    let percent = |time: Duration| 100.0 * time.as_secs_f64() / sum.core_time.as_secs_f64();
    println!(
        "\nNOISY: other processes had {:.1} % of the two cores, other machines {:.1} %; \
         more than {:.0} % in {noisy} of {count} rounds, {:.0} % in the worst.",
        percent(sum.others),
        percent(sum.stolen),
        100.0 * QUIET_ROUND,
        100.0 * worst,
    );
}

impl Cores {
    fn now() -> io::Result<Cores> {
        Cores::read(&fs::read_to_string("/proc/stat")?)
            .ok_or_else(|| io::Error::other("/proc/stat is not understood"))
    }

    /// Lines are `cpuN user nice system idle iowait irq softirq steal ..`. A machine of one core has
    /// one line.
    fn read(text: &str) -> Option<Cores> {
        let names = [SERVER_CORE, CLIENT_CORE].map(|core| format!("cpu{core}"));
        let mut cores = Cores { busy: 0, stolen: 0 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if !words.next().is_some_and(|name| names.iter().any(|wanted| wanted == name)) {
                continue;
            }
            let ticks: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
            let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
                return None;
            };
            cores.busy += user + nice + system + irq + softirq;
            cores.stolen += steal;
        }
        Some(cores)
    }
}

/// The processor time of this process, of those that it started and of theirs, the ended ones included.
fn own_nanos() -> io::Result<u64> {
    // SAFETY: plain numbers, of which all may be zero.
    let mut ended: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one of these, which is there.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut ended) };
    let nanos =
        |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    let running = accounts::cpu_nanos(std::process::id())?;
    Ok(running + nanos(ended.ru_utime) + nanos(ended.ru_stime))
}

fn ticks(count: u64) -> Duration {
    // SAFETY: it asks for a number and touches nothing.
    let each_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    Duration::from_secs_f64(count as f64 / each_second as f64)
}

#[cfg(test)]
mod tests;
