//! Somebody else writes to the destination while a restore runs: nothing outside it changes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod tree;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use tree::{Scratch, describe, noise, set_xattr, small_vault};
use vault::{Backup, Contents, Identities, Restore, Vault};

/// Restores per test; each is one race in which every entry is a chance.
const ROUNDS: usize = 30;

fn fifo(path: &Path, mode: u32) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(mode), 0).unwrap();
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

/// Names that the victim outside has too, so that whatever follows a link would hit something.
fn fill(folder: &Path, content: u64, mode: u32) {
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    for at in 0..40 {
        for name in [format!("file{at}"), format!("deep/file{at}"), format!("deep/er/file{at}")] {
            fs::write(folder.join(name), noise(2000, content + at)).unwrap();
        }
        fifo(&folder.join(format!("deep/fifo{at}")), mode);
        std::os::unix::fs::symlink("nowhere", folder.join(format!("deep/link{at}"))).unwrap();
    }
    fs::write(folder.join("deep/large"), noise(900_000, content)).unwrap();
    fs::hard_link(folder.join("deep/file0"), folder.join("deep/er/again")).unwrap();
    set_xattr(&folder.join("deep/file1"), "user.colour", &content.to_le_bytes());
}

/// Runs restores into `dest` while `meddle` is done over and over; gives how many of them noticed.
fn race(
    (vault, identities, contents): &(Vault, Identities, Contents),
    dest: &Path,
    prepare: impl Fn(),
    meddle: impl Fn(u64) + Sync,
) -> usize {
    let mut noticed = 0;
    for round in 0..ROUNDS {
        fs::remove_dir_all(dest).unwrap();
        fs::create_dir(dest).unwrap();
        prepare();
        let (over, turns) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    meddle(turns.fetch_add(1, Ordering::Relaxed));
                }
            });
            while turns.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            let mut restore = Restore::new(contents, identities, dest);
            restore.skip_complete = round % 3 == 2;
            let restored = vault.restore(&restore);
            over.store(true, Ordering::Relaxed);
            noticed += usize::from(restored.is_err() || !restored.unwrap().problems.is_empty());
        });
    }
    noticed
}

fn snapshot(scratch: &Scratch) -> (Vault, Identities, Contents) {
    let source = scratch.folder("source");
    fs::create_dir(source.join("top")).unwrap();
    fill(&source.join("top"), 1000, 0o777);
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    (vault, identities, contents)
}

#[test]
fn a_folder_that_becomes_a_symlink_during_the_restore_leads_nowhere() {
    let scratch = Scratch::new();
    let made = snapshot(&scratch);
    let (dest, outside) = (scratch.folder("dest"), scratch.folder("outside"));
    fill(&outside, 5, 0o600);
    let before = describe(&outside);
    let prepare = || {
        fs::create_dir_all(dest.join("top")).unwrap();
        std::os::unix::fs::symlink(&outside, dest.join("bait")).unwrap();
    };
    let swap = |_| {
        // Atomic, so that at every moment `top` is either the folder or the link.
        let _ = rustix::fs::renameat_with(CWD, dest.join("top"), CWD, dest.join("bait"), RenameFlags::EXCHANGE);
    };
    let noticed = race(&made, &dest, prepare, swap);
    assert_eq!(describe(&outside), before);
    assert!(noticed > 0, "the folder was never swapped at a moment that counts");
}

#[test]
fn an_entry_that_becomes_a_link_to_something_outside_costs_that_nothing() {
    let scratch = Scratch::new();
    let made = snapshot(&scratch);
    let (dest, outside) = (scratch.folder("dest"), scratch.folder("outside"));
    fill(&outside, 5, 0o600);
    let before = describe(&outside);
    let baits = ["file7", "deep/fifo7", "deep/large", "deep/link7"];
    let swap = |turn: u64| {
        let at = turn % 40;
        let bait = dest.join("bait");
        let _ = fs::remove_file(&bait);
        // A symlink first, a second name of the same file the other time.
        let target = outside.join(baits[turn as usize % baits.len()]);
        let _ = match turn % 2 {
            0 => std::os::unix::fs::symlink(&target, &bait),
            _ => fs::hard_link(&target, &bait),
        };
        for name in [format!("top/deep/fifo{at}"), format!("top/deep/link{at}"), "top/deep/large".into()] {
            let _ = rustix::fs::renameat_with(CWD, dest.join(name), CWD, &bait, RenameFlags::EXCHANGE);
        }
    };
    let noticed = race(&made, &dest, || (), swap);
    let _ = fs::remove_dir_all(&dest);
    assert_eq!(describe(&outside), before);
    assert!(noticed > 0, "nothing was swapped at a moment that counts");
}
