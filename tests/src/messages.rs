//! Messages that say whose they are and which, so that one who gets them knows what is missing.

/// Bytes of a long message: more than a runtime would copy, less than one of its buffers.
pub const LONG: usize = 6_000;

/// Bytes of a short message.
pub const SHORT: usize = 8;

/// Long message `number` of `id`.
#[must_use]
pub fn long(id: u32, number: u32) -> Vec<u8> {
    let salt = id.wrapping_mul(31).wrapping_add(number.wrapping_mul(17));
    let mut message = id.to_le_bytes().to_vec();
    message.extend((4..LONG as u32).map(|index| (index.wrapping_mul(7) ^ salt) as u8));
    message
}

/// Short message `number` of `id`.
#[must_use]
pub fn short(id: u32, number: u32) -> [u8; SHORT] {
    let mut message = [0; SHORT];
    message[..4].copy_from_slice(&id.to_le_bytes());
    message[4..].copy_from_slice(&number.to_le_bytes());
    message
}

/// Whose message it is.
///
/// # Panics
/// If there is less than its head.
#[must_use]
pub fn id(message: &[u8]) -> u32 {
    u32::from_le_bytes(message[..4].try_into().expect("four bytes"))
}
