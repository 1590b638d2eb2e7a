//! Watches a directory while it is worked in, and says what has happened there.
//!
//! ```text
//! cargo run --release --example watch_files [DIRECTORY]
//! ```
//!
//! Without an argument it watches a directory of its own, in which it does something itself, and ends when it
//! has heard of all that.

use std::path::Path;

use aem::fs::{self, Change, ChangeKind, Watch};

fn say(change: &Change) {
    let (path, slash) = (change.path.display(), if change.is_dir { "/" } else { "" });
    match &change.kind {
        ChangeKind::Renamed { from } => println!("{} is now {path}{slash}", from.display()),
        ChangeKind::Overflow => println!("more has happened below {path} than was told"),
        kind => println!("{path}{slash}: {kind:?}"),
    }
}

/// Something to be seen.
async fn work(place: &Path) -> std::io::Result<()> {
    fs::create_dir_all(place.join("drafts/old")).await?;
    fs::write(place.join("drafts/letter"), "Dear reader").await?;
    fs::append(place.join("drafts/letter"), ", farewell.").await?;
    fs::rename(place.join("drafts/letter"), place.join("letter")).await?;
    fs::remove_dir_all(place).await
}

#[aem::main]
async fn main() -> aem::Result {
    let named = std::env::args_os().nth(1);
    let own = std::env::temp_dir().join(format!("aem-watch-files-{}", std::process::id()));
    if named.is_none() {
        fs::create_dir(&own).await?;
    }
    let place = named.as_ref().map_or(own.as_path(), Path::new);
    let changes = Watch::new().recursive(true).start(place).await?;
    // The source ends with what it watches, and the handler with its source.
    let heard = aem::on_ok(changes, |change| say(&change));
    if named.is_none() {
        work(&own).await?;
    }
    heard.await?;
    Ok(())
}
