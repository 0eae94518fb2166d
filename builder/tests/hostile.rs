//! The command against vaults and manifests that somebody else put there: right exit code, and nothing written.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod host;

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::{Host, said};
use serde_json::Value;

/// A host with two snapshots of a small tree.
struct Site(Host);

impl Deref for Site {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Site {
    fn new() -> Self {
        let site = Self(Host::new());
        fs::create_dir(site.path("tree")).unwrap();
        let made = site.run(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
        assert!(made.status.success(), "{}", said(&made));
        for content in ["one", "two"] {
            fs::write(site.path("tree/file"), content).unwrap();
            let stored = site.run(&["backup", "--vault", "vault", "--source", "tree"]);
            assert!(stored.status.success(), "{}", said(&stored));
        }
        site
    }

    /// Extracting `snapshot` ends with `code`, says `words`, and leaves no folder behind.
    fn refuses(&self, snapshot: &str, code: i32, words: &[&str]) {
        for more in [&[][..], &["--keep-going"]] {
            let args = ["extract", "--vault", "vault", "--identity", "id.txt", snapshot, "--to", "out"];
            let output = self.run(&[&args[..], more].concat());
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            words.iter().for_each(|word| assert!(said(&output).contains(word), "no {word:?} in {}", said(&output)));
            assert!(!self.path("out").exists(), "something was written");
        }
    }

    fn manifest(&self, serial: u64) -> PathBuf {
        let host = fs::read_dir(self.path("vault/manifests")).unwrap().next().unwrap().unwrap().path();
        host.join(format!("{serial}.json"))
    }

    /// Changes a manifest and signs it with the host's own key, as stock tools do.
    fn forge(&self, serial: u64, namespace: &str, change: impl Fn(&str) -> String) {
        let path = self.manifest(serial);
        let text = change(&fs::read_to_string(&path).unwrap());
        fs::write(&path, text).unwrap();
        fs::remove_file(path.with_extension("json.sig")).unwrap();
        self.sign(&path, namespace);
    }

    fn sign(&self, path: &Path, namespace: &str) {
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-Y", "sign", "-q", "-n", namespace, "-f"]).arg(self.path("state/host_ed25519"));
        assert!(sign.arg(path).status().unwrap().success());
    }
}

/// Changes one field of a manifest.
fn field(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    value.to_string()
}

#[test]
fn manifests_that_are_signed_and_not_what_they_should_be_are_refused() {
    let site = Site::new();
    let (path, good) = (site.manifest(2), fs::read_to_string(site.manifest(2)).unwrap());
    let signature = fs::read(path.with_extension("json.sig")).unwrap();
    type Change = fn(&str) -> String;
    let cases: [(&str, Change, i32, &str); 12] = [
        ("lifeboat-order", |text| text.to_owned(), 20, "lifeboat-order"),
        ("lifeboat-manifest", |text| field(text, |m| m["serial"] = 7.into()), 21, "snapshot 7"),
        ("lifeboat-manifest", |text| field(text, |m| m["host_name"] = "another".into()), 21, "another"),
        ("lifeboat-manifest", |text| field(text, |m| m["vault"] = "0".repeat(32).into()), 21, "it was moved"),
        ("lifeboat-manifest", |text| field(text, |m| m["run"] = "sh".into()), 21, "unknown field"),
        ("lifeboat-manifest", |text| field(text, |m| m["contents"]["exec"] = "sh".into()), 21, "unknown field"),
        ("lifeboat-manifest", |text| field(text, |m| m["format"] = 9.into()), 1, "format 9"),
        ("lifeboat-manifest", |text| format!("{text}{{}}"), 21, "trailing"),
        (
            "lifeboat-manifest",
            |text| {
                text.replacen(
                    "\"tool\"",
                    &format!("\"x\": {}1{}, \"tool\"", "[".repeat(200_000), "]".repeat(200_000)),
                    1,
                )
            },
            21,
            "cannot be read",
        ),
        (
            "lifeboat-manifest",
            |text| field(text, |m| m["contents"]["catalogue"]["object"] = "../../etc/passwd".into()),
            21,
            "catalogue",
        ),
        (
            "lifeboat-manifest",
            |text| field(text, |m| m["contents"]["catalogue"]["object"] = "../id.txt".into()),
            21,
            "catalogue",
        ),
        (
            "lifeboat-manifest",
            |text| field(text, |m| m["contents"]["catalogue"]["size"] = u64::MAX.into()),
            21,
            "bytes",
        ),
    ];
    for (namespace, change, code, word) in cases {
        site.forge(2, namespace, change);
        site.refuses("2", code, &[word]);
        fs::write(&path, &good).unwrap();
        fs::write(path.with_extension("json.sig"), &signature).unwrap();
    }
    let sound = site.run(&["extract", "--vault", "vault", "--identity", "id.txt", "2", "--to", "out"]);
    assert_eq!((sound.status.code(), fs::read(site.path("out/file")).unwrap()), (Some(0), b"two".to_vec()));
}

#[test]
fn an_older_manifest_is_not_taken_for_a_newer_one() {
    let site = Site::new();
    let newest = site.manifest(2);
    let signature = newest.with_extension("json.sig");
    let kept = (fs::read(&newest).unwrap(), fs::read(&signature).unwrap());
    // Under the newer name.
    fs::copy(site.manifest(1), &newest).unwrap();
    fs::copy(site.manifest(1).with_extension("json.sig"), &signature).unwrap();
    site.refuses("latest", 21, &["snapshot 1", "it was moved", "these hold: 1"]);
    // As the newest there is.
    fs::remove_file(&newest).unwrap();
    fs::remove_file(&signature).unwrap();
    site.refuses("latest", 22, &["rolled back"]);
    // Another with the number that is known, signed by the right key.
    fs::write(&newest, &kept.0).unwrap();
    fs::write(&signature, &kept.1).unwrap();
    site.forge(2, "lifeboat-manifest", |text| field(text, |m| m["tool"] = "other".into()));
    site.refuses("latest", 22, &["rolled back or replaced"]);
    // Who asks for an old one by its number gets it.
    let old = site.run(&["extract", "--vault", "vault", "--identity", "id.txt", "1", "--to", "out"]);
    assert_eq!((old.status.code(), fs::read(site.path("out/file")).unwrap()), (Some(0), b"one".to_vec()));
}

#[test]
fn device_nodes_are_left_out_and_named_where_none_may_be() {
    if !rustix::process::geteuid().is_root() {
        // Only root makes device nodes at all; the suite runs as root in CI.
        eprintln!("not root: no device node to back up");
        return;
    }
    let site = Site::new();
    let node = Command::new("mknod").arg(site.path("tree/disk")).args(["b", "7", "200"]).status().unwrap();
    assert!(node.success());
    let stored = site.run(&["backup", "--vault", "vault", "--source", "tree"]);
    assert!(stored.status.success(), "{}", said(&stored));
    let args = ["extract", "--vault", "vault", "--identity", "id.txt", "latest", "--to", "out", "--no-devices"];
    let output = site.run(&args);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("/disk: a device node, left out as asked"), "{}", said(&output));
    assert!(site.path("out/file").exists() && fs::symlink_metadata(site.path("out/disk")).is_err());
}
