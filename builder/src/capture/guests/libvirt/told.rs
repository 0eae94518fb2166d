//! What `virsh` tells: domains with their states, where volumes of pools lie, and definitions that are in no file.

use guests::libvirt::{Domain, is_uuid};
use manifest::host::Gap;

use super::gap;
use crate::capture::guests::Found;
use crate::capture::guests::asking::Asking;
use crate::capture::guests::exports::Export;

/// A domain, and how it stands.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) domain: Domain,
    /// It has been started, and may write.
    pub(super) active: bool,
    /// It starts with the host.
    pub(super) starts: bool,
    /// It is defined in a file of the tree.
    pub(super) persistent: bool,
    /// Its memory is kept in a file of the tree.
    pub(super) saved: bool,
}

/// All domains.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) seen: Vec<Seen>,
}

/// Asks for all domains.
///
/// # Errors
/// In words, when libvirt does not answer, or one of its domains cannot be read.
pub(super) fn ask(asking: &Asking) -> Result<Told, String> {
    let list = |kind: &[&str]| asking.words(&[&["list", "--uuid"], kind].concat());
    let active = list(&[])?;
    let starts = list(&["--all", "--autostart"])?;
    let transient = list(&["--all", "--transient"])?;
    let saved = list(&["--all", "--with-managed-save"])?;
    let mut told = Told::default();
    for uuid in list(&["--all"])?.into_iter().filter(|uuid| is_uuid(uuid)) {
        let xml = match asking.read(&["dumpxml", &uuid]) {
            Ok(xml) => xml,
            // It has gone meanwhile.
            Err(_) if !list(&["--all"])?.contains(&uuid) => continue,
            Err(why) => return Err(why),
        };
        let domain = Domain::parse(&xml).map_err(|error| format!("domain {uuid}: {error}"))?;
        let is_in = |list: &[String]| list.contains(&uuid);
        told.seen.push(Seen {
            domain,
            active: is_in(&active),
            starts: is_in(&starts),
            persistent: !is_in(&transient),
            saved: is_in(&saved),
        });
    }
    Ok(told)
}

/// Where a volume of a pool lies.
///
/// # Errors
/// In words.
pub(super) fn path(asking: &Asking, pool: &str, volume: &str) -> Result<String, String> {
    let path = asking.read(&["vol-path", "--pool", pool, "--vol", volume])?.trim().to_owned();
    if path.starts_with('/') { Ok(path) } else { Err(format!("it lies at {path:?}")) }
}

/// Definitions of what is transient: with passwords, for whoever brings it back needs them.
pub(super) fn exports(asking: &Asking, told: &Told, found: &mut Found, gaps: &mut Vec<Gap>) {
    let transient: Vec<&str> =
        told.seen.iter().filter(|seen| !seen.persistent).map(|seen| seen.domain.uuid.as_str()).collect();
    for uuid in transient {
        match asking.read(&["dumpxml", "--security-info", uuid]) {
            Ok(text) => found.exports.push(Export { name: format!("{uuid}.xml"), text }),
            Err(why) => gaps.push(gap(
                format!("guest {uuid}"),
                format!("it is transient, and its definition cannot be kept: {why}"),
            )),
        }
    }
    if told.seen.is_empty() {
        return;
    }
    for (kind, list, dump) in [("network", "net-list", "net-dumpxml"), ("pool", "pool-list", "pool-dumpxml")] {
        // Only where domains are: what a host without guests has of them is nobody's.
        let Ok(names) = asking.words(&[list, "--transient", "--uuid"]) else { continue };
        for uuid in names.iter().filter(|uuid| is_uuid(uuid)) {
            match asking.read(&[dump, uuid]) {
                Ok(text) => found.exports.push(Export { name: format!("{kind}-{uuid}.xml"), text }),
                Err(why) => gaps.push(gap(
                    format!("{kind} {uuid} of libvirt"),
                    format!("it is transient, and its definition cannot be kept: {why}"),
                )),
            }
        }
    }
}
