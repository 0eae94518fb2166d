//! What belongs to a filesystem and lies in none of its files: limits of quotas, and the encryption of folders. It does not come back, and is named.

use layout::{Kind, Layout};
use manifest::host::Gap;

use super::gap;
use super::source::Source;

/// Mount options that have limits enforced.
const OPTIONS: [&str; 12] = [
    "usrquota",
    "grpquota",
    "prjquota",
    "usrjquota",
    "grpjquota",
    "quota",
    "uquota",
    "gquota",
    "pquota",
    "uqnoenforce",
    "gqnoenforce",
    "pqnoenforce",
];

/// Filesystems with quotas. That they are counted comes back, what anybody may use does not.
pub(super) fn limits(layout: &Layout) -> impl Iterator<Item = Gap> {
    let limited = layout.mounts.iter().filter(|mount| {
        let kinds = layout.node(&mount.node).is_some_and(|node| match &node.kind {
            Kind::Ext(ext) => !ext.details.quotas.is_empty(),
            _ => false,
        });
        let names = |option: &str| option.split('=').next().is_some_and(|name| OPTIONS.contains(&name));
        kinds || mount.options.split(',').any(names)
    });
    limited.map(|mount| {
        gap(
            format!("quotas of {}", mount.path),
            "their limits lie in none of its files and do not come back: keep what `repquota -a`, or `xfs_quota -x -c dump` for XFS, prints, for \
             example by `lifeboat backup --stdin-from`",
        )
    })
}

/// Filesystems of which folders are encrypted by fscrypt: what was unlocked comes back in clear.
pub(super) fn encrypted(source: &Source, layout: &Layout) -> impl Iterator<Item = Gap> {
    let used = |path: &str| source.path(format!("{}/.fscrypt", path.trim_end_matches('/'))).is_dir();
    let features = |mount: &&layout::Mount| {
        layout.node(&mount.node).is_some_and(|node| match &node.kind {
            Kind::Ext(ext) => ext.features.iter().any(|feature| feature == "encrypt"),
            _ => false,
        })
    };
    let found = layout.mounts.iter().filter(features).filter(move |mount| used(&mount.path));
    found.map(|mount| {
        gap(
            format!("encrypted folders of {}", mount.path),
            "those that are unlocked are archived in clear (the vault itself is sealed), and come back so: encrypt them again after a restore",
        )
    })
}
