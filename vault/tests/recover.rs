//! The way out: `recover.sh` restores what the vault wrote with stock tools alone.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tree::{Scratch, assert_same_but, noise, set_xattr, small_vault, zoo};
use vault::{Backup, Contents, Vault};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/recover/recover.sh")
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Signs and stores a manifest that carries nothing but the contents.
fn put_manifest(vault: &Vault, scratch: &Scratch, serial: u64, contents: &Contents) {
    let json = scratch.path("manifest.json");
    let text = serde_json::to_vec_pretty(&serde_json::json!({ "version": 1, "contents": contents })).unwrap();
    fs::write(&json, &text).unwrap();
    let key = scratch.path("key");
    if !key.exists() {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "host", "-f"]).arg(&key));
        let public = fs::read_to_string(scratch.path("key.pub")).unwrap();
        fs::write(scratch.path("signers"), format!("host {public}")).unwrap();
    }
    let _ = fs::remove_file(scratch.path("manifest.json.sig"));
    run(Command::new("ssh-keygen").args(["-Y", "sign", "-q", "-n", "lifeboat-manifest", "-f"]).arg(&key).arg(&json));
    let signature = fs::read(scratch.path("manifest.json.sig")).unwrap();
    vault.put_manifest("host", serial, &text, &signature).unwrap();
}

fn recover(scratch: &Scratch, serial: u64, dest: &Path) -> Output {
    let mut command = Command::new("sh");
    command.arg(script()).arg("--vault").arg(scratch.path("vault")).arg("--identity").arg(scratch.path("identity"));
    command.arg("--signers").arg(scratch.path("signers")).arg("--serial").arg(serial.to_string());
    command.arg("--to").arg(dest).output().unwrap()
}

/// Sockets have no place in tar: the script names them instead.
fn without_sockets(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_socket() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn stock_tools_restore_full_and_incremental_snapshots() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    zoo(&source);
    without_sockets(&source);
    tree::set_mtime(&source, 1_234_567_890, 987_654_321);
    fs::write(source.join("dies"), noise(100_000, 4)).unwrap();
    fs::write(source.join("becomes-folder"), "f").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    fs::write(scratch.path("identity"), identities.to_file_text()).unwrap();
    let backup = |serial| {
        let mut backup = Backup::new(&source, "host", serial);
        backup.cache = Some(scratch.path("cache"));
        let done = vault.backup(&backup).unwrap();
        assert_eq!(done.problems, []);
        put_manifest(&vault, &scratch, serial, &done.contents);
    };
    let check = |serial| {
        let dest = scratch.folder(&format!("dest{serial}"));
        let output = recover(&scratch, serial, &dest);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("by hand"), "{said}");
        // Zeroes that occupied space come back as a hole: the same content.
        assert_same_but(&source, &dest, &["large-mostly-zero"]);
        let content = |root: &Path| fs::read(root.join("large-mostly-zero")).unwrap();
        assert!(content(&source) == content(&dest));
    };
    backup(1);
    check(1);
    fs::remove_file(source.join("dies")).unwrap();
    fs::remove_file(source.join("becomes-folder")).unwrap();
    fs::create_dir(source.join("becomes-folder")).unwrap();
    fs::write(source.join("becomes-folder/new"), "new").unwrap();
    {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(source.join("large-mostly-zero")).unwrap();
        file.write_all_at(b"changed", 1_000_000).unwrap();
    }
    fs::remove_file(source.join("z-middle")).unwrap();
    fs::hard_link(source.join("two-pieces"), source.join("another-name")).unwrap();
    set_xattr(&source.join("dir/.hidden"), "user.late", b"1");
    backup(2);
    check(2);
}

#[test]
fn stock_recovery_refuses_a_foreign_signature_a_wrong_key_and_damage() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    fs::write(source.join("file"), noise(50_000, 1)).unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    fs::write(scratch.path("identity"), identities.to_file_text()).unwrap();
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    put_manifest(&vault, &scratch, 1, &contents);
    let dest = scratch.folder("dest");
    let refused = |code: i32| {
        let output = recover(&scratch, 1, &dest);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
    };
    let manifest = scratch.path("vault/manifests/host/1.json");
    let good = fs::read(&manifest).unwrap();
    fs::write(&manifest, [&good[..], b" "].concat()).unwrap();
    refused(20);
    fs::write(&manifest, &good).unwrap();

    let signers = fs::read_to_string(scratch.path("signers")).unwrap();
    fs::write(scratch.path("signers"), signers.replacen("host", "neighbour", 1)).unwrap();
    refused(20);
    fs::write(scratch.path("signers"), signers).unwrap();

    let segment = scratch.path("vault").join(contents.segments[0].object());
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[1..]).unwrap();
    refused(21);
    fs::write(&segment, &bytes).unwrap();

    fs::write(scratch.path("identity"), vault::Identities::generate().to_file_text()).unwrap();
    refused(12);
}
