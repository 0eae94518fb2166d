//! Names in a dump folder: which file is a finished archive of which guest, which belongs to one, and which was left by a run that was cut.
//!
//! ```text
//! archive     vzdump-(qemu|lxc|openvz)-VMID-YYYY_MM_DD-HH_MM_SS.(tgz | (tar|vma)[.gz|.lzo|.zst|.bz2])    local time
//! log         the same up to the time, .log
//! notes       archive.notes          protection    archive.protected
//! unfinished  .dat and .tmp after the time, the form or the whole
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

use super::VmId;
use crate::archive::{Form, Packing};

/// Whose archive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A virtual machine's.
    Qemu,
    /// A container's.
    Lxc,
    /// A container's of releases before 4.
    Openvz,
}

impl Kind {
    const ALL: [(Self, &'static str); 3] = [(Kind::Qemu, "qemu"), (Kind::Lxc, "lxc"), (Kind::Openvz, "openvz")];
}

/// What all names of one archive begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stem {
    /// Whose it is.
    pub kind: Kind,
    /// The guest.
    pub guest: VmId,
    /// When it was begun, in the host's local time.
    pub time: DateTime,
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = Kind::ALL.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| word);
        let (guest, time) = (self.guest, self.time);
        write!(f, "vzdump-{kind}-{guest}-{:04}_{:02}_{:02}", time.year(), time.month(), time.day())?;
        write!(f, "-{:02}_{:02}_{:02}", time.hour(), time.minute(), time.second())
    }
}

/// The name of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveName {
    /// Whose and when.
    pub stem: Stem,
    /// Disks or files.
    vma: bool,
    /// How it is compressed.
    pub packing: Packing,
    /// Written `.tgz`.
    tgz: bool,
}

impl ArchiveName {
    /// What the name says that it holds.
    #[must_use]
    pub fn form(&self) -> Form {
        if self.vma { Form::Vma } else { Form::Tar }
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.vma { "vma" } else { "tar" };
        match PACKINGS.iter().find(|(packing, _)| *packing == self.packing) {
            _ if self.tgz => write!(f, "{}.tgz", self.stem),
            Some((_, ending)) => write!(f, "{}.{form}.{ending}", self.stem),
            None => write!(f, "{}.{form}", self.stem),
        }
    }
}

impl Serialize for ArchiveName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const PACKINGS: [(Packing, &str); 4] =
    [(Packing::Gzip, "gz"), (Packing::Lzo, "lzo"), (Packing::Zstd, "zst"), (Packing::Bzip2, "bz2")];

/// What a file in a dump folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A finished archive: it gets this name when it is complete.
    Archive(ArchiveName),
    /// The log of a run.
    Log(Stem),
    /// Notes on an archive.
    Notes(ArchiveName),
    /// An archive that must not be removed.
    Protected(ArchiveName),
    /// What a run that goes on, or was cut, has written so far.
    Unfinished(Stem),
}

impl FromStr for Name {
    type Err = ();

    /// Anything else in the folder is none of these.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (stem, rest) = stem(text).ok_or(())?;
        if rest == ".log" {
            return Ok(Name::Log(stem));
        }
        let (ending, made): (&str, fn(ArchiveName) -> Name) = match rest {
            _ if rest.ends_with(".notes") => (".notes", Name::Notes),
            _ if rest.ends_with(".protected") => (".protected", Name::Protected),
            _ if rest.ends_with(".dat") => (".dat", |name| Name::Unfinished(name.stem)),
            _ if rest.ends_with(".tmp") => (".tmp", |name| Name::Unfinished(name.stem)),
            _ => ("", Name::Archive),
        };
        let rest = rest.strip_suffix(ending).unwrap_or(rest);
        if rest.is_empty() && matches!(ending, ".dat" | ".tmp") {
            return Ok(Name::Unfinished(stem));
        }
        archive(stem, rest).map(made).ok_or(())
    }
}

/// The stem, and what follows it.
fn stem(text: &str) -> Option<(Stem, &str)> {
    let rest = text.strip_prefix("vzdump-")?;
    let (kind, rest) =
        Kind::ALL.iter().find_map(|(kind, word)| Some((*kind, rest.strip_prefix(word)?.strip_prefix('-')?)))?;
    let (guest, rest) = rest.split_once('-')?;
    const TIME: usize = "YYYY_MM_DD-HH_MM_SS".len();
    let stem = Stem { kind, guest: guest.parse().ok()?, time: time(rest.get(..TIME)?)? };
    Some((stem, &rest[TIME..]))
}

fn time(text: &str) -> Option<DateTime> {
    let separators = text.bytes().zip(b"0000_00_00-00_00_00");
    if !separators.clone().all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == *wanted }) {
        return None;
    }
    let number = |at: usize| text.get(at..at + 2)?.parse::<i8>().ok();
    let year = text.get(..4)?.parse().ok()?;
    DateTime::new(year, number(5)?, number(8)?, number(11)?, number(14)?, number(17)?, 0).ok()
}

