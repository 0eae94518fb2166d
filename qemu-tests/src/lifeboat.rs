//! Running `lifeboat` beside the machines, as whoever examines a stick or a disk would.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use assert_cmd::Command;
use serde_json::Value;

use crate::place;

/// Comparing a whole disk takes seconds; ten minutes are a hang.
const LIMIT: Duration = Duration::from_secs(600);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; none for a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The standard output as JSON.
    ///
    /// # Errors
    /// When it is none; the error shows what the program said instead.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("no JSON, exit {:?}: {}{}", self.code, self.stdout, self.stderr))
    }
}

/// Runs `lifeboat` with its state in the folder `state`, whatever comes of it.
///
/// # Errors
/// When it has not been built or cannot be started.
pub fn run(state: &Path, args: &[&str]) -> anyhow::Result<Ended> {
    let program = place::program("lifeboat")?;
    let output = Command::new(program).env("LIFEBOAT_STATE", state).args(args).timeout(LIMIT).output()?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As [`run`], for a run that has to end with 0.
///
/// # Errors
/// When it does not.
pub fn done(state: &Path, args: &[&str]) -> anyhow::Result<Ended> {
    let ended = run(state, args)?;
    ensure!(
        ended.code == Some(0),
        "lifeboat {} ended with {:?}: {}{}",
        args.join(" "),
        ended.code,
        ended.stdout,
        ended.stderr
    );
    Ok(ended)
}
