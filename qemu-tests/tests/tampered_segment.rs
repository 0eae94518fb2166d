//! One bit of one sealed segment is another: the order is not carried out.

use anyhow::Context;
use qemu_tests::scenario::Scenario;
use qemu_tests::tamper::{flip, list_data, read_data};

#[test]
fn a_changed_segment_is_refused_before_the_first_write() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("tampered-segment")?;
    scenario.own_stick()?;
    let stick = &scenario.captured.stick;
    let segment = list_data(stick, "/vault/segments")?.into_iter().next().context("no segment")?;
    let content = read_data(stick, &segment)?;
    flip(stick, &content, content.len() / 2)?;
    scenario.refuses(21)?;
    scenario.held();
    Ok(())
}
