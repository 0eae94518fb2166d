//! Matching: which present disk takes the place of which recorded one, and why.
//!
//! Serial number, then WWN, then size with model, then size alone, then "there is only one": in this order, and each only
//! where it names exactly one disk. A serial number that disks with WWNs of their own share is none. Whatever is left open is an error that says what to do; nothing here guesses. An
//! order's explicit mapping goes before everything else. Knows nothing of partitions; reads no disk.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::graph::{Layout, Node, NodeId};
use crate::units::Bytes;

/// A disk of the machine that is being restored, as the rescue found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// The kernel's name now: `/dev/vda`.
    pub path: String,
    /// Size in bytes.
    pub size: Bytes,
    /// What identifies it.
    pub disk: Disk,
    /// What is on it now, in disk order.
    pub holds: Vec<Held>,
    /// Why it is never a target; none for an ordinary disk.
    pub barred: Option<Barred>,
}

/// Something that a present disk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The kernel's name: `/dev/vda2`, or the disk's own for a filesystem on the whole disk.
    pub path: String,
    /// First byte on the disk.
    pub start: Bytes,
    /// Size in bytes.
    pub size: Bytes,
    /// What it is, for people: `ext4 "root"`, `vfat`, `LVM2_member`, `nothing known`.
    pub what: String,
}

/// Why a disk is never a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Barred {
    /// The stick that was booted.
    Stick,
    /// Another Lifeboat stick: it may be the only other copy.
    OtherStick,
    /// The kernel or a switch on the medium makes it read-only.
    ReadOnly,
    /// An array or a volume on it is running.
    InUse,
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stick => "the stick that was booted",
            Self::OtherStick => "another Lifeboat stick",
            Self::ReadOnly => "read-only",
            Self::InUse => "in use by an array or a volume that is running",
        })
    }
}

impl Present {
    /// What names this disk whatever else is plugged in: its serial number, or its world wide name where it has none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        // Some drives build theirs of blanks, which nobody can type.
        let wwn = self.disk.wwn.as_deref().filter(|wwn| !wwn.contains(char::is_whitespace));
        self.disk.serial.as_deref().or(wwn)
    }

    /// What a person types to name this disk: its name, or the kernel's where it has none.
    #[must_use]
    pub fn handle(&self) -> &str {
        self.name().unwrap_or(&self.path)
    }

    /// A disk that may be chosen without having been named: not barred, not removable, not on USB.
    fn ordinary(&self) -> bool {
        self.barred.is_none() && !self.disk.removable && self.disk.transport.as_deref() != Some("usb")
    }
}

impl fmt::Display for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = if self.disk.model.is_empty() { "no model name" } else { &self.disk.model };
        match (&self.disk.serial, &self.disk.wwn) {
            (Some(serial), _) => write!(f, "{} ({model}, serial {serial}, {})", self.path, self.size),
            (None, Some(wwn)) => write!(f, "{} ({model}, no serial, WWN {wwn}, {})", self.path, self.size),
            (None, None) => write!(f, "{} ({model}, no serial, {})", self.path, self.size),
        }
    }
}

/// A RAID controller gives all its volumes its own serial number. Such a number names none of them: it is taken off disks that share it and have
/// world wide names of their own.
pub fn drop_shared_serials(present: &mut [Present]) {
    let shared: Vec<bool> =
        present.iter().map(|one| is_shared(&one.disk, present.iter().map(|other| &other.disk))).collect();
    for (disk, _) in present.iter_mut().zip(shared).filter(|(_, shared)| *shared) {
        disk.disk.serial = None;
    }
}

/// Whether a recorded disk is a present one, by the names that are its own.
fn is_same(layout: &Layout, recorded: &Disk, present: &Disk) -> bool {
    let serial = recorded.serial.is_some() && recorded.serial == present.serial && !shares_serial(layout, recorded);
    serial || (recorded.wwn.is_some() && recorded.wwn == present.wwn)
}

/// Whether other recorded disks have this one's serial number, so that it names none of them.
fn shares_serial(layout: &Layout, disk: &Disk) -> bool {
    is_shared(disk, layout.disks().map(|(_, disk)| disk))
}

