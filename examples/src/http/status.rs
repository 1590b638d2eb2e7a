//! The status of an answer (RFC 9110, 15).

/// What an answer says, in a number and a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(&'static str);

#[rustfmt::skip]
#[allow(missing_docs, reason = "they say what they are")]
impl Status {
    pub const OK: Status = Status("200 OK");
    pub const NO_CONTENT: Status = Status("204 No Content");
    pub const PARTIAL_CONTENT: Status = Status("206 Partial Content");
    pub const MOVED_PERMANENTLY: Status = Status("301 Moved Permanently");
    pub const NOT_MODIFIED: Status = Status("304 Not Modified");
    pub const BAD_REQUEST: Status = Status("400 Bad Request");
    pub const FORBIDDEN: Status = Status("403 Forbidden");
    pub const NOT_FOUND: Status = Status("404 Not Found");
    pub const METHOD_NOT_ALLOWED: Status = Status("405 Method Not Allowed");
    pub const REQUEST_TIMEOUT: Status = Status("408 Request Timeout");
    pub const LENGTH_REQUIRED: Status = Status("411 Length Required");
    pub const PRECONDITION_FAILED: Status = Status("412 Precondition Failed");
    pub const CONTENT_TOO_LARGE: Status = Status("413 Content Too Large");
    pub const URI_TOO_LONG: Status = Status("414 URI Too Long");
    pub const RANGE_NOT_SATISFIABLE: Status = Status("416 Range Not Satisfiable");
    pub const EXPECTATION_FAILED: Status = Status("417 Expectation Failed");
    pub const MISDIRECTED_REQUEST: Status = Status("421 Misdirected Request");
    pub const FIELDS_TOO_LARGE: Status = Status("431 Request Header Fields Too Large");
    pub const INTERNAL_SERVER_ERROR: Status = Status("500 Internal Server Error");
    pub const NOT_IMPLEMENTED: Status = Status("501 Not Implemented");
    pub const SERVICE_UNAVAILABLE: Status = Status("503 Service Unavailable");
    pub const VERSION_NOT_SUPPORTED: Status = Status("505 HTTP Version Not Supported");

    /// The number and the phrase, as they stand in a status line.
    pub fn text(self) -> &'static str {
        self.0
    }
}
