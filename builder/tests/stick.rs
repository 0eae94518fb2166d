//! A stick made in a file, read by the tools that an admin would read it with.
//!
//! The kernel and tools are this machine's own packages; the rescue program is a stand-in where only the medium is looked at
//! (the virtual machine scenarios boot the real one).

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod host;
mod lasting;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use host::Host;

const MIB: u64 = 1 << 20;
const ESP: (u64, u64) = (2 * MIB, 512 * MIB);
const DATA_START: u64 = 514 * MIB;

/// A host with a small tree, and a stand-in for the rescue program.
fn host() -> Host {
    let mut host = Host::new();
    host.set("LIFEBOAT_RESCUE", host.path("rescue"));
    fs::write(host.path("rescue"), b"#!/bin/sh\n").unwrap();
    fs::create_dir(host.path("tree")).unwrap();
    fs::write(host.path("tree/file"), "content").unwrap();
    host
}

/// One stick for all tests that only look; 3 means that the running kernel is not the one carried, as in a container.
fn stick() -> &'static Host {
    static STICK: OnceLock<Host> = OnceLock::new();
    STICK.get_or_init(|| {
        let host = host();
        lasting::until_the_end(&host.path(""));
        let made =
            host.run(&["create", "stick.img", "--yes", "--size", "2G", "--compress", "zstd", "--source", "tree"]);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(matches!(made.status.code(), Some(0 | 3)), "{said}");
        assert!(said.contains("initramfs") && said.contains("modules"), "a size report is printed: {said}");
        host
    })
}

