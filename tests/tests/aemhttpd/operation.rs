//! How it is run: by a supervisor, and with a log.

use crate::client::Client;
use crate::server::{Server, command, wait};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// What the server says on standard output after these requests and its end.
fn logged(format: &str, requests: &[&str]) -> Vec<String> {
    let server = Server::start(&["--log", format]);
    for request in requests {
        let mut client = Client::new(server.connect());
        client.send(request);
        client.answer();
    }
    server.signal(libc::SIGTERM);
    server.rest_of_output().lines().map(str::to_owned).collect()
}

const REQUESTS: [&str; 3] = [
    "GET /style.css?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /no%22where HTTP/1.1\r\nHost: a\r\n\r\n",
    "NONSENSE\r\n\r\n",
];

#[test]
fn each_answer_is_a_line_in_the_common_format() {
    let lines = logged("common", &REQUESTS);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, (request, status)) in lines.iter().zip([
        ("GET /style.css?a=b HTTP/1.1", "200"),
        ("GET /no%22where HTTP/1.1", "404"),
        ("-", "400"),
    ]) {
        let (before, rest) = line.split_once(" - - [").unwrap();
        let (time, rest) = rest.split_once(" +0000] ").unwrap();
        assert_eq!((before, time.len()), ("127.0.0.1", "06/Nov/1994:08:49:37".len()), "{line}");
        let (said, bytes) = rest.rsplit_once(' ').unwrap();
        assert_eq!(said, format!("\"{request}\" {status}"));
        assert!(bytes.parse::<u64>().unwrap() > 0, "{line}");
    }
}

#[test]
fn each_answer_is_an_object_of_json() {
    for line in logged("json", &REQUESTS) {
        assert!(line.starts_with("{\"time\":\"") && line.ends_with('}'), "{line}");
        assert!(line.contains("\"peer\":\"127.0.0.1\",\"request\":\""), "{line}");
    }
    assert!(logged("none", &REQUESTS).is_empty());
}

#[test]
fn a_supervisor_may_listen_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let own = command(&[]);
    let mut shell = Command::new("sh");
    // The number of the process is known to it alone.
    shell.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" 3<&0 0</dev/null"]);
    shell.arg(own.get_program()).stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with(&format!("http://{address}/ ")), "{first:?}");
    assert_eq!(Client::new(TcpStream::connect(address).unwrap()).get("/").status, 200);
    child.kill().unwrap();
    wait(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
