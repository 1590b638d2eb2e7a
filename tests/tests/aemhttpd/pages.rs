//! What is served, byte for byte, and how connections are kept.

use crate::client::{Answer, Client, get};
use crate::server::{Directory, Server, shipped_site};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;
use std::{fs, io};

/// Bytes that no two offsets share for long, so that a lost or doubled piece shows.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(step).collect()
}

#[test]
fn the_shipped_site_comes_byte_for_byte() {
    let server = Server::start(&[]);
    assert!(["epoll", "io_uring"].contains(&server.backend.as_str()), "{}", server.backend);
    let mut client = Client::new(server.connect());
    let mut sizes = Vec::new();
    for entry in fs::read_dir(shipped_site()).unwrap() {
        let path = entry.unwrap().path();
        let (name, bytes) = (path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
        let answer = client.get(&format!("/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.body == bytes, "{name} differs");
        let media_type = match path.extension().unwrap().to_str().unwrap() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "png" => "image/png",
            "svg" => "image/svg+xml",
            other => panic!("the test does not know .{other}"),
        };
        assert_eq!(answer.field("Content-Type"), Some(media_type), "{name}");
        sizes.push(bytes.len());
    }
    assert!(sizes.len() >= 5 && sizes.contains(&(1 << 20)), "{sizes:?}");
    let index = fs::read(shipped_site().join("index.html")).unwrap();
    assert!(client.get("/").body == index);
    assert!(client.get("/?query").body == index);
    assert!(client.get("http://test/").body == index);
}

#[test]
fn files_of_every_size_and_name_come_byte_for_byte() {
    let directory = Directory::new();
    let sizes = [0, 1, 1000, 65_535, 65_536, 65_537, 131_072, 200_001, 5_000_000];
    for size in sizes {
        directory.write(&format!("{size}.bin"), noise(size));
    }
    directory.write("docs/index.html", "docs");
    directory.write("a b/€ & ü.txt", "names");
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    for size in sizes {
        let answer = client.get(&format!("/{size}.bin"));
        assert!(answer.status == 200 && answer.body == noise(size), "{size}");
        assert_eq!(answer.field("Content-Type"), Some("application/octet-stream"));
    }
    assert_eq!(client.get("/docs/").body, b"docs");
    assert_eq!(client.get("/a%20b/%e2%82%ac%20%26%20%C3%BC.txt").body, b"names");
    let answer = client.get("/docs");
    assert_eq!((answer.status, answer.field("Location")), (301, Some("/docs/")));
    assert_eq!(client.get("/").status, 404);
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.get("/1.bin/").status, 404);
}

#[test]
fn a_connection_is_kept_for_many_requests() {
    let server = Server::start(&[]);
    let mut client = Client::new(server.connect());
    let style = fs::read(shipped_site().join("style.css")).unwrap();
    for round in 0..200 {
        let answer = client.get("/style.css");
        assert!(answer.body == style && answer.field("Connection").is_none(), "{round}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let directory = Directory::new();
    for n in 0..50 {
        directory.write(&format!("{n}"), format!("page {n}"));
    }
    directory.write("big", noise(700_000));
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    let mut requests = String::new();
    for n in 0..50 {
        requests += &get(&format!("/{n}"));
        if n % 20 == 10 {
            requests += &get("/big");
            requests += "HEAD /big HTTP/1.1\r\nHost: test\r\n\r\n";
        }
    }
    client.send(requests);
    for n in 0..50 {
        assert_eq!(client.answer().body, format!("page {n}").as_bytes());
        if n % 20 == 10 {
            assert!(client.answer().body == noise(700_000));
            assert_eq!(client.answer_to("HEAD").field("Content-Length"), Some("700000"));
        }
    }
    // Many more than fit into a batch, while nobody reads them yet.
    client.send(get("/big").repeat(30));
    for _ in 0..30 {
        assert!(client.answer().body == noise(700_000));
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let mut client = Client::new(server.connect());
    for byte in get("/style.css").repeat(2).as_bytes() {
        client.send([*byte]);
    }
    let style = fs::read(shipped_site().join("style.css")).unwrap();
    assert!(client.answer().body == style && client.answer().body == style);
}

#[test]
fn head_is_get_without_its_body() {
    let server = Server::start(&[]);
    let mut client = Client::new(server.connect());
    for target in ["/", "/primes.html", "/nowhere", "/ripples.png"] {
        let (head, get) = (client.head(target), client.get(target));
        assert_eq!(head.status, get.status);
        assert_eq!(head.field("Content-Length"), Some(get.body.len().to_string().as_str()));
        for name in ["Content-Type", "Last-Modified"] {
            assert_eq!(head.field(name), get.field(name), "{target}");
        }
    }
}

#[test]
fn a_page_that_has_not_changed_is_not_sent_again() {
    let directory = Directory::new();
    directory.write("page.html", "first");
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    let modified = client.get("/page.html").field("Last-Modified").unwrap().to_owned();
    let ask = |since: &str| {
        format!("GET /page.html HTTP/1.1\r\nHost: test\r\nIf-Modified-Since: {since}\r\n\r\n")
    };
    client.send(ask(&modified));
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("Last-Modified")), (304, Some(modified.as_str())));
    client.send(ask("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(client.answer().body, b"first");
    client.send(ask("no date"));
    assert_eq!(client.answer().body, b"first");
}

#[test]
fn http_1_0_closes_unless_it_is_asked_to_stay() {
    let server = Server::start(&[]);
    let style = fs::read(shipped_site().join("style.css")).unwrap();
    let mut client = Client::new(server.connect());
    client.send("GET /style.css HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert!(answer.body == style && answer.field("Connection") == Some("close"));
    client.is_closed();

    let mut client = Client::new(server.connect());
    for _ in 0..3 {
        client.send("GET /style.css HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert!(answer.body == style && answer.field("Connection") == Some("keep-alive"));
    }
    client.send("GET /primes.html HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.body.len(), answer.field("Connection")), (1 << 20, Some("close")));
    client.is_closed();
}

#[test]
fn a_client_that_closes_its_side_gets_its_answers() {
    let server = Server::start(&[]);
    let primes = fs::read(shipped_site().join("primes.html")).unwrap();
    let mut client = Client::new(server.connect());
    client.send([get("/style.css"), get("/primes.html"), get("/style.css")].concat());
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 200);
    assert!(client.answer().body == primes);
    assert_eq!(client.answer().status, 200);
    client.is_closed();
}

#[test]
fn many_clients_at_once_get_the_right_bytes() {
    let server = Server::start(&[]);
    let site = shipped_site();
    let pages = ["index.html", "style.css", "flow.svg", "ripples.png", "primes.html"];
    let bytes: Vec<_> = pages.iter().map(|page| fs::read(site.join(page)).unwrap()).collect();
    let mut clients: Vec<_> = (0..200).map(|_| Client::new(server.connect())).collect();
    thread::scope(|scope| {
        for (group, clients) in clients.chunks_mut(50).enumerate() {
            let (pages, bytes) = (&pages, &bytes);
            scope.spawn(move || {
                for round in 0..3 {
                    let which = |n: usize| (group + round + n) % pages.len();
                    for (n, client) in clients.iter_mut().enumerate() {
                        client.send(get(&format!("/{}", pages[which(n)])));
                    }
                    for (n, client) in clients.iter_mut().enumerate() {
                        assert!(client.answer().body == bytes[which(n)]);
                    }
                }
            });
        }
    });
    assert_eq!(server.fact("Threads:"), 1);
}

#[test]
fn a_slow_reader_gets_all_of_a_big_file_and_costs_no_memory() {
    const SIZE: u64 = 64 << 20;
    const READERS: usize = 8;
    let directory = Directory::new();
    let big = noise(1 << 20);
    directory.write("big", big.repeat(usize::try_from(SIZE >> 20).unwrap()));
    let server = Server::on(directory.path());
    let mut clients: Vec<_> = (0..READERS).map(|_| Client::new(server.connect())).collect();
    // One answer warms the server up: buffers, code, the heap.
    assert_eq!(clients[0].head("/big").field("Content-Length"), Some("67108864"));
    let before = server.fact("VmRSS:");
    for client in &mut clients {
        client.send(get("/big"));
    }
    let mut most = before;
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(10));
        most = most.max(server.fact("VmRSS:"));
    }
    for client in &mut clients {
        let answer = client.answer();
        most = most.max(server.fact("VmRSS:"));
        assert!(answer.body.chunks(1 << 20).all(|part| part == big), "a byte differs");
    }
    let grown = most - before;
    assert!(grown < 1024 * READERS as u64, "{grown} KiB for {READERS} readers");
    assert_eq!(server.fact("Threads:"), 1);
}

#[test]
fn clients_that_leave_in_the_middle_disturb_nobody() {
    let server = Server::start(&[]);
    for round in 0..30 {
        let mut client = Client::new(server.connect());
        client.send(get("/primes.html").repeat(10));
        if round % 2 == 0 {
            let mut some = [0; 1000];
            io::Read::read_exact(&mut client.stream(), &mut some).unwrap();
        }
        // Unread data makes this a reset.
        drop(client);
    }
    assert_eq!(Client::new(server.connect()).get("/").status, 200);
}

/// Asks for a page with these fields.
fn ask(client: &mut Client, target: &str, fields: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.answer()
}

#[test]
fn parts_of_a_page_come_as_they_are_asked_for() {
    let directory = Directory::new();
    let whole = noise(300_000);
    directory.write("big.bin", &whole);
    directory.write("empty", "");
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    let first = client.get("/big.bin");
    assert_eq!(first.field("Accept-Ranges"), Some("bytes"));
    let tag = first.field("ETag").unwrap().to_owned();
    for (range, from, to) in [
        ("0-0", 0, 1),
        ("1000-1999", 1000, 2000),
        ("299999-", 299_999, 300_000),
        ("-5", 299_995, 300_000),
        ("100000-999999999", 100_000, 300_000),
    ] {
        let answer = ask(&mut client, "/big.bin", &format!("Range: bytes={range}\r\n"));
        let told = format!("bytes {from}-{}/300000", to - 1);
        assert_eq!((answer.status, answer.field("Content-Range")), (206, Some(&told[..])));
        assert!(answer.body == whole[from..to], "{range}");
        assert_eq!(answer.field("ETag"), Some(&tag[..]));
    }
    for (target, range) in [("/big.bin", "300000-"), ("/empty", "0-")] {
        let answer = ask(&mut client, target, &format!("Range: bytes={range}\r\n"));
        let size = if target == "/empty" { "bytes */0" } else { "bytes */300000" };
        assert_eq!((answer.status, answer.field("Content-Range")), (416, Some(size)));
    }
    let same = ask(&mut client, "/big.bin", &format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n"));
    assert_eq!((same.status, same.body.len()), (206, 10));
    let other = ask(&mut client, "/big.bin", "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n");
    assert_eq!((other.status, other.body.len()), (200, 300_000));
    // HEAD has no parts.
    client.send("HEAD /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n");
    let head = client.answer_to("HEAD");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("300000")));
}

#[test]
fn several_parts_come_in_one_answer() {
    let directory = Directory::new();
    let whole = noise(200_000);
    directory.write("big.bin", &whole);
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    let answer = ask(&mut client, "/big.bin", "Range: bytes=0-9,50000-149999,-1\r\n");
    assert_eq!(answer.status, 206);
    let media_type = answer.field("Content-Type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut left = &answer.body[..];
    for (from, to) in [(0, 10), (50_000, 150_000), (199_999, 200_000)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {from}-{}/200000\r\n\r\n",
            to - 1
        );
        left = left.strip_prefix(head.as_bytes()).expect("the head of a part");
        let (part, rest) = left.split_at(to - from);
        assert!(part == &whole[from..to]);
        left = rest;
    }
    assert_eq!(left, format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(client.get("/big.bin").body.len(), 200_000, "the connection goes on");
}

#[test]
fn conditions_are_judged_by_tag_and_date() {
    let directory = Directory::new();
    directory.write("page.html", "<p>one");
    let server = Server::on(directory.path());
    let mut client = Client::new(server.connect());
    let first = client.get("/page.html");
    let tag = first.field("ETag").unwrap().to_owned();
    let mut status = |fields: String| ask(&mut client, "/page.html", &fields).status;
    assert_eq!(status(format!("If-None-Match: \"x\", W/{tag}\r\n")), 304);
    assert_eq!(status("If-None-Match: \"x\"\r\n".into()), 200);
    assert_eq!(status(format!("If-Match: {tag}\r\n")), 200);
    assert_eq!(status("If-Match: \"x\"\r\n".into()), 412);
    assert_eq!(status("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".into()), 412);
    // A page that is written anew within the second has another tag.
    directory.write("page.html", "<p>two");
    assert_eq!(status(format!("If-None-Match: {tag}\r\n")), 200);
}
