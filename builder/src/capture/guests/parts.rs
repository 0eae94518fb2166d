//! What of the host a guest lies on, and whether the snapshot holds it.

use std::path::{Path, PathBuf};

use layout::{Layout, Node, NodeId};
use manifest::host::{Coverage, PlatformKind, Verdict};

use super::{One, is_captured};
use crate::capture::source::Source;

/// Something of the host that a guest uses.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it is to the guest: `disk vda`.
    pub(super) what: String,
    pub(super) lies: Lies,
    /// The guest does not come back without it; else it is worth a note.
    pub(super) needed: bool,
}

/// Where a part lies.
#[derive(Clone, Debug)]
pub(super) enum Lies {
    /// At a path of the tree: a file or a folder.
    Path(PathBuf),
    /// On a block device, by any of its names.
    Device(PathBuf),
    /// On a dataset of ZFS.
    Dataset(String),
}

impl std::fmt::Display for Lies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) | Self::Device(path) => path.display().fmt(f),
            Self::Dataset(name) => write!(f, "dataset {name}"),
        }
    }
}

impl Part {
    /// Something that lies at a path; what is below `/dev` is a device.
    pub(super) fn needed(what: impl Into<String>, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let lies = if path.starts_with("/dev") { Lies::Device(path) } else { Lies::Path(path) };
        Self { what: what.into(), lies, needed: true }
    }

    /// Something of the host's own that it only uses.
    pub(super) fn used(what: impl Into<String>, path: impl AsRef<Path>) -> Self {
        Self { needed: false, ..Self::needed(what, path) }
    }
}

/// Loses a guest one of whose parts is not captured, and names the guest where the word on its device is said.
pub(super) fn settle(one: &mut One, kind: PlatformKind, source: &Source, layout: &Layout, coverage: &mut Coverage) {
    for part in std::mem::take(&mut one.parts) {
        let why = match &part.lies {
            Lies::Path(path) => path_is_missing(path, source, layout, coverage),
            Lies::Device(path) => {
                let owner = format!("{} of guest {} {} of {kind}", part.what, one.guest.id, one.guest.name);
                device_is_missing(path, &owner, source, layout, coverage)
            }
            Lies::Dataset(name) => {
                let held = coverage.restores(&NodeId(format!("dataset:{name}")));
                (!held).then(|| format!("dataset {name}, which the snapshot does not hold"))
            }
        };
        match why {
            Some(why) if part.needed => one.lose(&format!("its {} lies on {why}", part.what)),
            Some(why) => one.note(format!("its {} lies on {why}", part.what)),
            None => {}
        }
    }
}

/// What a guest cannot do without and the host does not have, as it is now.
pub(super) fn missing(one: &One, source: &Source) -> Vec<String> {
    let is_missing = |part: &&Part| {
        part.needed
            && match &part.lies {
                Lies::Path(path) | Lies::Device(path) => !source.exists(path),
                Lies::Dataset(_) => false,
            }
    };
    one.parts.iter().filter(is_missing).map(|part| format!("its {} is not there: {}", part.what, part.lies)).collect()
}

fn path_is_missing(path: &Path, source: &Source, layout: &Layout, coverage: &Coverage) -> Option<String> {
    // Both names matter: a link or a bind mount in the tree may lead to another filesystem.
    let Some(real) = source.lies(path) else { return Some(format!("{}, which is not there", path.display())) };
    let held = is_captured(layout, coverage, path) && is_captured(layout, coverage, &real);
    (!held).then(|| format!("{}, which the snapshot does not hold", real.display()))
}

fn device_is_missing(
    path: &Path,
    owner: &str,
    source: &Source,
    layout: &Layout,
    coverage: &mut Coverage,
) -> Option<String> {
    let real = |path: &Path| source.real(path).unwrap_or_else(|| path.to_owned());
    let device = real(path);
    let is = |node: &&Node| Path::new(&node.path) == path || real(Path::new(&node.path)) == device;
    let nodes: Vec<&NodeId> = layout.nodes.iter().filter(is).map(|node| &node.id).collect();
    if nodes.iter().any(|id| coverage.restores(id)) {
        return None;
    }
    for item in coverage.items.iter_mut().filter(|item| nodes.contains(&&item.node)) {
        if let Verdict::Uncovered { reason, .. } = &mut item.verdict {
            *reason = format!("{reason}; it is {owner}");
        }
    }
    Some(format!("{}, a device that the snapshot does not hold: back it up from inside the guest", path.display()))
}
