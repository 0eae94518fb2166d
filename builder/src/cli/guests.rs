//! Commands about the guests of this host's hypervisor.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Guests of this host's hypervisor.
#[derive(Debug, Subcommand)]
pub enum Guests {
    /// List this host's guests, the newest backups of those of Proxmox, and what no backup holds; exit code 3 when something would not come
    /// back
    List(ListGuests),
    /// Read archives of guests to their end and name every fault; exit code 21 when there is one. Needs neither a vault nor a key
    Verify(VerifyArchives),
    /// Look whether the guests of libvirt and LXC that came back with a restored host are complete, and keep those that are not from starting;
    /// run by a unit at the first start, before these do; exit code 3 when one is not
    Check(CheckGuests),
    /// Bring the guests of a restored host back from their archives; run by a unit at the first start, and again by hand; exit code 3
    /// when a guest is not back, 75 when the hypervisor is not ready
    Restore(RestoreGuests),
    /// Show which guests of a restored host are back; exit code 3 when one is not
    Status(GuestsStatus),
    /// What vzdump calls at every phase of a job (`--script`): when an archive is final, read it to its end and sign its digest
    Hook(GuestsHook),
    /// Take a cluster out of the database of a node that does not run; the rescue does it where a member was removed
    #[command(hide = true)]
    LeaveCluster(LeaveCluster),
}

#[derive(Debug, Args)]
pub struct GuestsHook {
    /// The phase, as vzdump names it
    pub phase: String,
    /// What vzdump says beside it: the mode and the guest
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub more: Vec<String>,
}

#[derive(Debug, Args)]
pub struct LeaveCluster {
    /// The cluster's database
    #[arg(long, value_name = "FILE", default_value = "/var/lib/pve-cluster/config.db")]
    pub database: PathBuf,
    /// The node that stands on its own from then on
    #[arg(long, value_name = "NAME")]
    pub node: String,
    /// Keep what the cluster knew of its other nodes
    #[arg(long)]
    pub keep_others: bool,
}

#[derive(Debug, Args)]
pub struct ListGuests {
    /// The database of Proxmox's cluster; it is copied consistently, and may be in use [default: /var/lib/pve-cluster/config.db, where it
    /// is there]
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// The node whose guests are meant [default: this host's name, or the only node]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// A backup that is older is no recent one
    #[arg(long, value_name = "DURATION", default_value = "2d", value_parser = crate::size::parse_days)]
    pub max_age: i64,
    /// The libvirt that is asked in place of the system's own
    #[arg(long, hide = true, value_name = "URI")]
    pub libvirt: Option<String>,
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArchives {
    /// Archives of vzdump: VMA or tar; plain, or compressed by zstd or gzip
    #[arg(required = true, value_name = "ARCHIVE")]
    pub archives: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckGuests {
    /// Only these guests, by identifier, once more: what is there now counts, and no longer what was said of them when the host was captured
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// How long is waited for what a guest lies on
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub wait: u64,
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct RestoreGuests {
    /// Only these guests, by identifier; those that failed are tried again
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Also where a guest was restored before, or its disks are there; these stay, and what is restored lies beside them
    #[arg(long, requires = "only")]
    pub again: bool,
    /// How long the hypervisor is waited for
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    pub wait: u64,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

#[derive(Debug, Args)]
pub struct GuestsStatus {
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}
