//! What belongs to a filesystem and lies in none of its files: limits of quotas, and the encryption of folders. It does not come back, and is named.

use layout::{Kind, Layout, Mount};
use manifest::host::{Coverage, Gap};

use super::gap;
use super::source::Source;

/// What the kernel shows of an XFS that counts or enforces quotas.
const XFS: [&str; 6] = ["usrquota", "uqnoenforce", "grpquota", "gqnoenforce", "prjquota", "pqnoenforce"];

/// Captured filesystems that keep quotas inside themselves. That they are counted comes back, what anybody may use does not. (Older quotas of ext lie
/// in files, which are archived.)
pub(super) fn limits(layout: &Layout, coverage: &Coverage) -> impl Iterator<Item = Gap> {
    let limited = captured(layout, coverage).filter(|(mount, kind)| match kind {
        Kind::Ext(ext) => !ext.details.quotas.is_empty(),
        Kind::Xfs(_) => mount.options.split(',').any(|option| XFS.contains(&option)),
        _ => false,
    });
    limited.map(|(mount, _)| {
        gap(
            format!("quotas of {}", mount.path),
            "their limits lie in none of its files and do not come back: keep what `repquota`, or `xfs_quota -x -c dump` for XFS, prints (`[[stream]]`), and \
             waive this",
        )
    })
}

/// Captured filesystems of which folders are encrypted by fscrypt: what was unlocked comes back in clear.
pub(super) fn encrypted(source: &Source, layout: &Layout, coverage: &Coverage) -> impl Iterator<Item = Gap> {
    let used = |path: &str| source.path(format!("{}/.fscrypt", path.trim_end_matches('/'))).is_dir();
    let found = captured(layout, coverage).filter(move |(mount, kind)| {
        let able = matches!(kind, Kind::Ext(ext) if ext.features.iter().any(|feature| feature == "encrypt"));
        able && used(&mount.path)
    });
    found.map(|(mount, _)| {
        gap(
            format!("encrypted folders of {}", mount.path),
            "those that are unlocked are archived in clear (the vault itself is sealed), and come back so: encrypt them again after a restore, and waive \
             this",
        )
    })
}

fn captured<'a>(layout: &'a Layout, coverage: &Coverage) -> impl Iterator<Item = (&'a Mount, &'a Kind)> {
    let mounts = layout.mounts.iter().filter(|mount| coverage.restores(&mount.node));
    mounts.filter_map(|mount| Some((mount, &layout.node(&mount.node)?.kind)))
}
