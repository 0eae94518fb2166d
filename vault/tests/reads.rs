//! What a restore reads: the key, the catalogue, and just the segments that hold what was asked for.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod failing;
mod tree;

use std::fs;
use std::sync::Arc;

use failing::Failing;
use tree::{Scratch, noise, small_vault};
use vault::{Backup, EntryPath, Restore, Selection, Vault};

#[test]
fn one_file_reads_one_segment_and_a_large_one_those_of_its_blocks() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    for at in 0..30 {
        fs::write(source.join(format!("file{at:02}")), noise(60_000, at)).unwrap();
    }
    let mut large = noise(1_000_000, 99);
    fs::write(source.join("large"), &large).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let backup = |serial| {
        let mut backup = Backup::new(&source, "host", serial);
        // One worker: where each file lies must not depend on who was faster.
        (backup.cache, backup.workers) = (Some(scratch.path("cache")), 1);
        vault.backup(&backup).unwrap().contents
    };
    backup(1);
    large[500_000] ^= 1;
    fs::write(source.join("large"), &large).unwrap();
    let contents = backup(2);
    assert!(contents.segments.len() > 10);

    let store = Arc::new(Failing::never(scratch.path("vault")));
    let counted = Vault::open(store.clone()).unwrap();
    let segments_read = |path: &str| {
        let dest = scratch.folder(&format!("dest-{path}"));
        let mut restore = Restore::new(&contents, &identities, &dest);
        restore.select = Selection::Paths(vec![EntryPath::new(path).unwrap()]);
        store.take_read();
        assert_eq!(counted.restore(&restore).unwrap().problems, []);
        assert!(fs::read(dest.join(path)).unwrap() == fs::read(source.join(path)).unwrap());
        let read = store.take_read();
        read.iter().filter(|name| name.starts_with("segments/")).count()
    };
    assert_eq!(segments_read("file07"), 1);
    // A megabyte in blocks of 16 KiB fills four segments of 256 KiB, begun and ended in others, and one block is of
    // the second run.
    let of_large = segments_read("large");
    assert!((4..contents.segments.len() - 2).contains(&of_large), "{of_large} of {}", contents.segments.len());
}
