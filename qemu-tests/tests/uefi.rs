//! A machine that starts by UEFI comes back from its newest snapshot, by order, with nobody there.

use qemu_tests::scenario::{SAME_SIZE, SECOND, Scenario};
use vm::{Bus, Firmware};

#[test]
fn a_uefi_machine_boots_from_its_restored_disk_by_its_own_entry_and_without_one() -> anyhow::Result<()> {
    let scenario = Scenario::begin("uefi")?;
    let mut patient = scenario.patient(Bus::Sata, "LBUEFI", SAME_SIZE)?.uefi();
    let outcome = scenario.rescue(&patient)?;
    let report = outcome.report()?;
    assert_eq!((&report["firmware"], &report["consent"]), (&"uefi".into(), &"order".into()));
    scenario.prove(&patient, SECOND)?;
    // Another board, or one that lost its settings: only the removable path is left.
    patient.firmware = Firmware::Uefi { vars: scenario.folder.join("forgotten.vars") };
    patient.boot_disk("forgotten")?.quit()?;
    scenario.held();
    Ok(())
}
