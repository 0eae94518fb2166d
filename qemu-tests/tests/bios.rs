//! A machine that starts by BIOS comes back from its newest snapshot, though the host was captured under UEFI.

use qemu_tests::scenario::{SAME_SIZE, SECOND, Scenario};
use vm::Bus;

#[test]
fn a_bios_machine_boots_from_its_restored_disk() -> anyhow::Result<()> {
    let scenario = Scenario::begin("bios")?;
    let patient = scenario.patient(Bus::Scsi, "LBBIOS", SAME_SIZE)?;
    let outcome = scenario.rescue(&patient)?;
    assert_eq!(outcome.report()?["firmware"], "bios");
    scenario.prove(&patient, SECOND)?;
    scenario.held();
    Ok(())
}
