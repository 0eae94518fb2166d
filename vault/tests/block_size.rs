//! Each large file has blocks of a size of its own.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use tree::{Scratch, assert_same, noise, small_vault};
use vault::{Backup, Contents, Identities, Restore, Vault};

const KIB: u64 = 1 << 10;

/// Backs up with at most 64 blocks a file, checks that all of it restores, and returns the contents.
fn run(scratch: &Scratch, vault: &Vault, identities: &Identities, serial: u64) -> Contents {
    std::thread::sleep(std::time::Duration::from_millis(60));
    let source = scratch.path("source");
    let mut backup = Backup::new(&source, "host", serial);
    backup.cache = Some(scratch.path("cache"));
    backup.most_blocks = 64;
    let done = vault.backup(&backup).unwrap();
    assert_eq!(done.problems, []);
    let dest = scratch.folder(&format!("dest{serial}"));
    assert_eq!(vault.restore(&Restore::new(&done.contents, identities, &dest)).unwrap().problems, []);
    assert_same(&source, &dest);
    assert_eq!(vault.check_data(&done.contents, identities, &()).unwrap(), []);
    done.contents
}

/// Size and number of a file's blocks.
fn blocks(vault: &Vault, contents: &Contents, identities: &Identities, name: &str) -> (u64, usize) {
    let mut entries = vault.catalogue(contents, identities).unwrap().map(Result::unwrap);
    let entry = entries.find(|entry| entry.path.as_bytes() == name.as_bytes()).unwrap();
    (entry.blocks.as_ref().unwrap().size, entry.block_list().len())
}

#[test]
fn a_file_keeps_its_block_size_as_it_grows_until_its_blocks_are_too_many() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let image = source.join("image");
    fs::write(&image, noise(3 << 19, 1)).unwrap();
    let first = run(&scratch, &vault, &identities, 1);
    assert_eq!(blocks(&vault, &first, &identities, "image"), (32 * KIB, 48));

    let mut file = OpenOptions::new().append(true).open(&image).unwrap();
    file.write_all(&noise(1 << 19, 2)).unwrap();
    let grown = run(&scratch, &vault, &identities, 2);
    assert_eq!(blocks(&vault, &grown, &identities, "image"), (32 * KIB, 64));
    assert!((1 << 19..1 << 20).contains(&grown.totals.added), "{} bytes", grown.totals.added);

    file.write_all(b"x").unwrap();
    let again = run(&scratch, &vault, &identities, 3);
    assert_eq!(blocks(&vault, &again, &identities, "image"), (64 * KIB, 33));
    assert!(again.totals.added > 2 << 20, "in other blocks it is stored as a whole");

    file.set_len(1 << 20).unwrap();
    let cut = run(&scratch, &vault, &identities, 4);
    assert_eq!(blocks(&vault, &cut, &identities, "image"), (64 * KIB, 16));
    assert!(cut.totals.added < 64 << 10, "nothing but its metadata: {} bytes", cut.totals.added);
}

#[test]
fn a_sparse_file_has_blocks_by_its_data_and_a_small_write_costs_one() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let file = fs::File::create(source.join("sparse")).unwrap();
    file.set_len(16 << 30).unwrap();
    file.write_all_at(&noise(200_000, 1), 5 << 30).unwrap();
    file.write_all_at(&noise(200_000, 2), 9 << 30).unwrap();
    let first = run(&scratch, &vault, &identities, 1);
    assert_eq!(blocks(&vault, &first, &identities, "sparse"), (16 * KIB, 26));

    file.write_all_at(b"changed", (9 << 30) + 70_000).unwrap();
    let second = run(&scratch, &vault, &identities, 2);
    assert!(second.totals.added < 24 * KIB, "one block and the file's headers: {} bytes", second.totals.added);
}

#[test]
fn a_full_run_points_to_nothing_of_earlier_ones_and_the_next_points_to_it() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let (vault, identities) = small_vault(&scratch.path("vault"));
    fs::write(source.join("large"), noise(1 << 20, 1)).unwrap();
    fs::write(source.join("small"), noise(1_000, 2)).unwrap();
    let first = run(&scratch, &vault, &identities, 1);
    let mut backup = Backup::new(&source, "host", 2);
    backup.cache = Some(scratch.path("cache"));
    backup.full = true;
    let full = vault.backup(&backup).unwrap().contents;
    assert_eq!((full.runs.len(), full.totals.unchanged), (1, 0));
    assert!(first.segments.iter().all(|segment| !full.segments.contains(segment)));
    let third = run(&scratch, &vault, &identities, 3);
    assert_eq!((third.totals.added, &third.segments), (0, &full.segments));
}
