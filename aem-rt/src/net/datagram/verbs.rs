//! What all datagram sockets can do, written once: see `net/verbs.rs` for the same of streams.

/// Writes the verbs of a datagram socket, which is a tuple of an `Rc<Carrier>`.
macro_rules! datagram_verbs {
    ($socket:ident, $address:ty, $message:ty, $goes_on:expr) => {
        const _: () = {
            use std::fmt;
            use std::future::poll_fn;
            use std::io;
            use std::os::fd::{AsFd, BorrowedFd};
            use std::rc::Rc;

            use $crate::chunk::Chunk;
            use $crate::net::messages::Messages;

            impl $socket {
                /// The next datagram, whole, and who sent it. It may be empty: that is a datagram, too.
                ///
                /// # Errors
                ///
                /// Of a connected socket: what became of a datagram that was sent, as `ConnectionRefused` if
                /// nobody listens there, or of the peer, as `ConnectionReset`. `InvalidData` for a datagram
                /// of more than half a megabyte, which no UDP one is, and which is lost. After these the
                /// next call goes on; others are the socket's own.
                ///
                /// # Cancel safety
                ///
                /// A datagram that arrives too late stays in the socket for the next call (KEPT).
                pub async fn recv_from(&self) -> io::Result<(Chunk, $address)> {
                    poll_fn(|cx| self.0.poll_receive(cx, false)).await?.into_whole()
                }

                /// The next datagram, for one who knows who sent it or need not know.
                ///
                /// # Errors
                ///
                /// As for [`recv_from`](Self::recv_from).
                ///
                /// # Cancel safety
                ///
                /// As for [`recv_from`](Self::recv_from).
                pub async fn recv(&self) -> io::Result<Chunk> {
                    Ok(self.recv_from().await?.0)
                }

                /// The next datagram, with all that came beside its bytes.
                ///
                /// # Errors
                ///
                /// As for [`recv_from`](Self::recv_from), but that one which was cut short is marked and no
                /// error.
                ///
                /// # Cancel safety
                ///
                /// As for [`recv_from`](Self::recv_from).
                pub async fn recv_message(&self) -> io::Result<$message> {
                    poll_fn(|cx| self.0.poll_receive(cx, true)).await
                }

                /// The datagrams as a source, each with who sent it.
                ///
                /// An error that concerns one peer or one datagram is an event like others; it ends with one
                /// of the socket's own. Drained by a handler, it is not read while more is
                /// [queued](Self::queued) than the [high-water mark](Self::set_high_water).
                pub fn datagrams(&self) -> Messages<(Chunk, $address)> {
                    let carrier = Rc::clone(&self.0);
                    Messages::new($goes_on, move |cx| {
                        let next = carrier.poll_next(cx, false);
                        next.map(|next| Some(next.and_then(|message| message.into_whole())))
                    })
                }

                /// As [`datagrams`](Self::datagrams), with all that came beside the bytes.
                pub fn messages(&self) -> Messages<$message> {
                    let carrier = Rc::clone(&self.0);
                    Messages::new($goes_on, move |cx| carrier.poll_next(cx, true).map(Some))
                }

                /// How many bytes of datagrams wait here for room.
                #[must_use]
                pub fn queued(&self) -> usize {
                    self.0.queued()
                }

                /// Sets how much may wait before a source of datagrams that a handler drains is held back:
                /// 256 KiB unless set, `None` for any amount.
                pub fn set_high_water(&self, bytes: impl Into<Option<usize>>) {
                    self.0.set_high_water(bytes.into());
                }
            }

            impl AsFd for $socket {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.0.socket().as_fd()
                }
            }

            impl fmt::Debug for $socket {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let mut text = f.debug_struct(stringify!($socket));
                    text.field("local_addr", &self.local_addr().ok());
                    text.field("queued", &self.queued()).finish()
                }
            }
        };
    };
}

pub(in crate::net) use datagram_verbs;
