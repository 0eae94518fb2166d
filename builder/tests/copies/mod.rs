//! A host for tests of copies: its state, a tree, a recovery identity, and `lifeboat` run from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Everything lies in one temporary folder, which is also the working folder: `vault` in an argument is a folder in it.
pub struct Site {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Site {
    /// A host with a tree and a vault in the folder `vault`, no snapshot yet.
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() };
        fs::create_dir_all(site.path("tree/etc")).unwrap();
        site.write("etc/fstab", b"UUID=1 / ext4 defaults 0 1\n");
        site.write("big", &noise(3 << 20, 7));
        std::os::unix::fs::symlink("etc/fstab", site.path("tree/symlink")).unwrap();
        site.ok(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
        site
    }

    /// Sets a variable of the environment for every run.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
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

    /// A path in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lifeboat` with `args`, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).current_dir(self.folder.path()).env("LIFEBOAT_STATE", self.path("state"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "LIFEBOAT_CONFIG") {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home")).env("TMPDIR", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// Runs `lifeboat`, which must end with `code` and say each of `words`.
    pub fn refused(&self, code: i32, words: &[&str], args: &[&str]) {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
        }
    }

    /// Restores the newest snapshot of `vault` and lets rsync compare it with the tree.
    pub fn restores(&self, vault: &str) {
        let out = tempfile::tempdir_in(self.folder.path()).unwrap();
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
