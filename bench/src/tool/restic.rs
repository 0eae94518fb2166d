//! restic: repository version 2, compression `auto`; a restore is verified where it has `--verify`.

use std::path::Path;

use exec::Command;

use crate::tool::{Driver, PASSWORD, Place, within};

pub struct Restic;

impl Restic {
    fn configure(command: Command, place: &Place) -> Command {
        command
            .env("RESTIC_REPOSITORY", place.repository())
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", place.own("cache"))
    }
}

impl Driver for Restic {
    fn begin(&self, place: &Place) -> Option<Command> {
        Some(Self::configure(Command::new("restic"), place).args(["init", "--quiet", "--repository-version", "2"]))
    }

    fn back_up(&self, place: &Place, _snapshot: &str) -> Command {
        // The source as `.`: so it is the root of the snapshot.
        Self::configure(within(&place.source, "restic"), place).args([
            "backup",
            "--quiet",
            "--compression",
            "auto",
            ".",
        ])
    }

    fn restore(&self, place: &Place, _snapshot: &str, folder: &Path) -> Command {
        let command = Self::configure(Command::new("restic"), place).args(["restore", "--quiet", "--verify", "latest"]);
        command.arg("--target").arg(folder)
    }

    fn version(&self) -> Command {
        Command::new("restic").arg("version")
    }
}
