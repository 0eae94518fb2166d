//! Drift: what differs between a recorded layout and another one of the same host. Compares, and judges nothing.
//!
//! Nodes are the same when their names are: a disk by its serial number, a partition by its GUID, a filesystem by its UUID. The kernel's
//! names (`/dev/sda`) may change at every start and are never compared; how full a filesystem is changes all the time and is not either.
//! A node is compared field by field as it is serialised, so that a kind of storage that is added later is compared without a line here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::graph::{Kind, Layout, Mount, Node};

/// Fields that change without anybody changing the layout.
const VOLATILE: &[&str] = &["used", "snapshots", "newest_snapshot"];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// What differs, for people: `ext4 0a0b... (/dev/vda3)`, `mount /srv`.
    pub object: String,
    /// In what way.
    pub change: Change,
}

/// In what way something differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// It was recorded and is not there.
    Gone,
    /// It is there and was not recorded.
    New,
    /// One of its properties differs.
    Changed {
        /// Which: `size`, `features`, `options`.
        property: String,
        /// As recorded.
        was: String,
        /// As it is now.
        is: String,
    },
}

impl Drift {
    /// Something that was recorded and is not there.
    #[must_use]
    pub fn gone(object: impl Into<String>) -> Self {
        Self { object: object.into(), change: Change::Gone }
    }

    /// Something that is there and was not recorded.
    #[must_use]
    pub fn new(object: impl Into<String>) -> Self {
        Self { object: object.into(), change: Change::New }
    }

    /// A property that differs; none when it does not.
    #[must_use]
    pub fn changed(object: &str, property: &str, was: &str, is: &str) -> Option<Self> {
        let text = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        let change = Change::Changed { property: property.to_owned(), was: text(was), is: text(is) };
        (was != is).then(|| Self { object: object.to_owned(), change })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Change::Gone => write!(f, "{} is gone", self.object),
            Change::New => write!(f, "{} is new", self.object),
            Change::Changed { property, was, is } => write!(f, "{}: {property} was {was}, is {is}", self.object),
        }
    }
}

/// Everything that differs, in the order of the recorded layout; what is new comes last.
#[must_use]
pub fn compare(recorded: &Layout, live: &Layout) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for node in &recorded.nodes {
        match live.node(&node.id) {
            None => drifts.push(Drift::gone(name(node))),
            Some(now) => drifts.extend(compare_node(recorded, node, live, now)),
        }
    }
    drifts
        .extend(live.nodes.iter().filter(|node| recorded.node(&node.id).is_none()).map(|node| Drift::new(name(node))));
    drifts.extend(compare_mounts(recorded, live));
    drifts
}

fn compare_node(recorded: &Layout, was: &Node, live: &Layout, is: &Node) -> Vec<Drift> {
    let object = name(is);
    let below = |layout: &Layout, node: &Node| {
        let names: BTreeSet<String> =
            node.on.iter().map(|id| layout.node(id).map_or(id.to_string(), stable_name)).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut drifts: Vec<Drift> = Vec::new();
    drifts.extend(Drift::changed(&object, "size", &was.size.to_string(), &is.size.to_string()).or_else(|| {
        // Sizes that read the same to people may differ by a sector.
        Drift::changed(&object, "size", &format!("{} bytes", was.size.0), &format!("{} bytes", is.size.0))
    }));
    drifts.extend(Drift::changed(&object, "what it lies on", &below(recorded, was), &below(live, is)));
    let (was, is) = (properties(&was.kind), properties(&is.kind));
    let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let value = |map: &BTreeMap<String, String>, key: &String| map.get(key).cloned().unwrap_or_default();
    drifts.extend(keys.into_iter().filter_map(|key| Drift::changed(&object, key, &value(&was, key), &value(&is, key))));
    drifts
}

/// The fields of a node's kind as text, by a path of names.
fn properties(kind: &Kind) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(kind) {
        flatten("", &value, &mut found);
    }
    found
}

fn flatten(prefix: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter().filter(|(field, _)| !VOLATILE.contains(&field.as_str())) {
                let path = if prefix.is_empty() { field.clone() } else { format!("{prefix}.{field}") };
                flatten(&path, value, found);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(found.insert(prefix.replace('_', " "), text.clone())),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            found.insert(prefix.replace('_', " "), words.join(" "));
        }
        other => drop(found.insert(prefix.replace('_', " "), other.to_string())),
    }
}

fn compare_mounts(recorded: &Layout, live: &Layout) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for was in &recorded.mounts {
        let object = format!("mount {}", was.path);
        let Some(is) = live.mount_at(&was.path) else {
            drifts.push(Drift::gone(object));
            continue;
        };
        drifts.extend(Drift::changed(&object, "source", &source(recorded, was), &source(live, is)));
        drifts.extend(Drift::changed(&object, "type", &was.fstype, &is.fstype));
        drifts.extend(Drift::changed(&object, "options", &sorted(&was.options), &sorted(&is.options)));
    }
    let is_new = |mount: &&Mount| recorded.mount_at(&mount.path).is_none();
    drifts.extend(live.mounts.iter().filter(is_new).map(|mount| Drift::new(format!("mount {}", mount.path))));
    drifts
}

fn source(layout: &Layout, mount: &Mount) -> String {
    layout.node(&mount.node).map_or(mount.node.to_string(), stable_name)
}

/// Mount options mean the same in any order.
fn sorted(options: &str) -> String {
    let words: BTreeSet<&str> = options.split(',').collect();
    words.into_iter().collect::<Vec<_>>().join(",")
}

/// A node with the name that it has now.
fn name(node: &Node) -> String {
    format!("{} ({})", stable_name(node), node.path)
}

/// What a node is called on every start: `disk QM0001`, `fs 0a0b...`.
fn stable_name(node: &Node) -> String {
    let (kind, id) = node.id.0.split_once(':').unwrap_or(("", &node.id.0));
    match (&node.kind, kind) {
        (Kind::Ext(ext), _) => format!("{} {id}", ext.fstype),
        (Kind::Xfs(_), _) => format!("xfs {id}"),
        (Kind::Vfat(_), _) => format!("vfat {id}"),
        (Kind::Opaque(opaque), _) => format!("{} {id}", opaque.what),
        (_, "part") => format!("partition {id}"),
        (_, "") => id.to_owned(),
        (_, kind) => format!("{kind} {id}"),
    }
}

#[cfg(test)]
mod tests;
