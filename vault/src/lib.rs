//! The archive engine: backs up a tree into a vault, restores it, verifies it. Format: `docs/FORMAT.md`.
//!
//! A vault is a set of objects that are written once ([`Store`]). A snapshot is a pax tar stream in segments, each a zstd
//! frame sealed with AES-256 under its run's key ([`mod@seal`]), and a catalogue with one line per entry ([`Entry`]) that says
//! where each lies. The signed manifest, made elsewhere, carries [`Contents`]: the digest of every object a snapshot needs.
//!
//! - [`Vault::backup`]: a walker lists the tree in catalogue order and joins it with the previous catalogue; workers
//!   read, compress, seal and write, each into a segment of its own; a collector writes the catalogue in order.
//! - [`Vault::restore`]: folders first, then files segment by segment on all cores, hard links, and the metadata of folders last.
//! - [`Vault::check_sealed`] needs no key; [`Vault::check_data`] opens and hashes everything.
//!
//! It knows nothing of hosts, disks or signatures, and uses no other crate of the workspace.

mod backup;
mod catalogue;
mod content;
mod contents;
mod copy;
mod description;
mod diff;
mod entry;
mod erase;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identity;
mod manifests;
mod member;
mod path;
mod private;
mod progress;
mod prune;
mod restore;
mod scan;
mod seal;
mod source;
mod store;
mod sweep;
mod vault;
mod verify;

pub use backup::{Backup, Finished, Problem, ProblemKind, Share, Still, Stream};
pub use catalogue::Catalogue;
pub use content::ContentHasher;
pub use contents::{CatalogueRef, Contents, Digest, RunId, RunRef, SegmentRef, Totals};
pub use copy::{CopyPlan, CopyTarget, Part};
pub use description::{Described, Description, Holder};
pub use diff::{Aspect, Diff, Difference};
pub use entry::{Block, Blocks, Entry, EntryKind, Extent, Member, Piece, Time};
pub use erase::{Amended, Erase, ErasePlan};
pub use error::{Error, Kind, Result};
pub use identity::{Identities, Recipient, RecipientKind};
pub use manifests::ManifestName;
pub use path::{EntryPath, escape, unescape};
pub use private::{Private, PrivateRef};
pub use progress::Progress;
pub use prune::{Named, Prune, PrunePlan, Unused};
pub use restore::{Onto, Restore, Restored, Selection};
pub use source::{Exclusion, FLAGS_KEPT, is_acl_alias};
pub use store::{Board, Ext4Store, FolderStore, Lease, Lock, NewObject, Store};
#[cfg(feature = "object-store")]
pub use store::{BucketStore, S3};
pub use vault::{InitOptions, VERSION, Vault};
pub use verify::Fault;
