//! One small vault with two snapshots, copied for every cell of the matrix; and what a cell must show.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::lasting;

/// Name of the host in the vault.
pub const HOST: &str = "node";

/// A folder with a vault, the state of the host that wrote it, the recovery identity, and the trees as they were.
pub struct Lab {
    folder: TempDir,
}

/// What `extract --keep-going` gives of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Every entry.
    All,
    /// Some: what is not there is named, and nothing else is missing.
    Some,
    /// Nothing.
    Nothing,
}

/// What a cell must show.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Exit code of `verify`.
    pub verify: i32,
    /// Objects that it names as faults; or as strays, where it ends with 0.
    pub named: Vec<String>,
    /// For each snapshot what is left, and the exit code of `extract --keep-going`.
    pub left: [(Left, i32); 2],
}

/// Cells are many, and every restore is synced: memory is quicker than a disk.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::Builder::new().tempdir_in(if memory.is_dir() { memory } else { Path::new("/tmp") }).unwrap()
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// The vault that all cells begin with.
pub fn base() -> &'static Lab {
    static BASE: OnceLock<Lab> = OnceLock::new();
    BASE.get_or_init(|| {
        let lab = Lab { folder: scratch() };
        lasting::until_the_end(lab.folder.path());
        let tree = lab.path("tree");
        fs::create_dir_all(tree.join("folder/deep")).unwrap();
        for at in 0..6 {
            fs::write(tree.join(format!("folder/file{at}")), noise(20_000 + 5_000 * at as usize, at)).unwrap();
        }
        fs::write(tree.join("empty"), "").unwrap();
        fs::hard_link(tree.join("folder/file0"), tree.join("folder/deep/same")).unwrap();
        std::os::unix::fs::symlink("folder/file1", tree.join("link")).unwrap();
        fs::write(lab.path("config.toml"), format!("version = 1\nhost_name = \"{HOST}\"\n")).unwrap();
        lab.ok(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
        lab.ok(&["backup", "--vault", "vault", "--source", "tree"]);
        copy(&tree, &lab.path("tree1"));
        fs::write(tree.join("folder/later"), noise(30_000, 77)).unwrap();
        fs::write(tree.join("folder/file5"), noise(9_000, 78)).unwrap();
        lab.ok(&["backup", "--vault", "vault", "--source", "tree"]);
        fs::rename(&tree, lab.path("tree2")).unwrap();
        lab
    })
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

impl Lab {
    /// A copy of the base to damage.
    pub fn cell() -> Self {
        let lab = Lab { folder: scratch() };
        for part in ["vault", "state", "id.txt", "config.toml"] {
            copy(&base().path(part), &lab.path(part));
        }
        lab
    }

    /// A path beside the vault.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the vault.
    pub fn object(&self, name: &str) -> PathBuf {
        self.path("vault").join(name)
    }

    /// Runs `lifeboat` in the folder.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(args)
            .current_dir(self.folder.path())
            .env("LIFEBOAT_STATE", self.path("state"))
            .env("LIFEBOAT_CONFIG", self.path("config.toml"))
            .output()
            .unwrap()
    }

    fn ok(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }

    /// Holds the vault as it is now against what is expected.
    pub fn check(&self, cell: &str, expected: &Expected) {
        let faults = self.check_verify(cell, expected);
        for (at, (left, exit)) in expected.left.iter().enumerate() {
            let costs = faults.iter().filter(|fault| fault["snapshot"] == at + 1).map(|fault| &fault["entries"]);
            self.check_extract(cell, at + 1, *left, *exit, &costs.flat_map(names).collect());
        }
    }

    /// Gives the faults as the deeper level tells them.
    fn check_verify(&self, cell: &str, expected: &Expected) -> Vec<Value> {
        let mut told = Vec::new();
        for level in [&["sealed"][..], &["data", "--identity", "id.txt"]] {
            let output = self.run(&[&["verify", "--vault", "vault", "--json", "--level"], level].concat());
            assert_eq!(output.status.code(), Some(expected.verify), "{cell}: verify {level:?}: {}", said(&output));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let faults = report["faults"].as_array().unwrap().iter().map(|fault| &fault["object"]);
            let strays = report["strays"].as_array().unwrap().iter();
            let found: BTreeSet<&str> = match expected.verify {
                0 => strays.chain(faults).filter_map(Value::as_str).collect(),
                _ => faults.filter_map(Value::as_str).collect(),
            };
            let wanted: BTreeSet<&str> = expected.named.iter().map(String::as_str).collect();
            assert_eq!(found, wanted, "{cell}: verify {level:?}: {}", said(&output));
            told = report["faults"].as_array().unwrap().clone();
        }
        told
    }

    /// Without `--keep-going` a snapshot comes out whole or the command says what is wrong; with it, all that is left comes out.
    /// `costs` are the entries that `verify` says are lost.
    fn check_extract(&self, cell: &str, serial: usize, left: Left, exit: i32, costs: &BTreeSet<String>) {
        let serial_text = serial.to_string();
        let extract = ["extract", "--vault", "vault", "--identity", "id.txt", &serial_text, "--json", "--to"];
        let strict = self.run(&[&extract[..], &["strict"]].concat());
        assert_eq!(strict.status.code(), Some(exit), "{cell}: extract {serial}: {}", said(&strict));
        let output = self.run(&[&extract[..], &["out", "--keep-going"]].concat());
        assert_eq!(output.status.code(), Some(exit), "{cell}: extract {serial} --keep-going: {}", said(&output));
        let differences = differences(&base().path(&format!("tree{serial}")), &self.path("out"));
        match left {
            Left::All => assert_eq!(differences, BTreeSet::new(), "{cell}: extract {serial}: {}", said(&output)),
            Left::Nothing => assert!(!holds_content(&self.path("out")), "{cell}: extract {serial} gave content"),
            Left::Some => {
                let report: Value = serde_json::from_slice(&output.stdout).unwrap();
                let problems = report["problems"].as_array().unwrap().iter();
                let named: BTreeSet<String> = problems.map(|problem| name(&problem["path"])).collect();
                assert!(!named.is_empty(), "{cell}: extract {serial} names nothing: {}", said(&output));
                assert_eq!(differences, named, "{cell}: extract {serial}: {}", said(&output));
                assert_eq!(*costs, named, "{cell}: verify names other entries of {serial} than extract");
            }
        }
        for folder in ["strict", "out"] {
            let _ = fs::remove_dir_all(self.path(folder));
        }
    }
}

/// A path as reports have it, without the leading slash.
fn name(path: &Value) -> String {
    path.as_str().unwrap().trim_start_matches('/').to_owned()
}

fn names(paths: &Value) -> Vec<String> {
    paths.as_array().unwrap().iter().map(name).collect()
}

/// Both streams of a command, for messages.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The files of `tree` that are not in `found` with the same content and metadata, as rsync sees it.
fn differences(tree: &Path, found: &Path) -> BTreeSet<String> {
    fs::create_dir_all(found).unwrap();
    let output = Command::new("rsync")
        .args(["-aHn", "--delete", "--checksum", "--out-format=%i %n"])
        .arg(format!("{}/", tree.display()))
        .arg(format!("{}/", found.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.trim_start().to_owned()).collect()
}

fn holds_content(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds_content(&path),
        false => fs::metadata(&path).is_ok_and(|meta| meta.len() > 0),
    })
}
