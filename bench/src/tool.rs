//! The tools that are measured: how each is told to begin a repository, back up, and restore.
//!
//! A driver only makes command lines. Each tool works as its manual shows it, with its own encryption and its usual
//! compression, and has its caches in a folder of its own.

mod borg;
mod lifeboat;
mod restic;
mod rustic;
mod tar;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use exec::Command;
use serde::{Deserialize, Serialize};

use crate::tree::Tree;

/// Which tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Lifeboat
    Lifeboat,
    /// GNU tar with zstd -3 -T0
    TarZstd,
    /// GNU tar with pigz
    TarPigz,
    /// GNU tar with gzip
    TarGzip,
    /// restic
    Restic,
    /// Borg
    Borg,
    /// rustic
    Rustic,
}

impl Tool {
    /// Its name in reports, options and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lifeboat => "lifeboat",
            Self::TarZstd => "tar-zstd",
            Self::TarPigz => "tar-pigz",
            Self::TarGzip => "tar-gzip",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Rustic => "rustic",
        }
    }

    /// Whether it keeps snapshots in a repository; the archives of tar are always written whole.
    pub fn keeps_snapshots(self) -> bool {
        !matches!(self, Self::TarZstd | Self::TarPigz | Self::TarGzip)
    }

    /// Whether it takes part on `tree` unless somebody asks for other tools: gzip and pigz add nothing but an hour to the others.
    pub fn measured_on(self, tree: Tree) -> bool {
        tree == Tree::Root || !matches!(self, Self::TarGzip | Self::TarPigz)
    }
}

/// Where the tools are that no package brings.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `lifeboat` that is measured.
    pub lifeboat: PathBuf,
    /// rustic, built once.
    pub rustic: PathBuf,
}

impl Programs {
    /// The driver of `tool`.
    pub fn driver(&self, tool: Tool) -> Box<dyn Driver> {
        match tool {
            Tool::Lifeboat => Box::new(lifeboat::Lifeboat(self.lifeboat.clone())),
            Tool::TarZstd => Box::new(tar::Tar { compressor: "zstd -3 -T0 -q", name: "zstd" }),
            Tool::TarPigz => Box::new(tar::Tar { compressor: "pigz", name: "pigz" }),
            Tool::TarGzip => Box::new(tar::Tar { compressor: "gzip", name: "gzip" }),
            Tool::Restic => Box::new(restic::Restic),
            Tool::Borg => Box::new(borg::Borg),
            Tool::Rustic => Box::new(rustic::Rustic(self.rustic.clone())),
        }
    }
}

/// One tool's work on one tree.
#[derive(Clone, Debug)]
pub struct Place {
    /// The tool's own folder, empty at first: repository, keys, caches.
    pub home: PathBuf,
    /// The tree; it is the root of what is backed up.
    pub source: PathBuf,
    /// Whether the tree's files have holes that matter.
    pub sparse: bool,
}

impl Place {
    /// The repository, or the archive; only this counts as written.
    pub fn repository(&self) -> PathBuf {
        self.home.join("repository")
    }

    /// A folder or a file in the tool's own folder.
    pub fn own(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}

/// The command lines of a tool.
pub trait Driver {
    /// Makes an empty repository, where there is such a thing; not measured.
    fn begin(&self, place: &Place) -> Option<Command>;
    /// Backs up the whole of the place's source; `snapshot` names the run.
    fn back_up(&self, place: &Place, snapshot: &str) -> Command;
    /// Restores the snapshot into `folder`, which is there and empty.
    fn restore(&self, place: &Place, snapshot: &str, folder: &Path) -> Command;
    /// Prints its version on the first line.
    fn version(&self) -> Command;
}

/// Password of the peers' repositories, which hold nothing but what anybody can make.
const PASSWORD: &str = "bench";

/// `program`, started in `folder`.
fn within(folder: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new("env").arg("-C").arg(folder).arg(program)
}