/// Refuses a serial number that several recorded disks have: it names a RAID controller and none of its volumes.
pub(crate) fn refuse_shared(layout: &Layout, name: &str) -> Result<(), MatchError> {
    let alike: Vec<String> = layout
        .disks()
        .filter(|(_, disk)| disk.serial.as_deref() == Some(name) && shares_serial(layout, disk))
        .map(|(node, disk)| format!("{} ({})", node.path, disk.wwn.as_deref().unwrap_or_default()))
        .collect();
    if alike.is_empty() {
        return Ok(());
    }
    Err(MatchError::SharedSerial { serial: name.to_owned(), disks: alike.join(", ") })
}

/// Whether several disks have this one's serial number, and each a world wide name that no other of them has.
fn is_shared<'a>(disk: &Disk, all: impl Iterator<Item = &'a Disk>) -> bool {
    let alike: Vec<&Disk> = all.filter(|other| disk.serial.is_some() && other.serial == disk.serial).collect();
    let names: BTreeSet<&str> = alike.iter().filter_map(|other| other.wwn.as_deref()).collect();
    alike.len() > 1 && names.len() == alike.len()
}

/// As the target of a [`Choice`]: the recorded disk gets no place, and what was on it is not restored.
pub const NO_DISK: &str = "-";

/// A person's or an order's word on which disk takes which place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// [`Present::handle`] of the disk to write to, or [`NO_DISK`].
    pub target: String,
    /// Serial number or node name of the recorded disk; none: the rules below decide among the chosen disks.
    pub recorded: Option<String>,
}

/// A recorded disk and the present one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The recorded disk.
    pub recorded: NodeId,
    /// The kernel's name of the present one.
    pub path: String,
    /// Why this one.
    pub why: Why,
}

/// Why a present disk takes a recorded one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The order, or the person, named it.
    Named,
    /// Same serial number.
    Serial,
    /// Same world wide name.
    Wwn,
    /// Same size and model.
    SizeAndModel,
    /// Same size.
    Size,
    /// The only disk left for the only place left.
    Only,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "it was named",
            Self::Serial => "it has the recorded serial number",
            Self::Wwn => "it has the recorded world wide name",
            Self::SizeAndModel => "it alone has the recorded size and model",
            Self::Size => "it alone has the recorded size",
            Self::Only => "it is the only disk that can be a target",
        })
    }
}

/// Why disks cannot be matched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// A named disk is not there.
    #[error("no disk here is {target:?}; present: {present}. Attach it, or name another")]
    NoSuchTarget {
        /// What was named.
        target: String,
        /// What is there.
        present: String,
    },
    /// A named disk must not be written to.
    #[error("{disk} is {why} and is never written to. Name another disk")]
    Barred {
        /// The disk.
        disk: String,
        /// Why.
        why: Barred,
    },
    /// One name fits several disks.
    #[error("{handle:?} fits {disks}: disks that cannot be told apart are not written to. Detach all but one")]
    Doubled {
        /// The name.
        handle: String,
        /// The disks.
        disks: String,
    },
    /// A serial number that several recorded disks have.
    #[error("the serial number {serial:?} was that of {disks}: use the world wide name, in parentheses, instead")]
    SharedSerial {
        /// The serial number.
        serial: String,
        /// The recorded disks.
        disks: String,
    },
    /// A recorded disk that was named is not in the snapshot, or was named twice.
    #[error("the snapshot has no disk {0:?} that is still without a place")]
    NoSuchRecorded(String),
    /// Several disks could take the place.
    #[error("{recorded} could go to {candidates}. Name the disk to write to, by its serial number")]
    Ambiguous {
        /// The recorded disk.
        recorded: String,
        /// Present disks that could take its place.
        candidates: String,
    },
    /// No disk can take the place.
    #[error(
        "no disk here can take the place of {recorded}; present: {present}. Attach one, or name one by its serial number"
    )]
    NoCandidate {
        /// The recorded disk.
        recorded: String,
        /// Its node.
        node: NodeId,
        /// What is there.
        present: String,
    },
}

impl MatchError {
    /// Whether naming a disk can answer it: then somebody is asked, and otherwise it is the end.
    #[must_use]
    pub fn asks(&self) -> bool {
        matches!(
            self,
            Self::Ambiguous { .. } | Self::NoCandidate { .. } | Self::NoSuchTarget { .. } | Self::SharedSerial { .. }
        )
    }
}

