//! Damage is found, named, and costs only what it hit; wrong keys and later versions are refused by name.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tree::{Scratch, noise, small_vault};
use vault::{Backup, Contents, FolderStore, Identities, Kind, ProblemKind, Restore, Vault};

fn sample(scratch: &Scratch) -> (Vault, Identities, Contents) {
    let source = scratch.folder("source");
    for at in 0..6 {
        fs::write(source.join(format!("file{at}")), noise(150_000, at)).unwrap();
    }
    fs::write(source.join("large"), noise(700_000, 77)).unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    (vault, identities, contents)
}

/// Ways to damage a file; each returns what to write instead, `None` to delete it.
fn damages(good: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let flip = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x10;
        Some(bytes)
    };
    let mut zeroed = good.to_vec();
    let middle = good.len() / 2;
    zeroed[middle..(middle + 4096).min(good.len())].fill(0);
    vec![
        ("first bit", flip(0)),
        ("middle bit", flip(middle)),
        ("last bit", flip(good.len() - 1)),
        ("truncated", Some(good[..good.len() - 1].to_vec())),
        ("empty", Some(Vec::new())),
        ("longer", Some([good, b"x"].concat())),
        ("zeroed", Some(zeroed)),
        ("deleted", None),
    ]
}

#[test]
fn every_damage_to_every_object_is_found_by_name_and_restores_nothing_of_it() {
    let scratch = Scratch::new();
    let (vault, identities, contents) = sample(&scratch);
    let mut objects: Vec<String> = contents.segments.iter().map(|s| s.object()).collect();
    assert!(objects.len() > 4);
    objects.push(contents.catalogue.object.clone());
    objects.push(contents.runs[0].id.key_name());
    for object in objects {
        let path = scratch.path("vault").join(&object);
        let good = fs::read(&path).unwrap();
        for (how, bad) in damages(&good) {
            match &bad {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let faults = vault.check_sealed(&contents, &()).unwrap();
            assert_eq!(faults.len(), 1, "{object} {how}: {faults:?}");
            assert_eq!(faults[0].object, object, "{how}");
            let dest = tempfile::tempdir().unwrap();
            let error = vault.restore(&Restore::new(&contents, &identities, dest.path())).unwrap_err();
            assert!(matches!(error.kind(), Kind::Corrupt | Kind::NotFound), "{object} {how}: {error}");
            fs::write(&path, &good).unwrap();
        }
    }
    assert_eq!(vault.check_sealed(&contents, &()).unwrap(), []);
}

#[test]
fn what_is_not_damaged_is_restored_and_the_rest_named() {
    let scratch = Scratch::new();
    let (vault, identities, contents) = sample(&scratch);
    let object = contents.segments[1].object();
    let path = scratch.path("vault").join(&object);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let faults = vault.check_data(&contents, &identities, &()).unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].object, object);
    assert!(!faults[0].entries.is_empty());
    let dest = scratch.folder("dest");
    let mut restore = Restore::new(&contents, &identities, &dest);
    restore.keep_going = true;
    let restored = vault.restore(&restore).unwrap();
    let named: Vec<_> = restored.problems.iter().map(|p| p.path.clone()).collect();
    assert_eq!(named, faults[0].entries);
    assert!(restored.problems.iter().all(|p| p.kind == ProblemKind::Damaged));
    for at in 0..6 {
        let name = format!("file{at}");
        if !named.iter().any(|path| path.as_bytes() == name.as_bytes()) {
            assert_eq!(fs::read(dest.join(&name)).unwrap(), noise(150_000, at), "{name}");
        }
    }
}

#[test]
fn what_an_earlier_attempt_restored_is_not_lost_with_a_segment_that_was_damaged_since() {
    let scratch = Scratch::new();
    let (vault, identities, contents) = sample(&scratch);
    let dest = scratch.folder("dest");
    vault.restore(&Restore::new(&contents, &identities, &dest)).unwrap();
    let mut damaged: Vec<String> = contents.segments.iter().map(|segment| segment.object()).collect();
    damaged.iter().for_each(|object| fs::write(scratch.path("vault").join(object), "x").unwrap());
    fs::remove_file(dest.join("file3")).unwrap();
    let mut restore = Restore::new(&contents, &identities, &dest);
    (restore.keep_going, restore.skip_complete) = (true, true);
    let restored = vault.restore(&restore).unwrap();
    let lost: Vec<_> = restored.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(lost, ["/file3"]);
    let mut named: Vec<_> = restored.damaged.iter().map(|fault| fault.object.clone()).collect();
    named.sort();
    damaged.sort();
    assert_eq!(named, damaged, "what is damaged is named all the same");
    fs::remove_file(scratch.path("source/file3")).unwrap();
    tree::set_mtime(&dest, 5, 0);
    tree::set_mtime(&scratch.path("source"), 5, 0);
    tree::assert_same(&scratch.path("source"), &dest);
}

