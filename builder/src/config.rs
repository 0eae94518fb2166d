//! The configuration file. A key that is not known is refused with the nearest one that is.

mod command;
mod hook;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use guests::proxmox::VmId;
use serde::Deserialize;

use crate::capture::guests::{Archives, Policy, incus, vzdump};
use crate::capture::still::Policy as Snapshots;
use crate::exit::{Exit, refusal};
use crate::location::Location;

pub use command::{Limit, Line, OnFailure};
pub use hook::{Hook, Stream, apart};

/// Where it lies unless another file is named.
const DEFAULT_PATH: &str = "/etc/lifeboat/config.toml";

/// What an admin may set. Everything has a default: without the file, a first run works.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this format: 1.
    pub version: u32,
    /// The host's name in the vault [default: the host name].
    pub host_name: Option<String>,
    /// Vault that `backup` writes to when no stick is meant: a folder, `s3://BUCKET/PREFIX`, `rclone:REMOTE:PATH`.
    pub vault: Option<Location>,
    /// The stick that `backup` writes to: a device by its stable name, or an image file.
    pub stick: Option<PathBuf>,
    /// Compression of the rescue system: `xz` or `zstd`.
    pub compress: Option<String>,
    /// Days after which the rescue calls a snapshot stale.
    pub stale_after_days: Option<u32>,
    /// Paths and patterns that are left out, beside the default list.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Volumes of LVM and ZFS that are archived block by block: those of guests, or of programs that write to them directly.
    #[serde(default)]
    pub blocks: Vec<String>,
    /// Devices and mount points that need not be captured, each with a reason.
    #[serde(default)]
    pub waive: Vec<Waiver>,
    /// Whether filesystems are read from snapshots: `auto` where it is possible, `never`, or `require` [default: auto].
    pub snapshots: Option<String>,
    /// What is run around a capture, in this order.
    #[serde(default)]
    pub hook: Vec<Hook>,
    /// Commands whose output is captured, in this order.
    #[serde(default)]
    pub stream: Vec<Stream>,
    /// What `prune` keeps.
    #[serde(default)]
    pub prune: Prune,
    /// What is kept of encrypted containers.
    #[serde(default)]
    pub luks: Luks,
    /// What is captured of guests.
    #[serde(default)]
    pub guests: Guests,
    /// How S3-compatible storage is reached.
    pub s3: Option<S3>,
    /// How rclone is called.
    pub rclone: Option<Rclone>,
}

/// Keep rules; a rule that is not named keeps nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prune {
    /// The newest so many snapshots.
    pub keep_last: u32,
    /// One for each of so many days.
    pub keep_daily: u32,
    /// One for each of so many weeks.
    pub keep_weekly: u32,
    /// One for each of so many months.
    pub keep_monthly: u32,
    /// One for each of so many years.
    pub keep_yearly: u32,
    /// All that are no older than this before the newest: `12h`, `30d`, `8w`.
    pub keep_within: Option<String>,
    /// How long something stays after nothing needs it any more [default: 1d].
    pub grace: Option<String>,
}

/// What is kept of encrypted containers beside their headers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Luks {
    /// Their volume keys, sealed: whoever opens the backup then opens the containers too, and an unattended restore needs no passphrase.
    pub keep_volume_key: bool,
}

/// What is captured of guests, and what of them counts as missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guests {
    /// Which of their archives: `all`, `newest`, `none`, or a list of guests whose newest is [default: all].
    pub archives: Option<Wanted>,
    /// A backup of a guest that is older is no recent one [default: 2d].
    pub max_age: Option<String>,
    /// A guest that would not come back: `warn` (exit code 3) or `fail` (exit code 1) [default: warn].
    pub gaps: Option<String>,
    /// Disks of libvirt's guests that run: `leave` them as they are, or `snapshot` them while they are read [default: leave].
    pub running: Option<String>,
    /// Machines of Proxmox that the rescue itself brings back, before the first start, by their numbers.
    pub offline: Vec<String>,
    /// Whether vzdump is started for guests of Proxmox before they are captured [default: it is not].
    pub vzdump: Option<Vzdump>,
    /// Whether Incus is to export what lies on its pools before it is captured [default: it is not].
    pub incus: Option<Incus>,
}

