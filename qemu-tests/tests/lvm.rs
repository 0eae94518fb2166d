//! A host whose root lies on LVM comes back: two groups, thin pool, stripe, mirror, XFS. Its first group and its partitions are those of a
//! Proxmox VE host. What is inside volumes can be judged from inside only: `attest` does not look into them.

use std::time::Duration;

use qemu_tests::host::Host;
use qemu_tests::layouts::LVM;
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::say;
use qemu_tests::{census, place};
use serde_json::Value;
use vm::Bus;

const LIMIT: Duration = Duration::from_secs(120);
const GIB: u64 = 1 << 30;

/// What LVM says of groups and volumes, without what a group that is made again gets anew.
const VOLUMES: &str = "lvs --noheadings --separator '|' --units b --sort vg_name,lv_name -o vg_name,lv_name,lv_layout,lv_size,stripes,\
                       stripe_size,chunk_size,lv_metadata_size,zero,discards,pool_lv,vg_tags 2>/dev/null";

/// The volumes that come back block by block.
const BLOCKS: &str = "sha256sum /dev/store/raw /dev/pve/vm-1";

#[test]
fn a_host_on_lvm_boots_with_the_same_groups_volumes_and_pool() -> anyhow::Result<()> {
    let _alone = place::hold("scenario")?;
    say("scenario lvm");
    let host = Host::get(LVM)?;
    let captured = host.captured(&format!("{VOLUMES}; {BLOCKS}"))?;
    let folder = place::scratch("lvm")?;

    let patient = Patient::new("lvm", host.accel(), &folder, Bus::Sata, "LBNEWA", 2 * GIB)?
        .and("LBNEWB", GIB + (256 << 20))?
        .uefi();
    let outcome = follow(&mut patient.boot_stick(&captured.stick, Some(&captured.key))?, nobody, |_| ())?;
    let report = outcome.report()?;
    assert_eq!(report["differences"], Value::Array(Vec::new()));
    say(&format!("    restored after {} s", outcome.ended.as_secs()));

    let mut running = patient.boot("restored")?;
    say(&format!("    the restored system is up after {} s", running.elapsed().as_secs()));
    // Its first start writes LVM's own notes on groups that are new to it.
    let differences =
        census::differences_but(&captured.census(1)?, &census::take(&mut running)?, |line| line.contains(" etc/lvm"));
    assert_eq!(differences, Vec::<String>::new());
    let (recorded, found) = (captured.answer()?, running.output(&format!("{VOLUMES}; {BLOCKS}"), LIMIT)?);
    let wanted: Vec<&str> = recorded.lines().filter(|line| !line.contains("|before|")).collect();
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        wanted,
        "all but the snapshot `before` is as it was, and so are the blocks of two"
    );
    for (place, source) in [
        ("/", "/dev/mapper/pve-root"),
        ("/home", "/dev/mapper/store-files"),
        ("/srv/guests", "/dev/mapper/pve-guests"),
        ("/srv/fast", "/dev/mapper/store-fast"),
        ("/srv/twice", "/dev/mapper/store-twice"),
    ] {
        assert_eq!(running.output(&format!("findmnt -no SOURCE {place}"), LIMIT)?.trim(), source);
    }
    assert_eq!(
        running.output("cat /srv/guests/file /srv/fast/file /srv/twice/file", LIMIT)?,
        "on guests\non fast\non twice\n"
    );
    assert!(running.output("swapon --show=NAME --noheadings", LIMIT)?.contains("/dev/dm-"));
    // The partitions are Proxmox's to the sector.
    let table = running.output("sfdisk --dump $(readlink -e /dev/disk/by-id/ata-*LBNEWA)", LIMIT)?;
    for part in ["start=          34, size=        2014", "start=        2048, size=      131072"] {
        assert!(table.contains(part), "{table}");
    }
    running.quit()?;
    say("scenario lvm holds");
    Ok(())
}
