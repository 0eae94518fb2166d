//! `lifeboat`: captures a running host onto a bootable stick, and reads back what is on it.
//!
//! This file parses, dispatches and sets the exit code. `commands` holds one file for each subcommand; they call `capture` (what this
//! host is), `stick` (making and refreshing a stick), `attest` (comparing a restored image), and the `vault` and
//! `manifest` crates. Results go to standard output, everything else to standard error.

#![cfg_attr(feature = "libfuzzer", no_main, allow(dead_code))]

mod attest;
mod audit;
mod capture;
mod checks;
mod cli;
mod cluster;
mod commands;
mod config;
mod copying;
mod description;
mod doctor;
mod drift;
mod erasure;
mod exit;
mod feed;
#[cfg(feature = "libfuzzer")]
mod fuzz;
mod hardware;
mod hashed;
mod holdings;
mod hooks;
mod identity;
mod interrupt;
mod keep;
mod location;
mod medium;
mod naming;
mod passphrase;
mod pe;
mod progress;
mod reading;
mod recovery;
mod revival;
mod size;
mod snapshot;
mod state;
mod stick;
mod storage;
mod survey;
mod writing;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::commands::Context;
use crate::exit::{Exit, exit_of};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match run(&cli) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("lifeboat: {error:#}");
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Completions { shell } => return commands::manual::completions(*shell),
        Command::Man { folder } => return commands::manual::pages(folder),
        _ => {}
    }
    // Before there are threads and mounts.
    if matches!(cli.command, Command::Create(_) | Command::Backup(_) | Command::Layout(_) | Command::Doctor(_)) {
        capture::namespace::enter();
    }
    let context = Context::load(cli)?;
    match &cli.command {
        Command::Init(args) => commands::init::run(&context, args),
        Command::Create(args) => commands::create::run(&context, args),
        Command::Backup(args) => commands::backup::run(&context, args),
        Command::Order(args) => commands::order::run(&context, args),
        Command::List(args) => commands::list::run(&context, args),
        Command::Show(args) => commands::show::run(&context, args),
        Command::Verify(args) => commands::verify::run(&context, args),
        Command::Extract(args) => commands::extract::run(&context, args),
        Command::Key(args) => commands::key::run(&context, args),
        Command::Audit(args) => commands::audit::run(&context, args),
        Command::Diff(args) => commands::diff::run(&context, args),
        Command::Prune(args) => commands::prune::run(&context, args),
        Command::Erase(args) => commands::erase::run(&context, args),
        Command::Copy(args) => commands::copy::run(&context, args),
        Command::Attest(args) => commands::attest::run(&context, args),
        Command::Layout(args) => commands::layout::run(&context, args),
        Command::Doctor(args) => commands::doctor::run(&context, args),
        Command::Guests(args) => commands::guests::run(&context, args),
        Command::Completions { .. } | Command::Man { .. } => Ok(Exit::Done),
    }
}
