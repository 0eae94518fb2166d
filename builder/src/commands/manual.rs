//! Completions and manual pages, from the same definition as the command line itself.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::Exit;

/// Prints completions for `shell`.
///
/// # Errors
/// None; the signature is that of every command.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    clap_complete::generate(shell, &mut Cli::command(), "lifeboat", &mut std::io::stdout());
    Ok(Exit::Done)
}

/// Writes a page for `lifeboat` and one for each subcommand.
///
/// # Errors
/// When the folder cannot be written.
pub fn pages(folder: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("writing manual pages into {}", folder.display()))?;
    Ok(Exit::Done)
}
