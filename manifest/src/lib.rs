//! What is signed, and by whom: manifests, boot slots, restore orders, the audit chain, and the keys and trust behind them.
//!
//! Bytes come in, [`Verified<T>`] goes out: a document's fields can be reached only after its signature has been
//! checked against a [`TrustRoot`]'s signers, so that nothing unsigned can steer a restore. Every document is one JSON object with
//! a format number; an unknown number or field is refused by name. Signatures are SSHSIG files by an Ed25519 key, one
//! namespace per kind of document, which `ssh-keygen -Y verify` checks as well.
//!
//! This crate opens no disk and knows no vault: what the archive engine recorded is the type parameter of [`Manifest`].

mod audit;
mod description;
mod document;
pub mod host;
mod ids;
mod key;
mod order;
mod signature;
mod slot;
mod snapshot;
mod trust;

pub use audit::{AuditError, AuditLine, AuditLog};
pub use description::{check_description, sign_description};
pub use document::{Document, DocumentError, Unverified, Verified, seal};
pub use host::Host;
pub use ids::{Digest, HostName, IdError, Serial, VaultId};
pub use key::{HostKey, KeyError, PublicKey};
pub use order::{Attempt, DiskChoice, Machine, Membership, OrderFault, RestoreOrder, SnapshotChoice, Then};
pub use signature::{SignatureError, sign_sums};
pub use slot::{BootFile, BootSlot, SlotName};
pub use snapshot::{Amendment, Consistency, Manifest, Problem, Scope, Source};
pub use trust::{Signer, TrustError, TrustRoot};

/// Version of every format in this crate.
pub const FORMAT: u32 = 1;
