//! An encrypted host comes back: root and swap on volumes in a LUKS2 container, data in a LUKS1 container behind a key file, swap with a key
//! of the start. The person at the serial console types a passphrase, wrong first; the data's key file is in the snapshot, and nobody is asked for it.

use std::time::Duration;

use qemu_tests::capture::Captured;
use qemu_tests::host::{Host, Layout};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, same_census};
use qemu_tests::scenario::say;
use serde_json::Value;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// The host of `scripts/hosts/luks`.
const LUKS: Layout =
    Layout { name: "luks", disks: &[("LBHOSTA", 1700 * MIB), ("LBHOSTB", 400 * MIB)], tpm: true, ..Layout::USUAL };
/// The container with the root filesystem.
const ROOT: &str = "/dev/disk/by-uuid/0a0b0c0d-3333-4000-8000-000000000001";
/// Has LVM write what it keeps of its groups, which else it does while they are captured.
const SETTLED: &str = "vgcfgbackup >/dev/null 2>&1 && vgs >/dev/null";
/// Waits for the enrolment to end, and gives what it said.
const ENROLLED: &str =
    "while [ -e /var/lib/lifeboat/tpm ]; do sleep 1; done; journalctl --no-pager -o cat -u lifeboat-tpm.service";
/// Only the TPM of this machine can make this succeed.
const OPENED_BY_TPM: &str = "cryptsetup open --test-passphrase --token-only --token-type systemd-tpm2 \
                             /dev/disk/by-uuid/0a0b0c0d-3333-4000-8000-000000000001";
/// Key slots, ciphers and UUIDs of both containers, without what luksDump measures.
const DUMPS: &str =
    "for u in 1 2; do cryptsetup luksDump /dev/disk/by-uuid/0a0b0c0d-3333-4000-8000-00000000000$u; done";

#[test]
fn containers_come_back_with_every_key_slot_and_open_with_the_old_passphrases() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario luks");
    let host = Host::get(LUKS)?;
    let captured = captured(&host)?;
    let folder = place::scratch("luks")?;
    // Larger than before: the volume in the container grows.
    let patient =
        Patient::new("luks", host.accel(), &folder, Bus::Sata, "LBNEWA", 2000 * MIB)?.and("LBHOSTB", 400 * MIB)?;
    let mut passphrases = vec![" drei ", "vier"];
    let answer = |what: &str| {
        Ok(match what {
            "container" => passphrases.pop().map(str::to_owned),
            // The first disk is another one, and larger.
            "target" => Some("LBNEWA".to_owned()),
            "serial" => Some("LBNEWA LBHOSTB".to_owned()),
            _ => None,
        })
    };
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, answer, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let asked = outcome.events.iter().filter(|event| event["what"] == "container").count();
    assert_eq!(asked, 2, "the key file opens the second container without a question");
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    // It finds no TPM here, says so, and is gone.
    let said = running.output(ENROLLED, LIMIT)?;
    assert!(said.contains("this machine has no TPM"), "{said}");
    same_census(&mut running, &captured.census(1)?)?;
    // The same headers to the last digit of every salt.
    assert_eq!(running.output(DUMPS, LIMIT)?, captured.answer()?);
    opened_by(&mut running, 1, "eins zwei")?;
    opened_by(&mut running, 1, " drei ")?;
    opened_by(&mut running, 2, " drei ")?;
    for (place, source) in [("/", "/dev/mapper/inner-root"), ("/srv/data", "/dev/mapper/data")] {
        assert_eq!(running.output(&format!("findmnt -no SOURCE {place}"), LIMIT)?.trim(), source);
    }
    assert_eq!(running.output("cat /srv/data/file", LIMIT)?, "behind a key file\n");
    assert_eq!(running.output("swapon --show=NAME --noheadings | wc -l", LIMIT)?.trim(), "2");
    running.quit()?;
    say("scenario luks holds");
    Ok(())
}

/// The TPM of the source is enrolled as an administrator does it, then the host is captured.
fn captured(host: &Host) -> anyhow::Result<Captured> {
    let enrol =
        format!("PASSWORD=' drei ' systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=0+7 {ROOT} >/dev/null 2>&1");
    host.captured(&format!("{SETTLED} && {enrol} && {OPENED_BY_TPM} && {DUMPS}"))
}

#[test]
fn the_new_machines_tpm_opens_the_container_after_the_first_start() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario luks with a TPM");
    let host = Host::get(LUKS)?;
    let captured = captured(&host)?;
    let folder = place::scratch("luks-tpm")?;
    let patient = Patient::new("luks-tpm", host.accel(), &folder, Bus::Sata, "LBHOSTA", 1700 * MIB)?
        .and("LBHOSTB", 400 * MIB)?
        .with_tpm();
    let answer = |what: &str| {
        Ok(match what {
            "container" => Some(" drei ".to_owned()),
            "serial" => Some("LBHOSTA LBHOSTB".to_owned()),
            _ => None,
        })
    };
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, answer, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    assert!(!report["not_adapted"].to_string().contains("TPM"), "{}", report["not_adapted"]);
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let said = running.output(ENROLLED, LIMIT)?;
    assert!(running.output(OPENED_BY_TPM, LIMIT).is_ok(), "{said}");
    opened_by(&mut running, 1, "eins zwei")?;
    let left = "ls -d /var/lib/lifeboat/tpm /etc/systemd/system/lifeboat-tpm.service \
                /etc/systemd/system/multi-user.target.wants/lifeboat-tpm.service 2>/dev/null || true";
    assert_eq!(running.output(left, LIMIT)?, "", "nothing of the enrolment is left");
    running.quit()?;
    say("scenario luks with a TPM holds");
    Ok(())
}

fn opened_by(running: &mut Running, container: u32, passphrase: &str) -> anyhow::Result<()> {
    let device = format!("/dev/disk/by-uuid/0a0b0c0d-3333-4000-8000-00000000000{container}");
    running.output(
        &format!("printf %s '{passphrase}' | cryptsetup open --test-passphrase --key-file=- {device}"),
        LIMIT,
    )?;
    Ok(())
}
