//! Builds the loops on libraries of C, each where its headers are installed.
//!
//! A library that is not there has no contender: the program that would have it says so.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// One library: its name in `cfg(has_..)`, its header, what is linked, and the files on it.
const LIBRARIES: &[(&str, &str, &str, &[&str])] = &[
    ("libevent", "event2/event.h", "event_core", &["libevent"]),
    ("libev", "ev.h", "ev", &["libev"]),
    ("libuv", "uv.h", "uv", &["libuv", "libuv_exchange", "libuv_http"]),
];

fn main() {
    println!("cargo:rerun-if-changed=src/c");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for (name, header, linked, files) in LIBRARIES {
        println!("cargo:rustc-check-cfg=cfg(has_{name})");
        if !is_there(&out, name, header) {
            continue;
        }
        let files = files.iter().map(|file| format!("src/c/{file}.c"));
        cc::Build::new().files(files).warnings(true).compile(&format!("aem_benches_{name}"));
        println!("cargo:rustc-link-lib={linked}");
        println!("cargo:rustc-cfg=has_{name}");
    }
}

/// Whether there is a compiler that finds the header.
fn is_there(out: &Path, name: &str, header: &str) -> bool {
    let probe = out.join(format!("probe_{name}.c"));
    fs::write(&probe, format!("#include <{header}>\n")).expect("cargo's own folder");
    let mut build = cc::Build::new();
    build.cargo_metadata(false).cargo_warnings(false).file(probe);
    build.try_compile(&format!("probe_{name}")).is_ok()
}
