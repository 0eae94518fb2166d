//! All guests of a cluster, read from its database.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cluster::Tree;
use super::config::Config;
use super::{ConfigError, VmId};
use crate::inventory::{Guest, Kind};

/// Folders of a node's guests.
const FOLDERS: [(&str, Kind); 2] = [("qemu-server", Kind::Machine), ("lxc", Kind::Container)];

/// Nodes and guests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// Guests by node, machines first, by number.
    pub guests: Vec<Guest>,
    /// Configurations that could not be read: their guests are in no other list.
    pub unread: Vec<Unread>,
}

/// A configuration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The guest.
    pub id: String,
    /// The node.
    pub node: String,
    /// File, line and reason.
    pub why: String,
}

impl Inventory {
    /// Reads every guest's configuration.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let mut inventory = Self { nodes: tree.nodes().into_iter().map(str::to_owned).collect(), ..Self::default() };
        let mut homes = BTreeMap::<VmId, String>::new();
        for node in tree.nodes() {
            for (folder, kind) in FOLDERS {
                let folder = format!("nodes/{node}/{folder}");
                let names = tree.list(&folder).into_iter().filter_map(|name| name.strip_suffix(".conf")?.parse().ok());
                let mut ids: Vec<VmId> = names.collect();
                ids.sort_unstable();
                for id in ids {
                    let file = format!("{folder}/{id}.conf");
                    if let Some(other) = homes.insert(id, file.clone()) {
                        inventory.unread(id, node, format!("{file}: guest {id} is in {other} too"));
                    }
                    match guest(tree, &file, id, node, kind) {
                        Ok(guest) => inventory.guests.push(guest),
                        Err(why) => inventory.unread(id, node, why.to_string()),
                    }
                }
            }
        }
        inventory
    }

    fn unread(&mut self, id: VmId, node: &str, why: String) {
        self.unread.push(Unread { id: id.to_string(), node: node.to_owned(), why });
    }
}

fn guest(tree: &Tree, file: &str, id: VmId, node: &str, kind: Kind) -> Result<Guest, ConfigError> {
    let data = tree.get(file).unwrap_or_default();
    let text = std::str::from_utf8(data).map_err(|error| ConfigError {
        file: file.to_owned(),
        line: data[..error.valid_up_to()].split(|byte| *byte == b'\n').count(),
        what: "is not UTF-8".to_owned(),
    })?;
    Config::parse(file, kind, text)?.guest(&id.to_string(), node)
}

#[cfg(test)]
mod tests {
    use super::super::cluster::Row;
    use super::*;

    fn tree(files: &[(&str, &str, &[u8])]) -> Tree {
        let row = |inode, parent, name: &str, kind, data| Row {
            inode,
            parent,
            version: 1,
            writer: 0,
            mtime: 0,
            kind,
            name: name.to_owned(),
            data,
        };
        let mut rows = vec![row(0, 0, "__version__", 8, None), row(1, 0, "nodes", 4, None)];
        let mut folders = BTreeMap::new();
        for (node, file, data) in files {
            let (folder, name) = file.split_once('/').unwrap();
            let mut parent = 1;
            for path in [vec![*node], vec![*node, folder]] {
                let next = rows.len() as i64;
                parent = *folders.entry(path.clone()).or_insert_with(|| {
                    rows.push(row(next, parent, path.last().unwrap(), 4, None));
                    next
                });
            }
            rows.push(row(rows.len() as i64, parent, name, 8, Some(data.to_vec())));
        }
        Tree::check(rows).unwrap()
    }

    #[test]
    fn every_guest_of_every_node_is_listed() {
        let inventory = Inventory::of(&tree(&[
            ("pve1", "qemu-server/100.conf", b"name: mail\nscsi0: local-lvm:vm-100-disk-0,size=1G\n"),
            ("pve1", "qemu-server/1000.conf", b"name: late\n"),
            ("pve1", "qemu-server/999.conf", b"name: early\n"),
            ("pve1", "qemu-server/notes.txt", b"x"),
            ("pve1", "lxc/101.conf", b"hostname: web\nrootfs: local-lvm:vm-101-disk-0\n"),
            ("pve2", "qemu-server/102.conf", b"name: other\n"),
        ]));
        let guests: Vec<_> =
            inventory.guests.iter().map(|one| (one.node.as_str(), one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(
            guests,
            [
                ("pve1", "100", "mail"),
                ("pve1", "999", "early"),
                ("pve1", "1000", "late"),
                ("pve1", "101", "web"),
                ("pve2", "102", "other")
            ]
        );
        assert_eq!(inventory.nodes, ["pve1", "pve2"]);
        assert_eq!(inventory.unread, []);
    }

    #[test]
    fn a_configuration_that_cannot_be_read_costs_its_guest_and_no_other() {
        let inventory = Inventory::of(&tree(&[
            ("pve1", "qemu-server/100.conf", b"name: mail\nnonsense\n"),
            ("pve1", "qemu-server/101.conf", b"name: fine\n"),
            ("pve2", "lxc/101.conf", b"hostname: twin\n"),
            ("pve2", "lxc/102.conf", b"hostname: a\nswap: \xff\n"),
        ]));
        let why: Vec<_> = inventory.unread.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "nodes/pve1/qemu-server/100.conf, line 2: \"nonsense\" is not of the form \"key: value\"",
                "nodes/pve2/lxc/101.conf: guest 101 is in nodes/pve1/qemu-server/101.conf too",
                "nodes/pve2/lxc/102.conf, line 2: is not UTF-8"
            ]
        );
        assert_eq!(inventory.guests.len(), 2);
    }
}
