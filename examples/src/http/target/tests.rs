//! Which path a target names, and which it never names.

use super::*;

fn path_of(target: &str) -> Result<String, Status> {
    match Target::read(target.as_bytes(), Method::Get)? {
        Target::Path(path_there) => {
            path(path_there).map(|path| String::from_utf8_lossy(&path).into_owned())
        }
        Target::Server => panic!("{target} is the server"),
    }
}

#[test]
fn targets_name_paths_below_the_root() {
    for (target, expected) in [
        ("/", ""),
        ("/?query", ""),
        ("/index.html", "index.html"),
        ("/a/b.txt?c=/../d", "a/b.txt"),
        ("/a/", "a/"),
        ("//a///b//", "a/b/"),
        ("/./a/./b", "a/b"),
        ("/a/.", "a/"),
        ("/%41%2fb%20c", "A/b c"),
        ("/a+b", "a+b"),
        ("/...", "..."),
        ("/..a/b..", "..a/b.."),
        ("/%e2%82%ac", "€"),
        ("/%5c..%5Ca", "\\..\\a"),
        ("http://host/a/b?c", "a/b"),
        ("HTTP://host", ""),
        ("http://host?a/b", ""),
    ] {
        assert_eq!(path_of(target).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn dot_dot_is_refused_in_every_spelling() {
    for target in [
        "/..",
        "/../",
        "/../etc/passwd",
        "/a/../b",
        "/%2e%2e/etc/passwd",
        "/%2E%2E%2Fetc",
        "/.%2e/etc",
        "/%2e./etc",
        "/a%2f..%2f..%2fetc",
        "/a/..?b",
        "http://host/../etc",
    ] {
        assert_eq!(path_of(target), Err(Status::BAD_REQUEST), "{target}");
    }
    // Decoding happens once: what is left is a name like any other.
    assert_eq!(path_of("/%252e%252e/x").as_deref(), Ok("%2e%2e/x"));
}

#[test]
fn what_is_no_path_is_refused() {
    for target in
        ["*", "", "a", "host:80", "ftp://host/a", "/a%", "/a%4", "/a%zz", "/a%+1", "/a%00b", "/a#b"]
    {
        assert_eq!(path_of(target), Err(Status::BAD_REQUEST), "{target}");
    }
}

#[test]
fn a_location_stays_on_this_host() {
    assert_eq!(as_directory(b"/docs"), "/docs/");
    assert_eq!(as_directory(b"//evil.example"), "/evil.example/");
    assert_eq!(as_directory(b"/a%20b"), "/a%20b/");
}
