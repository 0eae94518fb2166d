//! What can go wrong with a vault, and the class that a program turns into an exit code.

use std::io;

/// Result of a vault operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Class of an [`Error`]; programs map it to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A vault or an object in it is not there.
    NotFound,
    /// Another process works on this vault.
    Locked,
    /// None of the identities opens a key.
    WrongKey,
    /// An object is not what its name or the signed list says.
    Corrupt,
    /// The medium is full.
    NoSpace,
    /// Reading or writing failed.
    Io,
    /// A version or a feature that this program does not know.
    Unsupported,
    /// The caller asked for something impossible, or an object that must be new exists.
    Invalid,
    /// The caller asked for an early end.
    Stopped,
    /// What was read did not stand still.
    Torn,
}

/// Error of a vault operation. `object` is the name inside the vault, or the path on the host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`Kind::NotFound`].
    #[error("{object}: not found")]
    NotFound {
        /// Name of the object.
        object: String,
    },
    /// See [`Kind::Locked`].
    #[error("the vault is in use by another process (lock held on {object})")]
    Locked {
        /// Name of the lock file.
        object: String,
    },
    /// See [`Kind::WrongKey`].
    #[error("{object}: none of the given identities opens it")]
    WrongKey {
        /// Name of the sealed object.
        object: String,
    },
    /// See [`Kind::Corrupt`].
    #[error("{object}: {what}")]
    Corrupt {
        /// Name of the damaged object.
        object: String,
        /// What does not fit.
        what: String,
    },
    /// See [`Kind::NoSpace`].
    #[error("{object}: no space left on the medium")]
    NoSpace {
        /// Name of the object that was being written.
        object: String,
    },
    /// See [`Kind::Io`].
    #[error("{doing} {object}")]
    Io {
        /// What was being done, as "reading".
        doing: &'static str,
        /// Name of the object.
        object: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// See [`Kind::Unsupported`].
    #[error("{object}: {what} is not supported by this version")]
    Unsupported {
        /// Name of the object.
        object: String,
        /// What is unknown.
        what: String,
    },
    /// See [`Kind::Invalid`].
    #[error("{object}: {what}")]
    Invalid {
        /// Name of the object or argument.
        object: String,
        /// Why it cannot be used.
        what: String,
    },
    /// See [`Kind::Stopped`].
    #[error("the run was stopped")]
    Stopped,
    /// See [`Kind::Torn`].
    #[error("{what}")]
    Torn {
        /// What did not stand still, and why.
        what: String,
    },
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NotFound { .. } => Kind::NotFound,
            Error::Locked { .. } => Kind::Locked,
            Error::WrongKey { .. } => Kind::WrongKey,
            Error::Corrupt { .. } => Kind::Corrupt,
            Error::NoSpace { .. } => Kind::NoSpace,
            Error::Io { .. } => Kind::Io,
            Error::Unsupported { .. } => Kind::Unsupported,
            Error::Invalid { .. } => Kind::Invalid,
            Error::Stopped => Kind::Stopped,
            Error::Torn { .. } => Kind::Torn,
        }
    }

    /// An error of the system while `doing` something to `object`; full media and missing files get their own class.
    pub(crate) fn io(doing: &'static str, object: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (object, source) = (object.into(), source.into());
        match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { object },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace { object },
            _ => Error::Io { doing, object, source },
        }
    }

    pub(crate) fn corrupt(object: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Corrupt { object: object.into(), what: what.into() }
    }

    /// The error of reading something that a signed list names: there its absence is damage, not a wrong question.
    pub(crate) fn listed(self) -> Self {
        match self {
            Error::NotFound { object } => Error::corrupt(object, "is missing"),
            other => other,
        }
    }

    pub(crate) fn invalid(object: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Invalid { object: object.into(), what: what.into() }
    }
}
