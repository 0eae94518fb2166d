//! A user who is not root restores what root backed up: what he may set is as it was, and every entry that lacks something is named.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod site;
#[path = "../../vault/tests/tree/mod.rs"]
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use site::{BACKUP, Site};
use tree::{describe, thaw, zoo};

const NOBODY: u32 = 65534;

/// Without what only root can set: owner, what hangs on it (a set-group-id bit), attributes of the system, frozen inodes.
fn masked(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match words[at] {
            "uid" | "gid" | "flags" => at += 2,
            "mode" => {
                let mode = u32::from_str_radix(words[at + 1], 8).unwrap() & !0o2000;
                kept.push(format!("mode {mode:o}"));
                at += 2;
            }
            word if word.starts_with("security.") || word.starts_with("trusted.") => at += 1,
            word => {
                kept.push(word.to_owned());
                at += 1;
            }
        }
    }
    kept.join(" ")
}

#[test]
fn somebody_who_is_not_root_gets_what_he_may_and_reads_what_is_missing() {
    let site = Site::new();
    let tree = site.path("tree");
    zoo(&tree);
    let own = ["dir/.hidden", "hole-at-start", "large-sparse"];
    for name in own {
        std::os::unix::fs::chown(tree.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    site.ok(BACKUP);
    // What he needs, where he may read it.
    let program = site.path("lifeboat");
    fs::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
    fs::copy(site.path("state/host_ed25519.pub"), site.path("signers")).unwrap();
    for (name, mode) in [("", 0o755), ("id.txt", 0o644), ("signers", 0o644)] {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let work = site.path("work");
    fs::create_dir(&work).unwrap();
    std::os::unix::fs::chown(&work, Some(NOBODY), Some(NOBODY)).unwrap();
    let extract = ["extract", "--json", "--vault", "../vault", "--identity", "../id.txt", "--signers", "../signers"];
    let output = Command::new(&program)
        .args(extract)
        .args(["latest", "--to", "out"])
        .current_dir(&work)
        .env("LIFEBOAT_STATE", work.join("state"))
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["problems"].as_array().unwrap();
    let named: BTreeSet<&str> = problems.iter().map(|problem| problem["path"].as_str().unwrap()).collect();

    let (wanted, found) = (describe(&tree), describe(&work.join("out")));
    let escaped = |path: &[u8]| vault::EntryPath::new(path.to_vec()).unwrap().to_string();
    let differing: BTreeMap<String, _> = wanted
        .iter()
        .filter(|(path, text)| found.get(*path) != Some(*text))
        .map(|(path, text)| (escaped(path), (text, found.get(path))))
        .collect();
    for (path, (wanted, found)) in &differing {
        // Another name of an inode lacks what the first lacks, and that one is named.
        let first = wanted.contains(" links ");
        assert!(named.contains(path.as_str()) || first, "{path} differs and is not named:\n{wanted}\n{found:?}");
        match found {
            Some(found) => assert_eq!(masked(wanted), masked(found), "{path}"),
            None => assert!(wanted.contains(" rdev "), "{path} is missing"),
        }
    }
    let same = named.iter().filter(|path| !differing.contains_key(**path)).collect::<Vec<_>>();
    assert!(same.is_empty(), "named, though nothing is amiss: {same:?}");
    for name in own {
        assert!(!named.contains(format!("/{name}").as_str()), "{name} is his own and complete");
    }
    thaw(&tree);
    thaw(&work);
}
