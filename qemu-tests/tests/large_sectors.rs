//! A host from a disk with sectors of 512 bytes comes back on one with sectors of 4,096: partitions, FAT, XFS, ext4 and boot entry fit them.

use std::time::Duration;

use qemu_tests::host::Host;
use qemu_tests::layouts::{SECURE, SECURE_STATE};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, nobody, same_census};
use qemu_tests::scenario::say;
use serde_json::Value;
use vm::Bus;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_host_comes_back_on_a_disk_with_sectors_of_4096_bytes() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario large_sectors");
    let host = Host::get(SECURE)?.secured();
    let captured = host.captured(SECURE_STATE)?;
    let folder = place::scratch("large-sectors")?;
    let mut patient = Patient::new("large-sectors", host.accel(), &folder, Bus::Nvme, "LB4KN", SECURE.size())?.uefi();
    patient.sector = Some(4096);
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let notes = outcome.event("plan")?["plan"]["notes"].to_string();
    assert!(notes.contains("has sectors of 4096 bytes: it starts by UEFI only"), "{notes}");
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let loaders = report["loaders"].to_string();
    assert!(loaders.contains("x86_64-efi") && !loaders.contains("i386-pc"), "{loaders}");
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let sizes = running.output("blockdev --getss --getpbsz /dev/nvme0n1; sgdisk --verify /dev/nvme0n1", LIMIT)?;
    assert!(sizes.starts_with("4096\n4096\n") && sizes.contains("No problems found"), "{sizes}");
    let sectors = running.output("xfs_info /home | grep -o 'sectsz=[0-9]*' | sort -u", LIMIT)?;
    assert_eq!(sectors, "sectsz=4096\n");
    same_census(&mut running, &captured.census(1)?)?;
    running.quit()?;
    say("scenario large_sectors holds");
    Ok(())
}
