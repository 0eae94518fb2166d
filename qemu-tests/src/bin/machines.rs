//! The figures that only a machine shows: how soon the rescue is ready, what it takes on the stick and in memory, and how fast it
//! restores, each beside what it is compared with. `make bench` runs it.
//!
//! `machines [--rounds N]` measures and leaves `target/bench/machines.json`; `machines --markdown FILE` writes what was
//! measured between its marks in FILE.

use std::process::ExitCode;

use anyhow::{Context, bail};
use qemu_tests::figures::{self, Figures};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("machines: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> anyhow::Result<()> {
    let file = figures::file()?;
    let rounds = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 3,
        ["--rounds", count] => count.parse().with_context(|| format!("--rounds {count}"))?,
        ["--markdown", document] => return Figures::read(&file)?.into_document(document.as_ref()),
        _ => bail!("usage: machines [--rounds N | --markdown FILE]"),
    };
    let figures = figures::measure(rounds)?;
    figures.write(&file)?;
    print!("{}", figures.table());
    Ok(())
}
