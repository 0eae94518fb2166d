//! Entries to bytes: what a rescue system's initramfs holds, and the file that the kernel unpacks.
//!
//! A [`Tree`] collects directories, files, links and device nodes. [`Programs`] adds programs of a root folder with the
//! libraries that they need, found by reading ELF headers and never by running anything. [`ModuleTree`] adds kernel
//! modules with what they depend on. [`Tree::archive`] gives a newc cpio archive (the format is in the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst) whose bytes depend on nothing but the entries: sorted, fixed times,
//! inode numbers counted. [`Archive::compress`] makes the image and says how large each group became, against a
//! [`BUDGET`].
//!
//! Everything is read below a root folder ([`Sysroot`]), so an image can be made from a system that is not running.
//! Nothing here knows disks, sticks or boot loaders.

mod archive;
mod compress;
mod elf;
mod error;
mod firmware;
mod hardware;
mod libraries;
mod modules;
mod programs;
mod sysroot;
mod tree;

pub use archive::Archive;
pub use compress::{BUDGET, Compression, GroupSize, Image};
pub use error::Error;
pub use firmware::Firmware;
pub use hardware::{ESSENTIAL_MODULES, RESCUE_MODULES};
pub use modules::{ModuleTree, Selection};
pub use programs::{Added, Programs};
pub use sysroot::Sysroot;
pub use tree::{Entry, Group, Node, Tree};