fn part(host: &Host, (start, len): (u64, u64), name: &str) -> PathBuf {
    let path = host.path(name);
    let stick = File::open(host.path("stick.img")).unwrap();
    let file = File::create(&path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for at in (0..len).step_by(buffer.len()) {
        stick.read_exact_at(&mut buffer, start + at).unwrap();
        if buffer.iter().any(|byte| *byte != 0) {
            file.write_all_at(&buffer, at).unwrap();
        }
    }
    file.set_len(len).unwrap();
    path
}

fn judge(program: &str, args: &[&str], file: &Path) -> Output {
    Command::new(program).args(args).arg(file).env("LC_ALL", "C").output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn sgdisk_finds_no_problem_in_the_partition_table() {
    let said = out(&judge("sgdisk", &["-v"], &stick().path("stick.img")));
    assert!(said.contains("No problems found"), "{said}");
}

#[test]
fn fsck_has_nothing_to_say_about_the_esp() {
    let host = stick();
    let checked = judge("fsck.vfat", &["-n"], &part(host, ESP, "esp.img"));
    let said = out(&checked);
    assert!(checked.status.success(), "{said}");
    assert_eq!(said.lines().count(), 2, "its name and the count of files, and nothing else: {said}");
}

#[test]
fn e2fsck_finds_no_problem_in_the_data_partition() {
    let host = stick();
    let len = fs::metadata(host.path("stick.img")).unwrap().len() - MIB - DATA_START;
    let checked = judge("e2fsck", &["-fn"], &part(host, (DATA_START, len), "data.img"));
    assert!(checked.status.success(), "{}", out(&checked));
}

#[test]
fn the_initramfs_unpacks_with_cpio_and_is_within_its_budget() {
    let host = stick();
    let esp = part(host, ESP, "esp-2.img");
    let initrd = host.path("initrd.img");
    let copied = Command::new("mcopy")
        .args(["-n", "-i", esp.to_str().unwrap(), "::/lifeboat/a/initrd.img", initrd.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(copied.success());
    let bytes = fs::read(&initrd).unwrap();
    assert!(bytes.len() < 64 << 20);
    // The first archive is bare and holds the trust root; the compressed one follows on a sector's edge.
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    let second = bytes.windows(4).position(|window| window == magic).unwrap();
    assert_eq!(second % 512, 0);
    let zstd = host.path("second.zst");
    fs::write(&zstd, &bytes[second..]).unwrap();
    let listed = Command::new("sh")
        .arg("-c")
        .arg("head -c \"$2\" \"$1\" | cpio -t --quiet; zstd -dc \"$3\" | cpio -t --quiet")
        .args(["sh", initrd.to_str().unwrap(), &second.to_string(), zstd.to_str().unwrap()])
        .output()
        .unwrap();
    let names = out(&listed);
    for name in ["etc/lifeboat/trust.json", "init", "dev/console", "usr/sbin/mke2fs"] {
        assert!(names.lines().any(|line| line == name), "{name} is missing: {names}");
    }
    assert!(names.contains("/virtio_blk.ko") && names.contains("/ext4.ko"), "{names}");
}

#[test]
fn a_stick_can_be_read_without_mounting_it() {
    let host = stick();
    for args in [
        vec!["verify", "--vault", "stick.img"],
        vec!["verify"],
        vec!["verify", "--vault", "stick.img", "--level", "data", "--identity", "lifeboat-identity.txt"],
        vec!["extract", "--vault", "stick.img", "--identity", "lifeboat-identity.txt", "latest", "--to", "out"],
    ] {
        let done = host.run(&args);
        assert!(done.status.success(), "{args:?}: {}", out(&done));
    }
    assert_eq!(fs::read(host.path("out/file")).unwrap(), b"content");
}

#[test]
fn a_file_that_holds_something_is_not_overwritten_unless_told() {
    let host = host();
    let file = File::options().read(true).write(true).create_new(true).open(host.path("disk.img")).unwrap();
    file.set_len(2 << 30).unwrap();
    file.write_all_at(b"precious", (2 << 30) - 100).unwrap();
    host.refused(30, &["--overwrite"], &["create", "disk.img", "--yes"]);
    let mut kept = [0; 8];
    file.read_exact_at(&mut kept, (2 << 30) - 100).unwrap();
    assert_eq!(&kept, b"precious");
}

#[test]
fn what_is_no_stick_to_be_is_refused_and_nothing_is_left_behind() {
    let host = host();
    host.refused(31, &["--yes"], &["create", "stick.img"]);
    host.refused(30, &["at the least"], &["create", "stick.img", "--yes", "--size", "100M"]);
    host.refused(10, &["plugged in"], &["create", "/dev/no-such-disk", "--yes"]);
    host.refused(30, &["neither"], &["create", "tree", "--yes"]);
    host.refused(1, &["grub-pc-bin"], &["create", "stick.img", "--yes", "--root", "tree"]);
    assert!(!host.path("stick.img").exists() && !host.path("lifeboat-identity.txt").exists());
}

#[test]
fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let host = host();
    let done = host.run(&["create", "stick.img", "--dry-run", "--compress", "zstd"]);
    assert!(done.status.success(), "{}", out(&done));
    assert!(out(&done).contains("would make a stick"), "{}", out(&done));
    assert!(!host.path("stick.img").exists() && !host.path("state").exists());
}

#[test]
fn the_disk_of_the_running_system_is_refused() {
    let root = Command::new("findmnt").args(["-no", "SOURCE", "/"]).output().unwrap();
    let source = String::from_utf8_lossy(&root.stdout).trim().to_owned();
    if !source.starts_with("/dev/") {
        eprintln!("the root of this machine is no disk ({source}): nothing to refuse");
        return;
    }
    let host = host();
    let disk = Command::new("lsblk").args(["-ndo", "PKNAME", &source]).output().unwrap();
    let parent = String::from_utf8_lossy(&disk.stdout).trim().to_owned();
    let disk = if parent.is_empty() { source } else { format!("/dev/{parent}") };
    host.refused(30, &["may not be overwritten"], &["create", &disk, "--yes", "--fixed-disk", &disk, "--serial", ""]);
}

/// A copy of the shared stick with its host, to write to. Adding to a stick mounts it, which needs root.
fn stick_to_change() -> Option<Host> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: a stick cannot be mounted");
        return None;
    }
    let host = host();
    for name in ["stick.img", "state", "lifeboat-identity.txt"] {
        let copied =
            Command::new("cp").args(["-a", "--sparse=always"]).arg(stick().path(name)).arg(host.path(name)).status();
        assert!(copied.unwrap().success());
    }
    // What other tests have verified of the shared one is not known of this one: a verified snapshot is never pruned.
    for vault in fs::read_dir(host.path("state/vaults")).into_iter().flatten() {
        for file in fs::read_dir(vault.unwrap().path()).unwrap().map(|file| file.unwrap().path()) {
            if file.file_name().unwrap().to_string_lossy().starts_with("checks-") {
                fs::remove_file(file).unwrap();
            }
        }
    }
    // The same inputs as the shared stick's, until a test changes them.
    fs::copy(stick().path("rescue"), host.path("rescue")).unwrap();
    Some(host)
}

fn on_esp(host: &Host, name: &str, command: &[&str]) -> Output {
    let esp = format!("{}@@2M", host.path("stick.img").display());
    Command::new(command[0]).args(["-i", &esp]).args(&command[1..]).arg(format!("::/{name}")).output().unwrap()
}

const ADD: &[&str] = &["backup", "--stick", "stick.img", "--source", "tree", "--json"];

fn added(host: &Host) -> serde_json::Value {
    let done = host.run(ADD);
    assert!(done.status.success(), "{}", out(&done));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn a_backup_adds_a_snapshot_and_leaves_a_current_boot_slot_alone() {
    let Some(host) = stick_to_change() else { return };
    fs::write(host.path("tree/new"), "new").unwrap();
    let report = added(&host);
    assert_eq!((&report["snapshot"], &report["boot_slot_refreshed"]), (&2.into(), &false.into()));
    let verified = host.run(&["verify", "--vault", "stick.img", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["snapshots"], serde_json::json!([1, 2]), "{}", out(&verified));
}

#[test]
fn a_stick_is_pruned_and_erased_from_as_a_folder_is() {
    let Some(host) = stick_to_change() else { return };
    fs::write(host.path("tree/private"), "private").unwrap();
    added(&host);
    added(&host);
    let pruned = host.run(&["prune", "--stick", "stick.img", "--keep-last", "2", "--grace", "0d"]);
    assert!(pruned.status.success(), "{}", out(&pruned));
    let identity = "lifeboat-identity.txt";
    let erased = host.run(&["erase", "--stick", "stick.img", "--identity", identity, "--yes", "/private"]);
    assert!(erased.status.success(), "{}", out(&erased));
    let verified = host.run(&["verify", "--vault", "stick.img", "--level", "data", "--identity", identity, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["snapshots"], serde_json::json!([2, 3]), "{}", out(&verified));
    let difference = host.run(&["diff", "--vault", "stick.img", "--identity", identity, "2", "3", "--json"]);
    assert!(!out(&difference).contains("/private"), "{}", out(&difference));
    let len = fs::metadata(host.path("stick.img")).unwrap().len() - MIB - DATA_START;
    let checked = judge("e2fsck", &["-fn"], &part(&host, (DATA_START, len), "data.img"));
    assert!(checked.status.success(), "{}", out(&checked));
}

#[test]
fn a_new_rescue_program_goes_into_the_other_slot_which_is_then_the_one_in_use() {
    let Some(host) = stick_to_change() else { return };
    fs::write(host.path("rescue"), b"#!/bin/sh\n# new\n").unwrap();
    assert_eq!(added(&host)["boot_slot_refreshed"], true);
    assert_eq!(out(&on_esp(&host, "boot/grub/slot.cfg", &["mtype"])), "set slot=b\n");
    let checked = judge("fsck.vfat", &["-n"], &part(&host, ESP, "esp.img"));
    assert_eq!(out(&checked).lines().count(), 2, "{}", out(&checked));
    assert_eq!(added(&host)["boot_slot_refreshed"], false);
}

#[test]
fn a_boot_file_that_was_changed_is_never_signed() {
    let Some(host) = stick_to_change() else { return };
    fs::write(host.path("evil.cfg"), "linux /evil\n").unwrap();
    let evil = host.path("evil.cfg");
    let put = on_esp(&host, "boot/grub/grub.cfg", &["mcopy", "-o", evil.to_str().unwrap()]);
    assert!(put.status.success(), "{}", out(&put));
    fs::write(host.path("rescue"), b"#!/bin/sh\n# new\n").unwrap();
    host.refused(21, &["boot/grub/grub.cfg"], ADD);
    assert_eq!(out(&on_esp(&host, "boot/grub/slot.cfg", &["mtype"])), "set slot=a\n");
    let listed = host.run(&["list", "--vault", "stick.img", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1, "nothing was added to a stick that is refused");
}
