//! Features 43 to 48: a small core, and modules that come and go.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use aem::net::{TcpListener, TcpStream};
use aem::{Backend, BackendKind, Runtime, jobs, on, on_ok, spawn};
use aem_tests::keepers;
use aem_tests::scale::scaled_count;
use futures::channel::mpsc;
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Log, full_of, on_both, settle};

#[test]
fn feature_43_a_module_needs_nothing_but_the_public_core() {
    on_both(async |_| {
        // A module of lines, made of a pipe and of what any crate may use.
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = aem::fd::AsyncFd::new(reader).unwrap();
        let module = stream::try_unfold((reader, Vec::new()), async |(reader, mut held)| {
            loop {
                if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = held.drain(..=end).collect();
                    let text = String::from_utf8_lossy(&line[..end]).into_owned();
                    return Ok(Some((text, (reader, held))));
                }
                let mut buffer = [0; 16];
                reader.readable().await?;
                match reader.get_ref().read(&mut buffer)? {
                    0 => return std::io::Result::Ok(None),
                    n => held.extend(&buffer[..n]),
                }
            }
        });
        let lines = Log::default();
        let sink = lines.clone();
        let reading = on_ok(module, move |line: String| sink.borrow_mut().push(line));
        writer.write_all(b"one\ntwo is a longer li").unwrap();
        settle().await;
        writer.write_all(b"ne\n").unwrap();
        drop(writer);
        reading.await.unwrap();
        assert_eq!(*lines.borrow(), ["one", "two is a longer line"]);
    });
}

#[test]
fn feature_44_an_implementation_is_replaced_while_it_is_in_use() {
    let many = scaled_count(1_000_000, 50_000) as u32;
    on_both(async |_| {
        let (sender, receiver) = mpsc::unbounded::<u32>();
        let expected = Rc::new(Cell::new(0));
        let by = Rc::new(Cell::new(0));
        let version = |number: u32| {
            let (expected, by) = (expected.clone(), by.clone());
            move |event: u32| {
                assert_eq!(event, expected.replace(event + 1), "none is lost or seen twice");
                by.set(number);
            }
        };
        let registration = on(receiver, version(0));
        let load = std::thread::spawn(move || {
            (0..many).for_each(|number| sender.unbounded_send(number).unwrap());
        });
        let mut replaced = 0;
        while expected.get() < many {
            replaced += 1;
            assert!(registration.replace(version(replaced)) || expected.get() == many);
            aem::time::sleep(Duration::from_micros(100)).await;
        }
        load.join().unwrap();
        assert!(replaced > 1 && by.get() > 0, "{replaced} replacements");
    });
}

#[test]
fn feature_45_implementations_coexist() {
    let _alone = aem_tests::watch::alone();
    // Two keepers in two runtimes of one process, each with its own visitors.
    let both = keepers::both();
    let threads = both.into_iter().map(|keeper| {
        std::thread::spawn(move || {
            let runtime = keepers::builder(keeper).build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let client = TcpStream::connect(listener.local_addr().unwrap());
                let (client, accepted) = futures::future::join(client, listener.accept()).await;
                let (client, (server, _peer)) = (client.unwrap(), accepted.unwrap());
                // Two handlers of one stream, each an implementation of its own, share its bytes.
                let count = Rc::new(Cell::new(0));
                let counters = [count.clone(), count.clone()];
                let [first, second] = counters.map(|count| {
                    on_ok(server.chunks(), move |chunk: aem::Chunk| {
                        count.set(count.get() + chunk.len());
                    })
                });
                for _ in 0..100 {
                    client.send("12345").await.unwrap();
                }
                client.close().await.unwrap();
                first.await.unwrap();
                second.await.unwrap();
                assert_eq!(count.get(), 500);
            });
        })
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn feature_46_what_there_is_is_found_by_name() {
    on_both(async |_| {
        let found = |name: &str| jobs().into_iter().find(|job| job.name.as_deref() == Some(name));
        let (sender, receiver) = full_of([()]);
        let clock = on(aem::time::every(Duration::from_secs(1)), drop).name("clock");
        let mail = on(receiver, drop).name("mail");
        settle().await;
        assert_eq!(found("clock").unwrap().id, clock.id());
        assert_eq!(found("mail").unwrap().events, 1);
        assert!(found("nobody").is_none());
        drop((clock, mail, sender));
        settle().await;
        assert!(found("mail").is_none());
        let report = aem::Handle::current().backend();
        assert!(report.reason.starts_with(&report.kind.to_string()), "{report:?}");
    });
    let _alone = aem_tests::watch::alone();
    let epoll = Runtime::builder().backend(Backend::Epoll).build().unwrap();
    assert_eq!(epoll.handle().backend().kind, BackendKind::Epoll);
}

#[test]
fn feature_47_the_interfaces_are_those_that_exist() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // `Stream`'s combinators make a server, `AsyncRead` and `AsyncWrite` its dialogue.
        let server = spawn(async move {
            let served =
                listener.incoming().take(2).try_for_each_concurrent(2, |(stream, _)| async move {
                    let mut lines = BufReader::new(&stream).lines();
                    while let Some(line) = lines.try_next().await? {
                        (&stream).write_all(line.to_uppercase().as_bytes()).await?;
                        (&stream).write_all(b"\n").await?;
                    }
                    stream.flush().await
                });
            served.await
        });
        for name in ["ericsson", "rossi"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("{name}\nand again\n").as_bytes()).await.unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, format!("{}\nAND AGAIN\n", name.to_uppercase()));
        }
        server.await.unwrap().unwrap();
    });
}

#[test]
fn feature_48_any_descriptor_is_a_source() {
    on_both(async |_| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = aem::fd::AsyncFd::new(reader).unwrap();
        let bytes = Rc::new(Cell::new(0));
        let (counter, pipe) = (bytes.clone(), reader.clone());
        let readable = reader.readiness(aem::fd::Interest::READABLE);
        let reading = on_ok(readable, move |_| -> aem::Result<aem::Next> {
            let mut buffer = [0; 64];
            let n = pipe.get_ref().read(&mut buffer)?;
            counter.set(counter.get() + n);
            Ok(if n == 0 { aem::Next::Stop } else { aem::Next::Keep })
        });
        for _ in 0..10 {
            writer.write_all(&[7; 100]).unwrap();
            settle().await;
        }
        drop(writer);
        reading.await.unwrap();
        assert_eq!(bytes.get(), 1_000);
        drop(reader);
    });
}
