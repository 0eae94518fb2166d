//! One letter of the newest manifest is another: its signature no longer holds.

use anyhow::Context;
use qemu_tests::scenario::Scenario;
use qemu_tests::tamper::{flip, list_data, read_data};

#[test]
fn a_changed_manifest_is_refused_before_the_first_write() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("tampered-manifest")?;
    scenario.own_stick()?;
    let stick = &scenario.captured.stick;
    let mut manifests = list_data(stick, "/vault/manifests")?;
    manifests.retain(|path| path.ends_with(".json"));
    let newest = manifests.pop().context("no manifest")?;
    let content = read_data(stick, &newest)?;
    let digit = content.iter().rposition(u8::is_ascii_digit).context("no digit in the manifest")?;
    flip(stick, &content, digit)?;
    scenario.refuses(20)?;
    scenario.held();
    Ok(())
}
