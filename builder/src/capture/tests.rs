//! Capture of a machine made of files: tables and filesystems by their own tools, sysfs by hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use manifest::host::{Firmware, LoaderKind, Verdict};

use super::*;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn options(root: &Path) -> Options {
    Options { root: root.to_owned(), ..Options::default() }
}

#[test]
fn a_container_without_devices_and_firmware_is_described_with_its_gaps() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "proc/self/mountinfo",
        "1 0 0:9 / / rw - overlay overlay rw\n2 1 0:10 / /proc rw - proc proc rw\n",
    );
    write(root.path(), "proc/sys/kernel/hostname", "box\n");
    let captured = host(&options(root.path())).unwrap();
    assert_eq!(captured.host.identity.hostname, "box");
    assert!(captured.host.coverage.lacks_system());
    let gaps: Vec<&str> = captured.host.gaps.iter().map(|gap| gap.what.as_str()).collect();
    for wanted in ["block devices", "boot loader", "kernel", "machine identity"] {
        assert!(gaps.contains(&wanted), "{gaps:?}");
    }
}

#[test]
fn without_a_mount_table_nothing_is_captured() {
    let root = tempfile::tempdir().unwrap();
    let error = host(&options(root.path())).unwrap_err();
    assert!(format!("{error:#}").contains("/proc/self/mountinfo"));
}

/// A machine as sysfs and /dev show it, its disk an image made by the real tools.
fn machine(root: &Path) {
    let disk = root.join("dev/vda");
    fs::create_dir_all(root.join("dev")).unwrap();
    fs::File::create(&disk).unwrap().set_len(96 << 20).unwrap();
    let run = |program: &str, arguments: &[&str]| exec::Command::new(program).args(arguments).run().unwrap();
    let path = |name: &str| root.join("dev").join(name).to_str().unwrap().to_owned();
    run(
        "sgdisk",
        &[
            "--new=1:1M:+1M",
            "--typecode=1:ef02",
            "--new=2:2M:+34M",
            "--typecode=2:ef00",
            "--new=3:40M:+40M",
            "--new=4:84M:0",
            &path("vda"),
        ],
    );
    for (name, size) in [("vda1", 1), ("vda2", 34), ("vda3", 40), ("vda4", 11)] {
        fs::File::create(path(name)).unwrap().set_len(size << 20).unwrap();
    }
    run("mkfs.fat", &["-F", "32", "-s", "1", "-i", "1234abcd", &path("vda2")]);
    run("mke2fs", &["-q", "-t", "ext4", "-L", "root", "-U", "0a0b0c0d-0000-4000-8000-000000000001", &path("vda3")]);
    run("mkswap", &["-U", "0a0b0c0d-0000-4000-8000-000000000002", &path("vda4")]);
    let device = "sys/devices/pci0000:00/0000:00:03.0/virtio0/block/vda";
    let attributes = [
        ("dev", "254:0"),
        ("size", "196608"),
        ("serial", "QM0007"),
        ("queue/logical_block_size", "512"),
        ("removable", "0"),
    ];
    for (name, value) in attributes {
        write(root, &format!("{device}/{name}"), value);
    }
    fs::create_dir_all(root.join("sys/class/block")).unwrap();
    symlink("../../devices/pci0000:00/0000:00:03.0/virtio0/block/vda", root.join("sys/class/block/vda")).unwrap();
    for (number, size) in [(1, 2048), (2, 69632), (3, 81920), (4, 22528)] {
        let name = format!("vda{number}");
        for (attribute, value) in [("partition", number), ("size", size)] {
            write(root, &format!("{device}/{name}/{attribute}"), &value.to_string());
        }
        write(root, &format!("{device}/{name}/dev"), &format!("254:{number}"));
        let target = format!("../../devices/pci0000:00/0000:00:03.0/virtio0/block/vda/{name}");
        symlink(target, root.join("sys/class/block").join(name)).unwrap();
    }
}

