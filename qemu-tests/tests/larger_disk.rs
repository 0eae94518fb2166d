//! A larger disk, of another kind than the one that died: the last filesystem gets what there is more.

use std::time::Duration;

use qemu_tests::rescue::same_census;
use qemu_tests::scenario::{SECOND, Scenario};
use vm::Bus;

#[test]
fn a_larger_disk_gives_its_room_to_the_filesystem_that_grows() -> anyhow::Result<()> {
    let scenario = Scenario::begin("larger")?;
    let patient = scenario.patient(Bus::Nvme, "LBLARGER", 6 << 30)?;
    scenario.rescue(&patient)?.report()?;
    let mut running = patient.boot_disk("restored")?;
    let limit = Duration::from_secs(60);
    let size = running.output("findmnt -bno SIZE /home", limit)?;
    let used = running.output("sgdisk -v /dev/nvme0n1; sfdisk --list-free /dev/nvme0n1", limit)?;
    let gib = size.trim().parse::<u64>()? >> 30;
    assert!(gib >= 4, "/home has {size} bytes; {used}");
    assert!(used.contains("No problems found"), "{used}");
    same_census(&mut running, &scenario.captured.census(SECOND)?)?;
    running.quit()?;
    scenario.held();
    Ok(())
}
