//! Reads the terminal, or whatever standard input is, line by line, beside a clock that goes on meanwhile.
//!
//! Standard input is shared with the shell, so that its mode stays as it is: the descriptor is asked whether
//! there is something, and read once then, which does not wait. A regular file cannot be waited for, as it is
//! always ready; it is read on a thread.

use std::io::{BufRead, Stdin, stdin};
use std::time::Duration;

use aem::fd::AsyncFd;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

/// The lines of a descriptor that can be waited for.
fn lines(input: AsyncFd<Stdin>) -> impl Stream<Item = std::io::Result<String>> {
    stream::try_unfold((input, Vec::new()), async |(input, mut held)| {
        loop {
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let rest = held.split_off(end + 1);
                let line = String::from_utf8_lossy(&held[..end]).into_owned();
                return Ok(Some((line, (input, rest))));
            }
            input.readable().await?;
            let mut buffer = [0; 4096];
            match rustix::io::read(input.get_ref(), &mut buffer)? {
                0 if held.is_empty() => return Ok(None),
                // The last line had no end.
                0 => held.push(b'\n'),
                n => held.extend_from_slice(&buffer[..n]),
            }
        }
    })
}

#[aem::main]
async fn main() -> aem::Result {
    let mut seconds = 0;
    let clock = aem::on(aem::time::every(Duration::from_secs(1)), move |_tick| {
        seconds += 1;
        eprintln!("{seconds} s");
    });
    let print = |line: String| println!("{} characters: {line}", line.chars().count());
    match AsyncFd::try_new(stdin()) {
        Ok(input) => lines(input).map_ok(print).try_collect::<()>().await?,
        Err((_always_ready, input)) => {
            let read = move || input.lock().lines().collect::<Result<Vec<String>, _>>();
            let all = aem::spawn_blocking(read).await??;
            stream::iter(all).for_each(async |line| print(line)).await;
        }
    }
    clock.stop();
    Ok(())
}
