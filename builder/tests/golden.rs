//! Vaults of the format as it was released, made by `vault/tests/golden/make.sh`: each still reads to exactly what was recorded of the
//! tree when the snapshot was taken, by this program, by a reader that was written from the format's text, and by stock tools.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

#[path = "../../vault/tests/tree/mod.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tree::ground::Ground;

/// Every golden vault and its snapshots. What was released stays in this list.
const VAULTS: &[(&str, &[u64])] = &[("bare", &[1]), ("grown", &[1, 2]), ("one-of-each", &[1]), ("sized", &[1, 2])];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vault/tests/golden").join(name)
}

fn snapshots() -> impl Iterator<Item = (&'static str, u64)> {
    VAULTS.iter().flat_map(|(name, serials)| serials.iter().map(move |serial| (*name, *serial)))
}

fn recorded(name: &str, serial: u64) -> String {
    fs::read_to_string(golden(&format!("{name}/{serial}.census"))).unwrap()
}

/// What the command printed; it must succeed.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn census(tree: &Path) -> String {
    said(Command::new("python3").arg("-B").arg(golden("census.py")).arg(tree))
}

/// `lifeboat` on a golden vault, on a machine that knows nothing but the keys beside it.
fn lifeboat(ground: &Ground, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command
        .args(args)
        .arg("--vault")
        .arg(golden(&format!("{name}/vault")))
        .arg("--signers")
        .arg(golden("signers"))
        .arg("--identity")
        .arg(golden("identity.txt"));
    command.env("LIFEBOAT_STATE", ground.path("state")).env_remove("LIFEBOAT_CONFIG");
    command
}

#[track_caller]
fn same(found: &str, wanted: &str) {
    let (found, wanted): (BTreeSet<&str>, BTreeSet<&str>) = (found.lines().collect(), wanted.lines().collect());
    let differences: Vec<_> = found.symmetric_difference(&wanted).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn no_golden_vault_is_missing() {
    let folders =
        fs::read_dir(golden("")).unwrap().map(Result::unwrap).filter(|entry| entry.path().join("vault").is_dir());
    let found: BTreeSet<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(found, VAULTS.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, serial) in snapshots() {
        assert!(golden(&format!("{name}/vault/manifests/golden/{serial}.json.sig")).is_file(), "{name} {serial}");
        assert!(!recorded(name, serial).is_empty());
    }
}

#[test]
fn every_golden_vault_verifies_and_extracts_to_what_was_recorded() {
    let ground = Ground::new();
    for (name, serial) in snapshots() {
        said(&mut lifeboat(&ground, name, &["verify", "--level", "data"]));
        let out = ground.path(&format!("{name}-{serial}"));
        said(lifeboat(&ground, name, &["extract", &serial.to_string()]).arg("--to").arg(&out));
        same(&census(&out), &recorded(name, serial));
    }
    tree::thaw(&ground.path(""));
}

#[test]
fn a_reader_written_from_the_formats_text_finds_what_was_recorded() {
    for (name, serial) in snapshots() {
        let mut reader = Command::new("python3");
        reader.arg("-B").arg(golden("reader.py")).arg(golden(&format!("{name}/vault"))).arg(golden("identity.txt"));
        reader.arg("--signer").arg(golden("host_ed25519.pub")).arg("--snapshot").arg(format!("golden/{serial}"));
        assert_eq!(said(&mut reader), recorded(name, serial), "{name} {serial}");
    }
}

/// Sockets have no place in tar, and project ids are left to be set by hand.
fn as_stock_tools_can(census: &str) -> String {
    let lines = census.lines().filter(|line| line.split(' ').nth(1) != Some("s"));
    let words = |line: &str| line.split(' ').filter(|word| !word.starts_with("project=")).collect::<Vec<_>>().join(" ");
    lines.map(|line| words(line) + "\n").collect()
}

#[test]
fn stock_tools_restore_every_golden_vault() {
    let ground = Ground::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/recover/recover.sh");
    for (name, serial) in snapshots() {
        let out = ground.folder(&format!("{name}-{serial}"));
        let mut recover = Command::new("sh");
        recover
            .arg(&script)
            .arg("--vault")
            .arg(golden(&format!("{name}/vault")))
            .arg("--serial")
            .arg(serial.to_string());
        recover.arg("--identity").arg(golden("identity.txt")).arg("--signers").arg(golden("signers"));
        said(recover.arg("--to").arg(&out));
        same(&as_stock_tools_can(&census(&out)), &as_stock_tools_can(&recorded(name, serial)));
    }
    tree::thaw(&ground.path(""));
}
