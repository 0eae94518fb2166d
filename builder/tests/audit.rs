//! The audit log: every operation with its outcome, one chain, signatures that `ssh-keygen` accepts, and a cut end that is noticed.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod holder;

use std::fs;
use std::process::Command;

use serde_json::Value;

use holder::{Site, copy, files, overwrite};

const LOG: &str = "vault/audit/node1.log";

fn log(site: &Site) -> String {
    fs::read_to_string(site.path(LOG)).unwrap()
}

fn operations(site: &Site) -> Vec<(String, u64)> {
    let shown = site.json(&["audit", "show", "--vault", "VAULT"]);
    let lines = shown["operations"].as_array().unwrap();
    lines.iter().map(|line| (line["operation"].as_str().unwrap().into(), line["exit"].as_u64().unwrap())).collect()
}

#[test]
fn every_operation_has_its_line_with_its_outcome() {
    let site = Site::ready();
    site.backup();
    site.ok(&["verify", "--vault", "VAULT"]);
    site.extracts("ID");
    fs::write(site.path("wrong"), site.ok(&["key", "identity", "new", "OTHER"])).unwrap();
    assert_eq!(site.extract_code("OTHER", "latest"), Some(12));
    site.refused(1, &[], &["backup", "--vault", "VAULT", "--source", "/no-such-tree"]);
    let other = fs::read_to_string(site.path("wrong")).unwrap();
    site.ok(&["key", "add-recipient", other.trim(), "--vault", "VAULT"]);
    site.refused(30, &[], &["key", "add-recipient", other.trim(), "--vault", "VAULT"]);
    site.ok(&["key", "remove-recipient", other.trim(), "--vault", "VAULT"]);
    site.ok(&["key", "rotate", "--vault", "VAULT", "--yes"]);
    site.backup();
    let expected = [
        ("init", 0),
        ("backup", 0),
        ("verify", 0),
        ("extract", 0),
        ("extract", 12),
        ("backup", 1),
        ("key add-recipient", 0),
        ("key add-recipient", 30),
        ("key remove-recipient", 0),
        ("key rotate", 0),
        ("backup", 0),
    ];
    assert_eq!(operations(&site), expected.map(|(operation, exit)| (operation.to_owned(), exit)));
    assert!(!log(&site).contains("no-such-tree"), "the log lies in clear: it names no paths");
    let shown = site.ok(&["audit", "show", "--vault", "VAULT"]);
    assert_eq!(shown.lines().count(), expected.len());
}

