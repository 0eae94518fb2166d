//! The command line as clap sees it. Parsing only: no file is opened here.

pub mod guests;
pub mod host;
pub mod key;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::guests::{CheckGuests, Guests, GuestsHook, GuestsStatus, ListGuests, RestoreGuests, VerifyArchives};
pub use self::host::{Check, Doctor, Layout, Live};
pub use self::key::{Audit, Key, Recovery};
use crate::location::Location;

/// Bare-metal disaster recovery for Linux hosts.
///
/// Captures this host onto a bootable USB stick with signed manifests; the stick brings a dead machine back.
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 done with warnings, 10 no medium or vault, 11 locked, \
12 wrong key, 20 signature refused, 21 corrupt, 22 rolled back, 30 a guard refused, 31 approval missing, 40 no space, 41 I/O error, 75 try again later."
)]
pub struct Cli {
    /// Configuration file [default: /etc/lifeboat/config.toml, if it exists]
    #[arg(long, global = true, env = "LIFEBOAT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// URL of the S3 server, where the location, the configuration or the profile names none
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub endpoint: Option<String>,
    /// Certificates of authorities to trust for S3 beside the system's [default: AWS_CA_BUNDLE]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub ca_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a vault, this host's signing key and a recovery identity
    Init(Init),
    /// Make a bootable stick
    Create(Create),
    /// Capture this host, or a tree, into the vault
    Backup(Backup),
    /// Sign a restore order: consent to an unattended restore, given beforehand
    Order(Order),
    /// List the snapshots of a vault
    List(Reading),
    /// Show a snapshot in full, and what is left out by rule
    Show(Show),
    /// Check a vault: every signature, every file against its signed digest
    Verify(Verify),
    /// Take files or the whole tree out of a snapshot
    Extract(Extract),
    /// Keys: who can open a vault, and whose signatures count
    #[command(subcommand)]
    Key(Key),
    /// The log of what was done to a vault
    #[command(subcommand)]
    Audit(Audit),
    /// Tell what differs between two snapshots
    Diff(Diff),
    /// Remove old snapshots by keep rules, and what nothing needs any more
    Prune(Prune),
    /// Make named paths unreadable in all snapshots
    Erase(Erase),
    /// Copy snapshots to another vault, without any key to open them
    Copy(Copy),
    /// Compare a restored disk image with a snapshot, entry by entry, without mounting it
    Attest(Attest),
    /// The storage of this host: as it is, and against its last snapshot
    #[command(subcommand)]
    Layout(Layout),
    /// Tell before the disaster what would hinder a restore
    Doctor(Doctor),
    /// Guests of this host's hypervisor: which there are, and whether their backups are whole
    #[command(subcommand)]
    Guests(Guests),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Init {
    /// Where the new vault lies: a folder, s3://BUCKET/PREFIX, rclone:REMOTE:PATH
    #[arg(long, value_name = "LOCATION")]
    pub vault: Location,
    #[command(flatten)]
    pub recovery: Recovery,
    /// Size of a segment; larger files are kept in blocks
    #[arg(long, hide = true, value_name = "SIZE", default_value = "64M", value_parser = crate::size::parse)]
    pub segment_size: u64,
    /// Smallest size of such a block
    #[arg(long, hide = true, value_name = "SIZE", default_value = "32K", value_parser = crate::size::parse)]
    pub block_size: u64,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Smallest
    Xz,
    /// Fastest to make
    Zstd,
}

#[derive(Debug, Args)]
pub struct Create {
    /// A block device, or a file to make a stick's image in
    pub target: PathBuf,
    /// Do not ask; for a device its serial number is needed as well
    #[arg(long)]
    pub yes: bool,
    /// Serial number of the device that may be overwritten
    #[arg(long)]
    pub serial: Option<String>,
    /// The target again: needed for a device that the kernel does not call removable
    #[arg(long, value_name = "DEVICE")]
    pub fixed_disk: Option<PathBuf>,
    /// Overwrite an image file that holds something
    #[arg(long)]
    pub overwrite: bool,
    /// Size of a new image file
    #[arg(long, value_name = "SIZE", default_value = "8G", value_parser = crate::size::parse)]
    pub size: u64,
    #[command(flatten)]
    pub recovery: Recovery,
    /// Compression of the rescue system
    #[arg(long, value_enum)]
    pub compress: Option<Compression>,
    /// The rescue program [default: lifeboat-rescue beside this program, or /usr/lib/lifeboat/lifeboat-rescue]
    #[arg(long, value_name = "FILE", env = "LIFEBOAT_RESCUE")]
    pub rescue: Option<PathBuf>,
    /// Take kernel, modules, tools and boot loaders from this root instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Capture this host onto the new stick as well
    #[arg(long)]
    pub backup: bool,
    /// Capture this tree onto the new stick as well, instead of the host
    #[arg(long, value_name = "PATH", conflicts_with = "backup")]
    pub source: Option<PathBuf>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// Vault: a folder, s3://BUCKET/PREFIX, rclone:REMOTE:PATH
    #[arg(long, value_name = "LOCATION", conflicts_with = "stick")]
    pub vault: Option<Location>,
    /// Stick: a device or an image file [default: the one in the configuration, or the one made last]
    #[arg(long, value_name = "TARGET")]
    pub stick: Option<PathBuf>,
    /// Capture this tree instead of the host; the path itself is the root of the snapshot
    #[arg(long, value_name = "PATH")]
    pub source: Option<PathBuf>,
    /// Capture what this command writes as the file that --name says; with neither --source nor a host, that alone
    ///
    /// May be given several times, each with a --name. Run by `bash -o pipefail -c`. A command that fails leaves no file.
    #[arg(long, value_name = "COMMAND", requires = "name", conflicts_with = "root")]
    pub stdin_from: Vec<String>,
    /// Path of that file in the snapshot, such as dumps/app.sql
    #[arg(long, value_name = "PATH", requires = "stdin_from")]
    pub name: Vec<String>,
    /// How long such a command may take [default: 2h]
    #[arg(long, value_name = "DURATION", requires = "stdin_from", value_parser = crate::size::parse_span)]
    pub stdin_limit: Option<std::time::Duration>,
    /// Run no hook and no stream of the configuration
    #[arg(long)]
    pub no_hooks: bool,
    /// Store everything afresh, so that the snapshot needs nothing of earlier runs and no key but its own
    #[arg(long)]
    pub full: bool,
    /// Blocks that a large file may have
    #[arg(long, hide = true, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(2..))]
    pub most_blocks: Option<u64>,
    /// Root of the host
    #[arg(long, hide = true, value_name = "DIR", default_value = "/", conflicts_with = "source")]
    pub root: PathBuf,
    /// Print what would be captured, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The rescue program, should the stick's boot slot need a refresh
    #[arg(long, value_name = "FILE", env = "LIFEBOAT_RESCUE")]
    pub rescue: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum After {
    /// Start the restored system
    Reboot,
    /// Switch off
    PowerOff,
}

/// In which way a member of a cluster comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Membership {
    /// As the member that it was: the cluster still counts it in
    Same,
    /// On its own: the cluster has removed it and goes on
    Removed,
    /// On its own, with all that the cluster knew: the other members are lost and join it anew
    Seed,
}

#[derive(Debug, Args)]
pub struct Order {
    /// The stick it is for [default: as for backup]
    #[arg(long, value_name = "TARGET")]
    pub stick: Option<PathBuf>,
    /// Product UUID of the machine (cat /sys/class/dmi/id/product_uuid), or `any`
    #[arg(long, value_name = "UUID|any")]
    pub machine: String,
    /// Serial number of a disk that may be overwritten; SERIAL=RECORDED where it takes the place of another one; `--disk=-=RECORDED` leaves a recorded disk out
    #[arg(long = "disk", value_name = "SERIAL[=RECORDED]", required = true, allow_hyphen_values = true)]
    pub disks: Vec<String>,
    /// The snapshot: `latest` or its number
    #[arg(long, default_value = "latest")]
    pub snapshot: String,
    /// How long the order holds
    #[arg(long, value_name = "DAYS", default_value = "7d", value_parser = crate::size::parse_days)]
    pub expires: i64,
    /// What the machine does afterwards
    #[arg(long, value_enum, default_value = "reboot")]
    pub then: After,
    /// In which way a member of a hypervisor's cluster comes back; without it the rescue asks
    #[arg(long, value_enum)]
    pub cluster: Option<Membership>,
}

/// A vault to read, and whose signatures count.
#[derive(Debug, Args)]
pub struct Reading {
    /// Vault: a folder, a stick (device or image file), s3://BUCKET/PREFIX, rclone:REMOTE:PATH
    #[arg(long, value_name = "LOCATION")]
    pub vault: Option<Location>,
    /// Allowed signers file (as for ssh-keygen) with the keys whose signatures count [default: this host's own]
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// Host whose snapshots are meant, where a vault holds several
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// A vault to change, and whose signatures count in it.
#[derive(Debug, Args)]
pub struct Writing {
    /// The vault: a folder, s3://BUCKET/PREFIX, rclone:REMOTE:PATH
    #[arg(long, value_name = "LOCATION", conflicts_with = "stick")]
    pub vault: Option<Location>,
    /// Stick: a device or an image file [default: as for backup]
    #[arg(long, value_name = "TARGET")]
    pub stick: Option<PathBuf>,
    /// Allowed signers file (as for ssh-keygen) with the keys whose signatures count [default: this host's own]
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// Host whose snapshots are meant, where a vault holds several
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    pub reading: Reading,
    /// Recovery identity
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// The earlier snapshot: `latest`, `latest~1` (the one before) and so on, or its number
    pub from: String,
    /// The later snapshot
    #[arg(default_value = "latest")]
    pub to: String,
    /// Only this path and what is below it
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Any rule here takes the place of all rules in the configuration.
#[derive(Debug, Args)]
pub struct Prune {
    #[command(flatten)]
    pub writing: Writing,
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of N days (UTC) that have any
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,
    /// The same by ISO week
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,
    /// The same by month
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,
    /// The same by year
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,
    /// Keep all that are no older than this before the newest
    #[arg(long, value_name = "DURATION", value_parser = crate::size::parse_days)]
    pub keep_within: Option<i64>,
    /// How long objects stay after nothing names them any more [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = crate::size::parse_days)]
    pub grace: Option<i64>,
    /// Print the plan, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Erase {
    #[command(flatten)]
    pub writing: Writing,
    /// Recovery identity
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// Paths inside the snapshots; folders with all that is below
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print what would be erased, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    pub reading: Reading,
    /// `latest`, `latest~1` (the one before) and so on, or its number
    #[arg(default_value = "latest")]
    pub snapshot: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Every file against its name and the signed list; needs no key
    Sealed,
    /// Opens everything and hashes every file as well
    Data,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    pub reading: Reading,
    /// How deep
    #[arg(long, value_enum, default_value = "sealed")]
    pub level: Level,
    /// Recovery identity, for `data`
    #[arg(long, value_name = "FILE", required_if_eq("level", "data"))]
    pub identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Extract {
    #[command(flatten)]
    pub reading: Reading,
    /// Recovery identity
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// `latest`, `latest~1` (the one before) and so on, or its number
    pub snapshot: String,
    /// Paths inside the snapshot; none: the whole tree
    pub paths: Vec<PathBuf>,
    /// Folder to put them in; made when it does not exist
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Go on past damage: restore everything that is sound and name the rest (exit code 21)
    #[arg(long)]
    pub keep_going: bool,
    /// Make no device nodes: they are named and left out
    #[arg(long)]
    pub no_devices: bool,
    /// Finish an earlier extraction into this folder that was cut: files that are complete are left alone
    #[arg(long)]
    pub resume: bool,
}

#[derive(Debug, Args)]
pub struct Copy {
    /// The vault to copy: a folder, a stick, s3://BUCKET/PREFIX, rclone:REMOTE:PATH [default: as for backup]
    #[arg(long, value_name = "LOCATION")]
    pub from: Option<Location>,
    /// Where to: a copy of this vault that is there already, or an empty place
    #[arg(long, value_name = "LOCATION")]
    pub to: Location,
    /// Only the snapshots of this host
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Only these snapshots, by number
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', conflicts_with = "last")]
    pub snapshots: Vec<u64>,
    /// Only the newest ones of each host
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub last: Option<u64>,
    /// Read back and hash what is there already as well, not only what was copied
    #[arg(long)]
    pub verify: bool,
    /// Objects that are carried at a time; each takes up to 64 MiB of memory where the target is object storage
    #[arg(long, value_name = "COUNT", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Print what would be copied, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Allowed signers file (as for ssh-keygen) with the keys whose signatures count [default: this host's own]
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Attest {
    #[command(flatten)]
    pub reading: Reading,
    /// Images of the restored disks, or the disks themselves
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Recovery identity
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// `latest`, `latest~1` (the one before) and so on, or its number
    #[arg(long, default_value = "latest")]
    pub snapshot: String,
}
