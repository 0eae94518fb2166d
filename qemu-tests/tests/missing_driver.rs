//! A disk whose driver the host's initramfs lacks: the rescue notices, has it made anew with the copy that the loader reads, and the host boots.

use std::time::Duration;

use qemu_tests::host::Host;
use qemu_tests::layouts::{SYSTEMD_BOOT, SYSTEMD_BOOT_ENTRY};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::Bus;

const LIMIT: Duration = Duration::from_secs(120);
/// Where the rescue names the drivers.
const MODULES: &str = " etc/initramfs-tools/modules";

#[test]
fn an_initramfs_without_the_disk_s_driver_is_made_anew_and_boots() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario missing_driver");
    let host = Host::get(SYSTEMD_BOOT)?;
    let captured = host.captured(SYSTEMD_BOOT_ENTRY)?;
    let folder = place::scratch("missing-driver")?;
    let patient =
        Patient::new("missing-driver", host.accel(), &folder, Bus::Nvme, "LBDRIVER", SYSTEMD_BOOT.size())?.uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let lacks = outcome.event("initramfs")?["lacks"].to_string();
    assert!(lacks.contains("nvme"), "{lacks}");
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let loaders = report["loaders"].to_string();
    assert!(loaders.contains("made anew, it lacked nvme"), "{loaders}; {}", report["not_adapted"]);
    say(&format!("    restored after {} s; changed on purpose: {}", outcome.ended.as_secs(), report["adapted"]));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    assert!(running.output("findmnt -no SOURCE /", LIMIT)?.starts_with("/dev/nvme0n1p"));
    running
        .output("r=$(uname -r); cmp /boot/initrd.img-$r /boot/efi/$(cat /etc/machine-id)/$r/initrd.img-$r", LIMIT)?;
    let differences = census::differences_but(&captured.census(1)?, &census::take(&mut running)?, |line| {
        line.ends_with(MODULES) || census::is_machine_id(line)
    });
    assert_eq!(differences, Vec::<String>::new());
    running.quit()?;
    say("scenario missing_driver holds");
    Ok(())
}
