//! Arguments about keys: who can open a vault, whose signatures count, and the log of what was done.

use std::path::PathBuf;

use crate::location::Location;

use clap::{Args, Subcommand};

use super::Reading;

/// Who can open a new vault.
#[derive(Debug, Args)]
pub struct Recovery {
    /// Recovery identity: used when it exists, made anew when it does not; for a stick ./lifeboat-identity.txt, if nobody else is named
    #[arg(long, visible_alias = "recovery-identity", value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Public key that can open it as well: age1…, an SSH key, a plugin's recipient, or a file with such lines; may be given more than once
    #[arg(long = "recipient", value_name = "RECIPIENT|FILE")]
    pub recipients: Vec<String>,
    #[command(flatten)]
    pub passphrase: Passphrase,
}

/// A recovery identity that a passphrase opens. The passphrase itself is never an argument.
#[derive(Debug, Args)]
pub struct Passphrase {
    /// A recovery identity that a passphrase opens, kept in the vault; the passphrase is asked for twice
    #[arg(long, conflicts_with = "passphrase_file")]
    pub passphrase: bool,
    /// The same, with the passphrase from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    /// Whether one is wanted.
    pub fn wanted(&self) -> bool {
        self.passphrase || self.passphrase_file.is_some()
    }
}

/// Keys: who can open a vault, and whose signatures count
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Show this host's signing key, the trusted signers, and who can open the vault
    List(Reading),
    /// Let another key open the runs to come
    AddRecipient {
        /// age1…, an SSH public key, a plugin's recipient, or a file with one
        #[arg(value_name = "RECIPIENT|FILE", required_unless_present_any = ["passphrase", "passphrase_file"])]
        recipient: Option<String>,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        passphrase: Passphrase,
        #[command(flatten)]
        target: Target,
    },
    /// Keep a key from opening the runs to come
    RemoveRecipient {
        /// The recipient, or its name
        recipient: String,
        #[command(flatten)]
        target: Target,
    },
    /// Sign the vault's recipients again, as they are, with this host's present key
    Confirm(Target),
    /// Make a new signing key for this host; what the old one signed stays accepted
    Rotate {
        /// What the old key signed after this does not count, as 2026-11-21 or 2026-11-21T12:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        accept_until: Option<String>,
        /// Vault folder or stick in whose audit log the change is recorded [default: as for backup]
        #[arg(long, value_name = "DIR|STICK")]
        vault: Option<Location>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Print this host's keys as lines of an allowed signers file
    Export,
    /// Trust the keys of another host's `key export`
    Trust {
        /// Allowed signers file
        file: PathBuf,
    },
    /// Recovery identities
    #[command(subcommand)]
    Identity(Identity),
    /// Check that an identity opens every run that a vault's snapshots need
    Check {
        #[command(flatten)]
        reading: Reading,
        /// Recovery identity, or `passphrase` for those in the vault
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Identity {
    /// Make a recovery identity and print its recipient
    New {
        /// File to write; must not exist
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

/// A vault that is written to.
#[derive(Debug, Args)]
pub struct Target {
    /// Vault folder or stick [default: as for backup]
    #[arg(long, value_name = "DIR|STICK")]
    pub vault: Option<Location>,
}

/// The log of what was done to a vault
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that no line was changed, taken out or cut off the end
    Verify {
        #[command(flatten)]
        reading: Reading,
        /// A head that was kept elsewhere; it must be in the log
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
    /// Print what was done
    Show(Reading),
    /// Print the hash of the last line, for safekeeping
    Head(Reading),
    /// Take the log as it is, though lines that this host knows are missing, and note that in it
    Accept {
        #[command(flatten)]
        target: Target,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
