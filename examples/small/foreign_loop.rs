//! Another event loop as a guest: its epoll descriptor is watched, and it is let work when it has something.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aem::Next;
use aem::fd::{AsyncFd, Interest};
use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A loop of somebody else's, with a timer in it. All that is known of it are two functions.
struct Foreign {
    epoll: OwnedFd,
    timer: OwnedFd,
}

impl Foreign {
    fn new() -> rustix::io::Result<Foreign> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let period = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let setting = Itimerspec { it_interval: period, it_value: period };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        let name = epoll::EventData::new_u64(1);
        epoll::add(&epoll, &timer, name, epoll::EventFlags::IN)?;
        Ok(Foreign { epoll, timer })
    }

    /// Does what there is to do now, and says how much that was. It never waits.
    fn dispatch(&self) -> rustix::io::Result<usize> {
        let mut expirations = [0; 8];
        match rustix::io::read(&self.timer, &mut expirations) {
            Ok(_) => Ok(1),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Foreign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[aem::main]
async fn main() -> aem::Result {
    let foreign = AsyncFd::new(Foreign::new()?)?;
    let guest = foreign.clone();
    let mut done = 0;
    // An event a turn for as long as the guest has something to do: level, as its own loop sees it.
    aem::on_ok(foreign.readiness(Interest::READABLE), move |_| -> aem::Result<Next> {
        done += guest.get_ref().dispatch()?;
        println!("the guest has done {done} things");
        Ok(if done < 3 { Next::Keep } else { Next::Stop })
    })
    .await?;
    Ok(())
}
