//! `lifeboat prune` from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod keeper;

use std::fs;

use keeper::{Site, assert_same, copy};

const VAULT: &[&str] = &["prune", "--vault", "vault"];

fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    VAULT.iter().chain(rest).copied().collect()
}

fn site_with(snapshots: u64) -> Site {
    let site = Site::new();
    (1..=snapshots).for_each(|number| site.backup(&number.to_string().repeat(5000)));
    site
}

#[test]
fn rules_decide_what_stays_and_what_stays_restores() {
    let site = site_with(4);
    let plan = site.json(&with(&["--keep-last", "2", "--grace", "0d", "--dry-run"]));
    assert_eq!(site.serials(), [1, 2, 3, 4], "a dry run removes nothing");
    let removed: Vec<_> = plan["removed"].as_array().unwrap().iter().map(|row| row["snapshot"].clone()).collect();
    assert_eq!(removed, [1, 2]);
    assert_eq!(plan["kept"][1]["reasons"], serde_json::json!(["last", "newest"]));
    let before = site.objects("segments");
    let done = site.json(&with(&["--keep-last", "2", "--grace", "0d"]));
    assert_eq!((&done["freed_bytes"], &done["dry_run"]), (&plan["freed_bytes"], &serde_json::json!(false)));
    assert_eq!(site.serials(), [3, 4]);
    assert!(site.objects("segments").len() < before.len());
    site.verify();
    site.extract("latest", &[], "out");
    assert_same(&site.path("tree"), &site.path("out"));
    site.extract("3", &["etc/number"], "three");
    assert!(fs::read_to_string(site.path("three/etc/number")).unwrap().starts_with("333"));
    let audit = site.audit();
    assert!(audit.contains("prune") && audit.contains("snapshots of host removed: 1 2"), "{audit}");
    site.backup("five");
    assert_eq!(site.serials(), [3, 4, 5], "numbers go on");
}

#[test]
fn objects_wait_for_their_grace_and_the_configuration_has_rules_too() {
    let site = site_with(3);
    let config = "version = 1\nhost_name = \"host\"\n[prune]\nkeep_last = 1\ngrace = \"2d\"\n";
    fs::write(site.path("config.toml"), config).unwrap();
    let before = site.objects("segments");
    let done = site.json(VAULT);
    assert_eq!(done["grace_seconds"], 2 * 86_400);
    assert!(done["objects_waiting"].as_u64().unwrap() > 0 && done["freed_later_bytes"].as_u64().unwrap() > 0);
    assert_eq!((site.serials(), site.objects("segments")), (vec![3], before.clone()));
    site.ok(&with(&["--keep-last", "1", "--grace", "0h"]));
    assert!(site.objects("segments").len() < before.len());
    site.verify();
}

#[test]
fn rules_that_keep_nothing_are_refused() {
    let site = site_with(1);
    site.refused(30, &["keep no snapshot", "nothing was removed"], VAULT);
    site.refused(30, &["keep no snapshot"], &with(&["--keep-last", "0"]));
    site.refused(2, &["keep-within"], &with(&["--keep-within", "soon"]));
    fs::write(site.path("config.toml"), "version = 1\n[prune]\nkeep_dayly = 7\n").unwrap();
    site.refused(2, &["keep_dayly", "keep_daily"], VAULT);
}

#[test]
fn the_newest_verified_and_the_newest_drilled_stay_whatever_the_rules_say() {
    let site = site_with(2);
    site.verify();
    site.backup("three");
    // What a drill writes down.
    let vault: serde_json::Value = serde_json::from_slice(&fs::read(site.path("vault/vault.json")).unwrap()).unwrap();
    let checks = site.path(&format!("state/vaults/{}/checks-host.json", vault["id"].as_str().unwrap()));
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&checks).unwrap()).unwrap();
    assert_eq!(state["snapshots"][0]["serial"], 1);
    state["snapshots"][0]["drilled"] = "2026-01-01T00:00:00Z".into();
    fs::write(&checks, state.to_string()).unwrap();
    let plan = site.json(&with(&["--keep-last", "1", "--dry-run"]));
    let kept: Vec<_> = plan["kept"].as_array().unwrap().iter().map(|row| row["reasons"].clone()).collect();
    let expected = serde_json::json!([["drilled"], ["verified", "verified-data"], ["last", "newest"]]);
    assert_eq!(serde_json::Value::from(kept), expected);
    let list = site.json(&["list", "--vault", "vault"]);
    assert_eq!(list["snapshots"][0]["drilled"], "2026-01-01T00:00:00Z");
    assert!(list["snapshots"][1]["verified_data"].is_string() && list["snapshots"][2]["verified_sealed"].is_null());
    assert_eq!(list["snapshots"][0]["consistency"], serde_json::json!(["live"]));
}

#[test]
fn a_manifest_that_does_not_verify_stops_it_before_anything_is_removed() {
    let site = site_with(3);
    let every = |site: &Site| ["manifests", "catalogues", "segments", "keys"].map(|folder| site.objects(folder));
    let before = every(&site);
    let prune = with(&["--keep-last", "1", "--grace", "0d"]);
    let manifest = site.path("vault/manifests/host/1.json");
    let good = fs::read(&manifest).unwrap();
    fs::write(&manifest, String::from_utf8(good.clone()).unwrap().replace("tree", "tree ")).unwrap();
    site.refused(20, &["signature"], &prune);
    fs::write(&manifest, &good).unwrap();
    // Another host's, whose key nobody here trusts.
    copy(&site.path("vault/manifests/host"), &site.path("vault/manifests/other"));
    site.refused(21, &["other"], &with(&["--keep-last", "1", "--host", "host"]));
    fs::remove_dir_all(site.path("vault/manifests/other")).unwrap();
    let signature = site.path("vault/manifests/host/2.json.sig");
    fs::rename(&signature, site.path("aside")).unwrap();
    site.refused(20, &["only with its signature"], &prune);
    fs::rename(site.path("aside"), &signature).unwrap();
    assert_eq!(every(&site), before);
    site.ok(&prune);
    assert_eq!(site.serials(), [3]);
}

#[test]
fn another_run_has_the_lock() {
    let site = site_with(2);
    let lock = fs::OpenOptions::new().write(true).open(site.path("vault/lock")).unwrap();
    lock.lock().unwrap();
    site.refused(11, &["another process"], &with(&["--keep-last", "1"]));
    assert_eq!(site.serials(), [1, 2]);
}
