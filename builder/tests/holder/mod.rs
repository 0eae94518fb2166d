//! Hosts in folders: each with a state folder, running the real program.

#![allow(dead_code, reason = "each test file uses its part of it")]

#[path = "../host/mod.rs"]
mod host;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use host::Host;

/// A host with a small tree; arguments in capitals (`VAULT`, `ID`, `TREE`, `OUT`, and any other) stand for paths of this site.
pub struct Site {
    host: Host,
    pub name: &'static str,
}

impl Deref for Site {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Site {
    pub fn new(name: &'static str) -> Self {
        let site = Self { host: Host::new(), name };
        fs::create_dir_all(site.path("tree/etc")).unwrap();
        fs::write(site.path("tree/etc/fstab"), "UUID=1 / ext4 defaults 0 1\n").unwrap();
        fs::write(site.path("config.toml"), format!("version = 1\nhost_name = \"{name}\"\n")).unwrap();
        site
    }

    /// With a vault and an identity file.
    pub fn ready() -> Self {
        let site = Self::new("node1");
        site.ok(&["init", "--vault", "VAULT", "--identity", "ID", "--yes"]);
        site
    }

    pub fn backup(&self) {
        self.ok(&["backup", "--vault", "VAULT", "--source", "TREE"]);
    }

    /// Takes the newest snapshot out with `identity` and looks at what came.
    pub fn extracts(&self, identity: &str) {
        let _ = fs::remove_dir_all(self.path("out"));
        self.ok(&["extract", "--vault", "VAULT", "--identity", identity, "latest", "--to", "OUT"]);
        assert!(self.path("out/etc/fstab").is_file(), "{identity}");
    }

    /// The exit code of an attempt to take a snapshot out with `identity`.
    pub fn extract_code(&self, identity: &str, snapshot: &str) -> Option<i32> {
        let _ = fs::remove_dir_all(self.path("out"));
        self.run(&["extract", "--vault", "VAULT", "--identity", identity, snapshot, "--to", "OUT"]).status.code()
    }

    pub fn ssh_keygen(&self, args: &[&str]) -> Output {
        Command::new("ssh-keygen").args(args).current_dir(self.path("")).stdin(Stdio::null()).output().unwrap()
    }

    /// A new SSH key of `kind` in the file `name`.
    pub fn ssh_key(&self, kind: &str, name: &str, passphrase: &str) {
        let made = self.ssh_keygen(&["-q", "-t", kind, "-N", passphrase, "-C", "admin@laptop", "-f", name]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

/// Every file below `folder`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Replaces a file of a vault, whatever its mode.
pub fn overwrite(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
