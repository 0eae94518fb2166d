//! `lifeboat doctor` from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod machine;
mod site;

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

use machine::{Machine, text};
use serde_json::Value;
use site::Site;

/// What it says of a machine, with nothing made yet.
fn examined(site: &Site, machine: &Machine, more: &[&str]) -> Vec<(String, String, String)> {
    let rescue = site.path("rescue");
    write(&rescue, "a program").unwrap();
    let args = ["doctor", "--json", "--root", text(&machine.root), "--rescue", text(&rescue)];
    let output = site.run(&[&args, more].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings: Vec<_> = findings.map(|one| (text(one, "area"), text(one, "level"), text(one, "what"))).collect();
    let warnings = findings.iter().any(|(_, level, _)| level == "warning");
    assert_eq!(report["verdict"], if warnings { "warnings" } else { "ready" });
    assert_eq!(output.status.code(), Some(if warnings { 3 } else { 0 }));
    findings
}

fn says(findings: &[(String, String, String)], area: &str, level: &str, words: &str) {
    let found = findings.iter().any(|(one, other, what)| one == area && other == level && what.contains(words));
    assert!(found, "{area} {level} {words:?} is not in {findings:#?}");
}

#[test]
fn what_is_missing_for_a_restore_is_named_and_nothing_is_changed() {
    let site = Site::new();
    let machine = Machine::new(site.path("machine"));
    machine.write("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n");
    let findings = examined(&site, &machine, &[]);
    // A machine of files has no programs at all.
    says(&findings, "tools", "warning", "mke2fs is missing");
    says(&findings, "Secure Boot", "good", "BIOS");
    says(&findings, "coverage", "good", "everything");
    says(&findings, "host", "warning", "/dev/sda1");
    says(&findings, "stick", "warning", "no stick is named");
    says(&findings, "vault", "warning", "no stick is named");
    says(&findings, "keys", "good", "only its owner");
    let said = site.ends(3, &["doctor", "--root", text(&machine.root)]);
    assert!(said.contains("-> install e2fsprogs") && said.contains("would hinder a restore"), "{said}");
}

#[test]
fn keys_that_others_read_and_snapshots_without_a_layout_are_warnings() {
    let site = Site::new();
    let machine = Machine::new(site.path("machine"));
    std::fs::create_dir(site.path("tree")).unwrap();
    site.ok(site::BACKUP);
    set_permissions(site.path("state/host_ed25519"), Permissions::from_mode(0o644)).unwrap();
    let findings = examined(&site, &machine, &["--vault", "VAULT"]);
    says(&findings, "keys", "warning", "mode 644");
    says(&findings, "vault", "good", "snapshot 1");
    says(&findings, "vault", "warning", "tree of files");
}

#[test]
fn the_machine_that_runs_this_test_can_make_a_stick() {
    let site = Site::new();
    let rescue = site.path("rescue");
    write(&rescue, "a program").unwrap();
    let output = site.run(&["doctor", "--json", "--rescue", text(&rescue)]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let about = |area: &str, words: &str| {
        findings.iter().any(|one| one["area"] == area && one["what"].as_str().unwrap().contains(words))
    };
    assert!(about("kernel", "a stick carries the kernel"), "{findings:#?}");
    assert!(about("boot loader", "BIOS and UEFI"), "{findings:#?}");
}
