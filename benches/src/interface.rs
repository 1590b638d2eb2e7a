//! The two interfaces of the kernel by which servers wait, and the loop written by hand on each.

/// Which interface of the kernel's a server waits by, and so which loop it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// System calls, and `epoll` to know when.
    Epoll,
    /// A ring of requests and a ring of answers.
    Uring,
}

impl Interface {
    /// The loop written by hand for it.
    pub fn yardstick(self) -> &'static str {
        match self {
            Interface::Epoll => "hand-epoll",
            Interface::Uring => "hand-uring",
        }
    }
}
