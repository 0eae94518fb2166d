//! A host for tests of the command: a state folder with a signing key, and a vault with small segments and blocks, so that small
//! trees cross every border. `lifeboat init` makes vaults with the usual sizes only.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use vault::{FolderStore, Identities, InitOptions, Vault};

/// The host and where its things are: `tree`, `vault`, `id.txt`, `state`, `out`.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// A host with an empty vault, and no tree yet.
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.ok(&["init", "--vault", "FIRST", "--identity", "ID", "--yes"]);
        fs::remove_dir_all(site.path("first")).unwrap();
        site.small_vault(&site.path("vault"));
        site
    }

    /// A vault with segments of 256 KiB and blocks of 16 KiB, opened by this host's identity.
    pub fn small_vault(&self, folder: &Path) -> Vault {
        let mut options = InitOptions::new(self.identities().recipients());
        (options.segment_size, options.block_size) = (256 << 10, 16 << 10);
        Vault::init(Arc::new(FolderStore::new(folder)), &options).unwrap()
    }

    pub fn identities(&self) -> Identities {
        Identities::from_file_text(&fs::read_to_string(self.path("id.txt")).unwrap()).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lifeboat` with these arguments; `FIRST`, `VAULT`, `ID`, `TREE` and `OUT` stand for this site's own paths.
    pub fn command(&self, args: &[&str]) -> Command {
        let place = |arg: &&str| -> OsString {
            match *arg {
                "FIRST" => self.path("first").into(),
                "VAULT" => self.path("vault").into(),
                "ID" => self.path("id.txt").into(),
                "TREE" => self.path("tree").into(),
                "OUT" => self.path("out").into(),
                other => other.into(),
            }
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args.iter().map(place)).env("LIFEBOAT_STATE", self.path("state")).env_remove("LIFEBOAT_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        self.ends(0, args)
    }

    /// Runs `lifeboat`, which must end with `code`; what it said on both streams.
    pub fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }
}

pub const BACKUP: &[&str] = &["backup", "--vault", "VAULT", "--source", "TREE"];
pub const VERIFY: &[&str] = &["verify", "--vault", "VAULT", "--level", "data", "--identity", "ID"];
pub const EXTRACT: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"];
pub const RESUME: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT", "--resume"];
