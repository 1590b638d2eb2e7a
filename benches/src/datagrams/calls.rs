//! By hand, on epoll: a wait for a burst, then calls until there is no more.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use super::{Bursts, Load, ROOM};
use crate::kernel::Epoll;

/// Datagrams in a call.
pub const BATCH: usize = 32;

/// A call for each datagram.
///
/// # Errors
///
/// Of the sockets.
pub fn one_by_one(load: Load) -> io::Result<f64> {
    let mut room = vec![0; ROOM];
    run(load, move |socket| {
        let mut count = 0;
        loop {
            match socket.recv_from(&mut room) {
                Ok((n, _)) => assert_eq!(n, load.bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error),
            }
            count += 1;
        }
    })
}

/// A call for each datagram that also takes what is beside it.
///
/// # Errors
///
/// Of the sockets.
pub fn with_ancillary(load: Load) -> io::Result<f64> {
    let (mut room, mut control) = (vec![0_u8; ROOM], vec![0_u64; 32]);
    run(load, move |socket| {
        let mut count = 0;
        loop {
            // SAFETY: all zeros are a valid address.
            let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
            let mut piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM };
            // SAFETY: all zeros are a valid header: null pointers, and nothing behind them.
            let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
            (head.msg_iov, head.msg_iovlen) = (&raw mut piece, 1);
            head.msg_name = (&raw mut name).cast();
            head.msg_namelen = size_of_val(&name) as u32;
            head.msg_control = control.as_mut_ptr().cast();
            head.msg_controllen = size_of_val(&control[..]) as _;
            // SAFETY: the header names room, a name and control, which all live.
            let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut head, libc::MSG_DONTWAIT) };
            if n < 0 {
                let error = io::Error::last_os_error();
                let is_all = error.kind() == io::ErrorKind::WouldBlock;
                return if is_all { Ok(count) } else { Err(error) };
            }
            assert_eq!(n as usize, load.bytes);
            count += 1;
        }
    })
}

/// A call for as many as there are, with room for each.
///
/// # Errors
///
/// Of the sockets.
pub fn batches(load: Load) -> io::Result<f64> {
    let mut room = vec![0_u8; ROOM * BATCH];
    let mut pieces: Vec<libc::iovec> = room
        .chunks_exact_mut(ROOM)
        .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM })
        .collect();
    // SAFETY: all zeros are a valid address.
    let mut names: Vec<libc::sockaddr_storage> = vec![unsafe { std::mem::zeroed() }; BATCH];
    // SAFETY: all zeros are a valid header: null pointers, and nothing behind them.
    let mut heads: Vec<libc::mmsghdr> = vec![unsafe { std::mem::zeroed() }; BATCH];
    run(load, move |socket| {
        // The memory of `pieces` is that of `room`.
        let _ = &room;
        let mut count = 0;
        loop {
            for ((head, piece), name) in heads.iter_mut().zip(&mut pieces).zip(&mut names) {
                (head.msg_hdr.msg_iov, head.msg_hdr.msg_iovlen) = (piece, 1);
                head.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
                head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            }
            let (fd, most) = (socket.as_raw_fd(), BATCH as libc::c_uint);
            let (start, none) = (heads.as_mut_ptr(), std::ptr::null_mut());
            // SAFETY: as many headers as told, each with a piece of room and a name, which all live.
            let n = unsafe { libc::recvmmsg(fd, start, most, libc::MSG_DONTWAIT as _, none) };
            if n < 0 {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::WouldBlock {
                    Ok(count)
                } else {
                    Err(error)
                };
            }
            let received = &heads[..n as usize];
            assert!(received.iter().all(|head| head.msg_len as usize == load.bytes));
            count += received.len();
            if received.len() < BATCH {
                return Ok(count);
            }
        }
    })
}

fn run(load: Load, mut receive: impl FnMut(&UdpSocket) -> io::Result<usize>) -> io::Result<f64> {
    let (mut bursts, receiver) = Bursts::new(load)?;
    let mut epoll = Epoll::new()?;
    epoll.add(receiver.as_raw_fd(), 0)?;
    for _ in 0..load.bursts {
        let meter = bursts.send()?;
        let mut count = 0;
        while count < load.burst {
            epoll.wait(-1)?;
            count += receive(&receiver)?;
        }
        bursts.received(meter);
    }
    Ok(bursts.each())
}
