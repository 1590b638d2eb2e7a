//! What all listeners can do, written once: see `net/verbs.rs` for the same of streams.

/// Writes the verbs of a listener, which is a tuple of an `Rc<Listening>`, and its source of connections.
/// `make` makes a stream and an address of what was accepted.
macro_rules! listener_verbs {
    ($listener:ident, $incoming:ident, $stream:ty, $address:ty, $std:ty, $make:path) => {
        impl $listener {
            /// Takes over a listener of the standard library, and makes it non-blocking.
            ///
            /// # Errors
            ///
            /// If the kernel refuses to watch it: the same socket is with this runtime already, say.
            ///
            /// # Panics
            ///
            /// Outside of a runtime.
            pub fn from_std(listener: $std) -> std::io::Result<$listener> {
                listener.set_nonblocking(true)?;
                $crate::net::listening::Listening::adopt(listener.into()).map($listener)
            }

            /// The next connection, and the address of its other end, which has no name where it is a Unix
            /// socket's that was bound to none.
            ///
            /// # Errors
            ///
            /// Only those of the listener itself, such as of one that was shut down from outside. An error
            /// of a single connection passes over it; a want of descriptors or memory is waited out.
            ///
            /// # Cancel safety
            ///
            /// A connection that arrives too late stays in the listener for the next call (KEPT).
            pub async fn accept(&self) -> std::io::Result<($stream, $address)> {
                let mut wait = $crate::net::listening::AcceptWait::new(&self.0);
                std::future::poll_fn(|cx| wait.poll(cx).map($make)).await
            }

            /// The connections as a source.
            ///
            /// It ends after the first error. Several of one listener, and those who call
            /// [`accept`](Self::accept), share the connections. It keeps listening when this listener is
            /// dropped.
            pub fn incoming(&self) -> $incoming {
                let wait = $crate::net::listening::AcceptWait::new(&self.0);
                $incoming { wait, ended: false }
            }

            /// How often accepting has paused for want of descriptors or memory.
            #[must_use]
            pub fn shortages(&self) -> u64 {
                self.0.shortages()
            }
        }

        impl std::os::fd::AsFd for $listener {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.socket().as_fd()
            }
        }

        impl std::fmt::Debug for $listener {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let address = $crate::net::listening::Shown(self.0.local_addr());
                f.debug_struct(stringify!($listener)).field("local_addr", &address).finish()
            }
        }

        /// The source of a listener's connections, made by `incoming()` of it.
        #[must_use = "connections come only while somebody takes them"]
        pub struct $incoming {
            wait: $crate::net::listening::AcceptWait,
            ended: bool,
        }

        impl futures::stream::Stream for $incoming {
            type Item = std::io::Result<($stream, $address)>;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                let this = &mut *self;
                if this.ended {
                    return std::task::Poll::Ready(None);
                }
                let accepted = std::task::ready!(this.wait.poll(cx).map($make));
                this.ended = accepted.is_err();
                std::task::Poll::Ready(Some(accepted))
            }
        }

        impl futures::stream::FusedStream for $incoming {
            fn is_terminated(&self) -> bool {
                self.ended
            }
        }

        impl std::fmt::Debug for $incoming {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let address = $crate::net::listening::Shown(self.wait.listening().local_addr());
                let mut text = f.debug_struct(stringify!($incoming));
                text.field("local_addr", &address).field("ended", &self.ended).finish()
            }
        }
    };
}

pub(in crate::net) use listener_verbs;
