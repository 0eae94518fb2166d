//! What can happen to a medium while a real run writes to it, each with its exit code, and that the next run goes through.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod site;
#[path = "../../vault/tests/tree/mod.rs"]
mod tree;

use std::fs;
use std::process::Command;

use site::{BACKUP, EXTRACT, Site, VERIFY};
use tree::{assert_same, noise};

fn ready() -> Site {
    let site = Site::new();
    fs::create_dir(site.path("tree")).unwrap();
    for at in 0..20 {
        fs::write(site.path("tree").join(format!("f{at}")), noise(40_000, at)).unwrap();
    }
    site.ok(BACKUP);
    for at in 20..40 {
        fs::write(site.path("tree").join(format!("f{at}")), noise(40_000, at)).unwrap();
    }
    site
}

fn goes_on(site: &Site) {
    site.ok(VERIFY);
    site.ok(BACKUP);
    site.ok(VERIFY);
    let _ = fs::remove_dir_all(site.path("out"));
    site.ok(EXTRACT);
    assert_same(&site.path("tree"), &site.path("out"));
}

/// Runs a backup whose system calls fail as `inject` says, in strace's words: as they do when a medium is pulled out.
fn failing(site: &Site, inject: &str) -> (Option<i32>, String) {
    let command = site.command(BACKUP);
    let output = Command::new("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,renameat2", "-e"])
        .arg(format!("inject={inject}"))
        .arg(command.get_program())
        .args(command.get_args())
        .env("LIFEBOAT_STATE", site.path("state"))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_medium_that_vanishes_ends_with_41_and_one_that_is_full_with_40() {
    let site = ready();
    // Every sync of the run's main thread fails once, and then what a medium does that is gone, full or turned read-only.
    let once = (1..=14).map(|at| (format!("fsync:error=EIO:when={at}"), 41));
    let for_good = [
        ("fsync:error=EIO:when=1+", 41),
        ("fsync,renameat2:error=ENODEV:when=3+", 41),
        ("renameat2:error=EROFS:when=2+", 41),
        ("fsync:error=ENOSPC:when=4+", 40),
        ("renameat2:error=ENOSPC:when=3", 40),
    ];
    for (inject, code) in once.chain(for_good.map(|(inject, code)| (inject.to_owned(), code))) {
        let (ended, said) = failing(&site, &inject);
        assert_eq!(ended, Some(code), "{inject}: {said}");
        assert!(said.lines().any(|line| line.starts_with("lifeboat: ")), "{said}");
        site.ok(VERIFY);
    }
    goes_on(&site);
}

#[test]
fn a_lock_and_leavings_of_a_process_that_is_gone_are_no_obstacle() {
    let site = ready();
    fs::write(site.path("vault/lock"), "4711\n").unwrap();
    fs::create_dir_all(site.path("vault/tmp")).unwrap();
    fs::write(site.path("vault/tmp/00112233"), "half an object").unwrap();
    goes_on(&site);
    assert!(!site.path("vault/tmp/00112233").exists());
}

#[test]
fn two_real_runs_at_once_leave_one_snapshot_more_each_that_was_not_refused() {
    let site = ready();
    let mut runs: Vec<_> = (0..4).map(|_| site.command(BACKUP).spawn().unwrap()).collect();
    let codes: Vec<_> = runs.iter_mut().map(|run| run.wait().unwrap().code()).collect();
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 11))), "{codes:?}");
    let done = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(done >= 1);
    let manifests = fs::read_dir(site.path("vault/manifests")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_dir(manifests).unwrap().count(), 2 * (1 + done));
    goes_on(&site);
}

#[test]
fn an_audit_line_that_was_cut_while_it_was_written_is_no_obstacle() {
    let site = ready();
    let log = fs::read_dir(site.path("vault/audit")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
    goes_on(&site);
    assert!(fs::read(&log).unwrap().starts_with(&whole));
}
