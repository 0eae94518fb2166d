//! Coverage of hosts with ZFS.

use layout::zfs::report;

use super::*;

/// A host whose root is a dataset of a mirror, and what `edit` makes of the datasets' properties.
fn host(edit: impl Fn(String) -> String, snapshots: &str) -> Host {
    let member = || Content::Other("zfs_member".to_owned());
    let mut host =
        Host::default().gpt("sda", &[(LINUX, member())]).gpt("sdb", &[(LINUX, member())]).device("zd0", "disk", &[]);
    let names =
        [("tank", "filesystem"), ("tank/root", "filesystem"), ("tank/hidden", "filesystem"), ("tank/vm", "volume")];
    let lines: String = names.map(|(name, kind)| format!("{name}\ttype\t{kind}\t-\n")).concat();
    let status = "  pool: tank\n\tNAME STATE\n\ttank ONLINE\n\t  mirror-0 ONLINE\n\t    /dev/sda1 ONLINE\n\t    /dev/sdb1 ONLINE\n";
    let mut zfs = report::parse("tank\tsize\t100\t-\n", status, &edit(lines), snapshots);
    zfs.volumes = BTreeMap::from([("zd0".to_owned(), "tank/vm".to_owned())]);
    host.stacks = Stacks { zfs, ..Stacks::default() };
    host.mounts = "1 0 0:25 / / rw - zfs tank/root rw\n2 1 0:26 / /tank rw - zfs tank rw\n".to_owned();
    host.holds("zd0", Content::Blank)
}

fn plain(lines: String) -> String {
    lines
}

#[test]
fn mounted_datasets_are_captured_and_one_that_no_mount_shows_is_named() {
    let coverage = host(plain, "").coverage(&[]);
    for path in ["tank/root", "tank", "/dev/zd0"] {
        assert!(matches!(verdict(&coverage, path), Verdict::Captured { .. }), "{path}: {:?}", coverage.items);
    }
    assert!(matches!(verdict(&coverage, "tank/hidden"), Verdict::Uncovered { system: false, .. }));
    let waived = host(plain, "").coverage(&["tank/hidden"]);
    assert!(matches!(verdict(&waived, "tank/hidden"), Verdict::Waived { .. }));
    assert!(waived.unused_waivers.is_empty());
}

#[test]
fn snapshots_are_left_out_by_name() {
    let coverage = host(plain, "tank/root@one\ntank/root@two\n").coverage(&[]);
    assert!(matches!(verdict(&coverage, "tank/root@two and 1 older"), Verdict::LeftOut { .. }), "{:?}", coverage.items);
}

#[test]
fn encrypted_datasets_are_refused_and_clones_told() {
    let coverage = host(|lines| lines + "tank/root\tencryption\taes-256-gcm\t-\n", "").coverage(&[]);
    let Verdict::Uncovered { reason, system: true } = verdict(&coverage, "tank/root") else {
        panic!("{:?}", coverage.items)
    };
    assert!(reason.contains("encrypted"), "{reason}");
    let coverage = host(|lines| lines + "tank/root\torigin\ttank/hidden@x\t-\n", "").coverage(&[]);
    let Verdict::Captured { how } = verdict(&coverage, "tank/root") else { panic!("{:?}", coverage.items) };
    assert!(how.contains("clone"), "{how}");
}

#[test]
fn a_guests_disk_on_a_volume_is_the_guests_affair() {
    let mut host = host(plain, "");
    let table = host.probes["sda"].table.clone();
    host.probes.insert("zd0".to_owned(), Probe { table, content: Content::Unknown });
    let Verdict::Uncovered { reason, .. } = verdict(&host.coverage(&[]), "/dev/zd0").clone() else { panic!() };
    assert!(reason.contains("guest"), "{reason}");
    assert!(matches!(verdict(&host.coverage(&["tank/vm"]), "/dev/zd0"), Verdict::Waived { .. }));
}
