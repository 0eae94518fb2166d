//! Erasing: nothing of what was erased can be opened any more, everything else is as it was, and a cut does no harm.
//!
//! Segments are opened for the search by age, openssl and zstd, not by the code that wrote them.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod failing;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use failing::Failing;
use tree::{Scratch, assert_same_but, noise, small_vault, zoo};
use vault::{
    Backup, Contents, EntryPath, Erase, ErasePlan, FolderStore, Identities, Kind, ManifestName, Named, Prune, Restore,
    Vault,
};

const MARKER: &[u8] = b"MARKER that must be gone";

/// A manifest of the vault, and what it names.
type Held = (ManifestName, Contents);

struct Site {
    scratch: Scratch,
    source: PathBuf,
    identities: Identities,
}

impl Site {
    fn new() -> Self {
        let scratch = Scratch::new();
        let source = scratch.folder("source");
        let (_, identities) = small_vault(&scratch.path("vault"));
        fs::write(scratch.path("identity"), identities.to_file_text()).unwrap();
        Site { scratch, source, identities }
    }

    fn vault(&self) -> Vault {
        Vault::open(Arc::new(FolderStore::new(self.scratch.path("vault")))).unwrap()
    }

    /// Secrets of every kind: small, in blocks, hard-linked, one that differs from snapshot to snapshot, one that is
    /// in the first only.
    fn secrets(&self, serial: u64) {
        let folder = self.source.join("secret");
        fs::create_dir_all(&folder).unwrap();
        let marked = |len: usize, seed: u64| {
            let mut bytes = noise(len, seed);
            bytes[len / 2..len / 2 + MARKER.len()].copy_from_slice(MARKER);
            bytes
        };
        fs::write(folder.join("small"), marked(3000, 1)).unwrap();
        fs::write(folder.join("changes"), marked(3000, 2 + serial)).unwrap();
        fs::write(folder.join("large"), marked(700_000, 7)).unwrap();
        let _ = fs::remove_file(folder.join("b-name"));
        fs::write(folder.join("a-name"), marked(2000, 8)).unwrap();
        fs::hard_link(folder.join("a-name"), folder.join("b-name")).unwrap();
        let _ = fs::remove_file(folder.join("first-only"));
        if serial == 1 {
            fs::write(folder.join("first-only"), marked(5000, 9)).unwrap();
        }
        fs::write(self.source.join("plain"), noise(40_000, 20 + serial)).unwrap();
        let _ = fs::remove_file(self.source.join("z-plain"));
        fs::hard_link(self.source.join("plain"), self.source.join("z-plain")).unwrap();
    }

    fn backup(&self, serial: u64) -> Contents {
        std::thread::sleep(std::time::Duration::from_millis(40));
        let mut backup = Backup::new(&self.source, "host", serial);
        backup.cache = Some(self.scratch.path("cache"));
        let contents = self.vault().backup(&backup).unwrap().contents;
        self.vault().put_manifest("host", serial, &serde_json::to_vec(&contents).unwrap(), b"signature").unwrap();
        contents
    }

    /// What `openssl` and `zstd` make of every segment and catalogue that a manifest names, with the keys that `age`
    /// opens.
    fn opened(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for (_, contents) in manifests(&self.vault()) {
            let of_catalogue = (&contents.catalogue.run, 0, contents.catalogue.object.clone());
            let of_segments = contents.segments.iter().map(|segment| (&segment.run, segment.number, segment.object()));
            for (run, number, object) in of_segments.chain([of_catalogue]) {
                all.push(self.open(&run.to_string(), number, &object));
            }
        }
        all
    }

    fn open(&self, run: &str, number: u64, object: &str) -> Vec<u8> {
        let vault = self.scratch.path("vault");
        let mut age = Command::new("age");
        age.arg("-d").arg("-i").arg(self.scratch.path("identity")).arg(vault.join(format!("keys/{run}.age")));
        let key = String::from_utf8(age.output().unwrap().stdout).unwrap();
        let mut openssl = Command::new("openssl")
            .args(["enc", "-d", "-aes-256-ctr", "-K", key.trim(), "-iv", &format!("{number:016x}{:016x}", 0), "-in"])
            .arg(vault.join(object))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let plain = Command::new("zstd").args(["-q", "-d", "-c"]).stdin(openssl.stdout.take().unwrap()).output();
        assert!(openssl.wait().unwrap().success());
        let plain = plain.unwrap();
        assert!(plain.status.success(), "{object}");
        plain.stdout
    }

    fn restore(&self, contents: &Contents, to: &str) -> PathBuf {
        let dest = self.scratch.folder(to);
        let restored = self.vault().restore(&Restore::new(contents, &self.identities, &dest)).unwrap();
        assert_eq!(restored.problems, []);
        dest
    }
}

