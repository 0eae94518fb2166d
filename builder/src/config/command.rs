//! Commands that an administrator writes into the configuration, with their limits. Knows how they are written, and not when they run.

use std::time::Duration;

use serde::Deserialize;

/// Shell that fails a pipe when any part of it fails, so that `dump | gzip` is no success when the dump was cut.
const SHELL: &str = "bash";

/// A command: one line for a shell, or program and arguments as they are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Run by `bash -o pipefail -c`, or where there is no bash by `sh -c`.
    Shell(String),
    /// Program and arguments; no shell comes near them.
    Argv(Vec<String>),
}

impl Line {
    /// What hinders it.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Shell(line) if line.trim().is_empty() => Some("is empty"),
            Self::Argv(words) if words.first().is_none_or(|program| program.is_empty()) => Some("names no program"),
            Self::Shell(line) if line.contains('\0') => Some("holds a NUL"),
            Self::Argv(words) if words.iter().any(|word| word.contains('\0')) => Some("holds a NUL"),
            _ => None,
        }
    }

    /// The child, which errors call `name`: its words may hold a password.
    pub fn command(&self, name: &str) -> exec::Command {
        let command = match self {
            Self::Argv(words) => {
                exec::Command::new(words.first().map_or("", String::as_str)).args(words.iter().skip(1))
            }
            Self::Shell(line) if exec::find(SHELL).is_some() => {
                exec::Command::new(SHELL).args(["-o", "pipefail", "-c", line])
            }
            Self::Shell(line) => exec::Command::new("sh").args(["-c", line]),
        };
        command.called(name)
    }
}

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The run goes on, and ends with a warning.
    #[default]
    Warn,
    /// The run fails.
    Fail,
}

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Limit<const SECONDS: u64>(pub Duration);

impl<const SECONDS: u64> Default for Limit<SECONDS> {
    fn default() -> Self {
        Self(Duration::from_secs(SECONDS))
    }
}

impl<const SECONDS: u64> TryFrom<String> for Limit<SECONDS> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        crate::size::parse_span(&text).map(Self).map_err(|error| format!("limit = {text:?}: {error}"))
    }
}
