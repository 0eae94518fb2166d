//! rustic as it is by default.

use std::path::{Path, PathBuf};

use exec::Command;

use crate::tool::{Driver, PASSWORD, Place};

pub struct Rustic(pub PathBuf);

impl Rustic {
    fn command(&self, place: &Place, name: &str) -> Command {
        Command::new(&self.0)
            .arg(name)
            .env("RUSTIC_REPOSITORY", place.repository())
            .env("RUSTIC_PASSWORD", PASSWORD)
            .env("RUSTIC_CACHE_DIR", place.own("cache"))
            .env("RUSTIC_NO_PROGRESS", "true")
    }
}

impl Driver for Rustic {
    fn begin(&self, place: &Place) -> Option<Command> {
        Some(self.command(place, "init"))
    }

    fn back_up(&self, place: &Place, _snapshot: &str) -> Command {
        self.command(place, "backup").arg(&place.source)
    }

    fn restore(&self, place: &Place, _snapshot: &str, folder: &Path) -> Command {
        // `latest:PATH` is the content of PATH in the snapshot.
        let mut content = std::ffi::OsString::from("latest:");
        content.push(&place.source);
        self.command(place, "restore").arg(content).arg(folder)
    }

    fn version(&self) -> Command {
        Command::new(&self.0).arg("--version")
    }
}