fn archive(stem: Stem, rest: &str) -> Option<ArchiveName> {
    if rest == ".tgz" {
        return Some(ArchiveName { stem, vma: false, packing: Packing::Gzip, tgz: true });
    }
    let (vma, rest) = match (rest.strip_prefix(".tar"), rest.strip_prefix(".vma")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return None,
    };
    let packing = match rest.strip_prefix('.') {
        None if rest.is_empty() => Packing::None,
        None => return None,
        Some(rest) => PACKINGS.iter().find(|(_, ending)| *ending == rest)?.0,
    };
    Some(ArchiveName { stem, vma, packing, tgz: false })
}

/// A finished archive in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Its name.
    pub name: ArchiveName,
    /// There are notes on it.
    pub notes: bool,
    /// It must not be removed.
    pub protected: bool,
    /// There is a log of its run.
    pub log: bool,
}

/// What a dump folder holds, by guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Finished archives of each guest, the newest first.
    pub finished: BTreeMap<VmId, Vec<Finished>>,
    /// What runs that were cut have left.
    pub unfinished: Vec<Stem>,
}

impl Folder {
    /// Sorts the names of a folder; what is none of vzdump's is passed over.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Name> = names.into_iter().filter_map(|name| name.parse().ok()).collect();
        let mut folder = Folder::default();
        for name in &names {
            match name {
                Name::Archive(name) => {
                    let of_it = |wanted: Name| names.contains(&wanted);
                    folder.finished.entry(name.stem.guest).or_default().push(Finished {
                        name: *name,
                        notes: of_it(Name::Notes(*name)),
                        protected: of_it(Name::Protected(*name)),
                        log: of_it(Name::Log(name.stem)),
                    });
                }
                Name::Unfinished(stem) => folder.unfinished.push(*stem),
                _ => {}
            }
        }
        for archives in folder.finished.values_mut() {
            archives.sort_by_key(|archive| std::cmp::Reverse((archive.name.stem.time, archive.name)));
        }
        folder.unfinished.sort_unstable();
        folder.unfinished.dedup();
        folder
    }

    /// The newest finished archive of a guest.
    #[must_use]
    pub fn newest(&self, guest: VmId) -> Option<&Finished> {
        self.finished.get(&guest)?.first()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Name {
        text.parse().unwrap_or_else(|()| panic!("{text} is not read"))
    }

    #[test]
    fn every_name_of_the_grammar_is_read() {
        let base = "vzdump-qemu-100-2024_02_29-23_59_59";
        let stem = Stem { kind: Kind::Qemu, guest: "100".parse().unwrap(), time: date(2024, 2, 29).at(23, 59, 59, 0) };
        for form in ["tar", "vma"] {
            for ending in ["", ".gz", ".lzo", ".zst", ".bz2"] {
                let text = format!("{base}.{form}{ending}");
                let Name::Archive(name) = read(&text) else { panic!("{text}") };
                assert_eq!((name.stem, name.to_string()), (stem, text.clone()));
                assert_eq!(name.form(), if form == "vma" { Form::Vma } else { Form::Tar });
                assert_eq!(ending.is_empty(), name.packing == Packing::None);
                assert_eq!(read(&format!("{text}.notes")), Name::Notes(name));
                assert_eq!(read(&format!("{text}.protected")), Name::Protected(name));
                assert_eq!(read(&format!("{text}.dat")), Name::Unfinished(stem));
                assert_eq!(read(&format!("{text}.tmp")), Name::Unfinished(stem));
            }
        }
        let Name::Archive(tgz) = read("vzdump-openvz-101-2012_01_02-03_04_05.tgz") else { panic!() };
        assert_eq!((tgz.form(), tgz.packing, tgz.stem.kind), (Form::Tar, Packing::Gzip, Kind::Openvz));
        assert_eq!(read(&format!("{base}.log")), Name::Log(stem));
        assert_eq!(read(&format!("{base}.dat")), Name::Unfinished(stem));
        assert_eq!(read(&format!("{base}.tmp")), Name::Unfinished(stem));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_not_read() {
        for text in [
            "",
            "vzdump-qemu-100-2024_02_29-23_59_59",
            "vzdump-qemu-99-2024_02_29-23_59_59.vma",
            "vzdump-qemu-0100-2024_02_29-23_59_59.vma",
            "vzdump-qemu-100-2023_02_29-23_59_59.vma",
            "vzdump-qemu-100-2024_02_28-24_00_00.vma",
            "vzdump-qemu-100-2024-02-28-23_59_59.vma",
            "vzdump-qemu-100-2024_02_28-23_59_5+.vma",
            "vzdump-kvm-100-2024_02_28-23_59_59.vma",
            "vzdump-qemu-100-2024_02_28-23_59_59.vma.xz",
            "vzdump-qemu-100-2024_02_28-23_59_59.vma.zst.1",
            "vzdump-qemu-100-2024_02_28-23_59_59.vmazst",
            "vzdump-qemu-100-2024_02_28-23_59_59.tgz.gz",
            "vzdump-qemu-100-2024_02_28-23_59_59.notes",
            "vzdump-qemu-100-2024_02_28-23_59_59.vma.log",
            "vzdump-qemu-100-2024_02_28-23_59_59.vma.zst.notes.notes",
            "vzdump-qemu-100-2024_02_28-23_59_5\u{e9}.vma",
            "xvzdump-qemu-100-2024_02_28-23_59_59.vma",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_newest_finished_archive_is_found_and_no_unfinished_one() {
        let folder = Folder::of([
            "vzdump-qemu-100-2024_01_02-03_04_05.vma.zst",
            "vzdump-qemu-100-2024_01_02-03_04_05.vma.zst.notes",
            "vzdump-qemu-100-2024_01_02-03_04_05.vma.zst.protected",
            "vzdump-qemu-100-2024_01_02-03_04_05.log",
            "vzdump-qemu-100-2023_12_31-03_04_05.vma.gz",
            "vzdump-qemu-100-2024_01_09-03_04_05.vma.dat",
            "vzdump-qemu-100-2024_01_09-03_04_05.tmp",
            "vzdump-lxc-1000-2024_01_01-03_04_05.tar",
            "lost+found",
        ]);
        let newest = folder.newest("100".parse().unwrap()).unwrap();
        assert_eq!(newest.name.to_string(), "vzdump-qemu-100-2024_01_02-03_04_05.vma.zst");
        assert!(newest.notes && newest.protected && newest.log);
        let all = &folder.finished[&"100".parse().unwrap()];
        assert_eq!(all.len(), 2);
        assert!(!all[1].notes && !all[1].protected && !all[1].log);
        assert!(folder.newest("1000".parse().unwrap()).is_some());
        assert_eq!(folder.newest("101".parse().unwrap()), None);
        assert_eq!(folder.unfinished.len(), 1);
    }

    /// What lies in a dump folder of each release, as far as the names are vzdump's.
    #[test]
    fn folders_of_all_releases_are_sorted() {
        let folders = [
            include_str!("../../fixtures/names/release-7.txt"),
            include_str!("../../fixtures/names/release-8.txt"),
            include_str!("../../fixtures/names/release-9.txt"),
        ];
        let told = folders.map(|names| {
            let folder = Folder::of(names.lines());
            let marks = |one: &Finished| {
                let marks = [(one.log, " log"), (one.notes, " notes"), (one.protected, " protected")];
                marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect::<String>()
            };
            let mut told: Vec<String> =
                folder.finished.values().flatten().map(|one| format!("{}{}", one.name, marks(one))).collect();
            told.extend(folder.unfinished.iter().map(|stem| format!("unfinished {stem}")));
            told
        });
        let wanted: [&[&str]; 3] = [
            &[
                "vzdump-qemu-100-2021_12_31-02_00_03.vma.lzo log notes",
                "vzdump-qemu-100-2021_12_30-02_00_03.vma.gz log",
                "vzdump-lxc-101-2021_12_31-23_59_59.tar.lzo log",
                "vzdump-openvz-102-2015_02_28-02_00_01.tgz",
                "vzdump-qemu-999999999-2020_02_29-00_00_00.vma",
                "unfinished vzdump-lxc-101-2022_01_01-00_00_00",
            ],
            &[
                "vzdump-qemu-100-2023_10_30-03_00_00.vma.zst protected",
                "vzdump-lxc-101-2023_10_29-02_30_00.tar.zst notes protected",
                "vzdump-lxc-101-2023_10_29-02_30_00.tar",
                "unfinished vzdump-qemu-100-2023_10_31-03_00_00",
            ],
            &[
                "vzdump-qemu-100-2025_09_02-03_00_00.vma.bz2",
                "vzdump-qemu-100-2025_09_01-03_00_00.vma.zst log notes",
                "vzdump-lxc-101-2025_09_01-03_10_00.tar.zst log",
                "vzdump-qemu-1000-2025_09_01-03_00_00.tar",
            ],
        ];
        assert_eq!(told, wanted.map(|one| one.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()));
    }

    proptest! {
        #[test]
        fn a_name_that_is_read_is_written_the_same(
            stem in "vzdump-(qemu|lxc|openvz)-[1-9][0-9]{2,8}-20[0-9]{2}_(0[1-9]|1[0-2])_[0-2][0-9]-[0-2][0-9]_[0-5][0-9]_[0-5][0-9]",
            form in "tgz|(tar|vma)(\\.(gz|lzo|zst|bz2))?",
        ) {
            let text = format!("{stem}.{form}");
            if let Ok(Name::Archive(name)) = text.parse() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn no_name_makes_it_panic(text in "(vzdump-qemu-)?\\PC{0,40}(\\.vma|\\.dat|\\.tgz)?") {
            let _ = text.parse::<Name>();
        }
    }
}
