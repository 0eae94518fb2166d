//! Copies between folders: what arrives, what is refused, and what a cut leaves.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod copies;

use std::fs;

use copies::{Site, files};

fn flip(file: &std::path::Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

fn largest_segment(site: &Site, vault: &str) -> std::path::PathBuf {
    let all = files(&site.path(vault));
    let segments = all.iter().filter(|(name, _)| name.starts_with("segments/"));
    site.path(vault).join(segments.max_by_key(|(_, bytes)| bytes.len()).unwrap().0)
}

#[test]
fn a_copy_is_the_same_vault_file_by_file_and_restores() {
    let site = Site::new();
    site.backups(2);
    let report = site.json(&["copy", "--from", "vault", "--to", "copy"]);
    assert_eq!((&report["new_vault"], report["snapshots"].as_array().unwrap().len()), (&true.into(), 2));
    assert_eq!(files(&site.path("vault")), files(&site.path("copy")));
    site.ok(&["verify", "--vault", "copy", "--level", "data", "--identity", "id.txt"]);
    site.restores("copy");
}

#[test]
fn no_key_is_needed_only_the_signers() {
    let site = Site::new();
    site.backups(1);
    let key = fs::read_to_string(site.path("state/host_ed25519.pub")).unwrap();
    fs::write(site.path("signers"), format!("vm {key}")).unwrap();
    fs::remove_dir_all(site.path("state")).unwrap();
    fs::remove_file(site.path("id.txt")).unwrap();
    site.refused(20, &["--signers"], &["copy", "--from", "vault", "--to", "copy"]);
    site.ok(&["copy", "--from", "vault", "--to", "copy", "--signers", "signers"]);
    site.ok(&["verify", "--vault", "copy", "--signers", "signers"]);
}

#[test]
fn what_is_there_is_not_copied_again_and_what_is_new_is() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let again = site.json(&["copy", "--from", "vault", "--to", "copy"]);
    assert_eq!((&again["objects"], &again["snapshots"][0]["copied"]), (&0.into(), &false.into()));
    site.backups(1);
    // The copy lags behind now, and may: it is known as a copy.
    site.ok(&["verify", "--vault", "copy"]);
    let more = site.json(&["copy", "--from", "vault", "--to", "copy"]);
    assert!(more["objects"].as_u64().unwrap() >= 3, "{more}");
    assert_eq!(files(&site.path("vault")), files(&site.path("copy")));
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_makes_nothing() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    site.backups(1);
    let before = files(&site.path("copy"));
    let planned = site.json(&["copy", "--from", "vault", "--to", "copy", "--dry-run"]);
    assert_eq!(before, files(&site.path("copy")));
    let done = site.json(&["copy", "--from", "vault", "--to", "copy"]);
    assert_eq!((&planned["objects"], &planned["bytes"]), (&done["objects"], &done["bytes"]));
}

#[test]
fn only_the_snapshots_that_are_named_are_copied() {
    let site = Site::new();
    site.backups(3);
    site.ok(&["copy", "--from", "vault", "--to", "last", "--last", "1"]);
    site.ok(&["copy", "--from", "vault", "--to", "named", "--snapshots", "1,3"]);
    let serials = |vault| -> Vec<u64> {
        let list = site.json(&["list", "--vault", vault]);
        list["snapshots"].as_array().unwrap().iter().map(|row| row["serial"].as_u64().unwrap()).collect()
    };
    assert_eq!((serials("last"), serials("named")), (vec![3], vec![1, 3]));
    site.restores("last");
    site.refused(10, &["no snapshot 9"], &["copy", "--from", "vault", "--to", "named", "--snapshots", "9"]);
}

#[test]
fn an_object_that_is_damaged_where_it_comes_from_is_not_stored() {
    let site = Site::new();
    site.backups(1);
    let segment = largest_segment(&site, "vault");
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    flip(&segment);
    site.refused(21, &[&name], &["copy", "--from", "vault", "--to", "copy"]);
    let there = files(&site.path("copy"));
    assert!(
        there.keys().all(|found| !found.ends_with(&name) && !found.starts_with("manifests/")),
        "{:?}",
        there.keys()
    );
}

