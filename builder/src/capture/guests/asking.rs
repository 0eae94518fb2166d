//! Asking a platform's own tool. It answers within seconds or not at all: a daemon that hangs must not hang a backup, and one that did
//! not answer once is not asked again.

use std::cell::Cell;
use std::time::Duration;

use exec::{Command, ExecError, Failure};
use serde::de::DeserializeOwned;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A tool, with what each call begins with.
pub(super) struct Asking {
    program: &'static str,
    first: Vec<String>,
    hung: Cell<bool>,
}

impl Asking {
    /// None where the program is not installed.
    pub(super) fn of(program: &'static str, first: &[&str]) -> Option<Self> {
        exec::find(program)?;
        let first = first.iter().map(|&arg| arg.to_owned()).collect();
        Some(Self { program, first, hung: Cell::new(false) })
    }

    /// What it prints.
    ///
    /// # Errors
    /// In words, with the command.
    pub(super) fn read(&self, args: &[&str]) -> Result<String, String> {
        self.read_within(args, LIMIT)
    }

    /// What it prints, for work that takes its time.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_within(&self, args: &[&str], limit: Duration) -> Result<String, String> {
        if self.hung.get() {
            return Err(format!("{} did not answer before, and is not asked again", self.program));
        }
        let command = Command::new(exec::find(self.program).unwrap_or_else(|| self.program.into()));
        let read = command.args(&self.first).args(args).limit(limit).read();
        read.map_err(|error| {
            self.hung.set(hung(&error));
            error.to_string()
        })
    }

    /// What it prints, as JSON. Nothing printed is an empty list.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when it is not what was expected.
    pub(super) fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, String> {
        let text = self.read(args)?;
        let text = if text.trim().is_empty() { "[]" } else { &text };
        serde_json::from_str(text).map_err(|error| format!("{} {}: {error}", self.program, args.join(" ")))
    }

    /// The words of each line that it prints, which are names without blanks.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn words(&self, args: &[&str]) -> Result<Vec<String>, String> {
        Ok(self.read(args)?.split_whitespace().map(str::to_owned).collect())
    }
}

fn hung(error: &ExecError) -> bool {
    matches!(error.failure, Failure::Timeout(_))
}
