//! Configurations of guests: `qemu-server/VMID.conf` and `lxc/VMID.conf`.
//!
//! ```text
//! #DESCRIPTION, with %3A for a colon and the like
//! KEY: VALUE[,KEY=VALUE…]
//!
//! [PENDING]              what changes at the next start; `delete` names options that go
//! [SNAPSHOT]             the configuration as it was
//! [special:NAME]         what the platform keeps for itself
//! ```
//!
//! A container's file may have lines of LXC's own, `lxc.KEY: VALUE` or `lxc.KEY = VALUE`, and these may repeat.

mod container;
mod machine;

use super::ConfigError;
use super::storage::is_id;
use super::text::{Place, Properties, boolean, decode, lines, list, size};
use crate::inventory::{self, Attached, Guest, Kind, Role, Snapshot, Volume};

/// A guest's configuration as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    file: String,
    kind: Kind,
    /// What holds now.
    pub current: Section,
    /// What holds from the next start.
    pub pending: Option<Section>,
    /// Snapshots by name, in their order.
    pub snapshots: Vec<(String, Section)>,
}

/// Options of one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Notes, decoded.
    pub description: String,
    options: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    line: usize,
}

impl Section {
    /// The value of an option.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// All options.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    fn is_on(&self, key: &str) -> bool {
        self.get(key).and_then(boolean) == Some(true)
    }
}

/// Which section lines go to.
enum Open {
    Current,
    Pending,
    Snapshot,
    Special,
}

impl Config {
    /// Reads the file; `file` is its name in errors.
    ///
    /// # Errors
    /// When a line is none of the grammar's, or an option or a section comes twice.
    pub fn parse(file: &str, kind: Kind, text: &str) -> Result<Self, ConfigError> {
        let (current, snapshots) = (Section::default(), Vec::new());
        let mut config = Self { file: file.to_owned(), kind, current, pending: None, snapshots };
        let mut special = Section::default();
        let mut open = Open::Current;
        for (line, content) in lines(text) {
            let place = Place { file, line };
            if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                open = config.begin(place, name)?;
                special = Section::default();
                continue;
            }
            let section = match open {
                Open::Current => &mut config.current,
                Open::Pending => config.pending.get_or_insert_default(),
                Open::Snapshot => config.snapshots.last_mut().map_or(&mut special, |(_, section)| section),
                Open::Special => &mut special,
            };
            section.take(place, kind, content)?;
        }
        Ok(config)
    }

    fn begin(&mut self, place: Place<'_>, name: &str) -> Result<Open, ConfigError> {
        if name.eq_ignore_ascii_case("pending") {
            if self.pending.replace(Section::default()).is_some() {
                return Err(place.error("section [PENDING] comes twice"));
            }
            return Ok(Open::Pending);
        }
        if name.starts_with("special:") {
            return Ok(Open::Special);
        }
        if !is_id(name) && !is_id(&format!("{name}0")) {
            return Err(place.error(format!("{name:?} is no name of a snapshot")));
        }
        if self.snapshots.iter().any(|(other, _)| other == name) {
            return Err(place.error(format!("snapshot {name} comes twice")));
        }
        self.snapshots.push((name.to_owned(), Section::default()));
        Ok(Open::Snapshot)
    }

    /// What the configuration says of the guest.
    ///
    /// # Errors
    /// When a volume's options cannot be read.
    pub fn guest(&self, id: &str, node: &str) -> Result<Guest, ConfigError> {
        let current = &self.current;
        let mut guest = Guest {
            id: id.to_owned(),
            kind: self.kind,
            name: current
                .get(if self.kind == Kind::Machine { "name" } else { "hostname" })
                .unwrap_or_default()
                .to_owned(),
            node: node.to_owned(),
            starts: current.is_on("onboot"),
            order: current.get("startup").and_then(order),
            protected: current.is_on("protection"),
            template: current.is_on("template"),
            lock: current.get("lock").map(str::to_owned),
            volumes: Vec::new(),
            attached: Vec::new(),
            snapshots: self.snapshots.iter().map(|(name, section)| snapshot(name, section)).collect(),
            pending: self.pending.as_ref().map(pending).unwrap_or_default(),
        };
        for entry in &current.options {
            let place = Place { file: &self.file, line: entry.line };
            let taken = match self.kind {
                Kind::Machine => machine::take(&mut guest, &entry.key, &entry.value),
                Kind::Container => container::take(&mut guest, &entry.key, &entry.value),
            };
            taken.map_err(|what| place.error(format!("{}: {what}", entry.key)))?;
        }
        Ok(guest)
    }
}

