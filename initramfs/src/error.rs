//! What can go wrong while an image is put together.

use std::path::PathBuf;

/// An image that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("reading {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Symbolic links that lead back to themselves.
    #[error("{0} leads through more than 40 symbolic links")]
    LinkLoop(PathBuf),
    /// A program or library that is not what its header says.
    #[error("{path} is no ELF file that can be read: {what}")]
    Elf {
        /// Which file.
        path: PathBuf,
        /// What the parser found.
        what: String,
    },
    /// A library that no search path holds.
    #[error("{library}, which {needed_by} needs, is in none of the folders that the dynamic linker searches")]
    MissingLibrary {
        /// The name as the program asks for it.
        library: String,
        /// The program or library that asks.
        needed_by: PathBuf,
    },
    /// A path whose parent is a file, or a second entry of another content at one path.
    #[error("the initramfs cannot hold {path}: {what}")]
    Conflict {
        /// The path inside the image.
        path: PathBuf,
        /// What stands in the way.
        what: &'static str,
    },
    /// The folder of a kernel's modules is not complete.
    #[error("{folder} has no modules.dep: run `depmod -b {root} {release}`")]
    NoModulesDep {
        /// The modules' folder.
        folder: PathBuf,
        /// The root folder.
        root: PathBuf,
        /// The kernel's release.
        release: String,
    },
    /// A module could not be decompressed.
    #[error("decompressing {path}: {source}")]
    Decompress {
        /// The module.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The compressor failed.
    #[error("compressing the initramfs: {0}")]
    Compress(std::io::Error),
    /// The image is larger than firmware and small machines bear.
    #[error("the initramfs is {bytes} bytes compressed, more than the {budget} that it may have:\n{table}")]
    OverBudget {
        /// Size of the image.
        bytes: u64,
        /// What it may be.
        budget: u64,
        /// Sizes by group, for people.
        table: String,
    },
}
