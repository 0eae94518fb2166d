//! `lifeboat erase` from outside: nothing is left, everything else works, and the log has no names.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs;
use std::path::Path;
use std::process::Command;

use keeper::{Site, assert_same};

const ERASE: &[&str] = &["erase", "--vault", "vault", "--identity", "id.txt", "--yes"];

fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    ERASE.iter().chain(rest).copied().collect()
}

/// Three snapshots with a private folder in each, and a file that cannot be read named in the manifest's problems.
fn site() -> Site {
    let site = Site::new();
    fs::create_dir_all(site.path("tree/home/ann/private")).unwrap();
    fs::write(site.path("tree/home/ann/private/letter"), "the letter ".repeat(500)).unwrap();
    fs::write(site.path("tree/home/ann/kept"), "kept").unwrap();
    fs::hard_link(site.path("tree/home/ann/kept"), site.path("tree/home/ann/twice")).unwrap();
    (1..=3).for_each(|number| site.backup(&number.to_string().repeat(3000)));
    site
}

#[test]
fn a_folder_is_gone_from_every_snapshot_and_the_vault_works_on() {
    let site = site();
    let plan = site.json(&with(&["/home/ann/private", "--dry-run"]));
    assert_eq!((&plan["entries"], &plan["dry_run"]), (&6.into(), &true.into()));
    let digests = site.objects("manifests");
    assert!(digests.contains(&"manifests/host/1.json".to_owned()));
    let done = site.json(&with(&["/home/ann/private"]));
    assert_eq!(done["entries"], 6);
    site.verify();
    assert_eq!(site.serials(), [1, 2, 3]);
    assert_eq!(site.objects("manifests")[0], "manifests/host/1.1.json");
    for snapshot in ["1", "2", "3"] {
        site.refused(
            1,
            &["nothing of that name"],
            &["extract", "--vault", "vault", "--identity", "id.txt", "--to", "x", snapshot, "home/ann/private/letter"],
        );
    }
    let list = site.json(&["list", "--vault", "vault"]);
    assert_eq!((&list["snapshots"][0]["amended"], &list["snapshots"][0]["erased"]), (&1.into(), &2.into()));
    fs::remove_dir_all(site.path("tree/home/ann/private")).unwrap();
    let next = site.json(&["backup", "--vault", "vault", "--source", "tree"]);
    assert!(next["unchanged"].as_u64().unwrap() > 4, "the cache still holds: {next}");
    site.verify();
    site.extract("latest", &[], "out");
    assert_same(&site.path("tree"), &site.path("out"));
    site.ok(&["prune", "--vault", "vault", "--keep-last", "2", "--grace", "0d"]);
    site.verify();
    assert_eq!(site.serials(), [3, 4]);
    site.refused(1, &["nothing of that name"], &with(&["/home/ann/private"]));
}

/// Another machine, or this one as it was: it knows the newest manifest by the digest that was replaced.
#[test]
fn who_knew_the_manifest_before_accepts_the_amended_one_and_no_older_vault() {
    let site = site();
    keeper::copy(&site.path("state"), &site.path("knows-old"));
    keeper::copy(&site.path("vault"), &site.path("unamended"));
    site.ok(&with(&["/home/ann/private"]));
    keeper::copy(&site.path("state"), &site.path("knows-new"));
    keeper::copy(&site.path("knows-old"), &site.path("state"));
    site.verify();
    keeper::copy(&site.path("knows-new"), &site.path("state"));
    keeper::copy(&site.path("unamended"), &site.path("vault"));
    site.refused(22, &["rolled back"], &["verify", "--vault", "vault"]);
}

/// What this host would sign must count for whoever reads it.
#[test]
fn a_machine_whose_signature_does_not_count_cannot_erase() {
    let site = site();
    let other = Site::new();
    let (vault, identity) = (site.path("vault"), site.path("id.txt"));
    let public = fs::read_to_string(site.path("state/host_ed25519.pub")).unwrap();
    fs::write(other.path("signers"), format!("host {public}")).unwrap();
    let place = [vault.to_str().unwrap(), identity.to_str().unwrap()];
    other.refused(
        20,
        &["not trusted here", "nothing was written"],
        &["erase", "--vault", place[0], "--identity", place[1], "--signers", "signers", "--yes", "/home/ann/private"],
    );
}

