//! One file for each subcommand: it takes parsed arguments, calls the parts that do the work, and prints the result.

pub mod attest;
pub mod audit;
pub mod backup;
pub mod copy;
pub mod create;
pub mod diff;
pub mod doctor;
pub mod erase;
pub mod extract;
pub mod guests;
pub mod init;
pub mod key;
pub mod layout;
pub mod list;
pub mod manual;
pub mod order;
pub mod prune;
pub mod show;
pub mod verify;

use std::io::Write as _;

use serde::Serialize;

use crate::cli::Cli;
use crate::config::Config;
use crate::state::State;
use crate::storage;

/// What every command needs.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// What this host remembers.
    pub state: State,
    /// Results are printed as JSON.
    pub json: bool,
    /// How object storage is reached.
    pub storage: storage::Options,
}

impl Context {
    /// Reads the configuration.
    ///
    /// # Errors
    /// When it is not valid (exit 2).
    pub fn load(cli: &Cli) -> anyhow::Result<Self> {
        let storage = storage::Options { endpoint: cli.endpoint.clone(), ca_file: cli.ca_file.clone() };
        Ok(Self { config: Config::load(cli.config.as_deref())?, state: State::here(), json: cli.json, storage })
    }

    /// Prints a result: `value` as JSON where that was asked for, else `text`.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { text() };
        match writeln!(std::io::stdout(), "{}", text.trim_end()) {
            // Whoever reads has read enough (`| head`); the work itself is done.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}