#[test]
fn a_copy_that_lost_or_damaged_objects_is_mended() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let segment = largest_segment(&site, "copy");
    fs::remove_file(&segment).unwrap();
    site.refused(21, &["missing"], &["verify", "--vault", "copy"]);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    fs::write(&segment, "short").unwrap();
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    flip(&segment);
    // The size is right: only reading it back shows it.
    assert_eq!(site.json(&["copy", "--from", "vault", "--to", "copy"])["objects"], 0);
    assert_eq!(site.json(&["copy", "--from", "vault", "--to", "copy", "--verify"])["objects"], 1);
    site.ok(&["verify", "--vault", "copy", "--level", "data", "--identity", "id.txt"]);
}

#[test]
fn a_manifest_that_nobody_trusted_has_signed_is_not_copied() {
    let site = Site::new();
    site.backups(1);
    let all = files(&site.path("vault"));
    let manifest = all.keys().find(|name| name.starts_with("manifests/") && name.ends_with(".json")).unwrap();
    flip(&site.path("vault").join(manifest));
    site.refused(20, &["snapshot 1"], &["copy", "--from", "vault", "--to", "copy"]);
    assert_eq!(files(&site.path("copy")).len(), 0);
}

#[test]
fn another_vault_or_another_folder_is_never_written_to() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["init", "--vault", "other", "--identity", "id.txt", "--yes"]);
    let before = files(&site.path("other"));
    site.refused(30, &["is the vault"], &["copy", "--from", "vault", "--to", "other"]);
    assert_eq!(before, files(&site.path("other")));
    site.refused(30, &["belongs to no vault"], &["copy", "--from", "vault", "--to", "tree"]);
    site.refused(2, &["onto itself"], &["copy", "--from", "vault", "--to", "vault"]);
    site.refused(2, &["ftp://"], &["copy", "--from", "vault", "--to", "ftp://host/x"]);
}

/// Two vaults with one past: the folder is put back to an older state and written to again.
#[test]
fn a_vault_that_was_rolled_back_and_written_to_again_never_overwrites_its_copy() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "old"]);
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let before = files(&site.path("copy"));
    // The host forgets the newest serial with its state, but for its key.
    fs::remove_dir_all(site.path("vault")).unwrap();
    fs::rename(site.path("old"), site.path("vault")).unwrap();
    fs::remove_dir_all(site.path("state/vaults")).unwrap();
    site.backups(1);
    site.refused(22, &["another snapshot 2"], &["copy", "--from", "vault", "--to", "copy"]);
    assert_eq!(before, files(&site.path("copy")));
    // Without the two that clash the chain still shows it.
    fs::remove_dir_all(site.path("state/vaults")).unwrap();
    site.ok(&["copy", "--from", "copy", "--to", "short", "--snapshots", "2"]);
    site.backups(1);
    site.refused(22, &["two stories"], &["copy", "--from", "vault", "--to", "short", "--snapshots", "3"]);
}

#[test]
fn an_older_vault_adds_nothing_and_takes_nothing_away() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "old"]);
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let before = files(&site.path("copy"));
    assert_eq!(site.json(&["copy", "--from", "old", "--to", "copy"])["objects"], 0);
    assert_eq!(before, files(&site.path("copy")));
}

#[test]
fn two_copies_at_once_keep_out_of_each_others_way() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let lock = fs::File::open(site.path("copy/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    site.refused(11, &["in use"], &["copy", "--from", "vault", "--to", "copy"]);
}

#[test]
fn the_audit_log_goes_along() {
    let site = Site::new();
    site.backups(1);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    site.backups(2);
    site.ok(&["copy", "--from", "vault", "--to", "copy"]);
    let log = |vault: &str| {
        let all = files(&site.path(vault));
        all.into_iter().find(|(name, _)| name.starts_with("audit/")).unwrap().1
    };
    assert_eq!(log("vault"), log("copy"));
    let shown = site.json(&["audit", "show", "--vault", "copy"]);
    let copies = shown["operations"].as_array().unwrap().iter().filter(|line| line["operation"] == "copy").count();
    assert_eq!(copies, 2, "each copy has its line, here and there: {shown}");
}
