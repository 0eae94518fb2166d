//! VMA, version 1: the disks and the configuration of a virtual machine in one stream.
//!
//! A header, then extents. Numbers are big-endian unless said otherwise.
//!
//! ```text
//! header   0 "VMA\0"   4 version u32   8 uuid   24 time u64   32 MD5   48 blobs: offset u32   52 and size u32   56 size of the header u32
//!          2044 names of 256 configurations u32   3068 their data u32   4096 256 devices: name u32, 0 u32, size u64, 16 bytes 0
//! blobs    each a length (u16, little-endian) and as many bytes; a pointer counts from the first blob byte, which is unused
//! extent   0 "VMAE"   6 blocks u16   8 uuid   24 MD5   40 59 slots u64: mask (16 bits), 0 (8), device (8), cluster (32)
//!          then the blocks of 4 KiB: of each slot in turn those that its mask has, the lowest bit first
//! ```
//!
//! A cluster is 64 KiB of a device; a block of it that its mask does not have is zero. Each MD5 is over its header only, with its own field
//! zeroed: **nothing in the format covers the content of blocks**. Every cluster of every device occurs in exactly one slot, though in any
//! order; a slot of zero is unused.

mod export;
mod extent;
mod header;
mod seen;
#[cfg(test)]
mod tests;
mod walk;
#[cfg(any(test, feature = "writer"))]
pub mod writer;

pub use self::export::{export, unpack};
pub use self::header::{Config, Device, Header};
pub use self::walk::Sink;
pub(crate) use self::walk::walk;

/// The first bytes.
pub(crate) const MAGIC: &[u8] = b"VMA\0";
/// Bytes of a cluster.
pub const CLUSTER: u64 = 64 << 10;
/// Bytes of a block.
pub const BLOCK: u64 = 4 << 10;

/// A big-endian number at `at`; the caller has seen to the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// The MD5 of a header, whose own field at `field` counts as zero.
fn sum(bytes: &[u8], field: usize) -> [u8; 16] {
    use md5::Digest as _;
    let mut sum = md5::Md5::new();
    sum.update(&bytes[..field]);
    sum.update([0; 16]);
    sum.update(&bytes[field + 16..]);
    sum.finalize().into()
}
