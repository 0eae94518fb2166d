//! Incus: instances and pools, as `incus` tells them. The database is archived while it is in use, and beside it what Incus itself gives
//! as a start for a new one. What lies on its pools is exported, where the configuration says so.

mod export;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use export::Incus as Exporting;
use export::Wanted;
use guests::incus::{Instance, Pool};
use manifest::host::{Gap, GuestKind, PlatformKind};

use super::asking::Asking;
use super::exports::Export;
use super::parts::Part;
use super::{Found, Hypervisor, One, Policy, printable};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;

const FOLDER: &str = "/var/lib/incus";
const DATABASE: &str = "/var/lib/incus/database";

pub(super) struct Incus;

/// What Incus tells.
struct Told {
    instances: Vec<Instance>,
    pools: Vec<Pool>,
    preseed: String,
}

impl Hypervisor for Incus {
    fn look(&self, source: &Source, policy: &Policy, _: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        if !source.exists(DATABASE) {
            return None;
        }
        let mut found = Found::new(PlatformKind::Incus);
        found.note("its database is archived while it is in use");
        match if source.is_live() { ask() } else { Err("it is not the running system".to_owned()) } {
            Ok(told) => fill(&mut found, told, policy),
            Err(why) => gaps.push(gap(
                FOLDER,
                format!(
                    "Incus tells nothing of its instances: {why}; keep what `incus export` writes where it is captured"
                ),
            )),
        }
        Some(found)
    }
}

fn ask() -> Result<Told, String> {
    let asking = Asking::of("incus", &["--force-local"]).ok_or("incus is not installed")?;
    Ok(Told {
        instances: asking.json(&["list", "--all-projects", "--format", "json"])?,
        pools: asking.json(&["storage", "list", "--format", "json"])?,
        preseed: asking.read(&["admin", "init", "--dump"])?,
    })
}

fn fill(found: &mut Found, told: Told, policy: &Policy) {
    found.exports.push(Export { name: "preseed.yaml".to_owned(), text: told.preseed });
    let mut done = BTreeMap::new();
    for instance in &told.instances {
        let (mut one, beyond) = one(instance, &told.pools);
        for disk in beyond {
            disk.settle(&mut one, policy, &mut done);
        }
        if instance.runs() && one.lost.is_none() {
            one.note("it runs: its files are captured while it writes to them, but for what is exported");
        }
        found.guests.push(one);
    }
}

/// A disk of which the tree holds no sound state.
struct Beyond {
    what: String,
    why: String,
    wanted: Wanted,
}

impl Beyond {
    /// It is exported where the configuration says so; else, or where that fails, its guest is lost. A run that stores nothing exports nothing.
    /// `done` is what this run has exported: a volume may be of several instances.
    fn settle(self, one: &mut One, policy: &Policy, done: &mut BTreeMap<Wanted, Result<PathBuf, String>>) {
        let Self { what, why, wanted } = self;
        let how = policy.incus.as_ref();
        let Some(how) = how else {
            return one.lose(&format!(
                "{why}: have it exported (`[guests.incus]`), or keep what `incus export` writes where it is captured"
            ));
        };
        if policy.records.is_none() {
            return one.note(format!("{why}: a backup has it exported to {}", how.export.display()));
        }
        let program = exec::find("incus").unwrap_or_else(|| "incus".into());
        let export = |wanted: &Wanted| wanted.export(how, &program, policy.stop.clone());
        let exported = done.get(&wanted).cloned().unwrap_or_else(|| export(&wanted));
        done.insert(wanted, exported.clone());
        match exported {
            Ok(file) => {
                one.note(format!("its {what} is exported to {}, which Incus imports", file.display()));
                one.parts.push(Part::needed(format!("export of its {what}"), file));
            }
            Err(error) => one.lose(&format!("{why}, and it could not be exported: {error}")),
        }
    }
}

