//! Processes as events: a child is started, spoken with, and its end is heard.
//!
//! A [`Command`] has the shape of the standard library's, and starts a [`Child`]. Its end is a source,
//! [`Child::exited`], as are its standard output and error; its standard input has the verbs of a stream.
//! [`on_process`] starts a child for each event of a source; [`Capsules`] are children that were started
//! before, and wait for their [`Work`].
//!
//! The end of a child comes by its pidfd, so nothing is done to SIGCHLD, and children that other parts
//! of the program start are left to them. No zombie stays: the turn that hears of an end takes the status,
//! whether somebody waits or not. What is asked for through a [`Child`] reaches that child or nobody. It
//! takes Linux 5.4 or newer.
//!
//! ```
//! use aem::process::Command;
//!
//! # aem::block_on(async {
//! let mut child = Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
//! child.start_kill()?;
//! assert!(!child.wait().await?.success());
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

mod capsules;
mod child;
mod cloner;
mod command;
mod exit;
mod leftovers;
mod work;

use std::sync::Arc;

pub use std::process::{ExitStatus, Output, Stdio};

pub use self::capsules::Capsules;
pub use self::child::Child;
pub use self::cloner::{Failed, on_process};
pub use self::command::{Command, stdio};
pub use self::exit::Exited;
pub use self::work::Work;

/// What a job is called that is there for a child.
fn name(pid: u32) -> Arc<str> {
    format!("process {pid}").into()
}