/// How Incus exports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incus {
    /// The folder that the files go to; it must be captured.
    pub export: PathBuf,
    /// How long one file may take [default: 6h].
    #[serde(default)]
    pub limit: Limit<21_600>,
}

/// How vzdump is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vzdump {
    /// The storage that the archives go to.
    pub storage: String,
    /// For guests whose newest archive is `old`, by `max_age`, or `always` [default: old].
    pub when: Option<String>,
    /// Whether a guest runs on: `snapshot`, `suspend`, `stop` [default: snapshot].
    pub mode: Option<String>,
    /// `0`, `gzip`, `lzo`, `zstd` [default: as vzdump's own configuration says].
    pub compress: Option<String>,
    /// Only these guests [default: all of this node].
    #[serde(default)]
    pub only: Vec<String>,
    /// How long one guest may take [default: 6h].
    #[serde(default)]
    pub limit: Limit<21_600>,
}

/// Which archives: one word, or guests.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// A word.
    Word(String),
    /// Guests, as their platform calls them.
    Of(Vec<String>),
}

impl Guests {
    /// The policy that this is.
    ///
    /// # Errors
    /// When a word is none of those that there are.
    pub fn policy(&self) -> Result<Policy, String> {
        let archives = match &self.archives {
            None => Archives::All,
            Some(Wanted::Of(guests)) => Archives::Of(guests.clone()),
            Some(Wanted::Word(word)) => match word.as_str() {
                "all" => Archives::All,
                "newest" => Archives::Newest,
                "none" => Archives::None,
                other => {
                    return Err(format!("archives = {other:?} in [guests]: all, newest, none, or a list of guests"));
                }
            },
        };
        let most_age = self.max_age.as_deref().map(crate::size::parse_days).transpose();
        let most_age = most_age.map_err(|error| format!("max_age in [guests]: {error}"))?;
        let fail = match self.gaps.as_deref() {
            None | Some("warn") => false,
            Some("fail") => true,
            Some(other) => return Err(format!("gaps = {other:?} in [guests]: warn or fail")),
        };
        let snapshot = match self.running.as_deref() {
            None | Some("leave") => false,
            Some("snapshot") => true,
            Some(other) => return Err(format!("running = {other:?} in [guests]: leave or snapshot")),
        };
        let mut offline = self.offline.clone();
        if let Some(wrong) = offline.iter().find(|id| id.parse::<VmId>().is_err()) {
            return Err(format!(
                "offline = [{wrong:?}] in [guests]: numbers of Proxmox's machines are wanted, as \"100\""
            ));
        }
        offline.sort_unstable();
        offline.dedup();
        let vzdump = self.vzdump.as_ref().map(Vzdump::checked).transpose()?;
        let incus = self.incus.as_ref().map(Incus::checked).transpose()?;
        let usual = Policy::default();
        let most_age = most_age.unwrap_or(usual.most_age);
        Ok(Policy { archives, most_age, fail, snapshot, vzdump, incus, offline, ..usual })
    }
}

impl Incus {
    fn checked(&self) -> Result<incus::Exporting, String> {
        if !self.export.is_absolute() {
            return Err(format!("export = {:?} in [guests.incus]: an absolute path is wanted", self.export));
        }
        Ok(incus::Exporting { export: self.export.clone(), limit: self.limit.0 })
    }
}

