//! Segments that are mostly out of use are stored afresh from the live tree, a little with each run.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tree::{Scratch, assert_same, noise, small_vault};
use vault::{Backup, Contents, Identities, ManifestName, Named, Prune, Restore, Vault};

/// Forty files, of which every fourth stays when [`Site::thin_out`] has been called: each segment keeps a quarter of
/// its content.
struct Site {
    scratch: Scratch,
    source: PathBuf,
    vault: Vault,
    identities: Identities,
}

impl Site {
    fn new() -> Self {
        let scratch = Scratch::new();
        let source = scratch.folder("source");
        let (vault, identities) = small_vault(&scratch.path("vault"));
        for at in 0..40u64 {
            fs::write(source.join(format!("file{at:02}")), noise(25_000, at)).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(60));
        Site { scratch, source, vault, identities }
    }

    fn thin_out(&self) {
        for at in (0..40).filter(|at| at % 4 != 0) {
            fs::remove_file(self.source.join(format!("file{at:02}"))).unwrap();
        }
    }

    fn backup(&self, serial: u64, rewrite: u64) -> Contents {
        let mut backup = Backup::new(&self.source, "host", serial);
        (backup.cache, backup.workers, backup.rewrite) = (Some(self.scratch.path("cache")), 1, rewrite);
        self.vault.backup(&backup).unwrap().contents
    }

    /// Removes everything that `contents` does not need, and returns what is left of segments in bytes.
    fn prune_but(&self, serial: u64, contents: &Contents) -> u64 {
        let name = ManifestName { host: "host".into(), serial, revision: 0 };
        let keep = [Named { name, contents }];
        let plan = self.vault.plan_prune(&Prune { keep: &keep, remove: &[], grace: 0, now: 0 }).unwrap();
        self.vault.prune(&plan, &()).unwrap();
        let store = self.vault.store();
        store.list("segments").unwrap().iter().map(|name| store.size(name).unwrap()).sum()
    }

    fn assert_restores(&self, contents: &Contents, to: &str) {
        assert_eq!(self.vault.check_data(contents, &self.identities, &()).unwrap(), []);
        let dest = self.scratch.folder(to);
        assert_eq!(self.vault.restore(&Restore::new(contents, &self.identities, &dest)).unwrap().problems, []);
        assert_same(&self.source, &dest);
    }
}

fn segments(contents: &Contents) -> BTreeSet<String> {
    contents.segments.iter().map(|segment| segment.sha256.to_string()).collect()
}

#[test]
fn a_later_run_frees_what_thin_segments_hold_and_nothing_is_lost() {
    let site = Site::new();
    let first = site.backup(1, u64::MAX);
    site.thin_out();
    let second = site.backup(2, u64::MAX);
    let before = site.prune_but(2, &second);
    assert!(before > 900_000, "the deleted files still fill the segments: {before}");
    let third = site.backup(3, u64::MAX);
    let after = site.prune_but(3, &third);
    assert!(after < 300_000, "{after} bytes for 250,000 of content");
    assert!(segments(&first).is_disjoint(&segments(&third)));
    site.assert_restores(&third, "dest");
    let fourth = site.backup(4, u64::MAX);
    assert!(fourth.totals.added < 10_000, "what was stored afresh is not stored again: {:?}", fourth.totals);
}

#[test]
fn what_changed_since_is_stored_as_it_is_now() {
    let site = Site::new();
    site.backup(1, u64::MAX);
    site.thin_out();
    site.backup(2, u64::MAX);
    fs::write(site.source.join("file00"), noise(25_000, 1000)).unwrap();
    fs::remove_file(site.source.join("file04")).unwrap();
    fs::write(site.source.join("file08"), "short").unwrap();
    let third = site.backup(3, u64::MAX);
    site.prune_but(3, &third);
    site.assert_restores(&third, "dest");
}

#[test]
fn a_run_rewrites_no_more_than_its_budget_and_gets_there_all_the_same() {
    let site = Site::new();
    site.backup(1, u64::MAX);
    site.thin_out();
    let mut last = site.backup(2, 0);
    let budget = 130_000;
    let unbudgeted = last.totals.added;
    let mut runs = 0;
    while site.prune_but(2 + runs, &last) > 400_000 {
        runs += 1;
        last = site.backup(2 + runs, budget);
        assert!(last.totals.added <= budget + unbudgeted + 20_000, "{:?}", last.totals);
        assert!(runs < 20);
    }
    assert!(runs > 1, "one run did it all");
    site.assert_restores(&last, "dest");
}