/// Gives each of the `wanted` recorded disks a present one.
///
/// `choices` come first. When there are any, no other disk is a candidate: an order covers the disks it names and no more.
///
/// # Errors
/// [`MatchError`] for the first recorded disk that has no place or more than one.
pub fn match_disks(
    layout: &Layout,
    wanted: &[NodeId],
    present: &[Present],
    choices: &[Choice],
) -> Result<Vec<Match>, MatchError> {
    let recorded = wanted.iter().filter_map(|id| layout.node(id)).filter_map(Recorded::new).collect();
    let mut matching = Matching { layout, present, recorded, pool: Vec::new(), found: Vec::new() };
    if choices.is_empty() {
        // A blank one is a spare.
        let holds_something = |id: &NodeId| layout.children(id).next().is_some();
        let others = || layout.disks().filter(|(node, _)| !wanted.contains(&node.id) && holds_something(&node.id));
        let is_other = |disk: &Disk| others().any(|(_, other)| is_same(layout, other, disk));
        let may_be = |disk: &&Present| disk.barred.is_none() && !is_other(&disk.disk);
        matching.pool = present.iter().filter(may_be).collect();
    }
    matching.place_choices(choices)?;
    let own_serial = |wanted: &'_ Disk| !shares_serial(layout, wanted);
    matching.by_name(
        Why::Serial,
        |wanted| wanted.serial.as_deref().filter(|_| own_serial(wanted)),
        |disk| disk.serial.as_deref(),
    )?;
    matching.by_name(Why::Wwn, |wanted| wanted.wwn.as_deref(), |disk| disk.wwn.as_deref())?;
    if choices.is_empty() {
        matching.pool.retain(|disk| disk.ordinary());
    }
    matching.by_likeness(Why::SizeAndModel, |wanted, disk| {
        wanted.size == disk.size && !wanted.disk.model.is_empty() && wanted.disk.model == disk.disk.model
    })?;
    matching.by_likeness(Why::Size, |wanted, disk| wanted.size == disk.size)?;
    matching.only_one_left()?;
    matching.finish(wanted)
}

/// A recorded disk that needs a place.
#[derive(Clone, Copy)]
struct Recorded<'a> {
    node: &'a Node,
    disk: &'a Disk,
    size: Bytes,
}

impl<'a> Recorded<'a> {
    fn new(node: &'a Node) -> Option<Self> {
        match &node.kind {
            crate::Kind::Disk(disk) => Some(Self { node, disk, size: node.size }),
            _ => None,
        }
    }
}

impl fmt::Display for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.disk.serial.as_deref().unwrap_or("none");
        write!(f, "the recorded disk {} (serial {serial}, {})", self.node.path, self.size)
    }
}

struct Matching<'a> {
    layout: &'a Layout,
    present: &'a [Present],
    recorded: Vec<Recorded<'a>>,
    /// Present disks that may still be given away.
    pool: Vec<&'a Present>,
    found: Vec<Match>,
}

impl<'a> Matching<'a> {
    fn place_choices(&mut self, choices: &[Choice]) -> Result<(), MatchError> {
        for choice in choices {
            let disk = self.named(&choice.target)?;
            match &choice.recorded {
                None => self.pool.push(disk),
                Some(name) => {
                    refuse_shared(self.layout, name)?;
                    let fits = |wanted: &Recorded| {
                        wanted.disk.serial.as_deref() == Some(name)
                            || wanted.disk.wwn.as_deref() == Some(name)
                            || wanted.node.id.0 == *name
                    };
                    let place = self.recorded.iter().position(fits);
                    let place = place.ok_or_else(|| MatchError::NoSuchRecorded(name.clone()))?;
                    self.give(place, disk, Why::Named);
                }
            }
        }
        // One disk named, one place: the name is the reason, whatever the serial numbers say.
        if let ([disk], [_]) = (self.pool.as_slice(), self.recorded.as_slice())
            && !choices.is_empty()
        {
            self.give(0, disk, Why::Named);
        }
        Ok(())
    }