impl Vzdump {
    /// What it says, once each word is one that there is: they become arguments.
    fn checked(&self) -> Result<vzdump::Vzdump, String> {
        let word = |key: &str, value: &Option<String>, known: &[&str]| match value {
            None => Ok(None),
            Some(value) if known.contains(&value.as_str()) => Ok(Some(value.clone())),
            Some(other) => Err(format!("{key} = {other:?} in [guests.vzdump]: {}", known.join(", "))),
        };
        let named = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        if !self.storage.starts_with(|char: char| char.is_ascii_alphabetic()) || !self.storage.chars().all(named) {
            return Err(format!("storage = {:?} in [guests.vzdump]: the name of a storage is wanted", self.storage));
        }
        if let Some(other) =
            self.only.iter().find(|guest| guest.is_empty() || !guest.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(format!("only = [{other:?}] in [guests.vzdump]: numbers of guests are wanted"));
        }
        let always = word("when", &self.when, &["old", "always"])?.as_deref() == Some("always");
        let mode = word("mode", &self.mode, &["snapshot", "suspend", "stop"])?;
        let compress = word("compress", &self.compress, &["0", "gzip", "lzo", "zstd"])?;
        let (storage, only, limit) = (self.storage.clone(), self.only.clone(), self.limit.0);
        Ok(vzdump::Vzdump {
            storage,
            mode: mode.unwrap_or_else(|| "snapshot".to_owned()),
            compress,
            always,
            only,
            limit,
        })
    }
}

/// How S3-compatible storage is reached, where the command line and the environment do not say. No secrets: they lie in files of their own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// URL of the server.
    pub endpoint: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Profile in the credentials file [default: default].
    pub profile: Option<String>,
    /// Credentials file, in the form of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// Certificates of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The bucket is part of the server's name (`BUCKET.s3.example.org`), not of the path.
    #[serde(default)]
    pub virtual_hosted: bool,
    /// For how long nobody can remove what is put, in a bucket with object lock: `30d` [default: as the bucket's own rule says].
    pub retention: Option<String>,
}

/// How rclone is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rclone {
    /// The program [default: rclone].
    pub program: Option<PathBuf>,
    /// Its configuration file [default: its own].
    pub config: Option<PathBuf>,
}

/// Something that need not be captured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Device (`/dev/sdb1`, `sdb*`), mount point, or filesystem type.
    pub what: String,
    /// Why; it stands in the manifest.
    pub reason: String,
}

const KEYS: &[&str] = &[
    "version",
    "host_name",
    "vault",
    "stick",
    "compress",
    "stale_after_days",
    "exclude",
    "blocks",
    "waive",
    "snapshots",
    "hook",
    "stream",
    "prune",
    "luks",
    "guests",
    "s3",
    "rclone",
];
const S3_KEYS: &[&str] =
    &["endpoint", "region", "profile", "credentials_file", "ca_file", "virtual_hosted", "retention"];
const RCLONE_KEYS: &[&str] = &["program", "config"];
const WAIVER_KEYS: &[&str] = &["what", "reason"];
const HOOK_KEYS: &[&str] = &["name", "before", "still", "after", "failed", "limit", "on"];
const STREAM_KEYS: &[&str] = &["name", "command", "limit", "on"];
const LUKS_KEYS: &[&str] = &["keep_volume_key"];
const GUEST_KEYS: &[&str] = &["archives", "max_age", "gaps", "running", "offline", "vzdump", "incus"];
const INCUS_KEYS: &[&str] = &["export", "limit"];
const VZDUMP_KEYS: &[&str] = &["storage", "when", "mode", "compress", "only", "limit"];
const PRUNE_KEYS: &[&str] =
    &["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within", "grace"];

