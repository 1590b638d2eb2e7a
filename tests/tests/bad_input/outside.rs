//! Outside of a runtime, everything that needs one says how to enter it.

use std::time::Duration;

use aem_tests::bounded::within;
use aem_tests::elsewhere::wait_for;
use futures::StreamExt;
use futures::stream::{pending, repeat};

use super::{LIMIT, panic_of};

fn no_handler(_: ()) {}

fn no_command() -> std::io::Error {
    std::io::ErrorKind::Other.into()
}

type Entry = (&'static str, fn());

const SECOND: Duration = Duration::from_secs(1);

/// Every public function that needs a runtime on its thread.
const ENTRIES: &[Entry] = &[
    ("spawn", || drop(aem::spawn(async {}))),
    ("spawn_blocking", || drop(aem::spawn_blocking(|| ()))),
    ("Handle::current", || drop(aem::Handle::current())),
    ("metrics", || _ = aem::metrics()),
    ("jobs", || drop(aem::jobs())),
    ("on", || drop(aem::on(pending(), no_handler))),
    ("on_ok", || drop(aem::on_ok(pending::<std::io::Result<()>>(), no_handler))),
    ("on_async", || drop(aem::on_async(pending(), async |()| ()))),
    ("on_each", || drop(aem::on_each(pending(), 1, async |()| ()))),
    ("State::on", || drop(aem::State::new(()).on(pending(), |(), ()| ()))),
    ("WeakState::on", || {
        let state = aem::State::new(());
        drop(state.downgrade().on(pending(), |(), ()| ()));
    }),
    ("Scope::on", || drop(aem::Scope::new().on(pending(), no_handler))),
    ("Scope::on_async", || drop(aem::Scope::new().on_async(pending(), async |()| ()))),
    ("Scope::spawn", || drop(aem::Scope::new().spawn(async {}))),
    ("ScopeHandle::on", || {
        let scope = aem::Scope::new();
        drop(scope.handle().on(pending(), no_handler));
    }),
    ("ScopeHandle::spawn", || {
        let scope = aem::Scope::new();
        drop(scope.handle().spawn(async {}));
    }),
    ("sleep", || wait_for(aem::time::sleep(SECOND))),
    ("sleep_until", || wait_for(aem::time::sleep_until(aem::time::now() + SECOND))),
    ("timeout", || _ = wait_for(aem::time::timeout(SECOND, std::future::pending::<()>()))),
    ("Ticks::tick", || _ = wait_for(aem::time::every(SECOND).tick())),
    ("Ticks", || _ = wait_for(aem::time::after(SECOND).next())),
    ("fd::pipe", || drop(aem::fd::pipe())),
    ("Command::spawn", || drop(aem::process::Command::new("true").spawn())),
    ("Command::status", || drop(wait_for(aem::process::Command::new("true").status()))),
    ("on_process", || drop(aem::process::on_process(pending(), 1, |()| Err(no_command())))),
    ("Capsules::new", || drop(aem::process::Capsules::new(1, || Err(no_command())))),
    ("Work::inherited", || drop(aem::process::Work::inherited())),
    ("TcpListener::bind", || drop(aem::net::TcpListener::bind("127.0.0.1:0"))),
    ("TcpListenerBuilder::bind", || {
        drop(aem::net::TcpListener::builder().bind("127.0.0.1:0"));
    }),
    ("TcpListener::from_std", || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        drop(aem::net::TcpListener::from_std(listener));
    }),
    ("TcpStream::from_std", || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(address).expect("a connection");
        drop(aem::net::TcpStream::from_std(stream));
    }),
    ("TcpStream::connect", || {
        drop(wait_for(aem::net::TcpStream::connect("127.0.0.1:1")));
    }),
];

#[test]
fn every_entry_says_how_to_enter() {
    within(LIMIT, || {
        for (name, entry) in ENTRIES {
            let text = panic_of(entry);
            for hint in ["runtime", "#[aem::main]", "block_on"] {
                assert!(text.contains(hint), "{name} panics with {text:?}");
            }
        }
    });
}

#[test]
fn what_needs_no_runtime_works_without_one() {
    within(LIMIT, || {
        assert!(aem::Handle::try_current().is_none());
        let _ = aem::time::now();
        let state = aem::State::new(1);
        assert_eq!(state.with(|number| *number), 1);
        let scope = aem::Scope::new();
        assert!(scope.is_empty());
        scope.pause();
        scope.resume();
        scope.stop();
        // Whatever is made of plain data.
        assert_eq!(aem::Chunk::from(vec![1, 2]).into_vec(), [1, 2]);
        assert_eq!(wait_for(aem::time::timeout(SECOND, async { 3 })), Ok(3));
        drop(repeat(()).map(no_handler));
        wait_for(aem::yield_now());
    });
}
