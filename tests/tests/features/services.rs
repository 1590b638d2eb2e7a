//! Features 49 to 53: accept, read, close, timers, signals and protocols of the user's.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use aem::net::{TcpListener, TcpStream};
use aem::{End, Next, on, on_ok};
use aem_tests::traffic::reset_when_closed;
use futures::{StreamExt, stream};

use super::{Log, on_both, settle};

#[test]
fn feature_49_accepting_is_an_event() {
    on_both(async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Log::default();
        let writer = peers.clone();
        let accepting = on_ok(listener.incoming().take(100), move |(_stream, peer)| {
            writer.borrow_mut().push(peer);
        });
        let mut visitors = Vec::new();
        for _ in 0..100 {
            visitors.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(accepting.await.unwrap(), End::Exhausted);
        let mut expected: Vec<_> = visitors.iter().map(|v| v.local_addr().unwrap()).collect();
        expected.sort();
        peers.borrow_mut().sort();
        assert_eq!(*peers.borrow(), expected, "each once, with its address");
    });
}

async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, peer)
}

#[test]
fn feature_50_a_read_brings_the_data() {
    on_both(async |_| {
        let (stream, mut peer) = pair().await;
        peer.write_all(b"complete").unwrap();
        // Owned: it may go anywhere, to another thread as well.
        let chunk = stream.recv().await.unwrap();
        let text = std::thread::spawn(move || String::from_utf8(chunk.into_vec()).unwrap());
        assert_eq!(text.join().unwrap(), "complete");
        // And two-way: what a handler changes in place goes back.
        let reply = stream.clone();
        let echo = on_ok(stream.chunks().take(1), move |mut chunk: aem::Chunk| {
            chunk.make_ascii_uppercase();
            drop(reply.send(chunk));
        });
        peer.write_all(b"shout").unwrap();
        echo.await.unwrap();
        stream.flush().await.unwrap();
        let mut said = [0; 5];
        std::io::Read::read_exact(&mut peer, &mut said).unwrap();
        assert_eq!(&said, b"SHOUT");
    });
}

/// How a peer leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Fin,
    HalfClose,
    Reset,
}

#[test]
fn feature_51_a_close_is_one_event_after_the_last_data() {
    on_both(async |_| {
        for leaving in [Leaving::Fin, Leaving::HalfClose, Leaving::Reset] {
            let (stream, mut peer) = pair().await;
            let events = Log::default();
            let writer = events.clone();
            let reading = on(stream.chunks(), move |chunk| {
                writer.borrow_mut().push(chunk.map(aem::Chunk::into_vec).map_err(|e| e.kind()));
            });
            peer.write_all(b"the last words").unwrap();
            while events.borrow().is_empty() {
                aem::time::sleep(Duration::from_millis(1)).await;
            }
            match leaving {
                Leaving::Fin => drop(peer),
                Leaving::HalfClose => peer.shutdown(Shutdown::Write).unwrap(),
                Leaving::Reset => {
                    reset_when_closed(&peer);
                    drop(peer);
                }
            }
            assert_eq!(reading.await.unwrap(), End::Exhausted, "{leaving:?}");
            let events = events.take();
            let bytes: Vec<u8> = events.iter().flatten().flatten().copied().collect();
            assert_eq!(bytes, b"the last words");
            let errors: Vec<_> = events.iter().filter_map(|event| event.clone().err()).collect();
            match leaving {
                Leaving::Reset => assert_eq!(errors, [std::io::ErrorKind::ConnectionReset]),
                _ => assert!(errors.is_empty(), "the end itself is the event: {errors:?}"),
            }
        }
    });
}

#[test]
fn feature_52_one_handler_for_one_timer_or_for_many() {
    on_both(async |_| {
        let fired = Log::default();
        let writer = fired.clone();
        let timers = (0..20_u64).map(|number| {
            let after = Duration::from_millis(number % 5);
            aem::time::after(after).map(move |_tick| number)
        });
        let many = on(stream::select_all(timers), move |number| writer.borrow_mut().push(number));
        assert_eq!(many.await.unwrap(), End::Exhausted);
        let mut all = fired.take();
        assert!(all.is_sorted_by_key(|number| number % 5), "in order of their deadlines: {all:?}");
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        let mut count = 0;
        let one = on(aem::time::every(Duration::from_millis(1)), move |_| {
            count += 1;
            if count == 3 { Next::Stop } else { Next::Keep }
        });
        assert_eq!(one.await.unwrap(), End::Stopped);
    });
}

#[test]
fn feature_53_signals_are_events_and_so_are_the_user_s_own_protocols() {
    let alone = aem_tests::watch::alone();
    // The first listener opens the process's one bell for signals, which stays.
    aem::block_on(async { drop(aem::signal::ctrl_c()) });
    drop(alone);
    on_both(async |_| {
        let asked = aem::signal::ctrl_c();
        let own = std::process::id() as libc::pid_t;
        // SAFETY: sends a signal to this process, which listens for it.
        let sent = unsafe { libc::kill(own, libc::SIGINT) };
        assert_eq!(sent, 0);
        asked.await;
        // A protocol of numbers, each behind its length, over whatever pieces the kernel makes.
        let (stream, mut peer) = pair().await;
        let sending = std::thread::spawn(move || {
            for number in 0..200_u32 {
                let text = number.to_string();
                let message = [&[text.len() as u8], text.as_bytes()].concat();
                message.chunks(2).for_each(|piece| peer.write_all(piece).unwrap());
            }
        });
        let bytes = stream.chunks().flat_map(|chunk| stream::iter(chunk.unwrap().into_vec()));
        let numbers = stream::unfold(Box::pin(bytes), async |mut bytes| {
            let length = usize::from(bytes.next().await?);
            let text: Vec<u8> = bytes.by_ref().take(length).collect().await;
            let number: u32 = String::from_utf8(text).ok()?.parse().ok()?;
            Some((number, bytes))
        });
        let seen = Log::default();
        let writer = seen.clone();
        on(numbers, move |number| writer.borrow_mut().push(number)).await.unwrap();
        sending.join().unwrap();
        assert_eq!(*seen.borrow(), (0..200).collect::<Vec<_>>());
        settle().await;
    });
}
