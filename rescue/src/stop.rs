//! Why a restore ends before its end: an exit code of the command line contract, a sentence, and what to do next.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::failing;

/// Codes of the command line contract that the rescue ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something failed.
    Failed = 1,
    /// No stick, no vault, no snapshot.
    NoMedium = 10,
    /// No key opens the backup.
    WrongKey = 12,
    /// A signature is missing, wrong, or by a stranger.
    Signature = 20,
    /// Something is not what its digest says.
    Corrupt = 21,
    /// Older than what was here before.
    RolledBack = 22,
    /// A guard refused: no such disk, too small, ambiguous.
    Guard = 30,
    /// Nobody consented.
    Approval = 31,
    /// A medium is full.
    NoSpace = 40,
    /// Reading or writing failed.
    Io = 41,
}

/// The end of a restore.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    /// Which kind of end.
    pub code: Code,
    /// What failed, on which object.
    pub message: String,
    /// What to do next.
    pub next: String,
}

/// Result of a stage.
pub type Result<T, E = Stop> = std::result::Result<T, E>;

impl Stop {
    /// An end with its code, its message and its advice.
    pub fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: next.into() }
    }

    /// The stick or the vault refused to be trusted: nothing has been written.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.code,
            Code::WrongKey | Code::Signature | Code::Corrupt | Code::RolledBack | Code::Guard | Code::Approval
        )
    }
}

/// Turns an error into the end of the restore.
pub trait OrStop<T> {
    /// Says what was being done, to which object, and what to do next.
    fn or_stop(self, code: Code, doing: impl Display, next: &str) -> Result<T>;
}

impl<T, E: Display> OrStop<T> for std::result::Result<T, E> {
    fn or_stop(self, code: Code, doing: impl Display, next: &str) -> Result<T> {
        self.map_err(|error| Stop::new(code, format!("{doing}: {error:#}"), next))
    }
}

impl From<vault::Error> for Stop {
    fn from(error: vault::Error) -> Self {
        use vault::Kind;
        let (code, next) = match error.kind() {
            Kind::WrongKey => (Code::WrongKey, "Use the recovery identity that this vault was made with."),
            Kind::Corrupt => (Code::Corrupt, "Choose another snapshot, or use another copy of this stick."),
            Kind::NotFound => (Code::Corrupt, "The vault is incomplete. Use another copy of this stick."),
            Kind::NoSpace => (Code::NoSpace, "The target disk is full. Use a larger disk."),
            Kind::Io => (Code::Io, "Check the stick and the disk, then start again."),
            Kind::Unsupported => (Code::Failed, "Make a new stick with a newer lifeboat."),
            Kind::Locked | Kind::Invalid | Kind::Stopped | Kind::Torn => {
                (Code::Failed, "Start again; if it fails again, open a shell.")
            }
        };
        let mut message = with_sources(&error);
        if error.kind() == Kind::Io
            && let Some(device) = failing::device()
        {
            message.push_str("; ");
            message.push_str(&device);
        }
        Self::new(code, message, next)
    }
}

/// An error with what caused it, on one line.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How far the target disks are, for the message of a failure. One restore runs in one process, so one place holds it, and a panic
/// can be reported from it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskState {
    /// Not one byte was written.
    Untouched = 0,
    /// Being written; nothing on it boots.
    Unbootable = 1,
    /// The boot loader is being installed: it may boot.
    Bootable = 2,
    /// Restored and compared.
    Proven = 3,
}

static STATE: AtomicU8 = AtomicU8::new(DiskState::Untouched as u8);

impl DiskState {
    /// Notes how far the disks are.
    pub fn set(self) {
        STATE.store(self as u8, Ordering::SeqCst);
    }

    /// How far they are.
    pub fn now() -> Self {
        match STATE.load(Ordering::SeqCst) {
            0 => Self::Untouched,
            1 => Self::Unbootable,
            2 => Self::Bootable,
            _ => Self::Proven,
        }
    }

    /// The word in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Unbootable => "unbootable",
            Self::Bootable => "bootable",
            Self::Proven => "restored",
        }
    }

    /// The sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Untouched => "The disks of this machine have not been written to.",
            Self::Unbootable => {
                "The target disk is partly written and does not boot. Start this stick again: it goes on with the restore."
            }
            Self::Bootable => {
                "The files are restored; the boot loader is not finished. Start the restore again to be sure."
            }
            Self::Proven => "The restored system is complete on its disk.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_what_was_done_to_what() {
        let read: std::io::Result<()> = Err(std::io::Error::other("medium gone"));
        let stop = read.or_stop(Code::Io, "reading /dev/sda", "Plug it in again.").unwrap_err();
        assert_eq!(stop.to_string(), "reading /dev/sda: medium gone");
        assert_eq!((stop.code as u8, stop.next.as_str()), (41, "Plug it in again."));
    }

    #[test]
    fn only_ends_before_the_first_write_are_refusals() {
        assert!(Stop::new(Code::RolledBack, "", "").is_refusal());
        assert!(!Stop::new(Code::Io, "", "").is_refusal());
    }
}
