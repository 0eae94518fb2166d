//! A tree that was backed up comes back as it was, judged by a checker that shares no code with the vault.

mod tree;

use std::fs;

use tree::{Scratch, assert_same, small_vault, zoo};
use vault::{Backup, Restore, Selection};

#[test]
fn one_of_everything_comes_back() {
    let scratch = Scratch::new();
    zoo(&scratch.path("source"));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let done = vault.backup(&Backup::new(scratch.path("source"), "host", 1)).unwrap();
    assert_eq!(done.problems, []);
    let dest = scratch.folder("dest");
    let restored = vault.restore(&Restore::new(&done.contents, &identities, &dest)).unwrap();
    assert_eq!(restored.problems, []);
    assert_same(&scratch.path("source"), &dest);
    assert_eq!(restored.entries, done.contents.totals.entries);
    assert_eq!(vault.check_sealed(&done.contents, &()).unwrap(), []);
    assert_eq!(vault.check_data(&done.contents, &identities, &()).unwrap(), []);
    assert_eq!(vault.catalogue(&done.contents, &identities).unwrap().count() as u64, done.contents.totals.entries);
    let _ = (Selection::All, fs::read_dir(&dest));
}
