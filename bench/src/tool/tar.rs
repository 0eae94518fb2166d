//! GNU tar through a compressor: no encryption, no digests, no extended attributes, no verification.

use std::path::Path;

use exec::Command;

use crate::tool::{Driver, Place};

pub struct Tar {
    /// Command line; tar adds `-d` to unpack.
    pub compressor: &'static str,
    pub name: &'static str,
}

impl Driver for Tar {
    fn begin(&self, _place: &Place) -> Option<Command> {
        None
    }

    fn back_up(&self, place: &Place, _snapshot: &str) -> Command {
        let command = Command::new("tar").arg("-I").arg(self.compressor).arg("--numeric-owner");
        let command = command.args(place.sparse.then_some("--sparse"));
        command.arg("-cf").arg(place.repository()).arg("-C").arg(&place.source).arg(".")
    }

    fn restore(&self, place: &Place, _snapshot: &str, folder: &Path) -> Command {
        let command = Command::new("tar").arg("-I").arg(self.compressor).arg("--numeric-owner");
        command.arg("-xpf").arg(place.repository()).arg("-C").arg(folder)
    }

    fn version(&self) -> Command {
        let script = format!(
            "printf '%s, ' \"$(tar --version | head -n 1)\"; {} --version 2>&1 | head -n 1 | tr -d '*'",
            self.name
        );
        Command::new("sh").args(["-c", &script])
    }
}
