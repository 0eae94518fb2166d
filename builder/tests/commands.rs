//! The command from outside: what a script sees of it, with stock tools as judges.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

mod host;

use std::fs;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::Host;
use serde_json::Value;

/// A host with a state folder, a vault, an identity and a small tree.
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
        let tree = site.path("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/fstab"), "UUID=1 / ext4 defaults 0 1\n").unwrap();
        fs::write(tree.join("big"), vec![7; 3 << 20]).unwrap();
        fs::write(tree.join(std::ffi::OsStr::from_bytes(b"odd\n\xff name")), "odd").unwrap();
        fs::hard_link(tree.join("etc/fstab"), tree.join("link")).unwrap();
        std::os::unix::fs::symlink("etc/fstab", tree.join("symlink")).unwrap();
        site
    }

    fn ready() -> Self {
        let site = Self::new();
        site.ok(&["init", "--vault", "VAULT", "--identity", "ID", "--yes"]);
        site
    }

    fn backup(&self) {
        self.ok(&["backup", "--vault", "VAULT", "--source", "TREE"]);
    }

    fn files_in_vault(&self, folder: &str) -> Vec<PathBuf> {
        let mut open = vec![self.path("vault").join(folder)];
        let mut files = Vec::new();
        while let Some(folder) = open.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { open.push(path) } else { files.push(path) }
            }
        }
        files
    }

    fn file_in_vault(&self, folder: &str, ending: &str) -> PathBuf {
        let files = self.files_in_vault(folder);
        files.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
    }

    /// The one with file content in it; a small one may hold folders and links only.
    fn largest_segment(&self) -> PathBuf {
        let files = self.files_in_vault("segments");
        files.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, bytes).unwrap();
}

const READ: &[&str] = &["--vault", "VAULT"];

fn with<'a>(command: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    command.iter().chain(rest).copied().collect()
}

#[test]
fn a_tree_goes_in_and_comes_out_unchanged() {
    let site = Site::ready();
    site.backup();
    site.ok(&["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"]);
    let status = Command::new("rsync")
        .args(["-aHAXn", "--delete", "--checksum", "--itemize-changes"])
        .arg(format!("{}/", site.path("tree").display()))
        .arg(format!("{}/", site.path("out").display()))
        .output()
        .unwrap();
    assert!(status.status.success() && status.stdout.is_empty(), "{}", String::from_utf8_lossy(&status.stdout));
}

#[test]
fn a_single_file_comes_out_alone() {
    let site = Site::ready();
    site.backup();
    site.ok(&["extract", "--vault", "VAULT", "--identity", "ID", "latest", "etc/fstab", "--to", "OUT"]);
    assert!(site.path("out/etc/fstab").is_file());
    assert!(!site.path("out/big").exists());
    fs::remove_dir_all(site.path("out")).unwrap();
    site.refused(
        1,
        &["no/such"],
        &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "no/such", "--to", "OUT"],
    );
}

#[test]
fn list_and_verify_tell_scripts_what_is_there() {
    let site = Site::ready();
    site.backup();
    fs::write(site.path("tree/etc/new"), "new").unwrap();
    site.backup();
    let list = site.json(&with(&["list", "--json"], READ));
    assert_eq!(list["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(list["snapshots"][1]["serial"], 2);
    let grown = list["snapshots"][1]["stored_bytes"].as_u64().unwrap();
    assert!(grown < list["snapshots"][0]["stored_bytes"].as_u64().unwrap(), "the second run stores what changed only");
    let sealed = site.json(&with(&["verify", "--json"], READ));
    assert_eq!(sealed["faults"], Value::Array(Vec::new()));
    let data = site.json(&with(&["verify", "--json", "--level", "data", "--identity", "ID"], READ));
    assert_eq!(data["snapshots"], serde_json::json!([1, 2]));
    let shown = site.ok(&with(&["show"], READ));
    assert!(shown.contains("snapshot 2") && shown.contains("/var/cache/apt/archives"), "{shown}");
}

#[test]
fn ssh_keygen_and_age_accept_what_we_wrote() {
    let site = Site::ready();
    site.backup();
    let json = site.file_in_vault("manifests", ".json");
    let public = fs::read_to_string(site.path("state/host_ed25519.pub")).unwrap();
    fs::write(site.path("allowed"), format!("host {public}")).unwrap();
    let verified = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "host", "-n", "lifeboat-manifest", "-f"])
        .arg(site.path("allowed"))
        .arg("-s")
        .arg(json.with_extension("json.sig"))
        .stdin(fs::File::open(&json).unwrap())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let key = site.file_in_vault("keys", ".age");
    let opened = Command::new("age").arg("-d").arg("-i").arg(site.path("id.txt")).arg(&key).output().unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
}

