//! Whole configurations, of every release and with every section; and broken ones.

use proptest::prelude::*;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/guests/", $name))
    };
}

fn machine(text: &str) -> Guest {
    let config = Config::parse("100.conf", Kind::Machine, text).unwrap_or_else(|why| panic!("{why}"));
    config.guest("100", "pve1").unwrap_or_else(|why| panic!("{why}"))
}

fn container(text: &str) -> Guest {
    let config = Config::parse("101.conf", Kind::Container, text).unwrap_or_else(|why| panic!("{why}"));
    config.guest("101", "pve1").unwrap_or_else(|why| panic!("{why}"))
}

fn volumes(guest: &Guest) -> Vec<String> {
    let place = |volume: &Volume| volume.place.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let mark = |volume: &Volume| if volume.in_backup { "+" } else { "-" };
    guest.volumes.iter().map(|one| format!("{}{} {:?} {}", mark(one), one.slot, one.role, place(one))).collect()
}

fn attachments(guest: &Guest) -> Vec<String> {
    guest.attached.iter().map(|one| format!("{}: {}", one.slot, one.what)).collect()
}

#[test]
fn a_machine_of_release_7_is_read() {
    let guest = machine(fixture!("release-7.qemu"));
    assert_eq!((guest.name.as_str(), guest.kind, guest.starts), ("mail", Kind::Machine, true));
    assert_eq!(
        volumes(&guest),
        [
            "-ide2 Removable -",
            "+scsi0 Disk local-lvm:vm-100-disk-0",
            "-scsi1 Disk local-lvm:vm-100-disk-1",
            "-unused0 Unused local-lvm:vm-100-disk-2"
        ]
    );
    assert_eq!(guest.volumes[1].size, Some(32 << 30));
    assert!(guest.attached.is_empty() && guest.snapshots.is_empty() && guest.pending.is_empty());
}

#[test]
fn a_machine_of_release_8_with_snapshots_and_pending_changes_is_read() {
    let guest = machine(fixture!("release-8.qemu"));
    assert_eq!(guest.lock.as_deref(), Some("backup"));
    assert!(guest.protected);
    assert_eq!(
        volumes(&guest),
        [
            "+efidisk0 Firmware local-zfs:vm-100-disk-0",
            "-ide2 Generated local-zfs:vm-100-cloudinit",
            "+scsi0 Disk local-zfs:vm-100-disk-1",
            "+tpmstate0 Firmware local-zfs:vm-100-disk-2",
            "+virtio1 Disk /dev/disk/by-id/ata-WDC_WD40-1"
        ]
    );
    assert_eq!(
        attachments(&guest),
        [
            "args: further arguments of QEMU's, which may name things of the host",
            "hookscript: script local:snippets/hook.pl",
            "hostpci0: the host's device 0000:01:00.0",
            "hostpci1: the host's device mapping gpu",
            "serial1: the host's /dev/ttyS1",
            "usb0: the host's device 046d:c52b",
            "virtio1: the host's /dev/disk/by-id/ata-WDC_WD40-1 as a disk"
        ]
    );
    let snapshots: Vec<_> = guest.snapshots.iter().map(|one| (one.name.as_str(), one.time, one.memory)).collect();
    assert_eq!(snapshots, [("before_upgrade", Some(1_700_000_000), true), ("clean", Some(1_690_000_000), false)]);
    assert_eq!(guest.pending, ["memory", "net1", "scsi3"]);
}

#[test]
fn a_machine_of_release_9_is_read() {
    let guest = machine(fixture!("release-9.qemu"));
    assert_eq!(volumes(&guest), ["+scsi0 Disk san:vm-100-disk-0.qcow2"]);
    assert_eq!(attachments(&guest), ["virtiofs0: the host's directory mapping shared"]);
    assert!(guest.snapshots.is_empty(), "a special section is no snapshot");
}

#[test]
fn notes_are_decoded() {
    let config = Config::parse("f", Kind::Machine, fixture!("release-8.qemu")).unwrap();
    assert_eq!(config.current.description, "Mail server\nsee https://wiki.example.org/mail: 100% ours\ncaf\u{e9}\n");
    assert_eq!(config.snapshots[0].1.description, "before the upgrade\n");
    assert_eq!(config.current.get("cores"), Some("4"));
    assert_eq!(config.snapshots[0].1.get("cores"), Some("2"));
}

