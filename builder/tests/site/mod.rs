//! A host for tests of the command: a state folder with a signing key, and a vault with small segments and blocks, so that small
//! trees cross every border.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The host and where its things are: `tree`, `vault`, `id.txt`, `state`, `out`.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// A host with an empty vault, and no tree yet.
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.ok(INIT);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lifeboat` with these arguments; `VAULT`, `ID`, `TREE` and `OUT` stand for this site's own paths.
    pub fn command(&self, args: &[&str]) -> Command {
        let place = |arg: &&str| -> OsString {
            match *arg {
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

const INIT: &[&str] =
    &["init", "--vault", "VAULT", "--identity", "ID", "--yes", "--segment-size", "256K", "--block-size", "16K"];
pub const BACKUP: &[&str] = &["backup", "--vault", "VAULT", "--source", "TREE"];
pub const VERIFY: &[&str] = &["verify", "--vault", "VAULT", "--level", "data", "--identity", "ID"];
pub const EXTRACT: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"];
pub const RESUME: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT", "--resume"];
