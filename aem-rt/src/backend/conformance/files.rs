//! Ops on files: a keeper takes them, or gives them back as they are.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::backend::file::{FileAnswer, FileOp, NO_POSITION, Named, Naming, OpenFile};
use crate::payload::Payload;
use crate::sys::file::no_status;

/// What comes of an op, whoever does it.
fn done(rig: &mut Rig, op: FileOp) -> io::Result<FileAnswer> {
    let before = rig.backend.pending();
    let token = match rig.backend.submit_file(op) {
        Ok(token) => token,
        Err(op) => {
            assert_eq!(rig.backend.pending(), before, "{op:?} came back and is still there");
            return op.perform();
        }
    };
    let all = rig.collect(|all| all.iter().any(|it| it.token == token));
    let [Completion { answer, more: false, .. }] = <[_; 1]>::try_from(all).unwrap() else {
        panic!("another answer follows")
    };
    assert_eq!(rig.backend.pending(), before);
    match answer {
        Answer::File(answer) => Ok(answer),
        Answer::Failed(error) => Err(error),
        other => panic!("{other:?} is no answer to an op on a file"),
    }
}

fn nameless() -> FileOp {
    let path = std::env::temp_dir().into_os_string().into_encoded_bytes();
    let flags = libc::O_TMPFILE | libc::O_RDWR;
    FileOp::Open { path: CString::new(path).unwrap(), flags, mode: 0o600 }
}

pub(super) fn an_op_on_a_file_is_answered_once_or_comes_back(rig: &mut Rig) {
    let FileAnswer::Opened(fd) = done(rig, nameless()).unwrap() else { panic!("no descriptor") };
    let file = OpenFile::new(fd);
    let payload = Payload::from(vec![7; 100_000]);
    let write = FileOp::Write { file: file.clone(), payload, written: 0, offset: 3 };
    assert!(matches!(done(rig, write).unwrap(), FileAnswer::Done));
    let buffer = Vec::with_capacity(200_000);
    let read = FileOp::Read { file: file.clone(), buffer, full: 200_000, offset: 0 };
    let FileAnswer::Read(bytes) = done(rig, read).unwrap() else { panic!("no bytes") };
    assert!(bytes.len() == 100_003 && bytes[..3] == [0; 3] && bytes[3..] == [7; 100_000]);
    let sync = FileOp::Sync { file: file.clone(), data_only: false };
    assert!(matches!(done(rig, sync).unwrap(), FileAnswer::Done));
    let close = FileOp::Close { fd: Some(file.take().unwrap()) };
    assert!(matches!(done(rig, close).unwrap(), FileAnswer::Done));
    let open = FileOp::Open { path: c"/nowhere/at/all".into(), flags: libc::O_RDONLY, mode: 0 };
    assert_eq!(done(rig, open).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

pub(super) fn a_cancelled_open_leaves_no_descriptor(rig: &mut Rig) {
    for turns in 0..4 {
        let Ok(token) = rig.backend.submit_file(nameless()) else { return };
        let mut all = Vec::new();
        for _ in 0..turns {
            all.extend(rig.turn(Some(Duration::ZERO)));
        }
        rig.backend.cancel(token);
        while !all.iter().any(|it| it.token == token) {
            all.extend(rig.turn(Some(PATIENCE)));
        }
        let [last] = <[_; 1]>::try_from(all).unwrap();
        let fits = match &last.answer {
            Answer::File(FileAnswer::Opened(_)) | Answer::Cancelled(None) => true,
            // A thread of the kernel's may be interrupted in it.
            Answer::Failed(error) => error.kind() == io::ErrorKind::Interrupted,
            _ => false,
        };
        assert!(fits && !last.more, "{last:?}");
        assert_eq!(rig.backend.pending(), 0);
    }
}

pub(super) fn names_are_changed_once_or_come_back(rig: &mut Rig) {
    let place = format!("aem-names-{:?}-{}", std::thread::current().id(), std::process::id());
    let place = std::env::temp_dir().join(place);
    let path = |name: &str| CString::new(place.join(name).as_os_str().as_bytes()).unwrap();
    let mut name = |naming| {
        done(rig, FileOp::Name(naming)).map(|answer| {
            assert!(matches!(answer, FileAnswer::Done), "{answer:?}");
        })
    };
    name(Naming::MakeDirectory { path: path(""), mode: 0o700 }).unwrap();
    let again = name(Naming::MakeDirectory { path: path(""), mode: 0o700 });
    assert_eq!(again.unwrap_err().raw_os_error(), Some(libc::EEXIST));
    name(Naming::Symlink { target: c"nowhere".into(), name: path("a") }).unwrap();
    name(Naming::Link { original: path("a"), name: path("b") }).unwrap();
    name(Naming::Rename { from: path("b"), to: path("c") }).unwrap();
    let busy = name(Naming::Remove { path: path(""), directory: true });
    assert_eq!(busy.unwrap_err().raw_os_error(), Some(libc::ENOTEMPTY));
    let gone = name(Naming::Rename { from: path("b"), to: path("c") });
    assert_eq!(gone.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let status = FileOp::Status { of: Named::Link(path("c")), status: no_status() };
    let FileAnswer::Status(status) = done(rig, status).unwrap() else { panic!("no status") };
    assert_eq!((u32::from(status.stx_mode) & libc::S_IFMT, status.stx_nlink), (libc::S_IFLNK, 2));
    let mut name = |naming| done(rig, FileOp::Name(naming)).map(drop);
    for link in ["a", "c"] {
        name(Naming::Remove { path: path(link), directory: false }).unwrap();
    }
    name(Naming::Remove { path: path(""), directory: true }).unwrap();
    assert!(!place.exists());
}

pub(super) fn what_has_no_positions_is_read_as_it_comes(rig: &mut Rig) {
    let (reader, writer) = io::pipe().unwrap();
    let (reader, writer) = (OpenFile::new(reader.into()), OpenFile::new(writer.into()));
    let payload = Payload::from("some");
    let write = FileOp::Write { file: writer, payload, written: 0, offset: NO_POSITION };
    assert!(matches!(done(rig, write).unwrap(), FileAnswer::Done));
    for expected in [&b"some"[..], b""] {
        let (file, buffer) = (reader.clone(), Vec::with_capacity(100));
        let read = FileOp::Read { file, buffer, full: 100, offset: NO_POSITION };
        let FileAnswer::Read(bytes) = done(rig, read).unwrap() else { panic!("no bytes") };
        assert_eq!(bytes, expected);
    }
}
