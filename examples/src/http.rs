//! HTTP/1.1 as a server reads it, to the letter of RFC 9110, 9112 and 3986: bytes in, meaning out, and no
//! socket.
//!
//! ```text
//! request     bytes -> head           target     its target -> path below a root
//! body        bytes -> content        conditions which parts of a file are wanted
//! status      what an answer says     limits     what a request may be at most
//! ```

pub mod body;
pub mod conditions;
pub mod limits;
pub mod request;
pub mod status;
pub mod target;
