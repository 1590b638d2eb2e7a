//! The programs of `examples/`: cargo does not build those of another package for us.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Those that were built, by their names.
static BUILT: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());

/// The path of an example, which is built by the first who asks.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, path)) = built.iter().find(|(known, _)| known == name) {
        return path.clone();
    }
    let path = build(name);
    built.push((name.to_owned(), path.clone()));
    path
}

fn build(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut build = Command::new(cargo);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // The whole workspace is selected, so that features and with them the libraries are the
    // ones that are there already.
    build.args(["build", "--workspace", "--example", name]);
    build.arg("--message-format=json-render-diagnostics");
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.stderr(Stdio::inherit()).output().expect("cargo");
    assert!(output.status.success(), "{name} does not build");
    let messages = String::from_utf8(output.stdout).expect("text");
    let after = |key| messages.lines().filter_map(move |line| line.split(key).nth(1));
    let paths = after("\"executable\":\"").filter_map(|rest| rest.split('"').next());
    let mut paths = paths.map(PathBuf::from);
    let path = paths.find(|path| path.ends_with(format!("examples/{name}")));
    path.expect("cargo says where it put the executable")
}