fn manifests(vault: &Vault) -> Vec<Held> {
    let read = |name: ManifestName| {
        let contents = serde_json::from_slice(&vault.manifest_named(&name).unwrap().0).unwrap();
        (name, contents)
    };
    vault.manifest_names().unwrap().into_iter().map(read).collect()
}

fn named((name, contents): &Held) -> Named<'_> {
    Named { name: name.clone(), contents }
}

fn prune(vault: &Vault, keep: &[Held], remove: &[Held]) -> vault::Result<()> {
    let (keep, remove): (Vec<_>, Vec<_>) = (keep.iter().map(named).collect(), remove.iter().map(named).collect());
    vault.prune(&vault.plan_prune(&Prune { keep: &keep, remove: &remove, grace: 0, now: 1 })?, &())
}

/// The newest manifest of each snapshot, and those that it took the place of.
fn sorted(vault: &Vault) -> (Vec<Held>, Vec<Held>) {
    let all = manifests(vault);
    let serials: Vec<u64> = all.iter().skip(1).map(|(name, _)| name.serial).chain([0]).collect();
    let pairs: Vec<_> = all.into_iter().zip(serials).collect();
    let (old, current): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|((name, _), next)| name.serial == *next);
    let strip = |list: Vec<(Held, u64)>| list.into_iter().map(|(held, _)| held).collect();
    (strip(current), strip(old))
}

fn plan(vault: &Vault, paths: &[&str], identities: &Identities) -> vault::Result<ErasePlan> {
    let current = sorted(vault).0;
    let snapshots: Vec<_> = current.iter().map(named).collect();
    let paths: Vec<EntryPath> = paths.iter().map(|path| EntryPath::new(*path).unwrap()).collect();
    vault.plan_erase(&Erase { snapshots: &snapshots, others: &[], paths: &paths, identities })
}

