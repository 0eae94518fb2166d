//! `lifeboat guests list` against real tools: libvirt's own test driver, and Podman. Both are among scripts/platforms/packages.txt, and a
//! test that misses one fails: `make platforms` installs them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Two machines that libvirt's test driver says it has: one that runs, and one that is off.
const NODE: &str = "<node>\
  <domain type='test'><name>web</name><uuid>0f0f0f0f-1111-4222-8333-444455556666</uuid><memory>1024</memory><os><type>hvm</type></os>\
    <devices>\
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/web.qcow2'/><target dev='vda'/></disk>\
    </devices></domain>\
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><test:runstate>5</test:runstate>\
    <name>mail</name><uuid>1a1a1a1a-1111-4222-8333-444455556666</uuid><memory>1024</memory><os><type>hvm</type></os>\
    <devices><disk type='block' device='disk'><source dev='/dev/vg/mail'/><target dev='vda'/></disk></devices></domain>\
</node>";

fn has(program: &str) {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(found, "{program} IS MISSING: it is among scripts/platforms/packages.txt; run `make platforms`");
}

fn list(folder: &Path, args: &[&str], storage: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(["--json", "guests", "list"]).args(args).env("LIFEBOAT_STATE", folder.join("state"));
    let output = command.env_remove("LIFEBOAT_CONFIG").env("CONTAINERS_STORAGE_CONF", storage).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn guest<'a>(listed: &'a Value, platform: &str, name: &str) -> &'a Value {
    let platforms = listed["others"].as_array().unwrap();
    let platform =
        platforms.iter().find(|one| one["kind"] == platform).unwrap_or_else(|| panic!("no {platform}: {listed}"));
    let guests = platform["guests"].as_array().unwrap();
    guests.iter().find(|guest| guest["name"] == name).unwrap_or_else(|| panic!("no {name}: {platform}"))
}

fn notes(guest: &Value, gap: bool) -> String {
    let notes = guest["notes"].as_array().unwrap().iter().filter(|note| note["gap"] == gap);
    notes.map(|note| note["text"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
#[ignore = "it needs virsh and podman: make platforms"]
fn guests_of_libvirt_are_listed_as_they_stand() {
    has("virsh");
    let folder = tempfile::tempdir().unwrap();
    let node = folder.path().join("node.xml");
    fs::write(&node, NODE).unwrap();
    let listed = list(folder.path(), &["--libvirt", &format!("test://{}", node.display())], Path::new("/nowhere"));
    assert_eq!(listed["verdict"], "gaps");
    let web = guest(&listed, "libvirt", "web");
    assert_eq!(
        (web["id"].as_str(), web["kind"].as_str()),
        (Some("0f0f0f0f-1111-4222-8333-444455556666"), Some("machine"))
    );
    let lost = notes(web, true);
    assert!(lost.contains("vda (/srv/web.qcow2)") && lost.contains("stop it"), "{lost}");
    let mail = guest(&listed, "libvirt", "mail");
    assert_eq!(notes(mail, true), "");
    assert!(notes(mail, false).contains("it is off; disk vda: /dev/vg/mail"), "{mail}");
    assert!(!folder.path().join("state").exists(), "a list keeps nothing");
}

#[test]
#[ignore = "it needs virsh and podman: make platforms"]
fn a_libvirt_that_does_not_answer_stops_nothing() {
    has("virsh");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.args(["guests", "list", "--libvirt", "test:///nowhere/at/all.xml"]).env("LIFEBOAT_STATE", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.code().is_some_and(|code| code != 101), "{output:?}");
}

/// Podman's folder, of this test alone, emptied with this value.
struct Podman {
    folder: tempfile::TempDir,
}

impl Podman {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n", at("root"), at("run"));
        fs::write(folder.path().join("storage.conf"), config).unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        fs::write(folder.path().join("tree/sh"), "#!/bin/sh\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) {
        let mut command = Command::new("podman");
        command.args(args).env("CONTAINERS_STORAGE_CONF", self.path("storage.conf")).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut command = Command::new("podman");
        command.args(["rm", "--all", "--force"]).env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        let _ = command.stdout(Stdio::null()).status();
    }
}

#[test]
#[ignore = "it needs virsh and podman: make platforms"]
fn containers_of_podman_are_listed_with_what_they_need() {
    has("podman");
    let podman = Podman::new();
    let (tree, tar) = (podman.path("tree").display().to_string(), podman.path("tree.tar").display().to_string());
    assert!(Command::new("tar").args(["-C", &tree, "-cf", &tar, "."]).status().unwrap().success());
    podman.run(&["import", "--quiet", &tar, "tiny:1"]);
    podman.run(&["volume", "create", "data"]);
    let label = "com.docker.compose.project=shop";
    let first =
        ["create", "--name", "web", "--restart", "always", "--label", label, "-v", "data:/data", "-v", "/srv:/srv:ro"];
    podman.run(&[&first[..], &["--env", "PASSWORD=secret", "tiny:1", "/sh"]].concat());
    let listed = list(podman.folder.path(), &[], &podman.path("storage.conf"));
    let web = guest(&listed, "podman", "web");
    assert_eq!((web["kind"].as_str(), web["starts"].as_bool()), (Some("container"), Some(true)));
    let told = notes(web, false);
    assert!(
        told.contains("localhost/tiny:1, which no registry is known to have") && told.contains("project shop"),
        "{told}"
    );
    assert!(!listed.to_string().contains("secret"), "an environment is not shown");
}