/// A guest, and what of it is to be exported.
fn one(instance: &Instance, pools: &[Pool]) -> (One, Vec<Beyond>) {
    let name = printable(&instance.name);
    let id = match instance.project.as_str() {
        "" | "default" => name.clone(),
        project => format!("{}:{name}", printable(project)),
    };
    let kind = if instance.is_machine() { GuestKind::Machine } else { GuestKind::Container };
    let mut one = One::new(id, &name, kind);
    one.guest.starts = instance.starts();
    let mut beyond = Vec::new();
    for disk in instance.disks() {
        let what = format!("disk {}", printable(&disk.name));
        let Some(pool) = disk.pool else {
            one.parts
                .extend(disk.source.filter(|source| source.starts_with('/')).map(|source| Part::used(what, source)));
            continue;
        };
        let Some(pool) = pools.iter().find(|known| known.name == pool) else {
            one.lose(&format!("its {what} lies on the pool {}, of which Incus tells nothing", printable(&pool)));
            continue;
        };
        let wanted = match &disk.source {
            Some(volume) => Wanted::volume(&instance.project, &pool.name, volume),
            None => Wanted::instance(&instance.project, &instance.name),
        };
        match (pool.driver.as_str(), pool.source()) {
            ("dir" | "btrfs", folder)
                if folder.starts_with('/') && !is_image(folder) && !folder.starts_with("/dev/") =>
            {
                one.parts.push(Part::needed(what.clone(), folder));
                if instance.is_machine() && instance.runs() {
                    let why = format!("its {what} is an image that it writes to: stop it for the backup");
                    beyond.push(Beyond { what, why, wanted });
                }
            }
            (driver, source) => {
                let why = format!(
                    "its {what} lies on the pool {} ({}, {}), of whose content the snapshot holds no sound state",
                    printable(&pool.name),
                    printable(driver),
                    printable(source)
                );
                beyond.push(Beyond { what, why, wanted });
            }
        }
    }
    (one, beyond)
}

/// Whether a pool lies in a file of its own, mounted as a loop.
fn is_image(source: &str) -> bool {
    source.starts_with("/var/lib/incus/disks/") || source.ends_with(".img")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use super::*;

    const LIST: &str = include_str!("../../../../guests/fixtures/incus/list.json");
    const POOLS: &str = include_str!("../../../../guests/fixtures/incus/pools.json");

    #[test]
    fn what_lies_in_folders_is_captured_and_what_lies_on_pools_in_files_is_lost() {
        let told = Told {
            instances: serde_json::from_str(LIST).unwrap(),
            pools: serde_json::from_str(POOLS).unwrap(),
            preseed: "config: {}\n".to_owned(),
        };
        let mut found = Found::new(PlatformKind::Incus);
        fill(&mut found, told, &Policy::default());
        let [mail, desk] = &found.guests[..] else { panic!("two guests") };
        let lost = mail.lost.as_ref().unwrap();
        assert!(lost.contains("disk data") && lost.contains("incus export") && !lost.contains("disk root"), "{lost}");
        assert!(desk.lost.is_none() && desk.guest.id == "home:desk");
        assert_eq!(desk.parts.iter().filter(|part| part.needed).count(), 1);
        assert_eq!(found.exports[0].name, "preseed.yaml");
    }

    #[test]
    fn an_image_of_a_running_machine_is_lost() {
        let list = LIST.replace("Stopped", "Running");
        let instances: Vec<Instance> = serde_json::from_str(&list).unwrap();
        let pools: Vec<Pool> = serde_json::from_str(POOLS).unwrap();
        let (_, beyond) = one(&instances[1], &pools);
        assert!(beyond[0].why.contains("stop it"));
    }

    #[test]
    fn a_host_without_it_has_none() {
        let root = tempfile::tempdir().unwrap();
        let source = Source::new(root.path());
        assert!(Incus.look(&source, &Policy::default(), &mut Aside::default(), &mut Vec::new()).is_none());
    }
}
