//! A host with a state folder, a vault, an identity and a small tree, for tests of commands that change a vault.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

#[path = "../host/mod.rs"]
mod host;

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use host::Host;

pub struct Site(Host);

impl Deref for Site {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl DerefMut for Site {
    fn deref_mut(&mut self) -> &mut Host {
        &mut self.0
    }
}

impl Site {
    /// A vault without snapshots, and a tree.
    pub fn new() -> Self {
        let site = Self(Host::new());
        fs::create_dir_all(site.path("tree/etc")).unwrap();
        fs::write(site.path("tree/etc/fstab"), "UUID=1 / ext4 defaults 0 1\n").unwrap();
        fs::write(site.path("config.toml"), "version = 1\nhost_name = \"host\"\n").unwrap();
        site.ok(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
        site
    }

    /// A snapshot of the tree, in which `etc/number` holds `content`.
    pub fn backup(&self, content: &str) {
        fs::write(self.path("tree/etc/number"), content).unwrap();
        self.ok(&["backup", "--vault", "vault", "--source", "tree"]);
    }

    pub fn serials(&self) -> Vec<u64> {
        let list = self.json(&["list", "--vault", "vault"]);
        list["snapshots"].as_array().unwrap().iter().map(|row| row["serial"].as_u64().unwrap()).collect()
    }

    pub fn extract(&self, snapshot: &str, paths: &[&str], to: &str) {
        let from = ["extract", "--vault", "vault", "--identity", "id.txt", "--to", to, snapshot];
        self.ok(&[&from, paths].concat());
    }

    /// Every signature, every object, every file.
    pub fn verify(&self) {
        self.ok(&["verify", "--vault", "vault"]);
        self.ok(&["verify", "--vault", "vault", "--level", "data", "--identity", "id.txt"]);
    }

    /// Files below `vault/<folder>`, relative to the vault.
    pub fn objects(&self, folder: &str) -> Vec<String> {
        let root = self.path("vault");
        let mut open = vec![root.join(folder)];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    /// The audit log, as text.
    pub fn audit(&self) -> String {
        fs::read_to_string(self.path("vault/audit/host.log")).unwrap()
    }
}

pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Holds two trees against each other with rsync: content, metadata, links, ACLs, attributes.
pub fn assert_same(left: &Path, right: &Path) {
    let output = Command::new("rsync")
        .args(["-aHAXn", "--delete", "--checksum", "--itemize-changes"])
        .arg(format!("{}/", left.display()))
        .arg(format!("{}/", right.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
