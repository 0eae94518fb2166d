//! Lifeboat as its users run it: sealed, hashed, signed, synced; a restore is always verified.

use std::path::{Path, PathBuf};

use exec::Command;

use crate::tool::{Driver, Place};

pub struct Lifeboat(pub PathBuf);

impl Lifeboat {
    fn command(&self, place: &Place, name: &str) -> Command {
        let command = Command::new(&self.0).arg(name).env("LIFEBOAT_STATE", place.own("state"));
        command.arg("--vault").arg(place.repository())
    }
}

impl Driver for Lifeboat {
    fn begin(&self, place: &Place) -> Option<Command> {
        Some(self.command(place, "init").arg("--identity").arg(place.own("identity")).arg("--yes"))
    }

    fn back_up(&self, place: &Place, _snapshot: &str) -> Command {
        self.command(place, "backup").arg("--source").arg(&place.source)
    }

    fn restore(&self, place: &Place, _snapshot: &str, folder: &Path) -> Command {
        let command = self.command(place, "extract").arg("--identity").arg(place.own("identity"));
        command.arg("latest").arg("--to").arg(folder)
    }

    fn version(&self) -> Command {
        Command::new(&self.0).arg("--version")
    }
}