fn snapshot(name: &str, section: &Section) -> Snapshot {
    let time = section.get("snaptime").and_then(|time| time.parse().ok());
    Snapshot { name: name.to_owned(), time, memory: section.get("vmstate").is_some() }
}

/// The place that `startup` names: `order=2,up=30`, or `2`.
fn order(startup: &str) -> Option<u32> {
    Properties::parse(startup, "order").ok()?.first?.parse().ok()
}

/// Names of the options that change.
fn pending(section: &Section) -> Vec<String> {
    let deleted = section.get("delete").map(list).unwrap_or_default();
    let changed = section.iter().map(|(key, _)| key).filter(|key| *key != "delete").map(str::to_owned);
    changed.chain(deleted).collect()
}

impl Section {
    fn take(&mut self, place: Place<'_>, kind: Kind, content: &str) -> Result<(), ConfigError> {
        if let Some(text) = content.strip_prefix('#') {
            self.description += &decode(text);
            self.description.push('\n');
            return Ok(());
        }
        if content.is_empty() {
            return Ok(());
        }
        let wanted = || place.error(format!("{:?} is not of the form \"key: value\"", shown(content)));
        let raw = kind == Kind::Container && content.starts_with("lxc.");
        let (key, value) =
            if raw { content.split_once([':', '=']) } else { content.split_once(':') }.ok_or_else(wanted)?;
        let (key, value) = (key.trim_end(), value.trim());
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte) || raw && byte == b'.'
        };
        if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.bytes().all(allowed) || value.is_empty() && !raw {
            return Err(wanted());
        }
        if !raw && self.get(key).is_some() {
            return Err(place.error(format!("{key} comes twice")));
        }
        self.options.push(Entry { key: key.to_owned(), value: value.to_owned(), line: place.line });
        Ok(())
    }
}

/// So much of a line as an error needs: a value may be a password.
fn shown(content: &str) -> &str {
    content.split([':', '=', ' ']).next().unwrap_or_default()
}

/// Whether a key is one of `words` followed by a number.
fn is_numbered(key: &str, words: &[&str]) -> bool {
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < key.len() && words.contains(&word)
}

/// `STORAGE:VOLUME`, or a path.
fn place(text: &str) -> Result<inventory::Place, String> {
    if text.starts_with('/') {
        return Ok(inventory::Place::Path(text.to_owned()));
    }
    let (storage, volume) = text.split_once(':').ok_or_else(|| format!("{text:?} is neither a path nor a volume"))?;
    if !is_id(storage) || volume.is_empty() {
        return Err(format!("{text:?} is neither a path nor a volume"));
    }
    Ok(inventory::Place::Storage { storage: storage.to_owned(), volume: volume.to_owned() })
}

/// The size that the options give.
fn size_of(properties: &Properties) -> Result<Option<u64>, String> {
    let Some(text) = properties.get("size") else { return Ok(None) };
    size(text).map(Some).ok_or_else(|| format!("size={text} is no size"))
}

/// A volume that nothing uses any more.
fn unused(slot: &str, value: &str) -> Result<Volume, String> {
    let properties = Properties::parse(value, "file")?;
    let first = properties.first.as_deref().ok_or("no volume is named")?;
    let place = Some(place(first)?);
    let size = size_of(&properties)?;
    Ok(Volume { slot: slot.to_owned(), role: Role::Unused, place, size, target: None, in_backup: false })
}

fn attached(slot: &str, what: impl Into<String>) -> Attached {
    Attached { slot: slot.to_owned(), what: what.into() }
}

#[cfg(test)]
mod tests;
