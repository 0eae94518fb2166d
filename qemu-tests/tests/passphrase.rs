//! No key is plugged in: the person at the machine types the passphrase. Or the key on the medium is an SSH key.

use qemu_tests::other_keys::{ONLY, PASSPHRASE, captured, ssh_key};
use qemu_tests::rescue::{Verdict, follow};
use qemu_tests::scenario::{SAME_SIZE, Scenario};
use vm::Bus;

#[test]
fn the_passphrase_typed_on_the_serial_console_opens_the_backup_and_a_wrong_one_does_not() -> anyhow::Result<()> {
    let scenario = Scenario::begin_with("passphrase", captured)?;
    let patient = scenario.patient(Bus::Sata, "WD-WORDS-78", SAME_SIZE)?;
    let mut running = patient.boot_stick(&scenario.captured.stick, None)?;
    let mut words = vec![PASSPHRASE, "correct horse battery"];
    let answer = |what: &str| {
        Ok(match what {
            "identity" => words.pop().map(str::to_owned),
            "serial" => Some("WD-WORDS-78".to_owned()),
            _ => None,
        })
    };
    let outcome = follow(&mut running, answer, |_| ())?;
    scenario.times(&outcome);
    let asked = outcome.events.iter().filter(|event| event["event"] == "question" && event["what"] == "identity");
    assert_eq!(asked.count(), 2);
    assert_eq!(outcome.report()?["consent"], "typed");
    scenario.prove(&patient, ONLY)?;
    scenario.held();
    Ok(())
}

#[test]
fn an_ssh_key_on_another_medium_opens_the_backup_and_nothing_is_asked_but_consent() -> anyhow::Result<()> {
    let scenario = Scenario::begin_with("ssh-key", captured)?;
    let patient = scenario.occupied("WD-SSH-79")?;
    let before = vm::sha256(&patient.disk)?;
    let key = scenario.folder.join("key.img");
    vm::fat_medium(&key, &[("lifeboat-identity.txt", &std::fs::read(ssh_key()?)?)])?;
    let mut running = patient.boot_stick(&scenario.captured.stick, Some(&key))?;
    // Consent comes after the key: who is asked for a serial number has unlocked the backup.
    let outcome = follow(&mut running, |_| Ok(Some("off".to_owned())), |_| ())?;
    scenario.times(&outcome);
    let asked: Vec<_> = outcome.events.iter().filter(|event| event["event"] == "question").collect();
    assert!(asked.iter().all(|event| event["what"] == "serial") && !asked.is_empty(), "{asked:?}");
    assert_eq!(outcome.verdict, Verdict::Nothing);
    scenario.untouched(&patient, &before, &outcome)?;
    scenario.held();
    Ok(())
}
