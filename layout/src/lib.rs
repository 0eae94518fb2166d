//! The storage model: a host's disks, partitions, filesystems and mounts as one typed graph.
//!
//! Owns the types that a manifest carries ([`Layout`]), the parsers that fill them from captured tool output,
//! and the planner that maps a recorded layout onto the disks of another machine. It does no I/O: bytes and
//! strings come in, typed values go out, so that every rule here is tested without a disk.
//!
//! A [`Layout`] is a graph: each [`Node`] names the nodes that it lies [`on`](Node::on). One file per kind of node
//! ([`disk`], [`gpt`], [`dos`], [`ext`], [`btrfs`], [`vfat`], [`swap`] and others) holds its description, how it is read from tools' output, which
//! tools make it again, and how. A kind that this version does not know is an [`Opaque`] node: it is kept in the
//! graph with its name, so that coverage can say that it is not captured.

pub mod blkid;
pub mod blocks;
pub mod btrfs;
pub mod crypttab;
pub mod disk;
pub mod dos;
pub mod drift;
pub mod ext;
pub mod fstab;
pub mod gpt;
pub mod graph;
pub mod lsblk;
pub mod luks;
pub mod lvm;
pub mod matching;
pub mod md;
pub mod mountinfo;
pub mod plan;
pub mod probe;
pub mod serial;
pub mod solve;
pub mod swap;
pub mod units;
pub mod vfat;
pub mod xfs;
pub mod zfs;

pub use graph::{Kind, Layout, Mount, Node, NodeId, Opaque, Volatile};
pub use units::{Bytes, Guid, GuidError};
