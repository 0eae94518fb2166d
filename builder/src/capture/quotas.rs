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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use layout::ext::Ext;
    use layout::xfs::Xfs;
    use layout::{Bytes, Node, NodeId};
    use manifest::host::{Item, Verdict};

    use super::*;

    fn host(filesystems: &[(&str, Kind, &str)]) -> Layout {
        let mut layout = Layout { nodes: Vec::new(), mounts: Vec::new() };
        for (path, kind, options) in filesystems {
            let node = NodeId((*path).to_owned());
            let (on, kind) = (Vec::new(), kind.clone());
            layout.nodes.push(Node { id: node.clone(), on, path: String::new(), size: Bytes(0), kind });
            let (path, options) = ((*path).to_owned(), (*options).to_owned());
            layout.mounts.push(Mount { node, path, fstype: String::new(), options, subvolume: None });
        }
        layout
    }

    #[test]
    fn limits_that_lie_in_no_file_are_named_and_those_in_files_are_not() {
        let xfs = || Kind::Xfs(Xfs::parse(include_bytes!("../../../layout/fixtures/xfs.superblock")).unwrap());
        let ext = Ext::parse(include_bytes!("../../../layout/fixtures/ext4.superblock")).unwrap();
        let mut inside = ext.clone();
        inside.details.quotas = vec!["usrquota".to_owned()];
        let layout = host(&[
            ("/plain", xfs(), "rw,attr2,noquota"),
            ("/projects", xfs(), "rw,attr2,prjquota"),
            ("/waived", xfs(), "rw,usrquota"),
            ("/files", Kind::Ext(ext), "rw,usrjquota=aquota.user,jqfmt=vfsv1"),
            ("/inside", Kind::Ext(inside), "rw"),
        ]);
        let captured = |mount: &&Mount| mount.path != "/waived";
        let item = |mount: &Mount| Item {
            node: mount.node.clone(),
            path: String::new(),
            what: String::new(),
            mount: None,
            verdict: Verdict::Captured { how: String::new() },
        };
        let items = layout.mounts.iter().filter(captured).map(item).collect();
        let coverage = Coverage { items, exclusions: Vec::new(), unused_waivers: Vec::new() };
        let named: Vec<String> = limits(&layout, &coverage).map(|gap| gap.what).collect();
        assert_eq!(named, ["quotas of /projects", "quotas of /inside"]);
    }
}
