//! A guest's files in the cluster file system: its configuration and its firewall.
//!
//! The configuration is addressed below `nodes/NODE`; `qemu-server` and `lxc` at the top are links to this node's folders. A file there is
//! replaced as the platform does it: written beside, and renamed. Modes are the file system's own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use manifest::host::{Guest, GuestKind};

/// Folders of configurations, those of machines first.
const FOLDERS: [&str; 2] = ["qemu-server", "lxc"];

/// Where a guest's files are.
#[derive(Clone, Debug)]
pub struct Files {
    nodes: PathBuf,
    file: String,
    config: PathBuf,
    firewall: PathBuf,
    kind: GuestKind,
}

impl Files {
    /// Those of a guest of `node`; `guest` was checked.
    pub fn of(pve: &Path, node: &str, guest: &Guest) -> Self {
        let nodes = pve.join("nodes");
        let file = format!("{}.conf", guest.id);
        let folder = if guest.kind == GuestKind::Machine { FOLDERS[0] } else { FOLDERS[1] };
        let config = nodes.join(node).join(folder).join(&file);
        let firewall = pve.join("firewall").join(format!("{}.fw", guest.id));
        Self { nodes, file, config, firewall, kind: guest.kind }
    }

    /// Name of the configuration's file.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// Name of the firewall's file.
    pub fn firewall_name(&self) -> String {
        self.file.replace(".conf", ".fw")
    }

    /// Machine or container.
    pub fn kind(&self) -> GuestKind {
        self.kind
    }

    /// The configuration; none where there is none.
    ///
    /// # Errors
    /// In words.
    pub fn config(&self) -> Result<Option<String>, String> {
        read(&self.config)
    }

    /// The firewall's file; none where there is none.
    ///
    /// # Errors
    /// In words.
    pub fn firewall(&self) -> Result<Option<String>, String> {
        read(&self.firewall)
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// In words, with its path.
    pub fn write_config(&self, text: &str) -> Result<(), String> {
        write(&self.config, text)
    }

    /// Writes the firewall's file.
    ///
    /// # Errors
    /// In words, with its path.
    pub fn write_firewall(&self, text: &str) -> Result<(), String> {
        write(&self.firewall, text)
    }

    /// Takes the configuration away, if it is there.
    ///
    /// # Errors
    /// In words.
    pub fn remove_config(&self) -> Result<(), String> {
        match fs::remove_file(&self.config) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("removing {}: {error}", self.config.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the cluster has a guest of this number that is not this one: on another node, or of the other kind.
    ///
    /// # Errors
    /// In words.
    pub fn elsewhere(&self) -> Result<Option<PathBuf>, String> {
        let failed = |error: std::io::Error| format!("reading {}: {error}; nothing was changed", self.nodes.display());
        for entry in fs::read_dir(&self.nodes).map_err(failed)? {
            let node = entry.map_err(failed)?.path();
            for place in FOLDERS.map(|folder| node.join(folder).join(&self.file)) {
                if place != self.config && place.try_exists().map_err(failed)? {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("reading {}: {error}", path.display())),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".tmp.{}", std::process::id()));
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        // What was written beside is of no use any more.
        let _ = fs::remove_file(&new);
        format!("writing {}: {error}", path.display())
    })
}