    fn named(&self, handle: &str) -> Result<&'a Present, MatchError> {
        let is_named = |disk: &&Present| disk.handle() == handle || disk.disk.wwn.as_deref() == Some(handle);
        let fitting: Vec<&Present> = self.present.iter().filter(is_named).collect();
        refuse_shared(self.layout, handle)?;
        match fitting.as_slice() {
            [] => Err(MatchError::NoSuchTarget { target: handle.to_owned(), present: list(self.present) }),
            [disk] => match disk.barred {
                Some(why) => Err(MatchError::Barred { disk: disk.to_string(), why }),
                None => Ok(disk),
            },
            several => Err(MatchError::Doubled { handle: handle.to_owned(), disks: list(several.iter().copied()) }),
        }
    }

    /// Matches by an identifier that is meant to be unique; one that is not is refused.
    fn by_name(
        &mut self,
        why: Why,
        of_recorded: impl Fn(&'a Disk) -> Option<&'a str>,
        of_present: impl Fn(&'a Disk) -> Option<&'a str>,
    ) -> Result<(), MatchError> {
        let mut place = 0;
        while let Some(wanted) = self.recorded.get(place).copied() {
            let Some(name) = of_recorded(wanted.disk) else {
                place += 1;
                continue;
            };
            let pool = self.pool.iter().copied();
            let candidates: Vec<&Present> = pool.filter(|disk| of_present(&disk.disk) == Some(name)).collect();
            let rivals = self.recorded.iter().filter(|other| of_recorded(other.disk) == Some(name)).count();
            match candidates.as_slice() {
                [] => place += 1,
                [disk] if rivals == 1 => self.give(place, disk, why),
                several => {
                    return Err(MatchError::Doubled { handle: name.to_owned(), disks: list(several.iter().copied()) });
                }
            }
        }
        Ok(())
    }

    /// Matches by what several disks may share: only where one disk fits one place and no other.
    fn by_likeness(&mut self, why: Why, like: impl Fn(&Recorded, &Present) -> bool) -> Result<(), MatchError> {
        let mut place = 0;
        while let Some(wanted) = self.recorded.get(place).copied() {
            let candidates: Vec<&Present> = self.pool.iter().filter(|disk| like(&wanted, disk)).copied().collect();
            match candidates.as_slice() {
                [] => place += 1,
                [disk] if self.recorded.iter().filter(|other| like(other, disk)).count() == 1 => {
                    self.give(place, disk, why);
                }
                several => return Err(ambiguous(&wanted, several)),
            }
        }
        Ok(())
    }

    fn only_one_left(&mut self) -> Result<(), MatchError> {
        match (self.recorded.as_slice(), self.pool.as_slice()) {
            ([_], [disk]) => {
                self.give(0, disk, Why::Only);
                Ok(())
            }
            ([], _) | (_, []) => Ok(()),
            ([wanted, ..], several) => Err(ambiguous(wanted, several)),
        }
    }

    fn give(&mut self, place: usize, disk: &'a Present, why: Why) {
        let wanted = self.recorded.remove(place);
        self.pool.retain(|other| other.path != disk.path);
        self.found.push(Match { recorded: wanted.node.id.clone(), path: disk.path.clone(), why });
    }

    fn finish(mut self, wanted: &[NodeId]) -> Result<Vec<Match>, MatchError> {
        if let Some(open) = self.recorded.first() {
            let node = open.node.id.clone();
            return Err(MatchError::NoCandidate { recorded: open.to_string(), node, present: list(self.present) });
        }
        let place = |found: &Match| wanted.iter().position(|id| *id == found.recorded);
        self.found.sort_by_key(place);
        if let Some(twice) = self.found.iter().find(|one| self.found.iter().filter(|x| x.path == one.path).count() > 1)
        {
            return Err(MatchError::Doubled { handle: twice.path.clone(), disks: "two recorded disks".to_owned() });
        }
        Ok(self.found)
    }
}

fn ambiguous(wanted: &Recorded, candidates: &[&Present]) -> MatchError {
    MatchError::Ambiguous { recorded: wanted.to_string(), candidates: list(candidates.iter().copied()) }
}

fn list<'a>(disks: impl IntoIterator<Item = &'a Present>) -> String {
    let texts: Vec<String> = disks
        .into_iter()
        .map(|disk| match disk.barred {
            Some(why) => format!("{disk}, {why}"),
            None => disk.to_string(),
        })
        .collect();
    if texts.is_empty() { "no disk".to_owned() } else { texts.join("; ") }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod topologies;
