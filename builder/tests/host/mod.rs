//! A host in a folder, on which the real `lifeboat` runs: its state, its vault, its tree, all below one temporary folder, which is
//! also the working folder. What the tests of one subject need besides is in their own modules.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]
#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub struct Host {
    folder: tempfile::TempDir,
    environment: Vec<(String, OsString)>,
}

impl Host {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// Sets a variable of the environment for every run.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// A path in the host's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// `lifeboat` with these arguments, not yet run. A word in capitals (`VAULT`, `TREE`, `OUT`) stands for the path of that name in the host's
    /// folder, `ID` for its identity file. `config.toml` there is the configuration, `bin` comes first where programs are looked for.
    pub fn command(&self, args: &[&str]) -> Command {
        let place = |arg: &&str| -> OsString {
            match *arg {
                "ID" => self.path("id.txt").into(),
                capitals if capitals.len() > 1 && capitals.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                    self.path(&capitals.to_ascii_lowercase()).into()
                }
                other => other.into(),
            }
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args.iter().map(place)).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "LIFEBOAT_CONFIG") {
            command.env_remove(name);
        }
        if self.path("config.toml").exists() {
            command.env("LIFEBOAT_CONFIG", self.path("config.toml"));
        }
        let programs = format!("{}:{}", self.text("bin"), std::env::var("PATH").unwrap());
        command.env("LIFEBOAT_STATE", self.path("state")).env("PATH", programs);
        command.env("HOME", self.path("home")).env("TMPDIR", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs `lifeboat`, which must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `lifeboat` with `--json`, which must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let asked = args.contains(&"--json");
        serde_json::from_str(&self.ok(&[args, if asked { &[] } else { &["--json"] }].concat())).unwrap()
    }

    /// Runs `lifeboat`, which must end with `code`; what it said.
    pub fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        said(&output)
    }

    /// Runs `lifeboat`, which must end with `code` and say each of `words`.
    pub fn refused(&self, code: i32, words: &[&str], args: &[&str]) {
        let said = self.ends(code, args);
        for word in words {
            assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
        }
    }
}

/// What a program said on both streams.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}
