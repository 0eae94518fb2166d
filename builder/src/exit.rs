//! Exit codes, and which error has which. The only place that knows the numbers.

use std::fmt;

/// How a run ended; the numbers are part of the command line contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Called wrongly, or the configuration is wrong.
    Usage = 2,
    /// Done, with something to look at.
    Warnings = 3,
    /// No medium or vault there.
    NoVault = 10,
    /// Another run has the lock.
    Locked = 11,
    /// The key does not open it.
    WrongKey = 12,
    /// A signature was refused.
    Signature = 20,
    /// Content is damaged.
    Corrupt = 21,
    /// Older than what is known.
    RolledBack = 22,
    /// A guard refused.
    Guard = 30,
    /// Consent is missing.
    Approval = 31,
    /// No space left.
    NoSpace = 40,
    /// Reading or writing failed.
    Io = 41,
    /// Not yet: nothing was done, and it is to be tried again (`EX_TEMPFAIL`).
    Later = 75,
}

/// A refusal with its exit code: what, why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    exit: Exit,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// An error that ends the run with `exit`.
pub fn refusal(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Refusal { exit, message: message.into() })
}

/// The exit code of an error: that of the innermost cause which has one.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().rev().find_map(cause).unwrap_or(Exit::Failed)
}

fn cause(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return Some(refusal.exit);
    }
    if let Some(error) = error.downcast_ref::<vault::Error>() {
        return of_vault(error);
    }
    if let Some(error) = error.downcast_ref::<manifest::DocumentError>() {
        return Some(match error {
            manifest::DocumentError::Signature(_) => Exit::Signature,
            manifest::DocumentError::Format { .. } => Exit::Failed,
            manifest::DocumentError::Content { .. } => Exit::Corrupt,
        });
    }
    if error.is::<manifest::AuditError>() || error.is::<manifest::SignatureError>() {
        return Some(Exit::Signature);
    }
    error.downcast_ref::<std::io::Error>().and_then(of_io)
}

fn of_vault(error: &vault::Error) -> Option<Exit> {
    use vault::Kind;
    Some(match error.kind() {
        Kind::NotFound => Exit::NoVault,
        Kind::Locked => Exit::Locked,
        Kind::WrongKey => Exit::WrongKey,
        Kind::Corrupt => Exit::Corrupt,
        Kind::NoSpace => Exit::NoSpace,
        Kind::Io => Exit::Io,
        Kind::Unsupported | Kind::Invalid | Kind::Stopped | Kind::Torn => Exit::Failed,
    })
}

fn of_io(error: &std::io::Error) -> Option<Exit> {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Some(Exit::NoSpace),
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Some(Exit::Io),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Some(Exit::Io),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_innermost_cause_decides() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(full).context("writing").unwrap_err();
        assert_eq!(exit_of(&error), Exit::NoSpace);
        assert_eq!(exit_of(&refusal(Exit::Guard, "no").context("creating")), Exit::Guard);
        assert_eq!(exit_of(&anyhow::anyhow!("other")), Exit::Failed);
    }
}