#[test]
fn containers_are_read_with_every_kind_of_mount() {
    let guest = container(fixture!("release-8.lxc"));
    assert_eq!((guest.name.as_str(), guest.kind), ("web", Kind::Container));
    assert_eq!(
        volumes(&guest),
        [
            "+mp0 MountPoint local-lvm:vm-101-disk-1",
            "-mp1 MountPoint local-lvm:vm-101-disk-2",
            "-mp2 Bind /srv/shared",
            "-mp3 DeviceMount /dev/vg0/scratch",
            "+rootfs Root local-lvm:vm-101-disk-0",
            "-unused0 Unused local-lvm:vm-101-disk-3"
        ]
    );
    assert_eq!(guest.volumes[0].target.as_deref(), Some("/var/lib/data"));
    assert_eq!(
        attachments(&guest),
        ["dev0: the host's device /dev/dri/renderD128", "lxc.mount.entry: the host's /srv/media"]
    );
    assert_eq!(guest.snapshots.len(), 1);
    for text in [fixture!("release-7.lxc"), fixture!("release-9.lxc")] {
        assert!(container(text).volumes.iter().any(|volume| volume.role == Role::Root));
    }
}

/// Every form in which a volume, a device and a section are written.
#[test]
fn a_machine_in_every_form_is_read() {
    let guest = machine(fixture!("every-form.qemu"));
    assert_eq!(
        volumes(&guest),
        [
            "+efidisk0 Firmware local-lvm:vm-100-disk-9",
            "+ide0 Disk local:100/vm-100-disk-0.qcow2",
            "-ide1 Removable /dev/cdrom",
            "-ide3 Removable local:iso/debian-12.iso",
            "-sata5 Disk nas:100/vm-100-disk-5.vmdk",
            "-scsi1 Disk /mnt/images/raw.img",
            "+scsi30 Disk local-zfs:base-90-disk-0/vm-100-disk-30",
            "-unused255 Unused local-lvm:vm-100-disk-255",
            "+virtio15 Disk local-lvm:vm-100-disk-15"
        ]
    );
    let size = |slot: &str| guest.volumes.iter().find(|one| one.slot == slot).and_then(|one| one.size);
    assert_eq!((size("sata5"), size("scsi30"), size("efidisk0")), (Some(3 << 39), Some(2 << 30), Some(528 << 10)));
    assert_eq!(
        attachments(&guest),
        [
            "hostpci0: the host's device 01:00;02:00.1",
            "hostpci1: the host's device 0000:03:00.0;0000:03:00.1",
            "parallel0: the host's /dev/parport0",
            "scsi1: the host's /mnt/images/raw.img as a disk",
            "serial2: the host's /dev/ttyUSB0",
            "usb0: the host's device 1-1.2",
            "usb3: the host's device mapping dongle"
        ]
    );
    assert_eq!((guest.order, guest.template, guest.lock.as_deref()), (Some(5), true, Some("suspended")));
    assert_eq!(guest.pending, ["virtio15", "net0", "scsi9", "usb9"]);
    assert_eq!(guest.snapshots.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a1", "Z_last-1"]);
    let config = Config::parse("f", Kind::Machine, fixture!("every-form.qemu")).unwrap();
    assert_eq!(config.current.description, "\none line, # and %, and a broken %zz\n");
}

#[test]
fn a_container_in_every_form_is_read() {
    let guest = container(fixture!("every-form.lxc"));
    assert_eq!(
        volumes(&guest),
        [
            "+mp0 MountPoint local:101/vm-101-disk-1.raw",
            "-mp9 MountPoint local-btrfs:101/vm-101-disk-9.subvol",
            "-mp255 Bind /srv/host",
            "+rootfs Root local-zfs:subvol-101-disk-0",
            "-unused0 Unused local:101/vm-101-disk-7.raw"
        ]
    );
    assert_eq!(
        attachments(&guest),
        [
            "dev0: the host's device /dev/ttyUSB0",
            "hookscript: script local:snippets/hook.pl",
            "lxc.mount.entry: the host's /srv/media",
            "lxc.mount.fstab: the host's /etc/pve/local/fstab"
        ]
    );
    assert_eq!((guest.starts, guest.order, guest.lock.as_deref()), (false, Some(7), Some("mounted")));
    assert_eq!((guest.pending, guest.snapshots.len()), (vec!["swap".to_owned(), "mp9".to_owned()], 1));
}

/// Each broken file beside what is said of it: always the file and the line, never a password.
#[test]
fn every_broken_file_is_refused_with_its_name_and_line() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end != "why"));
    assert!(files.len() >= 14, "{files:?}");
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let read = |kind| Config::parse(name, kind, &text).and_then(|config| config.guest("100", "pve1")).map(drop);
        let refused = match name.rsplit('.').next() {
            Some("cfg") => crate::proxmox::storage::Storages::parse(name, &text).map(drop),
            Some("qemu") => read(Kind::Machine),
            _ => read(Kind::Container),
        };
        let wanted = std::fs::read_to_string(format!("{}.why", path.display())).unwrap();
        assert_eq!(refused.unwrap_err().to_string(), wanted.trim_end());
        assert!(wanted.contains(&format!("{name}, line ")) && !wanted.contains("hunter"), "{wanted}");
    }
}

