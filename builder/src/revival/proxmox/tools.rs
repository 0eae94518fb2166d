//! Proxmox VE's own programs: what each is asked, and how long it may take. What a restore prints goes to a file.

use std::path::Path;
use std::time::Duration;

use exec::Command;
use manifest::host::{Guest, GuestKind};

use super::volumes;

/// A guest of many terabytes over a slow network takes days; what takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Lines of a program's output that an error shows.
const TAIL: usize = 6;

/// The programs for one guest.
#[derive(Clone, Debug)]
pub struct Tools {
    id: String,
    kind: GuestKind,
}

impl Tools {
    /// Those for `guest`, whose number was checked.
    pub fn of(guest: &Guest) -> Self {
        Self { id: guest.id.clone(), kind: guest.kind }
    }

    /// What restores it. Never forced, and never with new identities.
    pub fn restore(&self, archive: &Path, storage: Option<&str>) -> Command {
        let command = match self.kind {
            GuestKind::Machine => Command::new("qmrestore").arg(archive).arg(&self.id),
            GuestKind::Container => Command::new("pct").args(["restore", &self.id]).arg(archive),
        };
        match storage {
            Some(storage) => command.args(["--storage", storage]),
            None => command,
        }
    }

    fn manager(&self) -> Command {
        Command::new(if self.kind == GuestKind::Machine { "qm" } else { "pct" })
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// When that cannot be told; in words.
    pub fn running(&self) -> Result<bool, String> {
        let said = self.manager().args(["status", &self.id]).read().map_err(|error| error.to_string())?;
        match said.trim() {
            "status: running" => Ok(true),
            "status: stopped" => Ok(false),
            other => Err(format!("whether guest {} runs cannot be told: {other:?}", self.id)),
        }
    }

    /// Sets one option; without a value it is removed.
    ///
    /// # Errors
    /// In words.
    pub fn set(&self, option: &str, value: Option<&str>) -> Result<(), String> {
        let command = self.manager().args(["set", &self.id]);
        let command = match value {
            Some(value) => command.args([format!("--{option}").as_str(), value]),
            None => command.args(["--delete", option]),
        };
        command.run().map(|_| ()).map_err(|error| error.to_string())
    }

    /// Its disks on a storage.
    ///
    /// # Errors
    /// When the storage cannot be asked; in words.
    pub fn volumes(&self, storage: &str) -> Result<Vec<String>, String> {
        let said = Command::new("pvesm").args(["list", storage, "--vmid", &self.id]).read();
        said.map(|text| volumes::listed(&text)).map_err(|error| format!("storage {storage} cannot be asked: {error}"))
    }
}

/// Runs a restore to its end; it dies with this run. What it prints goes to `output`.
///
/// # Errors
/// In words, with the end of what it printed.
pub fn run(command: Command, output: &Path) -> Result<(), String> {
    let shown = command.to_string();
    let child = command.spawn(output).map_err(|error| error.to_string())?;
    match child.wait(LIMIT) {
        Ok(Some(0)) => Ok(()),
        Ok(Some(code)) => {
            let how =
                if code < 0 { "was ended by a signal".to_owned() } else { format!("ended with exit code {code}") };
            Err(format!("`{shown}` {how}{}", tail(output)))
        }
        Ok(None) => Err(format!("`{shown}` was stopped after {} h", LIMIT.as_secs() / 3600)),
        Err(error) => Err(error.to_string()),
    }
}

/// The end of a program's output; all of it stays in the file.
fn tail(output: &Path) -> String {
    let bytes = std::fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace(|c: char| c.is_control() && c != '\n', " ");
    // What goes to the log and the console must hold no secret.
    let lines: Vec<&str> = text.trim().lines().filter(|line| !line.to_ascii_lowercase().contains("passw")).collect();
    let end = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    if end.is_empty() { String::new() } else { format!(": {end} (all of it: {})", output.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(kind: GuestKind) -> Tools {
        Tools { id: "100".to_owned(), kind }
    }

    #[test]
    fn restores_are_never_forced() {
        let said = |kind, storage| tools(kind).restore(Path::new("/a.vma"), storage).to_string();
        assert_eq!(said(GuestKind::Machine, Some("fast")), "qmrestore /a.vma 100 --storage fast");
        assert_eq!(said(GuestKind::Machine, None), "qmrestore /a.vma 100");
        assert_eq!(said(GuestKind::Container, Some("fast")), "pct restore 100 /a.vma --storage fast");
    }

    #[test]
    fn the_end_of_what_a_program_printed_is_shown_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let script = "seq 20; echo cipassword: hun''ter2; echo the end; exit 3";
        let why = run(Command::new("sh").args(["-c", script]), &output).unwrap_err();
        assert!(why.contains("exit code 3") && why.contains("the end") && !why.contains("hunter2"), "{why}");
        assert!(!why.contains("\n12\n"), "{why}");
        assert!(run(Command::new("no-such-program"), &output).unwrap_err().contains("could not be started"));
    }
}