/// The whole of it, in the order that the command keeps; returns how many entries were erased.
fn erase(vault: &Vault, paths: &[&str], identities: &Identities) -> vault::Result<u64> {
    let (mut current, old) = sorted(vault);
    let all: Vec<_> = current.iter().chain(&old).cloned().collect();
    prune(vault, &all, &[])?;
    let snapshots: Vec<_> = current.iter().map(named).collect();
    let paths: Vec<EntryPath> = paths.iter().map(|path| EntryPath::new(*path).unwrap()).collect();
    let request = Erase { snapshots: &snapshots, others: &[], paths: &paths, identities };
    let plan = vault.plan_erase(&request)?;
    let amended = vault.erase(&request, &plan, &())?;
    let mut remove = old;
    for new in amended {
        vault.put_amended(&new.name, &serde_json::to_vec(&new.contents).unwrap(), b"signature")?;
        remove.push(std::mem::replace(&mut current[new.snapshot], (new.name, new.contents)));
    }
    prune(vault, &current, &remove)?;
    Ok(plan.erased.iter().sum())
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_was_erased_cannot_be_opened_and_all_else_is_as_it_was() {
    let site = Site::new();
    zoo(&site.source);
    for serial in 1..=3 {
        site.secrets(serial);
        site.backup(serial);
    }
    let vault = site.vault();
    // Snapshot 1 goes; what it alone named stays behind in segments that others use.
    let (mut keep, _) = sorted(&vault);
    let first = keep.remove(0);
    prune(&vault, &keep, &[first]).unwrap();
    let before: Vec<_> =
        keep.iter().map(|(name, contents)| site.restore(contents, &format!("before{}", name.serial))).collect();
    let opened = site.opened();
    assert!(opened.iter().any(|plain| holds(plain, MARKER)) && opened.iter().any(|plain| holds(plain, b"first-only")));

    assert_eq!(erase(&vault, &["secret"], &site.identities).unwrap(), 2 * 6, "the folder and five names, twice");
    for plain in site.opened() {
        assert!(!holds(&plain, MARKER) && !holds(&plain, b"secret") && !holds(&plain, b"first-only"));
    }
    let (current, old) = sorted(&vault);
    assert_eq!(old.len(), 0);
    assert_eq!(current.iter().map(|(name, _)| (name.serial, name.revision)).collect::<Vec<_>>(), [(2, 1), (3, 1)]);
    for ((name, contents), before) in current.iter().zip(&before) {
        assert_eq!(vault.check_sealed(contents, &()).unwrap(), []);
        assert_eq!(vault.check_data(contents, &site.identities, &()).unwrap(), []);
        let after = site.restore(contents, &format!("after{}", name.serial));
        fs::remove_dir_all(before.join("secret")).unwrap();
        // Removing the folder just now changed the time of the root.
        assert_same_but(before, &after, &[""]);
    }
    assert_eq!(vault.serials("host").unwrap(), [2, 3]);
    assert!(vault.manifest("host", 3).is_ok());
}

#[test]
fn the_cache_forgets_it_too_and_the_next_run_stores_only_what_is_new() {
    let site = Site::new();
    site.secrets(1);
    fs::write(site.source.join("bulk"), noise(900_000, 5)).unwrap();
    let before = site.backup(1);
    erase(&site.vault(), &["secret"], &site.identities).unwrap();
    let after = sorted(&site.vault()).0.pop().unwrap().1;
    let cache = site.scratch.path("cache");
    site.vault().amend_cache(&cache, "host", &before, &after, &site.identities).unwrap();
    for file in files(&cache) {
        let plain = Command::new("zstd").args(["-q", "-d", "-c"]).arg(&file).output().unwrap().stdout;
        assert!(!holds(&plain, b"secret") && !holds(&fs::read(&file).unwrap(), b"secret"), "{file:?}");
    }
    fs::remove_dir_all(site.source.join("secret")).unwrap();
    let next = site.backup(2);
    assert!(next.totals.added < 20_000 && next.totals.unchanged > 1, "{:?}", next.totals);
    assert_eq!(site.vault().check_data(&next, &site.identities, &()).unwrap(), []);
    assert_same_but(&site.source, &site.restore(&next, "dest"), &[]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}

#[test]
fn a_hard_link_that_is_not_named_keeps_the_content_and_is_told() {
    let site = Site::new();
    site.secrets(1);
    site.backup(1);
    let shared = |paths: &[&str]| {
        let pairs = plan(&site.vault(), paths, &site.identities).unwrap().shared;
        pairs.iter().map(|(path, other)| format!("{path} {other}")).collect::<Vec<_>>()
    };
    assert_eq!(shared(&["secret/a-name"]), ["/secret/a-name /secret/b-name"]);
    assert_eq!(shared(&["secret/b-name"]), ["/secret/b-name /secret/a-name"]);
    assert!(shared(&["secret/b-name", "secret/a-name"]).is_empty() && shared(&["secret"]).is_empty());
    let root = plan(&site.vault(), &[""], &site.identities).unwrap_err();
    assert_eq!(root.kind(), Kind::Invalid);
}

#[test]
fn one_snapshot_after_another_can_lose_more() {
    let site = Site::new();
    for serial in 1..=2 {
        site.secrets(serial);
        site.backup(serial);
    }
    for path in ["secret/small", "secret/large", "secret"] {
        assert!(erase(&site.vault(), &[path], &site.identities).unwrap() > 0);
        for (_, contents) in manifests(&site.vault()) {
            assert_eq!(site.vault().check_data(&contents, &site.identities, &()).unwrap(), []);
        }
    }
    let (current, _) = sorted(&site.vault());
    assert!(current.iter().all(|(name, _)| name.revision == 3));
    assert!(site.opened().iter().all(|plain| !holds(plain, MARKER)));
    let dest = site.restore(&current[1].1, "dest");
    assert!(fs::read(dest.join("z-plain")).unwrap() == fs::read(site.source.join("plain")).unwrap());
}

#[test]
fn cut_at_every_point_the_vault_verifies_and_the_same_again_finishes() {
    let site = Site::new();
    for serial in 1..=2 {
        site.secrets(serial);
        site.backup(serial);
    }
    let original = site.scratch.path("original");
    copy(&site.scratch.path("vault"), &original);
    let cuts = (0..).take_while(|cuts| cut_after(*cuts, &site, &original)).count();
    assert!(cuts > 30, "{cuts} points");
}

/// Cuts an erasure after so many changes; `false` when it was done by then.
fn cut_after(cuts: usize, site: &Site, original: &Path) -> bool {
    copy(original, &site.scratch.path("vault"));
    let failing = Vault::open(Arc::new(Failing::after(site.scratch.path("vault"), cuts))).unwrap();
    let ended = erase(&failing, &["secret"], &site.identities);
    let vault = site.vault();
    assert_eq!(vault.serials("host").unwrap(), [1, 2], "after {cuts} changes");
    for (name, contents) in manifests(&vault) {
        assert_eq!(vault.check_sealed(&contents, &()).unwrap(), [], "{name:?} after {cuts} changes");
    }
    for serial in [1, 2] {
        let contents: Contents = serde_json::from_slice(&vault.manifest("host", serial).unwrap().0).unwrap();
        assert_eq!(vault.check_data(&contents, &site.identities, &()).unwrap(), [], "after {cuts} changes");
    }
    erase(&vault, &["secret"], &site.identities).unwrap();
    let current = manifests(&vault);
    assert_eq!(current.len(), 2, "after {cuts} changes");
    for (_, contents) in &current {
        let entries = vault.catalogue(contents, &site.identities).unwrap();
        assert!(entries.map(|entry| entry.unwrap()).all(|entry| !entry.path.as_bytes().starts_with(b"secret")));
    }
    let named: usize = current.iter().map(|(_, contents)| contents.segments.len()).sum();
    assert!(vault.store().list("segments").unwrap().len() <= named, "nothing is left behind after {cuts} changes");
    ended.is_err()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
