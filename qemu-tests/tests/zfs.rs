//! A host whose root lies on a mirrored ZFS pool, as Proxmox VE installs it, comes back onto two larger disks: pool, datasets and their properties, a
//! filesystem on a volume, and the boot tool's ESP on each disk. What is inside a pool can be judged from inside only.

use std::time::Duration;

use qemu_tests::host::{Host, Layout};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(180);
const SIZE: u64 = 2 << 30;
const TARGET: u64 = SIZE + (256 << 20);

/// The host of `scripts/hosts/zfs`, which starts by UEFI with systemd-boot.
const ZFS: Layout = Layout {
    name: "zfs",
    disks: &[("LBHOSTA", SIZE), ("LBHOSTB", SIZE)],
    uefi: true,
    orders: &["--disk LBNEWA=LBHOSTA --disk LBNEWB=LBHOSTB"],
    ..Layout::USUAL
};

/// What was set on the pool and its datasets, what was chosen when they were made, where they are mounted, and what lies on them.
const FACTS: &str = "export LC_ALL=C; zpool get -H -o property,value,source ashift,autotrim,comment,bootfs rpool; \
     zpool get -H -o property,value all rpool | grep ^feature | sed 's/active/enabled/'; \
     zfs get -Hp -t filesystem,volume -s local -o name,property,value,source all; \
     zfs get -Hp -t filesystem,volume -o name,property,value type,casesensitivity,normalization,utf8only,volblocksize; \
     findmnt -rno SOURCE,TARGET -t zfs | sort; findmnt -no UUID,FSTYPE /srv/guest; od -An -tx1 /etc/hostid; \
     mount -t zfs -o zfsutil,ro rpool/ROOT/before /mnt; \
     sha256sum /dev/zvol/rpool/data/vm-101-disk-0; \
     for file in /srv/*/file /var/lib/vz/file /rpool/file /rpool/data/file /mnt/file; do echo $file; cat $file; done; umount /mnt";

/// What is on the ESP of each disk, and its serial number.
const ESPS: &str = "modprobe vfat; for part in $(blkid -t TYPE=vfat -o device | sort); do blkid -s UUID -o value $part; mount -o ro $part /mnt; \
                    (cd /mnt; find . -type f | sort | xargs sha256sum); umount /mnt; done";

/// Afterwards: how each dataset was read, and which snapshots there are.
const READ_STILL: &str = "echo =====; lifeboat show --json --vault $(readlink -e /dev/disk/by-id/usb-*LBSTICK01*:0) latest; echo; echo =====; \
     zfs list -H -t snapshot -o name";

#[test]
fn a_host_on_a_mirrored_pool_boots_with_the_same_datasets_from_both_disks_and_from_one() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario zfs");
    let host = Host::get(ZFS)?;
    let question = format!("{FACTS}; echo =====; {ESPS}; echo =====; lifeboat layout show");
    let captured = host.captured_amid(&question, READ_STILL)?;
    let answer = captured.answer()?;
    let [facts, esps, storage, shown, snapshots] = answer.split("=====\n").collect::<Vec<_>>()[..] else {
        panic!("{answer}")
    };
    let shown: Value = serde_json::from_str(shown)?;
    let how = |path: &str| {
        let sources = shown["sources"].as_array().into_iter().flatten();
        sources.filter(|one| one["path"] == path).map(|one| one["consistency"].clone()).next()
    };
    for path in ["/", "/home", "/var/lib/vz", "/srv/names"] {
        assert_eq!(how(path), Some("snapshot".into()), "{path}: {}", shown["sources"]);
    }
    assert_eq!(snapshots, "rpool/home@before\n", "those of the run are gone");
    assert!(storage.contains("rpool/home@before"), "the snapshot is named as left out: {storage}");
    let folder = place::scratch("zfs")?;

    let patient =
        Patient::new("zfs", host.accel(), &folder, Bus::Sata, "LBNEWA", TARGET)?.and("LBNEWB", TARGET)?.uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    same_but_cache(&mut running, &captured.census(1)?)?;
    assert_eq!(running.output(FACTS, LIMIT)?, facts);
    assert_eq!(running.output(ESPS, LIMIT)?, esps);
    let status = running.output("zpool status -P -L rpool", LIMIT)?;
    for member in ["mirror-0", "/dev/sda3", "/dev/sdb3", "No known data errors"] {
        assert!(status.contains(member), "{status}");
    }
    assert!(running.output("touch /srv/locked/new 2>&1 || true", LIMIT)?.contains("Read-only"));
    running.quit()?;

    // The second disk alone, with a firmware that remembers nothing.
    let (second, serial) = patient.more[0].clone();
    let alone = Patient { disk: second, serial, more: Vec::new(), ..patient }.uefi();
    let mut running = alone.boot("alone")?;
    say(&format!("    the second disk alone is up after {} s", running.elapsed().as_secs()));
    assert!(running.output("zpool status rpool", LIMIT)?.contains("DEGRADED"));
    running.quit()?;
    say("scenario zfs holds");
    Ok(())
}

/// Every start writes the file that names the pools.
fn same_but_cache(running: &mut Running, before: &str) -> anyhow::Result<()> {
    let differences = census::differences_but(before, &census::take(running)?, |line| line.contains(" etc/zfs"));
    anyhow::ensure!(differences.is_empty(), "the restored system differs:\n{}", differences.join("\n"));
    Ok(())
}