#[test]
fn ssh_keygen_and_sha256sum_confirm_each_line() {
    let site = Site::ready();
    site.backup();
    site.ok(&["verify", "--vault", "VAULT"]);
    fs::write(site.path("signers"), site.ok(&["key", "export"])).unwrap();
    let sha256 = |bytes: &[u8]| {
        fs::write(site.path("bytes"), bytes).unwrap();
        let output = Command::new("sha256sum").arg(site.path("bytes")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let mut previous = sha256(b"");
    for stored in log(&site).lines() {
        let value: Value = serde_json::from_str(stored).unwrap();
        let line = value["line"].as_str().unwrap();
        fs::write(site.path("line"), line).unwrap();
        fs::write(site.path("line.sig"), value["signature"].as_str().unwrap()).unwrap();
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-I", "node1", "-n", "lifeboat-audit", "-f"]).arg(site.path("signers"));
        verify.arg("-s").arg(site.path("line.sig")).stdin(fs::File::open(site.path("line")).unwrap());
        assert!(verify.output().unwrap().status.success(), "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["previous"], previous.as_str());
        previous = sha256(stored.as_bytes());
    }
    assert_eq!(site.ok(&["audit", "head", "--vault", "VAULT"]).trim(), previous);
}

#[test]
fn a_changed_line_is_named_and_verify_sees_it_too() {
    let site = Site::ready();
    site.backup();
    site.backup();
    let whole = log(&site);
    let lines: Vec<&str> = whole.lines().collect();
    for changed in [
        whole.replace("snapshot 1", "snapshot 9"),
        format!("{}\n{}\n", lines[0], lines[2]),
        format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]),
        whole.replacen('{', "[", 1),
    ] {
        overwrite(&site.path(LOG), &changed);
        site.refused(20, &["audit/node1.log", "line"], &["audit", "verify", "--vault", "VAULT"]);
        site.refused(20, &["audit/node1.log"], &["verify", "--vault", "VAULT"]);
        site.refused(20, &["the operation itself is done"], &["backup", "--vault", "VAULT", "--source", "TREE"]);
        assert_eq!(log(&site), changed, "nothing is added to a log that does not hold");
    }
}

#[test]
fn a_cut_end_is_noticed_by_this_host_and_by_whoever_kept_the_head() {
    let site = Site::ready();
    site.backup();
    let head = site.ok(&["audit", "head", "--vault", "VAULT"]);
    let kept = log(&site);
    site.backup();
    let whole = log(&site);
    let verify = ["audit", "verify", "--vault", "VAULT"];
    site.ok(&[&verify[..], &["--head", head.trim()]].concat());
    let unknown = "f".repeat(64);
    site.refused(22, &[&unknown], &[&verify[..], &["--head", &unknown]].concat());
    site.refused(2, &["--head"], &[&verify[..], &["--head", "nonsense"]].concat());

    overwrite(&site.path(LOG), &kept);
    site.refused(22, &["cut off", "audit accept"], &verify);
    site.refused(22, &["cut off"], &["verify", "--vault", "VAULT"]);
    fs::remove_file(site.path(LOG)).unwrap();
    site.refused(22, &["cut off"], &verify);
    // Elsewhere, with the host's key and the head on paper.
    overwrite(&site.path(LOG), whole.lines().next().unwrap().to_owned() + "\n");
    fs::write(site.path("signers"), site.ok(&["key", "export"])).unwrap();
    let elsewhere = Site::new("elsewhere");
    let place = ["--vault", &site.text("vault"), "--signers", &site.text("signers"), "--host", "node1"];
    elsewhere.ok(&[&["audit", "verify"][..], &place].concat());
    elsewhere.refused(22, &["cut off"], &[&["audit", "verify", "--head", head.trim()][..], &place].concat());

    site.refused(22, &["the operation itself is done"], &["backup", "--vault", "VAULT", "--source", "TREE"]);
    site.refused(31, &[], &["audit", "accept", "--vault", "VAULT"]);
    site.ok(&["audit", "accept", "--vault", "VAULT", "--yes"]);
    site.backup();
    site.ok(&verify);
    assert!(operations(&site).iter().any(|(operation, _)| operation == "audit accept"));
}

#[test]
fn a_line_that_a_power_failure_cut_does_not_stop_the_next_run() {
    let site = Site::ready();
    site.backup();
    let whole = log(&site);
    overwrite(&site.path(LOG), whole.clone() + &whole[..150]);
    site.ok(&["audit", "verify", "--vault", "VAULT"]);
    site.backup();
    site.ok(&["verify", "--vault", "VAULT"]);
    assert_eq!(operations(&site).len(), 4);
    assert_eq!(log(&site).lines().count(), 5);
}

#[test]
fn readers_without_key_or_write_access_and_copies_leave_the_log_alone() {
    let site = Site::ready();
    site.backup();
    fs::write(site.path("signers"), site.ok(&["key", "export"])).unwrap();
    copy(&site.path("vault"), &site.path("copy"));
    let before = files(&site.path("copy"));
    let copied = fs::read(site.path("copy/audit/node1.log")).unwrap();
    site.ok(&["verify", "--vault", "COPY"]);
    let elsewhere = Site::new("elsewhere");
    let vault = site.text("vault");
    let place = ["--vault", &vault, "--signers", &site.text("signers"), "--host", "node1"];
    let whole = log(&site);
    elsewhere.ok(&[&["verify"][..], &place].concat());
    assert_eq!(log(&site), whole);
    assert_eq!(fs::read(site.path("copy/audit/node1.log")).unwrap(), copied);
    assert_eq!(files(&site.path("copy")), before);

    // Busy: a run has the lock. The reader says that it left its line out.
    let lock = fs::File::open(site.path("vault/lock")).unwrap();
    lock.lock().unwrap();
    let read = site.run(&["verify", "--vault", "VAULT"]);
    assert!(read.status.success() && String::from_utf8_lossy(&read.stderr).contains("not in the audit log"));
    assert_eq!(log(&site), whole);
}