#[test]
fn the_log_proves_what_was_erased_and_does_not_say_it() {
    let site = site();
    let said = site.ok(&with(&["/home/ann/private", "/home/ann/kept", "/home/ann/twice"]));
    for word in ["what remains", "copies of this vault", "flash", "exclude = [\"/home/ann/private\""] {
        assert!(said.contains(word), "{said}");
    }
    let audit = site.audit();
    assert!(audit.contains("erase") && !audit.contains("private") && !audit.contains("ann"), "{audit}");
    // The digest is the one that sha256sum makes of salt and paths.
    let proof = said.lines().find(|line| line.contains("salt")).unwrap();
    let salt = proof.split_once("salt ").unwrap().1.split_once(',').unwrap().0;
    let text = format!("{salt}\n/home/ann/private\n/home/ann/kept\n/home/ann/twice\n");
    fs::write(site.path("proof"), text).unwrap();
    let sum = Command::new("sha256sum").arg(site.path("proof")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert!(audit.contains(sum.split_once(' ').unwrap().0), "{audit}\n{sum}");
    let named = Command::new("grep").args(["-rl", "private"]).arg(site.path("vault")).arg(site.path("state")).output();
    assert_eq!(
        String::from_utf8(named.unwrap().stdout).unwrap(),
        "",
        "no file in vault or state has the name in clear"
    );
}

#[test]
fn hard_links_wrong_keys_and_missing_consent_change_nothing() {
    let site = site();
    let objects = || ["manifests", "catalogues", "segments", "keys"].map(|folder| site.objects(folder));
    let before = objects();
    site.refused(30, &["/home/ann/kept is also /home/ann/twice", "nothing was changed"], &with(&["home/ann/kept"]));
    site.refused(2, &["not its root"], &with(&["/"]));
    site.refused(1, &["nothing of that name"], &with(&["/no/such"]));
    site.refused(31, &["--yes"], &["erase", "--vault", "vault", "--identity", "id.txt", "/home/ann/private"]);
    let other = Site::new();
    fs::copy(other.path("id.txt"), site.path("other.txt")).unwrap();
    site.refused(12, &[], &["erase", "--vault", "vault", "--identity", "other.txt", "--yes", "/home/ann/private"]);
    assert_eq!(objects(), before);
    site.verify();
}

/// The moment at which an erase may be cut with the most in the vault: everything new is there, nothing old is gone.
#[test]
fn the_same_again_finishes_an_erase_that_was_cut() {
    let site = site();
    for folder in ["vault", "state"] {
        keeper::copy(&site.path(folder), &site.path(&format!("before-{folder}")));
    }
    site.ok(&with(&["/home/ann/private"]));
    let done = site.objects("manifests");
    keeper::copy(&site.path("before-state"), &site.path("state"));
    fs::remove_dir_all(site.path("vault/audit")).unwrap();
    let merged = Command::new("cp").arg("-an").arg(site.path("before-vault/.")).arg(site.path("vault")).status();
    assert!(merged.unwrap().success());
    fs::write(site.path("vault/erasing"), "").unwrap();
    assert_eq!(site.objects("manifests").len(), 12);
    site.verify();
    let said = site.run(&["list", "--vault", "vault"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("run it again"), "{said:?}");
    site.refused(30, &["run the erase again"], &["prune", "--vault", "vault", "--keep-last", "1"]);
    site.backup("life goes on");
    site.verify();
    site.ok(&with(&["/home/ann/private"]));
    assert!(!site.path("vault/erasing").exists());
    let now = site.objects("manifests");
    assert!(done.iter().all(|name| now.contains(name)) && now.len() == 8, "{now:?}");
    site.verify();
    site.extract("3", &["home/ann/kept"], "out");
}

#[test]
fn stock_tools_restore_what_is_left() {
    let site = site();
    site.ok(&with(&["/home/ann/private"]));
    let public = fs::read_to_string(site.path("state/host_ed25519.pub")).unwrap();
    fs::write(site.path("signers"), format!("host {public}")).unwrap();
    fs::create_dir(site.path("out")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/recover/recover.sh");
    for (serial, to) in [(None, "out"), (Some("1"), "first")] {
        fs::create_dir_all(site.path(to)).unwrap();
        let mut command = Command::new("sh");
        command.arg(&script).arg("--vault").arg(site.path("vault")).arg("--identity").arg(site.path("id.txt"));
        command.arg("--signers").arg(site.path("signers")).arg("--to").arg(site.path(to));
        command.args(serial.iter().flat_map(|serial| ["--serial", serial]));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(fs::read_to_string(site.path("first/etc/number")).unwrap().starts_with("111"));
    fs::remove_dir_all(site.path("tree/home/ann/private")).unwrap();
    site.extract("latest", &[], "extracted");
    assert_same(&site.path("extracted"), &site.path("out"));
    assert!(!site.path("out/home/ann/private").exists() && site.path("out/home/ann/twice").exists());
}
