//! Pruning: what stays is whole whatever happens, what goes is gone when its grace is over, and what is odd stops
//! everything.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod failing;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use failing::Failing;
use tree::{Scratch, assert_same, noise, small_vault};
use vault::{Backup, Contents, FolderStore, Identities, Kind, ManifestName, Named, Prune, PrunePlan, Restore, Vault};

/// A vault with four snapshots of a tree that changes, and a copy of the tree as it was at each.
struct Site {
    scratch: Scratch,
    identities: Identities,
}

const SERIALS: std::ops::RangeInclusive<u64> = 1..=4;

impl Site {
    fn new() -> Self {
        let scratch = Scratch::new();
        let source = scratch.folder("source");
        let (vault, identities) = small_vault(&scratch.path("vault"));
        for serial in SERIALS {
            fs::write(source.join("stays"), "stays").unwrap();
            fs::write(source.join("changes"), noise(90_000, serial)).unwrap();
            fs::write(source.join(format!("of-{serial}")), noise(70_000, 10 + serial)).unwrap();
            let _ = fs::remove_file(source.join(format!("of-{}", serial - 1)));
            let mut large = noise(600_000, 99);
            large[300_000..300_100].fill(serial as u8);
            fs::write(source.join("large"), large).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(30));
            let mut backup = Backup::new(&source, "host", serial);
            backup.cache = Some(scratch.path("cache"));
            // Which file is in which segment must not depend on who was faster.
            (backup.workers, backup.rewrite) = (1, 0);
            let contents = vault.backup(&backup).unwrap().contents;
            let json = serde_json::to_vec(&contents).unwrap();
            vault.put_manifest("host", serial, &json, b"signature").unwrap();
            copy(&source, &scratch.path(&format!("source-{serial}")));
        }
        Site { scratch, identities }
    }

    fn vault(&self) -> Vault {
        Vault::open(Arc::new(FolderStore::new(self.scratch.path("vault")))).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn manifests(vault: &Vault) -> BTreeMap<ManifestName, Contents> {
    let read = |name: ManifestName| {
        let contents = serde_json::from_slice(&vault.manifest_named(&name).unwrap().0).unwrap();
        (name, contents)
    };
    vault.manifest_names().unwrap().into_iter().map(read).collect()
}

/// The plan that keeps snapshots 2 and 4.
fn plan(vault: &Vault, grace: u64, now: u64) -> vault::Result<PrunePlan> {
    plan_of(vault, &[2, 4], grace, now)
}

fn plan_of(vault: &Vault, kept: &[u64], grace: u64, now: u64) -> vault::Result<PrunePlan> {
    let all = manifests(vault);
    let named = |name: &ManifestName| Named { name: name.clone(), contents: &all[name] };
    let (keep, remove): (Vec<_>, Vec<_>) = all.keys().map(named).partition(|named| kept.contains(&named.name.serial));
    vault.plan_prune(&Prune { keep: &keep, remove: &remove, grace, now })
}

fn names(vault: &Vault) -> Vec<String> {
    let folders = ["manifests", "catalogues", "keys", "segments", "unused"];
    folders.iter().flat_map(|folder| vault.store().list(folder).unwrap()).collect()
}

#[test]
fn what_stays_restores_as_it_was_and_what_goes_is_gone() {
    let site = Site::new();
    let vault = site.vault();
    let before = names(&vault);
    let planned = plan(&vault, 0, 1000).unwrap();
    assert_eq!(names(&vault), before, "a plan touches nothing");
    vault.prune(&planned, &()).unwrap();
    assert_eq!(vault.serials("host").unwrap(), [2, 4]);
    let after = names(&vault);
    assert!(after.len() < before.len() && planned.freed() > 100_000, "{planned:?}");
    assert!(planned.objects.iter().all(|unused| !after.contains(&unused.object)));
    for (name, contents) in manifests(&vault) {
        assert_eq!(vault.check_data(&contents, &site.identities, &()).unwrap(), []);
        assert_eq!(vault.check_sealed(&contents, &()).unwrap(), []);
        let dest = site.scratch.folder(&format!("dest-{}", name.serial));
        assert_eq!(vault.restore(&Restore::new(&contents, &site.identities, &dest)).unwrap().problems, []);
        assert_same(&site.scratch.path(&format!("source-{}", name.serial)), &dest);
    }
    assert!(plan(&vault, 0, 1000).unwrap().is_empty(), "there is nothing left to do");
}

/// With grace a note is written as well; without it segments and keys go.
#[test]
fn cut_at_every_point_the_vault_verifies_and_the_next_prune_finishes() {
    let site = Site::new();
    let original = site.scratch.path("original");
    copy(&site.scratch.path("vault"), &original);
    for grace in [0, 100] {
        copy(&original, &site.scratch.path("vault"));
        prune_twice(&site.vault(), grace);
        let finished = without_notes(&site.vault());
        let cuts = (0..).take_while(|cuts| cut_after(*cuts, grace, &site, &original, &finished)).count();
        assert!(cuts >= 8, "{cuts} points");
    }
}

/// Cuts a prune after so many changes; `false` when it was done by then.
fn cut_after(cuts: usize, grace: u64, site: &Site, original: &Path, finished: &[String]) -> bool {
    copy(original, &site.scratch.path("vault"));
    let failing = Vault::open(Arc::new(Failing::after(site.scratch.path("vault"), cuts))).unwrap();
    let ended = failing.prune(&plan(&failing, grace, 1000).unwrap(), &());
    let vault = site.vault();
    let left = manifests(&vault);
    assert!([2, 4].iter().all(|serial| left.keys().any(|name| name.serial == *serial)), "after {cuts} changes");
    for contents in left.values() {
        assert_eq!(vault.check_sealed(contents, &()).unwrap(), [], "after {cuts} changes");
    }
    prune_twice(&vault, grace);
    assert_eq!(without_notes(&vault), finished, "after {cuts} changes");
    ended.is_err()
}

/// Once, and again when the grace of everything is over.
fn prune_twice(vault: &Vault, grace: u64) {
    vault.prune(&plan(vault, grace, 1000).unwrap(), &()).unwrap();
    vault.prune(&plan(vault, grace, 1000 + grace).unwrap(), &()).unwrap();
}

fn without_notes(vault: &Vault) -> Vec<String> {
    names(vault).into_iter().filter(|name| !name.starts_with("unused/")).collect()
}

#[test]
fn grace_begins_when_something_falls_out_of_use_and_begins_anew_when_it_was_used_again() {
    let site = Site::new();
    let vault = site.vault();
    let removed = manifests(&vault).into_iter().find(|(name, _)| name.serial == 3).unwrap();
    let catalogue = vault.store().read("catalogues/host/3", 1 << 20).unwrap();
    let waiting = |now| {
        let planned = plan(&vault, 100, now).unwrap();
        vault.prune(&planned, &()).unwrap();
        planned
    };
    let first = waiting(1000);
    assert!(first.objects.iter().all(|unused| unused.object.starts_with("catalogues/")), "{first:?}");
    assert!(first.waiting.len() >= 2 && first.waiting.iter().all(|unused| unused.since == 1000));
    assert_eq!(waiting(1050).waiting, first.waiting, "time goes on from when it was found");
    // Snapshot 3 is there again, as a run would point to its objects again.
    vault.store().write_new("catalogues/host/3", &catalogue).unwrap();
    vault.put_manifest("host", 3, &serde_json::to_vec(&removed.1).unwrap(), b"signature").unwrap();
    let again = plan_of(&vault, &[2, 3, 4], 100, 1090).unwrap();
    vault.prune(&again, &()).unwrap();
    assert_eq!(vault.check_sealed(&removed.1, &()).unwrap(), []);
    let last = waiting(1150);
    let of_three: Vec<_> = last.waiting.iter().map(|unused| unused.since).collect();
    assert!(!of_three.is_empty() && of_three.iter().all(|since| *since == 1150), "{last:?}");
    assert!(last.objects.iter().any(|unused| unused.since == 1000), "what stayed unused all the time goes: {last:?}");
    let end = waiting(1250);
    assert!(end.waiting.is_empty());
    assert_eq!(vault.store().list("unused").unwrap(), Vec::<String>::new());
}

#[test]
fn anything_odd_ends_it_before_anything_is_removed() {
    let site = Site::new();
    let vault = site.vault();
    let refused = |kind: Kind, word: &str, attempt: vault::Result<PrunePlan>| {
        let error = attempt.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(word), "{error}");
    };
    // A manifest that came after the others were read.
    let all = manifests(&vault);
    let keep: Vec<_> = all.iter().map(|(name, contents)| Named { name: name.clone(), contents }).collect();
    let prune = Prune { keep: &keep, remove: &[], grace: 0, now: 1000 };
    assert!(vault.plan_prune(&prune).unwrap().is_empty());
    vault.put_manifest("other", 1, b"{}", b"").unwrap();
    refused(Kind::Corrupt, "not read", vault.plan_prune(&prune));
    fs::remove_dir_all(site.scratch.path("vault/manifests/other")).unwrap();
    fs::write(site.scratch.path("vault/manifests/host/4.json.orig"), "{}").unwrap();
    refused(Kind::Corrupt, "no manifest's name", vault.plan_prune(&prune));
    fs::remove_file(site.scratch.path("vault/manifests/host/4.json.orig")).unwrap();
    // A listing that leaves something out.
    let segment = all.values().next().unwrap().segments[0].object();
    fs::rename(site.scratch.path("vault").join(&segment), site.scratch.path("aside")).unwrap();
    refused(Kind::Corrupt, "is missing", vault.plan_prune(&prune));
    fs::rename(site.scratch.path("aside"), site.scratch.path("vault").join(&segment)).unwrap();
    // A folder that cannot be listed.
    fs::rename(site.scratch.path("vault/segments"), site.scratch.path("aside")).unwrap();
    fs::write(site.scratch.path("vault/segments"), "").unwrap();
    refused(Kind::Io, "listing", vault.plan_prune(&prune));
    fs::remove_file(site.scratch.path("vault/segments")).unwrap();
    fs::rename(site.scratch.path("aside"), site.scratch.path("vault/segments")).unwrap();
    assert!(vault.plan_prune(&prune).unwrap().is_empty());
}

#[test]
fn what_a_cut_run_left_goes_and_what_is_not_ours_stays() {
    let site = Site::new();
    let vault = site.vault();
    let leftovers = ["catalogues/host/5", "manifests/host/5.json.sig", &format!("keys/{}.age", "5".repeat(32))];
    let strange = ["segments/readme", "keys/notes.txt"];
    for name in leftovers.iter().chain(&strange) {
        vault.store().write_new(name, b"x").unwrap();
    }
    let planned = plan_of(&vault, &[1, 2, 3, 4], 100, 1000).unwrap();
    assert_eq!(planned.objects, []);
    vault.prune(&planned, &()).unwrap();
    let planned = plan_of(&vault, &[1, 2, 3, 4], 100, 1100).unwrap();
    assert_eq!(planned.objects.len(), leftovers.len());
    vault.prune(&planned, &()).unwrap();
    let left = names(&vault);
    assert!(leftovers.iter().all(|name| !left.contains(&(*name).to_owned())));
    assert!(strange.iter().all(|name| left.contains(&(*name).to_owned())));
}
