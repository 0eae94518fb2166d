//! An older snapshot comes back as it was, not as what was stored later makes it.

use qemu_tests::scenario::{SAME_SIZE, Scenario};
use vm::Bus;

#[test]
fn the_first_snapshot_is_restored_as_it_was_before_the_second() -> anyhow::Result<()> {
    let scenario = Scenario::begin("first")?;
    let patient = scenario.patient(Bus::Virtio, "LBFIRST", SAME_SIZE)?;
    let outcome = scenario.rescue(&patient)?;
    assert_eq!(outcome.report()?["snapshot"], 1);
    scenario.prove(&patient, 1)?;
    scenario.held();
    Ok(())
}
