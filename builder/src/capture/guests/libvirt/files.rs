//! libvirt's own files, for when it does not answer: its guests run on without it.

use guests::libvirt::{Domain, folder_of_pool};
use manifest::host::Gap;

use super::told::{Seen, Told};
use super::{FOLDER, gap};
use crate::capture::source::Source;

/// A file for each domain that runs, kept by the driver.
const RUNNING: &str = "/run/libvirt/qemu";
const POOLS: &str = "/etc/libvirt/storage";
const SAVED: &str = "/var/lib/libvirt/qemu/save";

/// All domains. A file that is none of a domain becomes a gap.
pub(super) fn read(source: &Source, gaps: &mut Vec<Gap>) -> Told {
    let mut told = Told::default();
    for (folder, active) in [(RUNNING, true), (FOLDER, false)] {
        if active && source.is_at_rest() {
            continue;
        }
        for file in source.names(folder).into_iter().filter(|name| name.ends_with(".xml")) {
            let path = format!("{folder}/{file}");
            let Some(xml) = source.text(&path) else { continue };
            match Domain::parse(&xml) {
                Ok(domain) => add(&mut told, domain, active, &file, source),
                Err(error) => gaps.push(gap(path, error)),
            }
        }
    }
    told.seen.sort_by(|one, other| one.domain.name.cmp(&other.domain.name));
    told
}

/// Where a volume of a pool lies.
///
/// # Errors
/// In words.
pub(super) fn path(source: &Source, pool: &str, volume: &str) -> Result<String, String> {
    if [pool, volume].iter().any(|name| name.is_empty() || name.contains('/') || *name == "..") {
        return Err("it is no name of a volume".to_owned());
    }
    let folders = ["/run/libvirt/storage", POOLS].map(|folder| format!("{folder}/{pool}.xml"));
    let xml =
        folders.iter().find_map(|file| source.text(file)).ok_or("libvirt does not answer, and has no file of it")?;
    let folder = folder_of_pool(&xml).map_err(|error| error.to_string())?;
    folder
        .map(|folder| format!("{}/{volume}", folder.trim_end_matches('/')))
        .ok_or_else(|| "libvirt does not answer".to_owned())
}

fn add(told: &mut Told, domain: Domain, active: bool, file: &str, source: &Source) {
    if told.seen.iter().any(|seen| seen.domain.uuid == domain.uuid) {
        return;
    }
    let save = file.strip_suffix(".xml").unwrap_or(file);
    told.seen.push(Seen {
        active,
        starts: source.exists(format!("{FOLDER}/autostart/{file}")),
        persistent: source.exists(format!("{FOLDER}/{file}")),
        saved: !active && source.exists(format!("{SAVED}/{save}.save")),
        domain,
    });
}
