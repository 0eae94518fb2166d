//! A host of libvirt's comes back with its guests: one that runs and writes while the host is captured, and one that is off, whose image builds
//! on another one. libvirt, QEMU and the guests are real; each guest is a boot sector that tells on its serial port what its disk holds
//! (`scripts/hosts/libvirt/guest.s`).

use std::time::Duration;

use anyhow::Context as _;
use qemu_tests::host::{Host, Layout};
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::{Bus, Running};

const LIMIT: Duration = Duration::from_secs(120);
/// A machine within an emulated machine wakes slowly.
const WAKING: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

/// The host of `scripts/hosts/libvirt`.
const LIBVIRT: Layout =
    Layout { name: "libvirt", disks: &[("LBHOSTA", 1500 * MIB)], orders: &["--disk LBNEWA=LBHOSTA"], ..Layout::USUAL };

/// What libvirt has, and how far the guest that runs has counted.
const BEFORE: &str = "set -e; while ! grep -q counts /run/counter.serial; do sleep 1; done
                      sh /usr/local/lib/lab/facts.sh; echo \"counted: $(sh /usr/local/lib/lab/counted.sh /var/lib/libvirt/images/counter.qcow2)\"";
/// How far it has when the capture is over, and that it writes to its own image again, which builds on nothing.
const AFTER: &str =
    "set -e; sleep 5; echo \"counted: $(sh /usr/local/lib/lab/counted.sh /var/lib/libvirt/images/counter.qcow2)\"
                     virsh --quiet domblklist counter; ls /var/lib/libvirt/images /var/lib/lifeboat/guests/snapshots";

#[test]
fn a_host_of_libvirts_comes_back_with_its_guests() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario libvirt");
    let host = Host::get(LIBVIRT)?;
    let captured = host.captured_amid(BEFORE, AFTER)?;
    let answer = captured.answer()?;
    let (facts, rest) = answer.split_once("counted: ").context("the host did not say how far its guest has counted")?;
    let (before, after) = rest.split_once("counted: ").context("the host did not say it again")?;
    let (after, disks) = after.split_once('\n').context("the host did not say where its guest's disk lies")?;
    let left = disks.contains(".lifeboat") || disks.contains(".json");
    assert!(disks.contains("/var/lib/libvirt/images/counter.qcow2") && !left, "no overlay and no record: {disks}");
    let (before, after) = (numbers(before)?, numbers(after)?);
    assert!(before.0 < after.0, "it has counted while it was captured: {before:?}, {after:?}");

    let folder = place::scratch("libvirt")?;
    let patient = Patient::new("libvirt", host.accel(), &folder, Bus::Sata, "LBNEWA", 1700 * MIB)?;
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    assert_eq!(outcome.report()?["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    let found = running.output("sh /usr/local/lib/lab/facts.sh", LIMIT)?;
    assert_eq!(lasting(&found), lasting(facts), "as it was, to the last digest");
    were_looked_at(&mut running)?;
    let images =
        running.output("ls /var/lib/libvirt/images; qemu-img check -U /var/lib/libvirt/images/counter.qcow2", LIMIT)?;
    assert!(!images.contains(".lifeboat") && images.contains("No errors"), "{images}");

    let kept = numbers(&said(&mut running, "counter")?)?;
    say(&format!("    the guest had counted to {} before, {kept:?} in the snapshot, {} afterwards", before.0, after.0));
    assert!(before.0 <= kept.0 && kept.0 < after.0, "its disk is of a moment of the capture");
    assert!(kept.0 == kept.1 || kept.0 == kept.1 + 1, "and as it was at that one moment: {kept:?}");
    running.output("virsh --quiet start archive", LIMIT)?;
    assert_eq!(
        numbers(&said(&mut running, "archive")?)?,
        (0x0707_0707, 0),
        "one sector of its image, all else of that below"
    );
    say(&format!("    both guests run after {} s", running.elapsed().as_secs()));

    let changed = [" etc/libvirt", "lifeboat-guests", "multi-user.target.wants"];
    let differences = census::differences_but(&captured.census(1)?, &census::take(&mut running)?, |line| {
        changed.iter().any(|part| line.contains(part))
    });
    assert_eq!(differences, Vec::<String>::new());
    running.quit()?;
    say("scenario libvirt holds");
    Ok(())
}

/// What libvirt has, without the room in its pool, which is that of the new disk.
fn lasting(facts: &str) -> Vec<&str> {
    facts.lines().filter(|line| !line.contains(" unit='bytes'")).collect()
}

/// Each guest was found complete before libvirt could start any.
fn were_looked_at(running: &mut Running) -> anyhow::Result<()> {
    let status: Value = serde_json::from_str(&running.output("lifeboat guests status --json", LIMIT)?)?;
    assert_eq!((&status["verdict"], &status["done"]), (&"restored".into(), &true.into()), "{status}");
    let when = |unit: &str, event: &str| format!("systemctl show --value --property {event} {unit}");
    let (looked, began) = (
        when("lifeboat-guests-check", "ExecMainExitTimestampMonotonic"),
        when("libvirtd", "ExecMainStartTimestampMonotonic"),
    );
    let times = running.output(&format!("{looked}; {began}"), LIMIT)?;
    let times: Vec<u64> = times.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    assert!(matches!(times[..], [looked, began] if 0 < looked && looked <= began), "{times:?}");
    Ok(())
}

/// What a guest says that its disk holds.
fn said(running: &mut Running, guest: &str) -> anyhow::Result<String> {
    let wait = format!("while ! grep -q counts /run/{guest}.serial; do sleep 1; done; cat /run/{guest}.serial");
    let text = running.output(&wait, WAKING)?;
    let line =
        text.lines().find_map(|line| line.trim().strip_prefix("guest: its disk has ")?.strip_suffix(", it counts"));
    Ok(line.with_context(|| format!("{guest} says {text:?}"))?.to_owned())
}

/// The two numbers of a disk.
fn numbers(text: &str) -> anyhow::Result<(u32, u32)> {
    let mut words = text.split_whitespace().map(|word| u32::from_str_radix(word, 16));
    let mut next = || words.next().with_context(|| format!("no two numbers in {text:?}"));
    Ok((next()??, next()??))
}
