//! Commands about this host itself: its storage, and what would hinder a restore.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Reading;

/// The storage of this host.
#[derive(Debug, Subcommand)]
pub enum Layout {
    /// Show the storage of this host as it is now, and what of it a backup covers
    Show(Live),
    /// Compare this host with its last snapshot: disks, partitions, filesystems, mounts, boot chain; exit code 3 when anything differs or is
    /// not covered
    Check(Check),
}

/// The host that is looked at.
#[derive(Debug, Args)]
pub struct Live {
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub live: Live,
    /// The snapshot to compare with: `latest`, `latest~1` (the one before) and so on, or its number
    #[arg(long, default_value = "latest")]
    pub snapshot: String,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub live: Live,
    /// Stick to look at: a device or an image file [default: as for backup]
    #[arg(long, value_name = "TARGET")]
    pub stick: Option<PathBuf>,
    /// The rescue program [default: as for create]
    #[arg(long, value_name = "FILE", env = "LIFEBOAT_RESCUE")]
    pub rescue: Option<PathBuf>,
}
