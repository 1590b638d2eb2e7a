//! Ops on files, performed here.

use std::os::fd::AsRawFd;

use super::*;

fn open(flags: i32) -> Arc<OpenFile> {
    let path = std::env::temp_dir();
    let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    let op = FileOp::Open { path, flags: flags | libc::O_TMPFILE, mode: 0o600 };
    let Ok(FileAnswer::Opened(fd)) = op.perform() else { panic!("no file") };
    OpenFile::new(fd)
}

fn read(file: &Arc<OpenFile>, full: usize, offset: u64) -> io::Result<FileAnswer> {
    let buffer = Vec::with_capacity(full);
    FileOp::Read { file: file.clone(), buffer, full, offset }.perform()
}

#[test]
fn what_is_written_is_read_and_told_of() {
    let file = open(libc::O_RDWR);
    let payload = Payload::from(vec![7; 100_000]);
    let write = FileOp::Write { file: file.clone(), payload, written: 0, offset: 10 };
    assert!(matches!(write.perform(), Ok(FileAnswer::Done)));
    let Ok(FileAnswer::Read(bytes)) = read(&file, 1 << 20, 0) else { panic!("no bytes") };
    assert!(bytes.len() == 100_010 && bytes[..10] == [0; 10] && bytes[10..] == [7; 100_000]);
    let Ok(FileAnswer::Read(bytes)) = read(&file, 5, 8) else { panic!("no bytes") };
    assert_eq!(bytes, [0, 0, 7, 7, 7]);
    let status = FileOp::Status { of: Named::Open(file.clone()), status: file::no_status() };
    let Ok(FileAnswer::Status(status)) = status.perform() else { panic!("no status") };
    assert_eq!(status.stx_size, 100_010);
    let sync = FileOp::Sync { file, data_only: true };
    assert!(matches!(sync.perform(), Ok(FileAnswer::Done)));
}

#[test]
fn what_the_kernel_refuses_is_an_error() {
    let file = open(libc::O_WRONLY);
    assert_eq!(read(&file, 8, 0).unwrap_err().raw_os_error(), Some(libc::EBADF));
    let op = FileOp::Open { path: c"/nowhere/at/all".into(), flags: libc::O_RDONLY, mode: 0 };
    assert_eq!(op.perform().unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn writes_advance_by_what_was_taken() {
    let payload = Payload::from("abcdef");
    let file = open(libc::O_RDWR);
    let mut op = FileOp::Write { file, payload, written: 0, offset: 0 };
    assert!(op.advance(2).is_none());
    let FileOp::Write { written: 2, offset: 2, .. } = &op else { panic!("{op:?}") };
    assert!(matches!(op.advance(0), Some(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    assert!(matches!(op.advance(4), Some(Ok(FileAnswer::Done))));
}

#[test]
fn a_file_with_other_users_is_taken_as_another_descriptor() {
    let file = open(libc::O_RDWR);
    let (number, other) = (file.as_fd().as_raw_fd(), file.clone());
    let fd = file.take().unwrap();
    assert_ne!(fd.as_raw_fd(), number);
    assert!(matches!(FileOp::Close { fd: Some(fd) }.perform(), Ok(FileAnswer::Done)));
    assert_eq!(other.take().unwrap().as_raw_fd(), number);
}
