//! One command, measured from its start until what it wrote is on the disk.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use exec::Command;
use serde::{Deserialize, Serialize};

use crate::process;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Lines of a failed command's log that are shown.
const TAIL: usize = 12;

/// What a command cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds from start to end, the final sync included.
    pub wall: f64,
    /// The part of `wall` that the sync after the command's end took.
    pub sync: f64,
    /// Processor seconds, user and system, of the command and its children.
    pub cpu: f64,
    /// Bytes resident at the highest of all looks: the sum over the processes, or one process's own high-water mark.
    pub memory: u64,
}

/// Runs `command` and syncs the filesystem that holds `written`. What the command prints goes to the file `log`.
///
/// # Errors
/// When it does not end with 0; the error shows the end of the log.
pub fn measure(command: Command, written: &Path, log: &Path) -> anyhow::Result<Usage> {
    let line = command.to_string();
    let processor = process::ended_children()?;
    let start = Instant::now();
    let child = command.spawn(log)?;
    let mut memory = 0;
    let code = loop {
        memory = memory.max(process::descendants().peak());
        if let Some(code) = child.wait(INTERVAL)? {
            break code;
        }
        if start.elapsed() > LIMIT {
            bail!("`{line}` was stopped after {} s; it printed: {}", LIMIT.as_secs(), tail(log));
        }
    };
    let ended = start.elapsed();
    if code != 0 {
        bail!("`{line}` ended with {code}: {}", tail(log));
    }
    sync(written)?;
    let wall = start.elapsed();
    let cpu = process::ended_children()?.saturating_sub(processor);
    let seconds = |time: Duration| time.as_secs_f64();
    Ok(Usage { wall: seconds(wall), sync: seconds(wall - ended), cpu: seconds(cpu), memory })
}

/// Writes out everything that the filesystem of `path` has in memory.
///
/// # Errors
/// When the disk refuses it.
pub fn sync(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    rustix::fs::syncfs(&file).with_context(|| format!("syncing the filesystem of {}", path.display()))
}

/// Empties the page cache, so that the next command reads from the disk.
///
/// # Errors
/// When the kernel does not permit it.
pub fn drop_caches() -> anyhow::Result<()> {
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("emptying the page cache (--cold needs root)")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> anyhow::Result<Usage> {
        let folder = tempfile::tempdir().unwrap();
        measure(Command::new("sh").args(["-c", script]), folder.path(), &folder.path().join("log"))
    }

    #[test]
    fn memory_and_time_of_a_childs_child_are_seen() {
        // dd holds its block of 64 MiB and fills it from /dev/zero, twenty times.
        let usage = run("dd if=/dev/zero of=/dev/null bs=64M count=20 & wait").unwrap();
        assert!(usage.memory > 60 << 20, "{usage:?}");
        assert!(usage.cpu > 0.0 && usage.wall >= usage.sync, "{usage:?}");
    }

    #[test]
    fn a_failure_shows_the_command_and_what_it_printed() {
        let text = run("echo the disk is made of cheese; exit 3").unwrap_err().to_string();
        assert!(text.contains("ended with 3") && text.ends_with("the disk is made of cheese"), "{text}");
    }
}
