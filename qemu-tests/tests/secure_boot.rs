//! Secure Boot, enforced by the firmware on every machine: the host, the stick that captured it, and the host that comes back. A loader that
//! nobody signed does not start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use qemu_tests::host::Host;
use qemu_tests::layouts::{SECURE, SECURE_STATE};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, nobody, same_census, silence};
use qemu_tests::scenario::say;
use qemu_tests::tamper::replace_esp;
use serde_json::Value;
use vm::{Bus, Firmware, Running};

const LIMIT: Duration = Duration::from_secs(120);
/// From power-on to a refusal.
const REFUSAL_LIMIT: Duration = Duration::from_secs(180);
/// What the firmware tries after a refusal takes no longer.
const AFTERWARDS: Duration = Duration::from_secs(30);
/// Debian's GRUB for removable media as it was before it was signed.
const UNSIGNED: &str = "/usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi";

#[test]
fn a_host_under_secure_boot_comes_back_under_secure_boot_by_its_entry_and_without_one() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario secure_boot");
    let host = Host::get(SECURE)?.secured();
    let captured = host.captured(SECURE_STATE)?;
    assert_eq!(captured.answer()?.trim(), "SecureBoot enabled");
    let folder = place::scratch("secure-boot")?;
    // The signed GRUB reads which slot starts: here the second one.
    let stick = folder.join("stick.img");
    vm::copy_sparse(&captured.stick, &stick)?;
    replace_esp(&stick, "boot/grub/slot.cfg", b"set slot=b\n")?;

    let mut patient =
        Patient::new("secure-boot", host.accel(), &folder, Bus::Sata, "LBSECURE", SECURE.size())?.secure_boot();
    let outcome = follow(&mut patient.boot_stick(&stick, Some(&captured.key))?, nobody, |_| ())?;
    let ready = outcome.event("ready")?;
    assert_eq!((&ready["secure_boot"], &ready["slot"]), (&Value::Bool(true), &Value::from("b")));
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let loaders = report["loaders"].to_string();
    assert!(loaders.contains("shimx64.efi"), "{loaders}");
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    enforced(&mut running)?;
    let entry =
        running.output("n=$(efibootmgr | sed -n 's/^BootCurrent: //p'); efibootmgr | grep \"^Boot$n\"", LIMIT)?;
    assert!(entry.contains("debian"), "it started by {entry}");
    same_census(&mut running, &captured.census(1)?)?;
    running.quit()?;

    patient.firmware = Firmware::SecureBoot { vars: folder.join("forgotten.vars") };
    let mut running = patient.boot("forgotten")?;
    say(&format!("    by the removable path it is up after {} s", running.elapsed().as_secs()));
    enforced(&mut running)?;
    running.quit()?;
    say("scenario secure_boot holds");
    Ok(())
}

/// The firmware enforces it, and the kernel knows.
fn enforced(running: &mut Running) -> anyhow::Result<()> {
    assert_eq!(running.output(SECURE_STATE, LIMIT)?.trim(), "SecureBoot enabled");
    let lockdown = running.output("cat /sys/kernel/security/lockdown", LIMIT)?;
    ensure!(!lockdown.contains("[none]"), "the kernel is not locked down: {lockdown}");
    Ok(())
}

#[test]
fn a_stick_with_an_unsigned_loader_is_refused_and_no_disk_is_written_to() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario secure_boot, unsigned loaders");
    let host = Host::get(SECURE)?.secured();
    let captured = host.captured(SECURE_STATE)?;
    let folder = place::scratch("secure-boot-unsigned")?;
    let unsigned = std::fs::read(UNSIGNED).with_context(|| format!("reading {UNSIGNED}"))?;
    let mut patient = Patient::new("unsigned", host.accel(), &folder, Bus::Sata, "LBSECURE", SECURE.size())?;
    File::options().write(true).open(&patient.disk)?.write_all_at(b"somebody's only copy", 1 << 20)?;
    let before = vm::sha256(&patient.disk)?;

    let stick = folder.join("stick.img");
    vm::copy_sparse(&captured.stick, &stick)?;
    replace_esp(&stick, "EFI/BOOT/BOOTX64.EFI", &unsigned)?;
    patient = patient.secure_boot();
    refused(&patient, &stick, &captured.key, "Access Denied")?;

    let behind_shim = folder.join("behind-shim.img");
    vm::copy_sparse(&captured.stick, &behind_shim)?;
    replace_esp(&behind_shim, "EFI/BOOT/grubx64.efi", &unsigned)?;
    refused(&patient, &behind_shim, &captured.key, "Security Violation")?;

    // It is the signature and nothing else: a machine that enforces nothing starts it, and the rescue itself refuses what it started from.
    let outcome = follow(&mut patient.uefi().boot_stick(&stick, Some(&captured.key))?, silence, |_| ())?;
    let (code, message) = outcome.refusal()?;
    say(&format!("    without Secure Boot it starts, and the rescue refuses with {code}: {message}"));
    assert_eq!(code, 21, "{message}");
    assert_eq!(vm::sha256(&folder.join("disk.img"))?, before, "the disk has changed");
    say("scenario secure_boot, unsigned loaders, holds");
    Ok(())
}

/// The stick does not start, the screen says why, and nothing of the rescue is ever heard.
fn refused(patient: &Patient, stick: &Path, key: &Path, word: &str) -> anyhow::Result<()> {
    let before = vm::sha256(&patient.disk)?;
    let mut running = patient.boot_stick(stick, Some(key))?;
    running.allow("Access Denied");
    running.expect(word, REFUSAL_LIMIT)?;
    say(&format!("    \"{word}\" after {} s", running.elapsed().as_secs()));
    if let Ok(event) = running.event(AFTERWARDS) {
        anyhow::bail!("the rescue was reached: {event}");
    }
    drop(running);
    ensure!(vm::sha256(&patient.disk)? == before, "the disk has changed");
    Ok(())
}