impl Config {
    /// Reads `named`, or the default file when it exists, or gives the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or is not a valid configuration (exit 2).
    pub fn load(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: 1, ..Self::default() });
            }
            Err(error) => return Err(refusal(Exit::Usage, format!("reading {}: {error}", path.display()))),
        };
        let refused =
            |message: String| refusal(Exit::Usage, format!("{}: {message}; nothing was done", path.display()));
        let config = Self::parse(&text).map_err(refused)?;
        if !(config.hook.is_empty() && config.stream.is_empty()) {
            refuse_strangers(path).map_err(refused)?;
        }
        Ok(config)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        refuse_unknown(table.keys(), KEYS, "")?;
        for (name, keys) in [("waive", WAIVER_KEYS), ("hook", HOOK_KEYS), ("stream", STREAM_KEYS)] {
            for one in table.get(name).and_then(toml::Value::as_array).into_iter().flatten() {
                let found = one.as_table().into_iter().flat_map(toml::Table::keys);
                refuse_unknown(found, keys, &format!(" in [[{name}]]"))?;
            }
        }
        for (name, keys) in [
            ("prune", PRUNE_KEYS),
            ("luks", LUKS_KEYS),
            ("guests", GUEST_KEYS),
            ("s3", S3_KEYS),
            ("rclone", RCLONE_KEYS),
        ] {
            let table = table.get(name).and_then(toml::Value::as_table);
            refuse_unknown(table.into_iter().flat_map(toml::Table::keys), keys, &format!(" in [{name}]"))?;
        }
        for (name, keys) in [("vzdump", VZDUMP_KEYS), ("incus", INCUS_KEYS)] {
            let table = table.get("guests").and_then(|guests| guests.get(name)).and_then(toml::Value::as_table);
            refuse_unknown(table.into_iter().flat_map(toml::Table::keys), keys, &format!(" in [guests.{name}]"))?;
        }
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        match config.version {
            1 => {}
            other => return Err(format!("version = {other} is not known to this program, which reads version = 1")),
        }
        for (key, span) in [("keep_within", &config.prune.keep_within), ("grace", &config.prune.grace)] {
            let span = span.as_deref().map(crate::size::parse_days).transpose();
            span.map_err(|error| format!("{key} in [prune]: {error}"))?;
        }
        config.guests.policy()?;
        config.snapshots()?;
        hook::check(&config.hook, &config.stream)?;
        match config.compress.as_deref() {
            None | Some("xz" | "zstd") => Ok(config),
            Some(other) => Err(format!("compress = {other:?}: xz or zstd is wanted")),
        }
    }

    /// Whether filesystems are read from snapshots.
    ///
    /// # Errors
    /// When the word is none of those that there are.
    pub fn snapshots(&self) -> Result<Snapshots, String> {
        match self.snapshots.as_deref() {
            None | Some("auto") => Ok(Snapshots::Auto),
            Some("never") => Ok(Snapshots::Never),
            Some("require") => Ok(Snapshots::Require),
            Some(other) => Err(format!("snapshots = {other:?}: auto, never or require")),
        }
    }

    /// The host's name in the vault.
    ///
    /// # Errors
    /// When the configured name cannot be a folder's name (exit 2).
    pub fn host_name(&self) -> anyhow::Result<manifest::HostName> {
        let name = match &self.host_name {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        name.parse()
            .map_err(|error| refusal(Exit::Usage, format!("{error}")))
            .context("the name under which this host is stored; set host_name in the configuration")
    }
}

/// Refuses a file with commands that somebody else than root or this user could write: they would run with our rights.
fn refuse_strangers(path: &Path) -> Result<(), String> {
    let file = path.metadata().map_err(|error| error.to_string())?;
    let owners = [0, rustix::process::geteuid().as_raw()];
    if owners.contains(&file.uid()) && file.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(format!(
        "it has commands to run, and others may write it (owner {}, mode {:o}); `chown root` and `chmod go-w` it",
        file.uid(),
        file.mode() & 0o7777
    ))
}

