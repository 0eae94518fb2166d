//! Archives of a Proxmox node's guests: each storage that may hold some is looked into, by the names that vzdump gives.

use std::fs;
use std::io;
use std::path::Path;

use guests::coverage::Backup;
use guests::proxmox::ConfigError;
use guests::proxmox::cluster::Tree;
use guests::proxmox::names::Folder;
use guests::proxmox::storage::{Storage, Storages};
use serde::Serialize;

/// A storage that may hold backups.
#[derive(Serialize)]
pub struct Looked {
    pub id: String,
    /// The folder that was looked into, or the server that was not asked.
    pub place: String,
    /// Finished archives in it; none where it could not be looked into.
    pub archives: Option<usize>,
    /// What runs that were cut have left.
    pub unfinished: Vec<String>,
    /// Why it could not be looked into.
    pub why: Option<String>,
}

/// The storages of the cluster.
///
/// # Errors
/// When `storage.cfg` cannot be read.
pub fn storages(tree: &Tree) -> Result<Storages, ConfigError> {
    Storages::parse("storage.cfg", &String::from_utf8_lossy(tree.get("storage.cfg").unwrap_or_default()))
}

/// What each storage of the node holds; `root` is the host's root.
pub fn backups(storages: &Storages, node: &str, root: &Path) -> (Vec<Looked>, Vec<Backup>) {
    let (mut looked, mut backups) = (Vec::new(), Vec::new());
    for storage in storages.with_backups(node) {
        looked.push(look(storage, root, &mut backups));
    }
    (looked, backups)
}

fn look(storage: &Storage, root: &Path, backups: &mut Vec<Backup>) -> Looked {
    let unlooked = |place: String, why: &str| Looked {
        id: storage.id.clone(),
        place,
        archives: None,
        unfinished: Vec::new(),
        why: Some(why.to_owned()),
    };
    if let Some(server) = storage.backup_server() {
        // All that is needed to find its snapshots again; the key is in the cluster's database.
        let told =
            |what: &str, value: Option<String>| value.map(|value| format!("; {what} {value}")).unwrap_or_default();
        let found = told("namespace", server.namespace) + &told("certificate", server.fingerprint);
        let encrypted = if server.encrypted { "; its backups are encrypted" } else { "" };
        return unlooked(server.repository, &format!("a backup server, which is not asked{found}{encrypted}"));
    }
    let Some(dump) = storage.dump() else { return unlooked(storage.kind.clone(), "it has no folder") };
    let folder = root.join(dump.trim_start_matches('/'));
    let names = match names(&folder) {
        Ok(names) => names,
        Err(error) => return unlooked(dump, &error.to_string()),
    };
    let found = Folder::of(names.iter().map(String::as_str));
    let all = || found.finished.values().flatten();
    backups.extend(all().map(|archive| Backup {
        guest: archive.name.stem.guest.to_string(),
        place: format!("{dump}/{}", archive.name),
        made: archive.name.stem.time,
    }));
    let (archives, unfinished) = (Some(all().count()), found.unfinished.iter().map(ToString::to_string).collect());
    Looked { id: storage.id.clone(), place: dump, archives, unfinished, why: None }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}
