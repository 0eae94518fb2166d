//! Nobody has left an order: the person at the serial console types the disk's serial number.

use qemu_tests::rescue::follow;
use qemu_tests::scenario::{SAME_SIZE, SECOND, Scenario};
use vm::Bus;

#[test]
fn the_disks_serial_number_typed_on_the_serial_console_is_consent() -> anyhow::Result<()> {
    let scenario = Scenario::begin("typed")?;
    let patient = scenario.patient(Bus::Sata, "WD-TYPED-77", SAME_SIZE)?;
    let mut running = patient.boot_stick(&scenario.captured.stick, Some(&scenario.captured.key))?;
    // The first answer is wrong, as first answers are.
    let mut answers = vec!["WD-TYPED-77", "WD-TYPED-76"];
    let answer = |what: &str| Ok((what == "serial").then(|| answers.pop().map(str::to_owned)).flatten());
    let outcome = follow(&mut running, answer, |_| ())?;
    scenario.times(&outcome);
    assert_eq!((outcome.count("question"), &outcome.report()?["consent"]), (2, &"typed".into()));
    scenario.prove(&patient, SECOND)?;
    scenario.held();
    Ok(())
}
