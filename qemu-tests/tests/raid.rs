//! A host on software RAID comes back: each member of its mirror starts alone. What is inside arrays can be judged from inside only.

use std::time::Duration;

use qemu_tests::host::{Host, Layout};
use qemu_tests::place;
use qemu_tests::rescue::{Patient, follow, nobody, same_census};
use qemu_tests::scenario::say;
use serde_json::Value;
use vm::Bus;

const LIMIT: Duration = Duration::from_secs(120);
const SIZE: u64 = 2100 << 20;
const SMALL: u64 = 256 << 20;

/// The host of `scripts/hosts/raid`, which starts by BIOS.
const RAID: Layout = Layout {
    name: "raid",
    disks: &[("LBHOSTA", SIZE), ("LBHOSTB", SIZE), ("LBHOSTC", SMALL)],
    orders: &[
        "--disk LBMEMBERA=LBHOSTA --disk LBMEMBERB=LBHOSTB --disk LBMEMBERC=LBHOSTC",
        "--disk LBFEWERB=LBHOSTB --disk LBFEWERC=LBHOSTC --disk -=LBHOSTA",
    ],
    ..Layout::USUAL
};

/// Level, UUID, name, metadata, number of members, layout and chunk of each array, and what lies on two of them.
const ARRAYS: &str = "for array in /dev/md/*; do echo \"$array\"; mdadm --detail --export \"$array\" | \
                      grep -E '^MD_(LEVEL|UUID|NAME|METADATA|DEVICES)='; done; \
                      grep -H . /sys/block/md*/md/layout /sys/block/md*/md/chunk_size | sed 's|^[^:]*/||' | sort; sha256sum /srv/*/content";

#[test]
fn a_mirrored_host_boots_from_both_disks_and_from_each_alone() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario raid");
    let host = Host::get(RAID)?;
    let captured = host.captured(ARRAYS)?;
    let folder = place::scratch("raid")?;

    let patient = Patient::new("raid", host.accel(), &folder, Bus::Sata, "LBMEMBERA", SIZE)?
        .and("LBMEMBERB", SIZE)?
        .and("LBMEMBERC", SMALL)?;
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    let loaders = report["loaders"].to_string();
    for loader in ["i386-pc on /dev/sda", "i386-pc on /dev/sdb"] {
        assert!(loaders.contains(loader), "{loaders}");
    }
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    same_census(&mut running, &captured.census(1)?)?;
    assert_eq!(running.output(ARRAYS, LIMIT)?, captured.answer()?);
    assert!(running.output("findmnt -no SOURCE /boot/efi", LIMIT)?.starts_with("/dev/md"));
    running.quit()?;

    // Without the first disk, on a board that runs UEFI and remembers nothing: by the copy of the ESP on the second.
    let (second, serial) = patient.more[0].clone();
    let alone = Patient { disk: second, serial, more: patient.more[1..].to_vec(), ..patient }.uefi();
    let mut running = alone.boot("alone")?;
    say(&format!("    without the first disk it is up after {} s", running.elapsed().as_secs()));
    assert!(running.output("mdadm --detail /dev/md/root", LIMIT)?.contains(", degraded"));
    same_census(&mut running, &captured.census(1)?)?;
    running.quit()?;
    say("scenario raid holds");
    Ok(())
}

#[test]
fn a_host_comes_back_without_a_disk_that_its_arrays_can_do_without() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario raid onto fewer disks");
    let host = Host::get(RAID)?;
    let captured = host.captured(ARRAYS)?;
    let folder = place::scratch("raid-fewer")?;
    let patient =
        Patient::new("raid-fewer", host.accel(), &folder, Bus::Nvme, "LBFEWERB", SIZE)?.and("LBFEWERC", SMALL)?;
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    same_census(&mut running, &captured.census(1)?)?;
    assert_eq!(running.output(ARRAYS, LIMIT)?, captured.answer()?, "the same arrays, with a place to fill");
    for name in ["root", "data", "five"] {
        let detail = running.output(&format!("mdadm --detail /dev/md/{name}"), LIMIT)?;
        assert!(detail.contains(", degraded"), "{detail}");
    }
    running.quit()?;
    say("scenario raid onto fewer disks holds");
    Ok(())
}