fn refuse_unknown<'a>(found: impl IntoIterator<Item = &'a String>, known: &[&str], place: &str) -> Result<(), String> {
    for key in found {
        if known.contains(&key.as_str()) {
            continue;
        }
        let nearest = known.iter().max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
        let hint = match nearest {
            Some(near) if strsim::jaro_winkler(near, key) > 0.7 => format!("did you mean `{near}`?"),
            _ => format!("known are {}", known.join(", ")),
        };
        return Err(format!("the key `{key}`{place} is not known; {hint}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_refused_with_the_nearest_key() {
        let error = Config::parse("version = 1\nexlude = []\n").unwrap_err();
        assert_eq!(error, "the key `exlude` is not known; did you mean `exclude`?");
        let error = Config::parse("version = 1\n[[waive]]\nwhat = \"sdb\"\nreson = \"x\"\n").unwrap_err();
        assert_eq!(error, "the key `reson` in [[waive]] is not known; did you mean `reason`?");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_taken_is_of_version_1(
            lines in proptest::collection::vec("(version|exclude|waive|stick|[a-z_]{1,9}) ?= ?([0-9]{1,20}|\"[^\"]{0,9}\"|\\[.{0,9}\\]|.{0,9})|\\[\\[waive\\]\\]|(what|reason) = \".{0,5}\"|.{0,20}", 0..8)
        ) {
            let text = format!("version = 1\n{}", lines.join("\n"));
            for text in [text.as_str(), text.trim_start_matches("version = 1\n")] {
                match Config::parse(text) {
                    Ok(config) => proptest::prop_assert_eq!(config.version, 1),
                    Err(message) => proptest::prop_assert!(!message.is_empty()),
                }
            }
        }
    }

    #[test]
    fn keep_rules_are_read_and_their_typos_refused() {
        let config = Config::parse("version = 1\n[prune]\nkeep_daily = 7\nkeep_within = \"30d\"\n").unwrap();
        assert_eq!((config.prune.keep_daily, config.prune.keep_within.as_deref()), (7, Some("30d")));
        let error = Config::parse("version = 1\n[prune]\nkeep_dayly = 7\n").unwrap_err();
        assert_eq!(error, "the key `keep_dayly` in [prune] is not known; did you mean `keep_daily`?");
        assert!(Config::parse("version = 1\n[prune]\ngrace = \"soon\"\n").unwrap_err().contains("grace"));
    }

    #[test]
    fn snapshots_are_taken_where_possible_unless_the_configuration_says_otherwise() {
        let said =
            |text: &str| Config::parse(&format!("version = 1\n{text}\n")).map(|config| config.snapshots().unwrap());
        assert_eq!(said(""), Ok(Snapshots::Auto));
        assert_eq!(said("snapshots = \"auto\""), Ok(Snapshots::Auto));
        assert_eq!(said("snapshots = \"never\""), Ok(Snapshots::Never));
        assert_eq!(said("snapshots = \"require\""), Ok(Snapshots::Require));
        assert_eq!(said("snapshots = \"yes\"").unwrap_err(), "snapshots = \"yes\": auto, never or require");
        assert!(said("snapshots = true").is_err());
        assert_eq!(
            said("snapshot = \"auto\"").unwrap_err(),
            "the key `snapshot` is not known; did you mean `snapshots`?"
        );
    }

    #[test]
    fn volume_keys_are_kept_only_where_the_configuration_says_so() {
        assert!(!Config::parse("version = 1\n").unwrap().luks.keep_volume_key);
        assert!(Config::parse("version = 1\n[luks]\nkeep_volume_key = true\n").unwrap().luks.keep_volume_key);
        let error = Config::parse("version = 1\n[luks]\nkeep_volume_keys = true\n").unwrap_err();
        assert_eq!(error, "the key `keep_volume_keys` in [luks] is not known; did you mean `keep_volume_key`?");
    }

    #[test]
    fn what_is_captured_of_guests_is_one_word_or_a_list() {
        let policy =
            |text: &str| Config::parse(&format!("version = 1\n[guests]\n{text}\n")).unwrap().guests.policy().unwrap();
        assert_eq!(policy("").archives, Archives::All);
        assert_eq!(policy("archives = \"newest\"").archives, Archives::Newest);
        assert_eq!(policy("archives = [\"100\"]").archives, Archives::Of(vec!["100".to_owned()]));
        assert_eq!(policy("max_age = \"1w\"").most_age, 7 * 86_400);
        assert!(policy("gaps = \"fail\"").fail);
        assert!(
            policy("running = \"snapshot\"").snapshot
                && !policy("running = \"leave\"").snapshot
                && !policy("").snapshot
        );
        assert_eq!(policy("offline = [\"101\", \"100\", \"101\"]").offline, ["100", "101"]);
        for wrong in [
            "running = \"yes\"",
            "archives = \"some\"",
            "gaps = \"no\"",
            "max_age = \"soon\"",
            "archive = \"all\"",
            "offline = \"100\"",
            "offline = [100]",
            "offline = [\"mail\"]",
            "offline = [\"0100\"]",
        ] {
            assert!(Config::parse(&format!("version = 1\n[guests]\n{wrong}\n")).is_err(), "{wrong}");
        }
    }

    /// What a configuration says of guests.
    fn policy(text: &str) -> Result<Policy, String> {
        Config::parse(&format!("version = 1\n{text}\n")).map(|config| config.guests.policy().unwrap())
    }

    #[test]
    fn vzdump_is_started_only_as_the_configuration_says() {
        assert!(policy("[guests]").unwrap().vzdump.is_none());
        let usual = policy("[guests.vzdump]\nstorage = \"backups\"").unwrap().vzdump.unwrap();
        assert_eq!((usual.mode.as_str(), usual.always, usual.limit.as_secs()), ("snapshot", false, 6 * 3600));
        let other = "[guests.vzdump]\nstorage = \"pbs-1\"\nwhen = \"always\"\nmode = \"stop\"\ncompress = \"zstd\"\nonly = [\"100\"]\nlimit = \"2h\"";
        let other = policy(other).unwrap().vzdump.unwrap();
        assert_eq!((other.always, other.only, other.compress.as_deref()), (true, vec!["100".to_owned()], Some("zstd")));
        for wrong in [
            "",
            "storage = \"--all\"",
            "storage = \"a b\"",
            "storage = \"a\"\nmode = \"fast\"",
            "storage = \"a\"\nonly = [\"web\"]",
            "storage = \"a\"\nwhen = \"often\"",
        ] {
            assert!(policy(&format!("[guests.vzdump]\n{wrong}")).is_err(), "{wrong}");
        }
        let error = policy("[guests.vzdump]\nstorages = \"a\"").unwrap_err();
        assert_eq!(error, "the key `storages` in [guests.vzdump] is not known; did you mean `storage`?");
    }

    #[test]
    fn incus_exports_into_a_folder_that_is_named() {
        assert!(policy("[guests]").unwrap().incus.is_none());
        let how = policy("[guests.incus]\nexport = \"/srv/incus\"").unwrap().incus.unwrap();
        assert_eq!((how.export, how.limit.as_secs()), ("/srv/incus".into(), 6 * 3600));
        for wrong in ["", "export = \"incus\"", "export = \"/srv\"\nwhen = \"always\""] {
            assert!(policy(&format!("[guests.incus]\n{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn storage_has_keys_of_its_own_and_vaults_are_parsed() {
        let error = Config::parse("version = 1\n[s3]\nendpont = \"x\"\n").unwrap_err();
        assert_eq!(error, "the key `endpont` in [s3] is not known; did you mean `endpoint`?");
        let config = Config::parse("version = 1\nvault = \"s3://backups/a\"\n[rclone]\nconfig = \"/x\"\n").unwrap();
        assert_eq!(config.vault.unwrap().to_string(), "s3://backups/a");
        assert!(Config::parse("version = 1\nvault = \"ftp://x/y\"\n").unwrap_err().contains("ftp://"));
    }

    #[test]
    fn versions_and_values_that_are_not_known_are_refused() {
        assert!(Config::parse("version = 2\n").unwrap_err().contains("version = 2"));
        assert!(Config::parse("exclude = []\n").unwrap_err().contains("version"));
        assert!(Config::parse("version = 1\ncompress = \"gzip\"\n").unwrap_err().contains("gzip"));
        assert!(Config::parse("version = 1\nexclude = 3\n").is_err());
    }
}