#[test]
fn a_machine_without_lsblk_and_blkid_is_captured_from_sysfs_and_its_disk() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    machine(root);
    write(
        root,
        "proc/self/mountinfo",
        "1 0 254:3 / / rw,relatime - ext4 /dev/root rw,errors=remount-ro\n2 1 254:2 / /boot/efi rw - vfat /dev/vda2 rw\n",
    );
    write(
        root,
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/vda4 partition 11260 0 -2\n/swap\\040file file 1020 0 -3\n",
    );
    write(
        root,
        "etc/fstab",
        "UUID=0a0b0c0d-0000-4000-8000-000000000001 / ext4 errors=remount-ro 0 1\n/dev/sda9 /old ext4 noauto 0 0\n",
    );
    write(root, "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    for file in [
        "boot/vmlinuz-6.1.0-18-amd64",
        "boot/initrd.img-6.1.0-18-amd64",
        "boot/grub/i386-pc/core.img",
        "boot/grub/x86_64-efi/core.efi",
    ] {
        write(root, file, "x");
    }
    for file in ["debian/shimx64.efi", "debian/grubx64.efi", "debian/mmx64.efi", "BOOT/BOOTX64.EFI"] {
        write(root, &format!("boot/efi/EFI/{file}"), "x");
    }
    write(root, "lib/modules/6.1.0-18-amd64/modules.dep", "");
    write(root, "proc/modules", "virtio_blk 1 0 - Live 0x0\next4 2 1 mbcache, Live 0x0\n");
    let host = host(&options(root)).unwrap().host;

    let (node, disk) = host.layout.disks().next().unwrap();
    assert_eq!((node.id.0.as_str(), disk.transport.as_deref()), ("disk:QM0007", Some("virtio")));
    let ids: Vec<&str> = host.layout.nodes.iter().map(|node| node.id.0.as_str()).collect();
    for wanted in
        ["fs:1234-ABCD", "fs:0a0b0c0d-0000-4000-8000-000000000001", "swap:0a0b0c0d-0000-4000-8000-000000000002"]
    {
        assert!(ids.contains(&wanted), "{ids:?}");
    }
    assert_eq!(host.layout.mount_at("/").unwrap().options, "rw,relatime,errors=remount-ro");
    assert!(
        host.coverage.items.iter().all(|item| matches!(item.verdict, Verdict::Captured { .. })),
        "{:?}",
        host.coverage
    );
    assert!(host.coverage.exclusions.iter().any(|exclusion| exclusion.pattern == "/swap file"));
    assert_eq!(host.swap_files[0].size, Bytes(1 << 20));
    assert!(host.gaps.iter().any(|gap| gap.what.contains("/dev/sda9")), "{:?}", host.gaps);

    let kinds: Vec<LoaderKind> = host.boot.loaders.iter().map(|loader| loader.kind).collect();
    use LoaderKind::{GrubI386Pc, GrubX8664Efi, RemovablePath, SignedShim};
    assert_eq!(kinds, [GrubI386Pc, GrubX8664Efi, GrubX8664Efi, SignedShim, RemovablePath]);
    assert_eq!(
        (host.boot.firmware, host.boot.modules.as_slice()),
        (Firmware::Bios, &["ext4".to_owned(), "virtio_blk".into()][..])
    );
    assert_eq!(host.boot.kernel.image.as_deref(), Some("/boot/vmlinuz-6.1.0-18-amd64"));

    let json = serde_json::to_string(&host).unwrap();
    assert_eq!(serde_json::from_str::<Host>(&json).unwrap(), host, "the manifest reads back what it was given");
}

/// Whatever this machine is: nothing here may fail, and everything has a word.
#[test]
fn the_machine_that_runs_this_test_is_captured() {
    let captured = host(&Options::default()).unwrap();
    assert!(!captured.host.identity.hostname.is_empty());
    assert!(captured.host.hardware.cpus > 0 && captured.host.hardware.memory.0 > 0);
    assert!(captured.host.coverage.items.iter().any(|item| item.mount.as_deref() == Some("/")));
    assert_eq!(captured.roots.root, Path::new("/"));
}
