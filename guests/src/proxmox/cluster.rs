//! The cluster's database, `/var/lib/pve-cluster/config.db`: every file below `/etc/pve`, as rows of one table.
//!
//! ```text
//! tree(inode INTEGER PRIMARY KEY NOT NULL, parent, version, writer, mtime, type: INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)
//! type 8 file, 4 folder; a parent of 0 is the top; row 0 is (0, 0, version, writer, mtime, 8, '__version__', NULL)
//! ```
//!
//! The node refuses to start with a database that breaks the rules that [`Tree::check`] holds, so a copy is checked when it is made and not
//! when it is needed. This module takes rows; who opens the database makes a consistent copy first (`lifeboat` by SQLite's own backup).

mod check;

use std::collections::BTreeMap;

/// Name of the first row.
const VERSION: &str = "__version__";
/// Bytes of a file, and of all together.
pub const LARGEST_FILE: u64 = 1 << 20;
/// Bytes of all files together.
pub const LARGEST_TREE: u64 = 128 << 20;
/// Folders that are shown at the top and lie in the node's own.
const OWN: &[&str] = &["qemu-server", "lxc", "openvz"];
/// Type of a file, and of a folder.
const FILE: i64 = 8;
const FOLDER: i64 = 4;

/// A column of the table, as `PRAGMA table_info` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its declared type.
    pub kind: String,
    /// It is declared `NOT NULL`.
    pub not_null: bool,
    /// It is the primary key.
    pub key: bool,
}

/// A row, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Number of the file; 0 for the version.
    pub inode: i64,
    /// Number of its folder; 0 for the top.
    pub parent: i64,
    /// Version of the tree when it was last changed.
    pub version: i64,
    /// Node that changed it last.
    pub writer: i64,
    /// When, in seconds since 1970.
    pub mtime: i64,
    /// File or folder.
    pub kind: i64,
    /// Its name.
    pub name: String,
    /// Its content.
    pub data: Option<Vec<u8>>,
}

/// All files, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    version: i64,
    /// By path from the top, without a slash in front; none for a folder.
    files: BTreeMap<String, Option<Vec<u8>>>,
}

impl Tree {
    /// Version of the whole: it grows with every change.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Content of a file by its path below `/etc/pve`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path.trim_matches('/'))?.as_deref()
    }

    /// Content of a file as `node` sees it: there `qemu-server`, `lxc` and `local` are its own folders.
    #[must_use]
    pub fn get_on(&self, node: &str, path: &str) -> Option<&[u8]> {
        let path = path.trim_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match first {
            "local" => self.get(&format!("nodes/{node}/{rest}")),
            _ if OWN.contains(&first) => self.get(&format!("nodes/{node}/{path}")),
            _ => self.get(path),
        }
    }

    /// Names in a folder, sorted; the empty path is the top.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<&str> {
        let folder = folder.trim_matches('/');
        let below =
            |path: &String| folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let names = self.files.keys().filter(|path| below(path)).map(|path| &path[skip..]);
        names.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    /// Every file with its path and content.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().filter_map(|(path, data)| Some((path.as_str(), data.as_deref()?)))
    }

    /// Names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        self.list("nodes")
    }

    /// It belongs to a cluster of several nodes: its own rules then say whether it may come back.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.get("corosync.conf").is_some()
    }
}

#[cfg(test)]
mod tests;
