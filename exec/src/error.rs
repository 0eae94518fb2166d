//! The one error of a child process.

use std::time::Duration;

/// A child that did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("`{command}` {failure}")]
pub struct ExecError {
    /// The command line, for people.
    pub command: String,
    /// What happened.
    pub failure: Failure,
}

/// What happened to a child.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be started.
    #[error("could not be started: {0}")]
    Start(std::io::Error),
    /// It ended with another status than 0.
    #[error("ended with {status}{}", tail(.stderr))]
    Status {
        /// Exit code or signal, for people.
        status: String,
        /// The exit code, where it was not a signal.
        code: Option<i32>,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// It was stopped because its time was over.
    #[error("was stopped after {} s", .0.as_secs())]
    Timeout(Duration),
    /// It was stopped because whoever started it was.
    #[error("was stopped with the run")]
    Stopped,
    /// Its output was not UTF-8.
    #[error("wrote output that is not UTF-8")]
    NotUtf8,
}

impl Failure {
    /// What happened, without anything that the child wrote: that may be private.
    #[must_use]
    pub fn without_words(&self) -> String {
        match self {
            Self::Status { status, .. } => format!("ended with {status}"),
            other => other.to_string(),
        }
    }
}

impl ExecError {
    /// The exit code, where the child ran and ended with one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self.failure {
            Failure::Status { code, .. } => code,
            _ => None,
        }
    }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
