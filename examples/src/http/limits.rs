//! What a request may be at most, each limit with the reason for its value.

/// Bytes of a request's head, request line included. Browsers with many cookies send 4 to 8 KiB.
pub const MAX_HEAD: usize = 16 * 1024;

/// Bytes of a request line. RFC 9112 wants 8,000 at least.
pub const MAX_LINE: usize = 8 * 1024;

/// Bytes of a method. The longest that is registered has 17.
pub const MAX_METHOD: usize = 32;

/// Empty lines before a request that are passed over. Old clients sent one after a body.
pub const MAX_BLANKS: usize = 4;

/// Header fields in one request. Browsers send about 20, proxies add a handful.
pub const MAX_FIELDS: usize = 100;

/// Header fields that are looked for first. Benchmarks send one or two, browsers sometimes more than this.
pub const FEW_FIELDS: usize = 16;

/// Bytes of a request's body: it is kept until it is whole.
pub const MAX_BODY: u64 = 256 * 1024;

/// Bytes of a chunk's size and extensions, or of one trailer field. Nobody sends more than the size.
pub const MAX_CHUNK_LINE: usize = 1024;

/// Bytes of all such lines of one body. In chunks of single bytes each has three, so that one of 20,000
/// bytes may come so.
pub const MAX_CHUNK_LINES: usize = 64 * 1024;

/// Ranges of a file in one answer. Viewers of documents ask for a handful.
pub const MAX_RANGES: usize = 16;
