//! Borg: `repokey-blake2`, compression `zstd,3`; a restore is verified as it is by default, by each chunk's MAC.

use std::path::Path;

use exec::Command;

use crate::tool::{Driver, PASSWORD, Place, within};

pub struct Borg;

impl Borg {
    fn configure(command: Command, place: &Place) -> Command {
        command
            .env("BORG_REPO", place.repository())
            .env("BORG_PASSPHRASE", PASSWORD)
            .env("BORG_BASE_DIR", place.own("base"))
    }
}

impl Driver for Borg {
    fn begin(&self, place: &Place) -> Option<Command> {
        Some(Self::configure(Command::new("borg"), place).args(["init", "--encryption", "repokey-blake2"]))
    }

    fn back_up(&self, place: &Place, snapshot: &str) -> Command {
        let command = Self::configure(within(&place.source, "borg"), place).args(["create", "--compression", "zstd,3"]);
        command.arg(format!("::{snapshot}")).arg(".")
    }

    fn restore(&self, place: &Place, snapshot: &str, folder: &Path) -> Command {
        let command = Self::configure(within(folder, "borg"), place).args(["extract", "--numeric-ids"]);
        command.args(place.sparse.then_some("--sparse")).arg(format!("::{snapshot}"))
    }

    fn version(&self) -> Command {
        Command::new("borg").arg("--version")
    }
}
