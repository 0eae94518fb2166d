//! Storage whose restore no machine has proven yet. It is recorded and planned, but a backup does not count on it: whoever wants it captured
//! names it under `preview` in the configuration.

use layout::{Kind, Layout, Node};
use manifest::host::{Coverage, Verdict};

use super::coverage::SYSTEM;

/// The names that `preview` takes.
pub const NAMES: &[&str] = &["zfs"];

/// Whether the configuration names a preview.
pub(super) fn is_allowed(name: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| one == name)
}

/// Takes back the word on everything that depends on a preview which is not among `allowed`.
pub(super) fn hold_back(layout: &Layout, coverage: &mut Coverage, allowed: &[String]) {
    for item in &mut coverage.items {
        let Some(node) = layout.node(&item.node).filter(|_| matches!(item.verdict, Verdict::Captured { .. })) else {
            continue;
        };
        let below = layout.below(&node.id).into_iter().chain([node]);
        let missing = below.filter_map(preview).find(|name| !is_allowed(name, allowed));
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
        Kind::Pool(_) => Some("zfs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use layout::zfs::Pool;
    use layout::{Bytes, NodeId};
    use manifest::host::Item;

    use super::*;

    #[test]
    fn what_depends_on_a_preview_is_not_counted_on_until_the_configuration_names_it() {
        let id = |name: &str| NodeId(name.to_owned());
        let node = |name: &str, on: &[&str], kind| Node {
            id: id(name),
            on: on.iter().map(|below| id(below)).collect(),
            path: format!("/dev/{name}"),
            size: Bytes(1),
            kind,
        };
        let other = || Kind::Opaque(layout::Opaque { what: "other".to_owned() });
        let pool = Kind::Pool(Pool {
            guid: "1".to_owned(),
            name: "tank".to_owned(),
            ashift: 12,
            features: Vec::new(),
            properties: BTreeMap::new(),
            bootfs: None,
            vdevs: Vec::new(),
            used: Bytes(1),
            hindrance: None,
        });
        let nodes = vec![node("tank", &[], pool), node("on-it", &["tank"], other()), node("beside", &[], other())];
        let layout = Layout { nodes, mounts: Vec::new() };
        let item = |name: &str| Item {
            node: id(name),
            path: String::new(),
            what: String::new(),
            mount: None,
            verdict: Verdict::Captured { how: "h".to_owned() },
        };
        let held = |allowed: &[String]| {
            let items = vec![item("tank"), item("on-it"), item("beside")];
            let mut coverage = Coverage { items, exclusions: Vec::new(), unused_waivers: Vec::new() };
            hold_back(&layout, &mut coverage, allowed);
            let uncovered = |item: &Item| matches!(item.verdict, Verdict::Uncovered { .. });
            coverage.items.iter().map(uncovered).collect::<Vec<_>>()
        };
        assert_eq!(held(&[]), [true, true, false]);
        assert_eq!(held(&["zfs".to_owned()]), [false, false, false]);
    }
}
