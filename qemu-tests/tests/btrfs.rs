//! A host on a DOS table whose root is btrfs comes back: subvolumes, the default one, what is read-only, and what is not copied on writing. `attest`
//! does not look into btrfs, so it is judged from inside.

use std::time::Duration;

use qemu_tests::host::{Host, Layout};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, nobody, same_census};
use qemu_tests::scenario::say;
use serde_json::Value;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(120);
const SIZE: u64 = 2 << 30;
/// The target is larger: the last logical partition grows, and the extended one with it.
const TARGET: u64 = SIZE + (256 << 20);

/// The host of `scripts/hosts/btrfs`, which starts by BIOS.
pub const BTRFS: Layout =
    Layout { name: "btrfs", disks: &[("LBHOSTA", SIZE)], orders: &["--disk LBNEWA=LBHOSTA"], ..Layout::USUAL };

/// Subvolumes by path, the read-only ones, the default one, the profiles, and the flags of a folder that is not copied on writing.
fn facts(running: &mut Running) -> anyhow::Result<String> {
    let command = "btrfs subvolume list -a / | sed 's/.* path //; s/<FS_TREE>.//' | sort; echo read-only; \
                   btrfs subvolume list -a -r / | sed 's/.* path //; s/<FS_TREE>.//' | sort; \
                   btrfs subvolume get-default / | sed 's/.* path //'; \
                   btrfs filesystem df / | sed 's/:.*//' | sort; \
                   lsattr -d /nested/inner/guests /nested/inner/guests/disk; cat /nested/file /nested/inner/file /srv/*/file; \
                   findmnt -rno TARGET,FSROOT -t btrfs | sort; cat /sys/fs/btrfs/*-*/checksum";
    Ok(running.output(command, LIMIT)?)
}

/// The partition table but for sizes, which may have grown.
fn table(running: &mut Running) -> anyhow::Result<String> {
    let command = "disk=$(lsblk -dpno PKNAME $(findmnt -no SOURCE / | sed 's/\\[.*//')); \
                   sfdisk --dump $disk | grep -E '^label|start' | sed \"s,^$disk,disk,; s/size= *[0-9]*,//\"";
    Ok(running.output(command, LIMIT)?)
}

#[test]
fn a_host_on_btrfs_and_a_dos_table_boots_with_the_same_subvolumes() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario btrfs");
    let host = Host::get(BTRFS)?;
    let captured = host.captured("btrfs subvolume list /; lsblk")?;
    let folder = place::scratch("btrfs")?;
    let mut before = host.start("btrfs-source", &folder, Vec::new())?;
    let (recorded, partitions) = (facts(&mut before)?, table(&mut before)?);
    before.quit()?;
    assert!(recorded.contains("before\n") && recorded.contains("---------------C------"), "{recorded}");

    let patient = Patient::new("btrfs", host.accel(), &folder, Bus::Sata, "LBNEWA", TARGET)?;
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    same_census(&mut running, &captured.census(1)?)?;
    // A read-only snapshot of what is there is a second copy: it is named by the capture and left out.
    let wanted: String = recorded.lines().filter(|line| *line != "before").map(|line| format!("{line}\n")).collect();
    assert_eq!(facts(&mut running)?, wanted);
    assert_eq!(table(&mut running)?, partitions);
    assert!(running.output("swapon --show=NAME --noheadings", LIMIT)?.contains("/dev/sda5"));
    assert_eq!(running.output("cat /srv/bound/file", LIMIT)?, "on srv/files\n");
    assert!(running.output("touch /srv/locked/new 2>&1 || true", LIMIT)?.contains("Read-only"));
    running.quit()?;
    say("scenario btrfs holds");
    Ok(())
}
