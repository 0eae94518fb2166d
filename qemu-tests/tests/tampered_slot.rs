//! A word of the boot menu is another: the stick does not trust what started it.

use anyhow::Context;
use qemu_tests::scenario::Scenario;
use qemu_tests::tamper::{flip, read_esp};

#[test]
fn a_changed_boot_file_is_refused_before_the_first_write() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("tampered-slot")?;
    scenario.own_stick()?;
    let stick = &scenario.captured.stick;
    let menu = read_esp(stick, "boot/grub/grub.cfg")?;
    let word = menu.windows(5).rposition(|word| word == b"quiet").context("no word `quiet` in the boot menu")?;
    flip(stick, &menu, word + 4)?;
    scenario.refuses(21)?;
    scenario.held();
    Ok(())
}