#[test]
fn damage_is_named_and_has_its_exit_code() {
    let site = Site::ready();
    site.backup();
    let segment = site.largest_segment();
    flip(&segment, 1000);
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    site.refused(21, &[&name], &with(&["verify"], READ));
    site.refused(21, &[], &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"]);
    flip(&segment, 1000);
    flip(&site.file_in_vault("manifests", ".json"), 40);
    site.refused(20, &["signature"], &with(&["verify"], READ));
    site.refused(20, &["signature"], &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"]);
}

const EXTRACT: &[&str] = &["extract", "--vault", "VAULT", "--identity", "ID", "latest", "--to", "OUT"];

/// A tree whose content fills several segments, so that damage to one leaves others.
fn site_with_segments() -> Site {
    let site = Site::ready();
    for at in 0..3 {
        let mut noise = vec![0; 40 << 20];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
        fs::write(site.path("tree").join(format!("noise{at}")), noise).unwrap();
    }
    fs::hard_link(site.path("tree/noise1"), site.path("tree/noise1-again")).unwrap();
    site.backup();
    site
}

#[test]
fn extract_stops_at_damage_and_going_on_restores_all_but_what_it_names() {
    let site = site_with_segments();
    let segment = site.largest_segment();
    let object = segment.file_name().unwrap().to_string_lossy().into_owned();
    flip(&segment, 1000);
    site.refused(21, &["stopped at the first damage", "--keep-going", &object], EXTRACT);
    let output = site.run(&with(EXTRACT, &["--resume", "--keep-going", "--json"]));
    assert_eq!(output.status.code(), Some(21));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let damaged = report["damaged"].as_array().unwrap();
    assert!(damaged.len() == 1 && damaged[0]["object"].as_str().unwrap().ends_with(&object), "{report}");
    let lost: Vec<&str> = damaged[0]["entries"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert!(lost.iter().any(|path| path.starts_with("/noise")), "{report}");
    let said = String::from_utf8_lossy(&output.stderr);
    for path in &lost {
        assert!(said.contains(&format!("lost: {path}: ")), "{path} is not named: {said}");
        assert!(!site.path("out").join(&path[1..]).exists(), "{path} is there");
    }
    assert_eq!(lost.contains(&"/noise1"), lost.contains(&"/noise1-again"), "both names of an inode share its fate");
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHAXn", "--delete", "--checksum", "--itemize-changes"]);
    // An escaped byte is any byte in rsync's patterns.
    let pattern = |path: &&str| {
        path.split('%')
            .enumerate()
            .map(|(at, part)| if at == 0 { part.to_owned() } else { format!("?{}", &part[2..]) })
            .collect::<String>()
    };
    rsync.args(lost.iter().map(|path| format!("--exclude={}", pattern(path))));
    let same = rsync
        .arg(format!("{}/", site.path("tree").display()))
        .arg(format!("{}/", site.path("out").display()))
        .output()
        .unwrap();
    assert!(same.status.success() && same.stdout.is_empty(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn a_refused_snapshot_names_those_that_hold() {
    let site = Site::ready();
    site.backup();
    site.backup();
    site.backup();
    flip(&site.file_in_vault("manifests", "3.json"), 40);
    flip(&site.file_in_vault("catalogues", "/2"), 40);
    site.refused(20, &["nothing was written", "these hold: 1:"], &with(EXTRACT, &["--keep-going"]));
    assert!(!site.path("out").exists());
    let second = ["extract", "--vault", "VAULT", "--identity", "ID", "2", "--to", "OUT", "--keep-going"];
    site.refused(21, &["catalogues/", "these hold: 1:"], &second);
    flip(&site.file_in_vault("manifests", "1.json"), 40);
    site.refused(21, &["no other snapshot"], &second);
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let site = Site::ready();
    site.backup();
    let other = Site::ready();
    let other_id = other.path("id.txt").into_os_string().into_string().unwrap();
    let extract = ["extract", "--vault", "VAULT", "latest", "--to", "OUT", "--identity"];
    site.refused(12, &[], &with(&extract, &[&other_id]));
    let vault = site.path("vault").into_os_string().into_string().unwrap();
    other.refused(20, &["not trusted"], &["verify", "--vault", &vault, "--host", &host_of(&site)]);
}

fn host_of(site: &Site) -> String {
    site.json(&with(&["list", "--json"], READ))["host"].as_str().unwrap().to_owned()
}

#[test]
fn an_older_vault_in_the_same_place_is_a_rollback() {
    let site = Site::ready();
    site.backup();
    let copied = Command::new("cp").arg("-a").arg(site.path("vault")).arg(site.path("older")).status().unwrap();
    assert!(copied.success());
    site.backup();
    fs::rename(site.path("vault"), site.path("newer")).unwrap();
    fs::rename(site.path("older"), site.path("vault")).unwrap();
    site.refused(22, &["rolled back"], &with(&["verify"], READ));
    site.refused(22, &["rolled back"], &["backup", "--vault", "VAULT", "--source", "TREE"]);
}

#[test]
fn wrong_calls_and_configurations_change_nothing() {
    let site = Site::new();
    site.refused(2, &[], &["backup", "--no-such-flag"]);
    site.refused(31, &["--yes"], &["init", "--vault", "VAULT", "--identity", "ID"]);
    assert!(!site.path("vault").exists() && !site.path("id.txt").exists());
    site.refused(10, &["vault"], &["list", "--vault", "VAULT"]);
    site.refused(10, &["no stick is named"], &["list"]);
    let config = site.path("wrong.toml");
    fs::write(&config, "version = 1\nexlude = []\n").unwrap();
    let config = config.to_str().unwrap();
    site.refused(
        2,
        &["exlude", "exclude"],
        &["--config", config, "init", "--vault", "VAULT", "--identity", "ID", "--yes"],
    );
    fs::create_dir(site.path("vault")).unwrap();
    fs::write(site.path("vault/precious"), "x").unwrap();
    site.refused(30, &["not empty"], &["init", "--vault", "VAULT", "--identity", "ID", "--yes"]);
    assert_eq!(fs::read_dir(site.path("vault")).unwrap().count(), 1);
}

#[test]
fn an_existing_identity_is_used_and_never_overwritten() {
    let site = Site::ready();
    let before = fs::read(site.path("id.txt")).unwrap();
    fs::rename(site.path("vault"), site.path("first")).unwrap();
    site.ok(&["init", "--vault", "VAULT", "--identity", "ID", "--yes"]);
    assert_eq!(fs::read(site.path("id.txt")).unwrap(), before);
    assert_eq!(fs::metadata(site.path("id.txt")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn two_runs_at_once_exclude_each_other() {
    let site = Site::ready();
    // Holds the vault's lock the way a second run would: an advisory lock on the same file.
    site.backup();
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(site.path("vault/lock"))
        .unwrap();
    lock.lock().unwrap();
    site.refused(11, &["another process"], &["backup", "--vault", "VAULT", "--source", "TREE"]);
    drop(lock);
    site.backup();
}

#[test]
fn a_source_that_is_not_there_is_an_error_and_the_vault_stays_usable() {
    let site = Site::ready();
    site.refused(1, &["no-such-tree"], &["backup", "--vault", "VAULT", "--source", "/no-such-tree"]);
    site.backup();
}

/// Root reads everything, so the run is somebody else's, with a copy of the program that everybody may start.
#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_is_kept() {
    const NOBODY: u32 = 65534;
    let site = Site::new();
    let program = site.path("lifeboat");
    fs::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
    fs::write(site.path("tree/etc/secret"), "secret").unwrap();
    fs::set_permissions(site.path("tree/etc/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(site.path("work")).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(site.path("work"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).current_dir(site.path("work")).env("LIFEBOAT_STATE", site.path("work/state"));
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    };
    let made = run(&["init", "--vault", "vault", "--identity", "id.txt", "--yes"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let stored = run(&["backup", "--vault", "vault", "--source", "../tree"]);
    let said = String::from_utf8_lossy(&stored.stdout);
    assert_eq!(stored.status.code(), Some(3), "{said}");
    assert!(said.contains("warning: /etc/secret"), "{said}");
    run(&["extract", "--vault", "vault", "--identity", "id.txt", "latest", "--to", "out"]);
    assert!(site.path("work/out/etc/fstab").is_file() && !site.path("work/out/etc/secret").exists());
}

#[test]
fn a_full_medium_ends_with_40_and_keeps_the_snapshots_before() {
    if !rustix::process::geteuid().is_root() {
        // A small filesystem needs a mount; the suite runs as root in CI.
        eprintln!("not root: no small filesystem to fill");
        return;
    }
    let site = Site::new();
    fs::create_dir(site.path("small")).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(site.path("small")).status().unwrap();
    assert!(mounted.success());
    std::os::unix::fs::symlink(site.path("small/vault"), site.path("vault")).unwrap();
    fs::create_dir(site.path("small/vault")).unwrap();
    site.ok(&["init", "--vault", "VAULT", "--identity", "ID", "--yes"]);
    site.backup();
    let mut noise = vec![0; 12 << 20];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    fs::write(site.path("tree/noise"), noise).unwrap();
    let full = site.run(&["backup", "--vault", "VAULT", "--source", "TREE"]);
    let verified = site.run(&with(&["verify"], READ));
    let listed = site.run(&with(&["list", "--json"], READ));
    assert!(Command::new("umount").arg(site.path("small")).status().unwrap().success());
    assert_eq!(full.status.code(), Some(40), "{}", String::from_utf8_lossy(&full.stderr));
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_mounted_in_a_tree_is_named_and_what_is_mounted_over_itself_is_archived() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: nothing can be mounted");
        return;
    }
    let site = Site::ready();
    for folder in ["tree/store/layer", "tree/bound", "tree/memory", "elsewhere"] {
        fs::create_dir_all(site.path(folder)).unwrap();
    }
    fs::write(site.path("tree/store/layer/file"), "a layer").unwrap();
    fs::write(site.path("elsewhere/file"), "not of this tree").unwrap();
    let script = "mount --bind tree/store tree/store && mount --bind elsewhere tree/bound && mount -t tmpfs tmpfs tree/memory && exec \"$@\"";
    let lifeboat = site.command(&["backup", "--vault", "VAULT", "--source", "TREE"]);
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    apart.arg(lifeboat.get_program()).args(lifeboat.get_args()).current_dir(site.path(""));
    apart.envs(lifeboat.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = apart.output().unwrap();
    let said = host::said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("tree/bound: another filesystem is mounted there"), "{said}");
    assert!(!said.contains("tree/memory") && !said.contains("tree/store"), "{said}");
    site.ok(&with(&["extract", "latest", "--identity", "ID", "--to", "OUT"], READ));
    assert_eq!(fs::read(site.path("out/store/layer/file")).unwrap(), b"a layer");
    assert_eq!(fs::read_dir(site.path("out/bound")).unwrap().count(), 0);
}

#[test]
fn a_manifest_of_a_later_format_is_refused_by_name() {
    let site = Site::ready();
    site.backup();
    let json = site.file_in_vault("manifests", ".json");
    let text = fs::read_to_string(&json).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
    let signature = json.with_extension("json.sig");
    for file in [&json, &signature] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(&json, text).unwrap();
    fs::remove_file(&signature).unwrap();
    let signed = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", "lifeboat-manifest", "-f"])
        .arg(site.path("state/host_ed25519"))
        .arg(&json)
        .status()
        .unwrap();
    assert!(signed.success());
    site.refused(1, &["format 2", "newer lifeboat"], &with(&["list"], READ));
}

#[test]
fn help_manuals_and_completions_come_from_one_definition() {
    let site = Site::new();
    let help = site.ok(&["--help"]);
    site.ok(&["man", "OUT"]);
    let completions = site.ok(&["completions", "bash"]);
    for command in ["init", "create", "backup", "order", "list", "show", "verify", "extract", "attest"] {
        assert!(help.contains(command) && completions.contains(command), "{command}");
        assert!(site.path("out").join(format!("lifeboat-{command}.1")).is_file(), "{command}");
    }
}
