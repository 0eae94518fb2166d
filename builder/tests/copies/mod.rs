//! A host for tests of copies: its state, a tree, a recovery identity, and `lifeboat` run from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
#[path = "../host/mod.rs"]
mod host;

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use host::Host;

/// Everything lies in one temporary folder, which is also the working folder: `vault` in an argument is a folder in it.
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
    /// A host with a tree and a vault in the folder `vault`, no snapshot yet.
    pub fn new() -> Self {
        let site = Self(Host::new());
        fs::create_dir_all(site.path("tree/etc")).unwrap();
        site.write("etc/fstab", b"UUID=1 / ext4 defaults 0 1\n");
        site.write("big", &noise(3 << 20, 7));
        std::os::unix::fs::symlink("etc/fstab", site.path("tree/symlink")).unwrap();
        site.ok(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
        site
    }

    /// Takes `count` snapshots into `vault`, with something new in each.
    pub fn backups(&self, count: u64) {
        for _ in 0..count {
            let serial = fs::read_dir(self.path("tree")).unwrap().count() as u64;
            self.write(&format!("file{serial}"), &noise(400_000, serial));
            self.ok(&["backup", "--vault", "vault", "--source", "tree"]);
        }
    }

    /// Writes a file of the tree.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path("tree").join(name), bytes).unwrap();
    }

    /// Restores the newest snapshot of `vault` and lets rsync compare it with the tree.
    pub fn restores(&self, vault: &str) {
        let out = tempfile::tempdir_in(self.path("")).unwrap();
        let to = out.path().to_str().unwrap();
        self.ok(&["extract", "--vault", vault, "--identity", "id.txt", "latest", "--to", to]);
        let compared = Command::new("rsync")
            .args(["-aHAXn", "--delete", "--checksum", "--itemize-changes"])
            .arg(format!("{}/", self.path("tree").display()))
            .arg(format!("{to}/"))
            .output()
            .unwrap();
        assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
        assert_eq!(String::from_utf8_lossy(&compared.stdout), "");
    }
}

/// Bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Every file of a vault folder by name, but the lock.
pub fn files(vault: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut open = vec![vault.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(vault).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files.remove("lock");
    files
}