#[test]
fn broken_configurations_name_file_and_line() {
    let refused = |kind, text| match Config::parse("100.conf", kind, text) {
        Err(why) => why.to_string(),
        Ok(config) => config.guest("100", "pve1").unwrap_err().to_string(),
    };
    let cases = [
        ("cores: 1\nmemory 512\n", "100.conf, line 2: \"memory\" is not of the form \"key: value\""),
        ("cores:\n", "100.conf, line 1: \"cores\" is not of the form \"key: value\""),
        ("cores: 1\n\ncores: 2\n", "100.conf, line 3: cores comes twice"),
        ("cipassword hunter2\n", "100.conf, line 1: \"cipassword\" is not of the form \"key: value\""),
        ("[a b]\n", "100.conf, line 1: \"a b\" is no name of a snapshot"),
        ("[one]\n[one]\n", "100.conf, line 2: snapshot one comes twice"),
        ("[PENDING]\n[pending]\n", "100.conf, line 2: section [PENDING] comes twice"),
        (
            "cores: 1\nscsi0: vm-100-disk-0\n",
            "100.conf, line 2: scsi0: \"vm-100-disk-0\" is neither a path nor a volume",
        ),
        ("scsi0: local:a,size=1G,size=2G\n", "100.conf, line 1: scsi0: size comes twice"),
        ("Cores: 1\n", "100.conf, line 1: \"Cores\" is not of the form \"key: value\""),
    ];
    for (text, wanted) in cases {
        assert_eq!(refused(Kind::Machine, text), wanted);
    }
    assert_eq!(refused(Kind::Container, "mp0: local:a\n"), "100.conf, line 1: mp0: mp= is missing");
    assert_eq!(
        refused(Kind::Machine, "lxc.apparmor.profile: unconfined\n"),
        "100.conf, line 1: \"lxc.apparmor.profile\" is not of the form \"key: value\""
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(#?\\[?(scsi0|rootfs|mp1|hostpci0|lxc.x|[a-z]{1,4})?[:=]? ?[a-z%/,=:0-9]{0,12}\\]?\n){0,6}") {
        for kind in [Kind::Machine, Kind::Container] {
            if let Ok(config) = Config::parse("f", kind, &text) {
                let _ = config.guest("100", "n");
            }
        }
    }

    /// What is written by the grammar is read, each option with its value.
    #[test]
    fn options_are_read_as_they_are_written(
        options in prop::collection::btree_map("[a-z]{2,8}[0-9]{0,2}", "[!-~][ -~]{0,20}[!-~]", 0..8),
        snapshots in prop::collection::btree_set("[a-z][a-z0-9_]{1,10}", 0..3),
    ) {
        let block: String = options.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        let named: String = snapshots.iter().filter(|name| *name != "pending").map(|name| format!("\n[{name}]\n{block}")).collect();
        let config = Config::parse("f", Kind::Machine, &format!("{block}{named}")).unwrap();
        for section in std::iter::once(&config.current).chain(config.snapshots.iter().map(|(_, section)| section)) {
            let read: std::collections::BTreeMap<String, String> =
                section.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(&read, &options);
        }
    }
}
