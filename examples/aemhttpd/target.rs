//! From a request's target to a path below the root.
//!
//! The order is what makes it safe: first everything is decoded, then it is judged, and what was
//! judged is what is opened. So there is no second spelling of `..` that only the file system
//! would understand. (The kernel holds the line as well: see `files`.)

use crate::response::Status;

/// The path below the root that a target names, decoded.
///
/// It never starts with `/`, has no empty, `.` or `..` segment and no NUL. It is empty or ends
/// with `/` exactly if the target named a directory.
///
/// # Errors
///
/// `BadRequest` for a target that is no path, for broken percent-encoding, for NUL, and for `..`
/// in any spelling: clients resolve it before they ask, so whoever sends it is up to something.
pub(crate) fn path(target: &str) -> Result<Vec<u8>, Status> {
    let decoded = percent_decoded(raw_path(target)?)?;
    if decoded.contains(&0) {
        return Err(Status::BadRequest);
    }
    let mut path = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b".." => return Err(Status::BadRequest),
            b"" | b"." => {}
            name => {
                path.extend_from_slice(name);
                if !is_last {
                    path.push(b'/');
                }
            }
        }
    }
    Ok(path)
}

/// Where a directory asked for without its last `/` is really found.
pub(crate) fn as_directory(target: &str) -> String {
    let path = raw_path(target).unwrap_or("/");
    // A location that begins with two slashes would name another host.
    format!("/{}/", path.trim_start_matches('/'))
}

/// The path of a target in origin form (`/page?query`) or absolute form (`http://host/page`).
fn raw_path(target: &str) -> Result<&str, Status> {
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if is_http(scheme) => match rest.find(['/', '?']) {
            Some(start) if rest[start..].starts_with('/') => &rest[start..],
            _ => "/",
        },
        _ => target,
    };
    if !origin.starts_with('/') || origin.contains('#') {
        return Err(Status::BadRequest);
    }
    Ok(origin.split('?').next().unwrap_or(origin))
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, Status> {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(Status::BadRequest)
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            plain => plain,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
