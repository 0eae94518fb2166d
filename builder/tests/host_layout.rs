//! `lifeboat layout` from outside: what a cron job sees of it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod machine;
mod site;

use machine::{Machine, text};
use serde_json::Value;
use site::{BACKUP, Site};

fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A site with a machine of which there is a snapshot.
fn captured() -> (Site, Machine) {
    let site = Site::new();
    let machine = Machine::new(site.path("machine"));
    let said = site.run(&["backup", "--vault", "VAULT", "--root", text(&machine.root)]);
    assert!(matches!(said.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&said.stderr));
    (site, machine)
}

fn check(site: &Site, machine: &Machine, code: i32) -> Value {
    let args = ["layout", "check", "--vault", "VAULT", "--root", text(&machine.root), "--json"];
    let output = site.run(&args);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}{}", String::from_utf8_lossy(&output.stderr));
    json(&said)
}

fn drift(report: &Value) -> Vec<String> {
    let lines = report["drift"].as_array().unwrap().iter();
    lines
        .map(|drift| format!("{} {}", drift["object"].as_str().unwrap(), drift["change"]["change"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_host_that_is_as_it_was_ends_with_0_and_needs_no_key() {
    let (site, machine) = captured();
    std::fs::remove_file(site.path("id.txt")).unwrap();
    let report = check(&site, &machine, 0);
    assert_eq!((&report["schema"], &report["verdict"], &report["snapshot"]), (&1.into(), &"same".into(), &1.into()));
    assert!(site.ok(&["layout", "check", "--vault", "VAULT", "--root", text(&machine.root)]).contains("the same"));
}

#[test]
fn what_has_changed_since_the_snapshot_ends_with_3_and_is_named() {
    let (site, machine) = captured();
    machine.root_filesystem(&["-L", "other"]);
    machine.write("etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n");
    machine.write("proc/cmdline", "BOOT_IMAGE=/boot/another root=/dev/vda1 ro\n");
    machine.write("boot/grub/x86_64-efi/core.efi", "x");
    let lines = drift(&check(&site, &machine, 3));
    for wanted in
        ["ext4 0a0b0c0d", "line of /etc/fstab", "boot chain changed", "boot loader /boot/grub/x86_64-efi/core.efi new"]
    {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted} is not in {lines:?}");
    }
}

#[test]
fn a_snapshot_of_a_tree_is_passed_over_and_alone_it_is_refused() {
    let (site, machine) = captured();
    std::fs::create_dir(site.path("tree")).unwrap();
    site.ok(BACKUP);
    assert_eq!(check(&site, &machine, 0)["snapshot"], 1);
    let other = Site::new();
    std::fs::create_dir(other.path("tree")).unwrap();
    other.ok(BACKUP);
    let said = other.ends(1, &["layout", "check", "--vault", "VAULT", "--root", text(&machine.root)]);
    assert!(said.contains("tree of files"), "{said}");
}

#[test]
fn the_layout_of_a_host_is_shown_without_any_vault() {
    let site = Site::new();
    let machine = Machine::new(site.path("machine"));
    let report = json(&site.ok(&["layout", "show", "--root", text(&machine.root), "--json"]));
    let ids: Vec<&str> =
        report["layout"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"disk:QM0007") && ids.contains(&"fs:0a0b0c0d-0000-4000-8000-000000000001"), "{ids:?}");
    let said = site.ok(&["layout", "show", "--root", text(&machine.root)]);
    assert!(said.contains("serial QM0007") && said.contains("captured"), "{said}");
}
