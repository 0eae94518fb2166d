//! What opens a container, judged by cryptsetup, with headers and keys out of a real vault.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::cell::RefCell;
use std::sync::Arc;

use vault::{Backup, FolderStore, InitOptions};

use super::*;

const UUID: &str = "0a0b0c0d-7777-4000-8000-000000000001";

struct Setting {
    folder: tempfile::TempDir,
    vault: Vault,
    contents: Contents,
    key: Identities,
    luks: Luks,
    memory: Memory,
    header: PathBuf,
}

/// A container with two passphrases, its header and volume key sealed, and key files in the snapshot.
fn setting(version: &str) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = |args: &[&str], last: &[&Path], input: &[u8]| {
        cryptsetup().args(args).args(last).stdin(input).run().unwrap();
    };
    fs::File::create(path("image")).unwrap().set_len(32 << 20).unwrap();
    fs::write(path("second"), " drei ").unwrap();
    let pbkdf: &[&str] = if version == "luks2" { &["--pbkdf", "pbkdf2"] } else { &[] };
    let quick = [&["--batch-mode", "--pbkdf-force-iterations", "1000", "--key-file=-"][..], pbkdf].concat();
    run(&[&["luksFormat", "--type", version, "--uuid", UUID][..], &quick].concat(), &[&path("image")], b"eins");
    run(&[&["luksAddKey"][..], &quick].concat(), &[&path("image"), &path("second")], b"eins");
    let dump = ["luksDump", "--batch-mode", "--dump-volume-key", "--key-file=-", "--volume-key-file"];
    run(&dump, &[&path("volume-key"), &path("image")], b"eins");
    run(&["luksHeaderBackup", "--header-backup-file"], &[&path("header"), &path("image")], b"");
    let text = cryptsetup().arg("luksDump").arg(path("image")).read().unwrap();

    fs::create_dir_all(path("tree/etc/keys")).unwrap();
    fs::write(path("tree/etc/keys/good"), "xxxxeins\n").unwrap();
    fs::write(path("tree/etc/keys/bad"), "falsch").unwrap();
    std::os::unix::fs::symlink(path("second"), path("tree/etc/keys/link")).unwrap();
    let key = Identities::generate();
    let store = Arc::new(FolderStore::new(path("vault")));
    let vault = Vault::init(store, &InitOptions::new(key.recipients())).unwrap();
    let part = |name: String, file: &str| Private { name, bytes: fs::read(path(file)).unwrap() };
    let private = [part(Container::header_part(UUID), "header"), part(Container::volume_key_part(UUID), "volume-key")];
    let backup = Backup { private: &private, ..Backup::new(path("tree"), "host", 1) };
    let contents = vault.backup(&backup).unwrap().contents;
    let memory = Memory::at(&path("memory")).unwrap();
    let luks = Luks::parse(&text).unwrap();
    let source = Source { vault: &vault, contents: &contents, host: None, key: &key };
    let header = source.header(&luks, &memory).unwrap();
    Setting { vault, contents, key, luks, memory, header, folder }
}

impl Setting {
    fn source(&self) -> Source<'_> {
        Source { vault: &self.vault, contents: &self.contents, host: None, key: &self.key }
    }

    fn opens(&self, key: &Key) -> bool {
        opens(key, &self.header, &self.memory).unwrap()
    }

    fn extract(&self, path: &str, offset: u64, size: Option<u64>) -> Option<Private> {
        let file = KeyFile { path: path.to_owned(), offset, size };
        self.source().extract(&file, &self.memory).unwrap()
    }
}

fn typed(text: &str) -> Key {
    Key::Passphrase(Private { name: "typed".to_owned(), bytes: text.as_bytes().to_vec() })
}

#[test]
fn every_old_passphrase_opens_a_saved_header_and_no_other_does() {
    for version in ["luks1", "luks2"] {
        let setting = setting(version);
        assert!(setting.opens(&typed("eins")) && setting.opens(&typed(" drei ")), "{version}");
        assert!(!setting.opens(&typed("drei")) && !setting.opens(&typed("")), "{version}");
        let short = Key::Volume(Private { name: String::new(), bytes: vec![1; 16] });
        let wrong = Key::Volume(Private { name: String::new(), bytes: vec![1; 64] });
        assert!(!setting.opens(&short) && !setting.opens(&wrong), "{version}");
    }
}

#[test]
fn a_key_file_is_taken_out_of_the_snapshot_as_crypttab_says_and_links_are_not_followed() {
    let setting = setting("luks2");
    let key = setting.extract("/etc/keys/good", 4, Some(4)).unwrap();
    assert_eq!(key.bytes, b"eins");
    assert!(setting.opens(&Key::Passphrase(key)));
    assert!(!setting.opens(&Key::Passphrase(setting.extract("/etc/keys/bad", 0, None).unwrap())));
    assert!(setting.extract("/etc/keys/link", 0, None).is_none());
    assert!(setting.extract("/etc/keys/none", 0, None).is_none());
    assert!(setting.extract("/etc/keys", 0, None).is_none());
    assert!(setting.extract("/etc/keys/good", 90, None).is_none());
}

#[test]
fn without_a_key_file_the_kept_volume_key_opens_and_it_is_said() {
    let setting = setting("luks2");
    let said = RefCell::new(String::new());
    let say = |line: &str| said.borrow_mut().push_str(line);
    let key = setting.source().own_key(&setting.luks, &setting.header, &setting.memory, say).unwrap().unwrap();
    assert!(matches!(key, Key::Volume(_)));
    assert!(said.borrow().contains("kept volume key opens"), "{said:?}");
    let mut contents = setting.contents.clone();
    contents.private.truncate(1);
    let source = Source { contents: &contents, ..setting.source() };
    assert!(source.own_key(&setting.luks, &setting.header, &setting.memory, |_| ()).unwrap().is_none());
    contents.private.clear();
    let source = Source { contents: &contents, ..setting.source() };
    assert_eq!(source.header(&setting.luks, &setting.memory).unwrap_err().code, Code::Corrupt);
}

#[test]
fn a_header_goes_onto_an_empty_device_of_another_size_and_nothing_is_left_behind() {
    for version in ["luks1", "luks2"] {
        let setting = setting(version);
        let device = setting.folder.path().join("new");
        fs::File::create(&device).unwrap().set_len(64 << 20).unwrap();
        let args = setting.luks.restore_header(device.to_str().unwrap(), setting.header.to_str().unwrap());
        cryptsetup().args(args).run().unwrap();
        assert!(opens(&typed(" drei "), &device, &setting.memory).unwrap());
        let text = cryptsetup().arg("luksDump").arg(&device).read().unwrap();
        assert_eq!(Luks::parse(&text).unwrap(), setting.luks);
        let (memory, folder) = (setting.memory, setting.folder);
        drop(memory);
        assert!(!folder.path().join("memory").exists());
    }
}
