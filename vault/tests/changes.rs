//! A tree that does not hold still: named in the problems, never a broken segment, never silence.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tree::{Scratch, assert_same, noise, small_vault};
use vault::{Backup, ProblemKind, Progress, Restore};

/// More than may be under way between listing and catalogue.
const FILES: u64 = 17_500;

/// Removes files as soon as the first entries are in the catalogue.
struct Remover {
    folder: PathBuf,
    done: AtomicBool,
}

impl Progress for Remover {
    fn advance(&self, _: u64, _: u64) {
        if !self.done.swap(true, Ordering::SeqCst) {
            for at in FILES - 500..FILES {
                let _ = fs::remove_file(self.folder.join(format!("f{at:05}")));
            }
        }
    }
}

#[test]
fn files_that_vanish_are_named_and_the_rest_restores() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    for at in 0..FILES {
        fs::write(source.join(format!("f{at:05}")), "x").unwrap();
    }
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let remover = Remover { folder: source.clone(), done: AtomicBool::new(false) };
    let mut backup = Backup::new(&source, "host", 1);
    backup.progress = &remover;
    let done = vault.backup(&backup).unwrap();
    assert!(!done.problems.is_empty());
    assert!(done.problems.iter().all(|p| p.kind == ProblemKind::Vanished));
    assert_eq!(done.contents.totals.entries + done.problems.len() as u64, FILES + 1);
    let dest = scratch.folder("dest");
    let restored = vault.restore(&Restore::new(&done.contents, &identities, &dest)).unwrap();
    assert_eq!(restored.problems, []);
    assert_eq!(vault.check_data(&done.contents, &identities, &()).unwrap(), []);
}

#[test]
fn files_that_keep_changing_are_named_and_hold_what_was_read() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let names = ["small", "middle", "large"];
    for (name, len) in names.iter().zip([1_000usize, 250_000, 3_000_000]) {
        fs::write(source.join(name), noise(len, 1)).unwrap();
    }
    fs::write(source.join("still"), "still").unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in names {
            let (path, stop) = (source.join(name), &stop);
            scope.spawn(move || {
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                let start = file.metadata().unwrap().len();
                while !stop.load(Ordering::SeqCst) {
                    file.write_all(b"more").unwrap();
                    // Like a log that is cut now and then.
                    if file.metadata().unwrap().len() > start + 4000 {
                        file.set_len(start - 500).unwrap();
                    }
                }
            });
        }
        let mut changed = BTreeSet::new();
        // A writer may sleep while its file is read, which is then no problem; the large file takes long enough to be caught.
        for serial in 1.. {
            let done = vault.backup(&Backup::new(&source, "host", serial)).unwrap();
            assert!(done.problems.iter().all(|p| p.kind == ProblemKind::Changed), "{:?}", done.problems);
            changed.extend(done.problems.iter().map(|p| p.path.to_string()));
            assert!(!changed.contains("/still"));
            let dest = scratch.folder(&format!("dest{serial}"));
            let restored = vault.restore(&Restore::new(&done.contents, &identities, &dest)).unwrap();
            assert_eq!(restored.problems, []);
            assert_eq!(fs::read(dest.join("still")).unwrap(), b"still");
            assert_eq!(vault.check_data(&done.contents, &identities, &()).unwrap(), []);
            if changed.contains("/large") || serial == 50 {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
        assert!(changed.contains("/large"), "{changed:?}");
    });
}

#[test]
fn a_change_right_after_the_first_run_is_seen_by_the_second() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let (vault, identities) = small_vault(&scratch.path("vault"));
    for serial in 1..=20 {
        // Same size, and maybe the same tick of the clock: only reading again can tell.
        fs::write(source.join("file"), format!("{serial:03}")).unwrap();
        let mut backup = Backup::new(&source, "host", serial);
        backup.cache = Some(scratch.path("cache"));
        let contents = vault.backup(&backup).unwrap().contents;
        let dest = scratch.folder(&format!("dest{serial}"));
        vault.restore(&Restore::new(&contents, &identities, &dest)).unwrap();
        assert_same(&source, &dest);
    }
}

#[test]
fn a_cache_of_another_vault_or_without_its_segments_costs_a_full_run_only() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    fs::write(source.join("a"), noise(300_000, 1)).unwrap();
    fs::write(source.join("b"), noise(1_000, 2)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (one, _) = small_vault(&scratch.path("one"));
    let run = |vault: &vault::Vault, serial| {
        let mut backup = Backup::new(&source, "host", serial);
        backup.cache = Some(scratch.path("cache"));
        vault.backup(&backup).unwrap().contents
    };
    let first = run(&one, 1);
    assert_eq!(run(&one, 2).totals.added, 0);
    let (two, identities) = small_vault(&scratch.path("two"));
    let other = run(&two, 1);
    assert_eq!(other.totals.added, first.totals.added);
    for segment in &other.segments {
        fs::remove_file(scratch.path("two").join(segment.object())).unwrap();
    }
    let again = run(&two, 2);
    assert_eq!(again.totals.added, first.totals.added);
    assert_eq!(two.check_data(&again, &identities, &()).unwrap(), []);
}
