//! Podman: containers of root, as `podman` tells them. Those of other users are found by their folders, and are captured as files.

use guests::engine::Engine;
use manifest::host::{Gap, PlatformKind};

use super::asking::Asking;
use super::{Found, Hypervisor, Policy, engine, printable};
use crate::capture::aside::Aside;
use crate::capture::gap;
use crate::capture::source::Source;

/// Images and volumes, unless its configuration names another folder.
const FOLDER: &str = "/var/lib/containers/storage";
const CONFIG: &str = "/etc/containers/storage.conf";
/// Below a user's home.
const ROOTLESS: &str = ".local/share/containers/storage";

pub(super) struct Podman;

impl Hypervisor for Podman {
    fn look(&self, source: &Source, _: &Policy, _: &mut Aside, gaps: &mut Vec<Gap>) -> Option<Found> {
        let mut found = Found::new(PlatformKind::Podman);
        let folder = folder(source);
        if source.is_live() && source.exists(&folder) {
            match told() {
                Ok(Some(told)) => engine::fill(&mut found, &told, gaps),
                // Others use the folder, too.
                Ok(None) => {}
                Err(why) => gaps.push(gap(folder, format!("podman tells nothing of its containers: {why}"))),
            }
        }
        for (user, folder) in rootless(source) {
            found.note(format!(
                "{user} has containers of their own in {folder}: they are archived as files, and whether one runs is \
                 not known"
            ));
        }
        (!found.guests.is_empty() || !found.notes.is_empty()).then_some(found)
    }
}

/// Where its data lies: by the file that Podman itself reads.
fn folder(source: &Source) -> String {
    let config = std::env::var("CONTAINERS_STORAGE_CONF").unwrap_or_else(|_| CONFIG.to_owned());
    let config: toml::Table = source.text(config).and_then(|text| text.parse().ok()).unwrap_or_default();
    let root = config.get("storage").and_then(|storage| storage.get("graphroot")).and_then(toml::Value::as_str);
    root.unwrap_or(FOLDER).to_owned()
}

fn told() -> Result<Option<engine::Told>, String> {
    let Some(asking) = Asking::of("podman", &[]) else { return Ok(None) };
    let info = asking.read(&["info", "--format", "json"])?;
    engine::ask(&asking, Engine::of_podman(&info).map_err(|error| format!("podman info: {error}"))?).map(Some)
}

/// Users who have containers of their own, and where.
fn rootless(source: &Source) -> Vec<(String, String)> {
    let users = source.text("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let (name, home) = (fields.next()?, fields.nth(4)?);
        let folder = format!("{}/{ROOTLESS}", home.trim_end_matches('/'));
        let layers = ["overlay-containers", "vfs-containers", "btrfs-containers"];
        let used = layers.iter().any(|layer| !source.names(format!("{folder}/{layer}")).is_empty());
        used.then(|| (printable(name), printable(&folder)))
    };
    users.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::fs;

    use super::*;

    #[test]
    fn users_with_containers_of_their_own_are_noted() {
        let root = tempfile::tempdir().unwrap();
        let source = Source::new(root.path());
        let look = || Podman.look(&source, &Policy::default(), &mut Aside::default(), &mut Vec::new());
        assert!(look().is_none());
        let home = root.path().join("home/ann/.local/share/containers/storage/overlay-containers/abc");
        fs::create_dir_all(home).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")
            .unwrap();
        let notes = look().unwrap().notes;
        assert!(notes.len() == 1 && notes[0].text.starts_with("ann has"), "{notes:?}");
    }
}