#[test]
fn a_damaged_segment_costs_a_large_file_its_blocks_there_and_every_name_of_a_small_one() {
    let scratch = Scratch::new();
    let (source, dest) = (scratch.folder("source"), scratch.folder("dest"));
    let content = noise(700_000, 77);
    fs::write(source.join("large"), &content).unwrap();
    fs::write(source.join("small"), noise(3000, 1)).unwrap();
    fs::hard_link(source.join("small"), source.join("small-too")).unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    for segment in contents.segments.iter().filter(|segment| segment.opened > 2048) {
        let path = scratch.path("vault").join(segment.object());
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[1..]).unwrap();
        fs::remove_dir_all(&dest).unwrap();
        fs::create_dir(&dest).unwrap();
        let mut restore = Restore::new(&contents, &identities, &dest);
        restore.keep_going = true;
        let restored = vault.restore(&restore).unwrap();
        assert_eq!(restored.damaged.len(), 1);
        assert_eq!(restored.damaged[0].object, segment.object());
        let lost: Vec<String> = restored.damaged[0].entries.iter().map(ToString::to_string).collect();
        assert_eq!(lost.contains(&"/small".into()), lost.contains(&"/small-too".into()));
        for name in ["small", "small-too"] {
            assert_eq!(dest.join(name).exists(), !lost.contains(&format!("/{name}")), "{name} {lost:?}");
        }
        let found = fs::read(dest.join("large")).unwrap();
        let differing: Vec<u64> = (0..content.len())
            .step_by(16 << 10)
            .filter(|at| found[*at..][..1000] != content[*at..][..1000])
            .map(|at| at as u64)
            .collect();
        let large = restored.problems.iter().find(|problem| problem.path.as_bytes() == b"large");
        assert_eq!(large.is_some(), !differing.is_empty());
        if let Some(problem) = large {
            let named = problem.what.split(" are lost").next().unwrap().trim_start_matches("bytes ");
            let named: Vec<(u64, u64)> = named
                .split(", ")
                .map(|stretch| stretch.split_once('-').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap())
                .collect();
            let inside = |at: &u64| named.iter().any(|(from, to)| (from..=to).contains(&at));
            assert!(differing.iter().all(inside), "{differing:?} {named:?}");
            let bytes: u64 = named.iter().map(|(from, to)| to + 1 - from).sum();
            assert_eq!(bytes.div_ceil(16 << 10), differing.len() as u64, "{named:?}");
        }
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_wrong_key_is_told_from_damage() {
    let scratch = Scratch::new();
    let (vault, _, contents) = sample(&scratch);
    let stranger = Identities::generate();
    let dest = scratch.folder("dest");
    let error = vault.restore(&Restore::new(&contents, &stranger, &dest)).unwrap_err();
    assert_eq!(error.kind(), Kind::WrongKey);
    assert_eq!(vault.check_data(&contents, &stranger, &()).unwrap_err().kind(), Kind::WrongKey);
    assert_eq!(vault.check_sealed(&contents, &()).unwrap(), []);
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
}

fn open(folder: &Path) -> vault::Result<Vault> {
    Vault::open(Arc::new(FolderStore::new(folder)))
}

#[test]
fn a_vault_of_a_later_version_or_none_is_refused_by_name() {
    let scratch = Scratch::new();
    assert_eq!(open(&scratch.path("nothing")).unwrap_err().kind(), Kind::NotFound);
    small_vault(&scratch.path("vault"));
    let json = scratch.path("vault/vault.json");
    let good = fs::read_to_string(&json).unwrap();
    fs::write(&json, good.replace("\"version\": 1", "\"version\": 2, \"new\": 0")).unwrap();
    let error = open(&scratch.path("vault")).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (Kind::Unsupported, "vault.json: version 2 is not supported by this version".to_owned(),)
    );
    fs::write(&json, good.replace("\"id\"", "\"other\": 1, \"id\"")).unwrap();
    assert_eq!(open(&scratch.path("vault")).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn manifests_and_audit_lines_are_kept_by_host_and_serial() {
    let scratch = Scratch::new();
    let (vault, _) = small_vault(&scratch.path("vault"));
    for serial in [2, 10, 1] {
        vault.put_manifest("alpha", serial, b"{}", b"sig").unwrap();
    }
    vault.put_manifest("beta", 1, b"{}", b"sig").unwrap();
    assert_eq!(vault.hosts().unwrap(), ["alpha", "beta"]);
    assert_eq!(vault.serials("alpha").unwrap(), [1, 2, 10]);
    assert_eq!(vault.put_manifest("alpha", 2, b"{}", b"sig").unwrap_err().kind(), Kind::Invalid);
    assert_eq!(vault.manifest("alpha", 3).unwrap_err().kind(), Kind::NotFound);
    vault.audit_append("alpha", "one").unwrap();
    vault.audit_append("alpha", "two").unwrap();
    assert_eq!(vault.audit("alpha").unwrap(), b"one\ntwo\n");
    assert!(vault.audit_append("alpha", "two\nlines").is_err());
    for host in ["", "..", "a/b", ".x", "a b"] {
        assert_eq!(vault.serials(host).unwrap_err().kind(), Kind::Invalid, "{host:?}");
    }
}
