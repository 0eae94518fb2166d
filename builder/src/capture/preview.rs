//! Storage whose restore no machine has proven yet. It is recorded and planned, but a backup does not count on it: whoever wants it captured
//! names it under `preview` in the configuration.

use layout::disk::Table;
use layout::{Kind, Layout, Node};
use manifest::host::{Coverage, Verdict};

use super::coverage::SYSTEM;

/// The names that `preview` takes.
pub const NAMES: &[&str] = &["btrfs", "luks", "dos", "whole-disk"];

/// Takes back the word on everything that depends on a preview which is not among `allowed`.
pub(super) fn hold_back(layout: &Layout, coverage: &mut Coverage, allowed: &[String]) {
    for item in &mut coverage.items {
        let Some(node) = layout.node(&item.node).filter(|_| matches!(item.verdict, Verdict::Captured { .. })) else {
            continue;
        };
        let below = layout.below(&node.id).into_iter().chain([node]);
        let missing = below.filter_map(preview).find(|name| !allowed.iter().any(|one| one == name));
        if let Some(name) = missing {
            item.verdict = Verdict::Uncovered {
                reason: format!(
                    "that {name} comes back was not proven on a machine yet: preview = [\"{name}\"] in the configuration captures it all the same"
                ),
                system: item.mount.as_deref().is_some_and(|path| SYSTEM.contains(&path)),
            };
        }
    }
}

/// The preview that a node itself is.
fn preview(node: &Node) -> Option<&'static str> {
    match &node.kind {
        Kind::Btrfs(_) => Some("btrfs"),
        Kind::Luks(_) | Kind::Volatile(_) => Some("luks"),
        Kind::Disk(disk) => match disk.table {
            Table::Dos(_) => Some("dos"),
            Table::None => Some("whole-disk"),
            _ => None,
        },
        _ => None,
    }
}
