//! Hosts in folders: each with a state folder, running the real program.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A host with a small tree; arguments in capitals (`VAULT`, `ID`, `TREE`, `OUT`, and any other) stand for paths of this site.
pub struct Site {
    folder: tempfile::TempDir,
    pub name: &'static str,
}

impl Site {
    pub fn new(name: &'static str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), name };
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let place = |arg: &&str| -> OsString {
            match *arg {
                "ID" => self.path("id.txt").into(),
                capitals if capitals.len() > 1 && capitals.bytes().all(|b| b.is_ascii_uppercase()) => {
                    self.path(&capitals.to_ascii_lowercase()).into()
                }
                other => other.into(),
            }
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        let path = format!("{}:{}", self.text("bin"), std::env::var("PATH").unwrap());
        command
            .args(args.iter().map(place))
            .env("LIFEBOAT_STATE", self.path("state"))
            .env("LIFEBOAT_CONFIG", self.path("config.toml"))
            .env("PATH", path)
            .stdin(Stdio::null());
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
        Command::new("ssh-keygen").args(args).current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap()
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
