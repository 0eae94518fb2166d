//! A host that systemd-boot starts, without GRUB: its entry comes back, and the removable path that it had lost.

use std::time::Duration;

use qemu_tests::host::Host;
use qemu_tests::layouts::{SYSTEMD_BOOT, SYSTEMD_BOOT_ENTRY};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::{Bus, Firmware, Running};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_host_with_systemd_boot_comes_back_by_its_entry_and_by_the_removable_path() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario systemd_boot");
    let host = Host::get(SYSTEMD_BOOT)?;
    let captured = host.captured(SYSTEMD_BOOT_ENTRY)?;
    let folder = place::scratch("systemd-boot")?;
    let mut patient =
        Patient::new("systemd-boot", host.accel(), &folder, Bus::Virtio, "LBSYSTEMD", SYSTEMD_BOOT.size())?.uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let loaders = report["loaders"].to_string();
    for word in ["as recorded, in /boot/efi, and on the removable path", "Linux Boot Manager", ": kept"] {
        assert!(loaders.contains(word), "{loaders}");
    }
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let entry =
        running.output("n=$(efibootmgr | sed -n 's/^BootCurrent: //p'); efibootmgr | grep \"^Boot$n\"", LIMIT)?;
    assert!(entry.contains("Linux Boot Manager"), "it started by {entry}");
    started_by_it(&mut running)?;
    let after = census::take(&mut running)?;
    let differences = census::differences_but(&captured.census(1)?, &after, census::is_machine_id);
    assert_eq!(differences, Vec::<String>::new());
    running.quit()?;

    patient.firmware = Firmware::Uefi { vars: folder.join("forgotten.vars") };
    let mut running = patient.boot("forgotten")?;
    say(&format!("    by the removable path it is up after {} s", running.elapsed().as_secs()));
    started_by_it(&mut running)?;
    running.quit()?;
    say("scenario systemd_boot holds");
    Ok(())
}

/// The loader leaves its name in a variable.
fn started_by_it(running: &mut Running) -> anyhow::Result<()> {
    let name = running.output("cat /sys/firmware/efi/efivars/LoaderInfo-* | tr -d '\\000'", LIMIT)?;
    assert!(name.contains("systemd-boot"), "{name}");
    Ok(())
}
