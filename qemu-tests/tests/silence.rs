//! No order and no answer: the machine switches itself off, and its disk is as it was.

use qemu_tests::capture::STICK_SERIAL;
use qemu_tests::rescue::{Verdict, follow, silence};
use qemu_tests::scenario::Scenario;
use qemu_tests::{place, tamper};
use vm::{Bus, Disk, Firmware, Machine};

#[test]
fn silence_powers_off_and_leaves_the_disk_untouched() -> anyhow::Result<()> {
    let scenario = Scenario::begin("silence")?;
    let patient = scenario.occupied("LBNOBODY")?;
    let before = vm::sha256(&patient.disk)?;
    // The stick's own kernel and initramfs, started from outside: its menu waits ten minutes for an answer.
    let (kernel, initrd) = (scenario.folder.join("vmlinuz"), scenario.folder.join("initrd.img"));
    for (name, copy) in [("vmlinuz", &kernel), ("initrd.img", &initrd)] {
        std::fs::write(copy, tamper::read_esp(&scenario.captured.stick, &format!("lifeboat/a/{name}"))?)?;
    }
    let command_line = "lifeboat.slot=a lifeboat.silence=15 quiet console=ttyS0,115200".to_owned();
    let mut running = Machine::new("silence-rescue", place::logs()?, scenario.accel)
        .firmware(Firmware::Kernel { kernel, initrd, command_line })
        .disk(Disk::new(&patient.disk, Bus::Sata, &patient.serial))
        .disk(Disk::new(&scenario.captured.stick, Bus::Usb, STICK_SERIAL).snapshot())
        .disk(Disk::new(&scenario.captured.key, Bus::Usb, "LBKEY").snapshot())
        .start()?;
    let outcome = follow(&mut running, silence, |_| ())?;
    assert_eq!(outcome.verdict, Verdict::Nothing);
    assert!(outcome.count("question") > 0 && outcome.count("power-off") == 1, "{:?}", outcome.events);
    scenario.untouched(&patient, &before, &outcome)?;
    scenario.held();
    Ok(())
}
