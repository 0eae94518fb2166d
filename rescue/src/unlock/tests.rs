//! Every way to a key that the rescue knows, on a vault with a snapshot, without a screen.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::process::Command;
use std::sync::Arc;

use vault::{Backup, Contents, FolderStore, InitOptions, Recipient};

use super::*;

/// A vault that these recipients open, with a snapshot of an empty folder.
fn vault(folder: &Path, recipients: Vec<Recipient>) -> (Vault, Contents) {
    let store = Arc::new(FolderStore::new(folder.join("vault")));
    let vault = Vault::init(store, &InitOptions::new(recipients)).unwrap();
    std::fs::create_dir(folder.join("tree")).unwrap();
    let contents = vault.backup(&Backup::new(folder.join("tree"), "host", 1)).unwrap().contents;
    (vault, contents)
}

#[test]
fn a_passphrase_opens_the_identity_in_the_vault_and_that_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let key = Identities::generate();
    let (vault, contents) = vault(folder.path(), key.recipients());
    vault.put_sealed_identity("broken", b"age-encryption.org/v1\nnonsense").unwrap();
    vault.put_sealed_identity("vicar", &key.to_passphrase_file("correct horse battery").unwrap()).unwrap();
    let sealed = vault.sealed_identities().unwrap();
    let said = std::cell::RefCell::new(String::new());
    let opened = by_passphrase(&sealed, "correct horse battery", |text| said.borrow_mut().push_str(text)).unwrap();
    assert!(vault.catalogue(&contents, &opened).is_ok());
    assert!(said.borrow().contains("identities/broken.age"), "{said:?}");
    let wrong = by_passphrase(&sealed, "correct horse", |_| ()).unwrap_err();
    assert_eq!(wrong.code, Code::WrongKey);
}

#[test]
fn an_ssh_key_on_another_medium_opens_it_with_its_passphrase_and_without() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, passphrase) in [("ed25519", ""), ("ed25519", "correct horse battery"), ("rsa", "")] {
        let folder = tempfile::tempdir_in(folder.path()).unwrap();
        let file = folder.path().join(KEY_FILE);
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(&file).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(folder.path().join(format!("{KEY_FILE}.pub"))).unwrap();
        let (vault, contents) = vault(folder.path(), vec![public.parse().unwrap()]);
        let file = std::fs::read(&file).unwrap();
        assert_eq!(Identities::needs_passphrase(&file), !passphrase.is_empty());
        let opened = if passphrase.is_empty() {
            read_file(&file).unwrap()
        } else {
            by_passphrase(&[("a medium".to_owned(), file)], passphrase, |_| ()).unwrap()
        };
        assert!(vault.catalogue(&contents, &opened).is_ok(), "{kind}");
    }
}

#[test]
fn a_sealed_key_file_on_a_fat_medium_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = Identities::generate().to_passphrase_file("correct horse battery").unwrap();
    let (file, medium) = (folder.path().join("key"), folder.path().join("medium"));
    std::fs::write(&file, &sealed).unwrap();
    let run = |program: &str, args: &[&str]| {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let status = Command::new(program).args(args).env("PATH", path).stdout(std::process::Stdio::null()).status();
        assert!(status.unwrap().success(), "{program}");
    };
    let image = medium.to_str().unwrap();
    run("truncate", &["-s", "4M", image]);
    run("mkfs.vfat", &[image]);
    run("mcopy", &["-i", image, file.to_str().unwrap(), &format!("::{KEY_FILE}")]);
    assert_eq!(from_fat(&medium).unwrap(), sealed);
}
