//! The shape of the workspace: which crate may use which, held against `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const ALLOWED: &[(&str, &[&str])] = &[
    ("layout", &[]),
    ("exec", &[]),
    ("initramfs", &[]),
    ("vault", &[]),
    ("guests", &[]),
    ("manifest", &["layout"]),
    ("vm", &["exec"]),
    ("builder", &["layout", "manifest", "vault", "exec", "initramfs", "guests", "vm"]),
    ("rescue", &["layout", "manifest", "vault", "exec", "guests"]),
    ("qemu-tests", &["vm", "layout", "manifest"]),
    ("bench", &["exec"]),
    ("fuzz", &["layout", "manifest", "vault", "exec", "guests"]),
];

/// The design card's crates, each in use by a program that ships.
const CARD: &[&str] =
    &["gpt", "fatfs", "ext4-view", "xz2", "sha2", "ed25519-dalek", "indicatif", "clap", "serde", "duct"];

fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let package = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        (text(&package["name"]), dependencies.iter().map(|dependency| text(&dependency["name"])).collect())
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

#[test]
fn crates_use_only_the_crates_that_they_may() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(names, ALLOWED.iter().map(|(name, _)| *name).collect());
    for (name, allowed) in ALLOWED {
        let used: Vec<&String> = packages[*name].iter().filter(|used| names.contains(used.as_str())).collect();
        let forbidden: Vec<_> = used.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn the_design_cards_crates_are_all_used() {
    let packages = packages();
    for crate_name in CARD {
        assert!(packages.values().any(|used| used.contains(*crate_name)), "{crate_name}");
    }
}
