//! The one error of a machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A machine that could not be started, or that did not do what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A tool or QEMU itself could not be run.
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
    /// A file or socket of the machine failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to which file.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// QEMU's firmware files are not installed.
    #[error("no UEFI firmware for QEMU at {}: install the package `ovmf`", .0.display())]
    NoFirmware(PathBuf),
    /// The console shows that the guest is lost.
    #[error("machine `{machine}` shows \"{sign}\" while waiting for {awaited}; log: {}\n{tail}", log.display())]
    Lost {
        /// The machine's name.
        machine: String,
        /// The text that was seen.
        sign: String,
        /// What was waited for.
        awaited: String,
        /// The console's log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The deadline passed.
    #[error("machine `{machine}`: no {awaited} within {} s; log: {}\n{tail}", limit.as_secs(), log.display())]
    Late {
        /// The machine's name.
        machine: String,
        /// What was waited for.
        awaited: String,
        /// How long.
        limit: Duration,
        /// The console's log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// QEMU ended.
    #[error("machine `{machine}` ended (status {status}) while waiting for {awaited}; log: {}\n{tail}", log.display())]
    Ended {
        /// The machine's name.
        machine: String,
        /// QEMU's exit status.
        status: i32,
        /// What was waited for.
        awaited: String,
        /// The console's log.
        log: PathBuf,
        /// The end of the log, and of what QEMU itself said.
        tail: String,
    },
    /// QEMU refused a command.
    #[error("machine `{machine}` refused `{command}`: {reason}")]
    Qmp {
        /// The machine's name.
        machine: String,
        /// The command.
        command: String,
        /// QEMU's words.
        reason: String,
    },
    /// A command inside the guest failed.
    #[error("in machine `{machine}`, `{command}` ended with {status}:\n{output}")]
    Command {
        /// The machine's name.
        machine: String,
        /// The shell command.
        command: String,
        /// Its exit status.
        status: i32,
        /// The end of its output.
        output: String,
    },
}

impl VmError {
    /// An I/O failure while doing `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// An I/O failure while doing `what` to `file`.
    pub(crate) fn file(what: &str, file: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(format!("{what} {}", file.display()))
    }
}
