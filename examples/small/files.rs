//! Copies a file, four pieces at a time, while the loop does other things.
//!
//! ```text
//! cargo run --release --example files [FROM TO]
//! ```
//!
//! Without arguments it copies itself, to a place from where it is removed again.

use std::io;
use std::path::{Path, PathBuf};

use aem::fs::File;
use futures::{StreamExt, TryStreamExt, stream};

/// So many bytes are read and written at once.
const PIECE: u64 = 256 * 1024;

/// So many pieces are under way at the same time.
const AT_ONCE: usize = 4;

async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let (from, to) = (File::open(from).await?, File::create(to).await?);
    let size = from.metadata().await?.len();
    let offsets = (0..size).step_by(PIECE as usize);
    let piece = async |offset: u64| {
        let bytes = from.read_at(PIECE as usize, offset).await?;
        let read = bytes.len() as u64;
        to.write_at(bytes, offset).await?;
        Ok::<u64, io::Error>(read)
    };
    let copied = stream::iter(offsets).map(piece).buffer_unordered(AT_ONCE);
    let copied = copied.try_fold(0, async |sum, read| Ok(sum + read)).await?;
    to.sync_all().await?;
    to.close().await?;
    Ok(copied)
}

#[aem::main]
async fn main() -> aem::Result {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let backend = aem::Handle::current().backend();
    match arguments.as_slice() {
        [from, to] => {
            let copied = copy(from, to).await?;
            println!("{copied} bytes, backend={}", backend.kind);
        }
        [] => {
            let to = std::env::temp_dir().join(format!("aem-files-{}", std::process::id()));
            let copied = copy(&std::env::current_exe()?, &to).await;
            std::fs::remove_file(to)?;
            println!("{} bytes, backend={}", copied?, backend.kind);
        }
        _ => return Err("usage: files [FROM TO]".into()),
    }
    Ok(())
}
