//! A host whose kernel the firmware starts itself, without any loader: its boot entry comes back with the command line that the kernel is
//! started with, which lies nowhere else.

use std::time::Duration;

use qemu_tests::host::Host;
use qemu_tests::layouts::SYSTEMD_BOOT;
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::Bus;

const LIMIT: Duration = Duration::from_secs(120);

/// Takes systemd-boot off the host, removable path included, and has the firmware start the kernel.
const BY_FIRMWARE: &str = r"set -e
r=$(uname -r)
cd /boot/efi
mkdir -p EFI/Linux
cp /boot/vmlinuz-$r EFI/Linux/linux.efi
cp /boot/initrd.img-$r EFI/Linux/initrd.img
rm -rf EFI/systemd EFI/BOOT loader $(cat /etc/machine-id)
disk=/dev/$(lsblk -no pkname $(findmnt -no SOURCE /))
efibootmgr -q -c -d $disk -p 1 -L 'Linux by firmware' -l '\EFI\Linux\linux.efi' \
    -u 'root=UUID=0a0b0c0d-5555-4000-8000-000000000001 ro console=ttyS0,115200 quiet initrd=\EFI\Linux\initrd.img'
efibootmgr";

#[test]
fn a_kernel_that_firmware_starts_comes_back_with_its_command_line() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario efi_stub");
    let host = Host::get(SYSTEMD_BOOT)?;
    let captured = host.captured_as("efi-stub", BY_FIRMWARE, "true")?;
    let folder = place::scratch("efi-stub")?;
    let patient = Patient::new("efi-stub", host.accel(), &folder, Bus::Virtio, "LBSTUB", SYSTEMD_BOOT.size())?.uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s: {}", outcome.ended.as_secs(), report["loaders"]));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let entry =
        running.output("n=$(efibootmgr | sed -n 's/^BootCurrent: //p'); efibootmgr | grep \"^Boot$n\"", LIMIT)?;
    assert!(entry.contains("Linux by firmware"), "it started by {entry}");
    assert!(running.output("cat /proc/cmdline", LIMIT)?.contains(r"initrd=\EFI\Linux\initrd.img"));
    let loader = running.output("ls /sys/firmware/efi/efivars | grep -c ^LoaderInfo- || true", LIMIT)?;
    assert_eq!(loader.trim(), "0", "no loader was between them");
    let differences = census::differences(&captured.census(1)?, &census::take(&mut running)?);
    assert_eq!(differences, Vec::<String>::new());
    running.quit()?;
    say("scenario efi_stub holds");
    Ok(())
}
