//! The key that is plugged in belongs to another vault.

use qemu_tests::lifeboat;
use qemu_tests::scenario::Scenario;

#[test]
fn a_key_that_opens_nothing_here_is_refused_before_the_first_write() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("wrong-key")?;
    let path = |name: &str| scenario.folder.join(name).display().to_string();
    let (vault, identity) = (path("other-vault"), path("other-identity.txt"));
    lifeboat::done(&scenario.folder.join("state"), &["init", "--vault", &vault, "--identity", &identity, "--yes"])?;
    let key = scenario.folder.join("key.img");
    vm::fat_medium(&key, &[("lifeboat-identity.txt", &std::fs::read(&identity)?)])?;
    scenario.captured.key = key;
    scenario.refuses(12)?;
    scenario.held();
    Ok(())
}
