//! Private parts: sealed beside the tree, covered by every check, kept by every change of the snapshot, and taken out by stock tools.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::fs;
use std::path::Path;
use std::process::Command;

use tree::{Scratch, noise, small_vault};
use vault::{Backup, Contents, EntryPath, Erase, Finished, Identities, Kind, Named, Private, Prune, Vault};

fn header() -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    bytes[..200_000].copy_from_slice(&noise(200_000, 7));
    bytes
}

fn take(vault: &Vault, source: &Path) -> Finished {
    let mut backup = Backup::new(source, "host", 1);
    let private = [
        Private { name: "luks/aaaa/header".into(), bytes: header() },
        Private { name: "luks/aaaa/volume-key".into(), bytes: vec![9; 64] },
        Private { name: "empty".into(), bytes: Vec::new() },
    ];
    backup.private = &private;
    vault.backup(&backup).unwrap()
}

fn setting() -> (Scratch, Vault, Identities, Contents) {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    fs::write(source.join("keep"), noise(50_000, 1)).unwrap();
    fs::write(source.join("drop"), noise(50_000, 2)).unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = take(&vault, &source).contents;
    (scratch, vault, identities, contents)
}

fn opened(vault: &Vault, contents: &Contents, identities: &Identities, name: &str) -> Option<Vec<u8>> {
    vault.private(contents, identities, name).unwrap().map(|part| part.bytes.clone())
}

#[test]
fn what_is_private_comes_back_by_name_and_lies_nowhere_in_clear() {
    let (scratch, vault, identities, contents) = setting();
    assert_eq!(opened(&vault, &contents, &identities, "luks/aaaa/header"), Some(header()));
    assert_eq!(opened(&vault, &contents, &identities, "luks/aaaa/volume-key"), Some(vec![9; 64]));
    assert_eq!(opened(&vault, &contents, &identities, "empty"), Some(Vec::new()));
    assert_eq!(opened(&vault, &contents, &identities, "luks/bbbb/header"), None);
    let marked = &header()[..64];
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").args(["-r", "-l", "-U", "-F", "-f"]).arg(marks(&scratch, marked));
    let output = grep.arg(scratch.path("vault")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let stranger = Identities::generate();
    assert_eq!(vault.private(&contents, &stranger, "empty").unwrap_err().kind(), Kind::WrongKey);
}

/// A file with the first stretch of `bytes` that `grep` can look for.
fn marks(scratch: &Scratch, bytes: &[u8]) -> std::path::PathBuf {
    let longest = bytes.split(|byte| matches!(byte, 0 | b'\n')).max_by_key(|part| part.len()).unwrap();
    assert!(longest.len() >= 8);
    fs::write(scratch.path("marks"), longest).unwrap();
    scratch.path("marks")
}

#[test]
fn damage_to_a_private_part_is_found_without_and_with_a_key() {
    let (scratch, vault, identities, contents) = setting();
    assert_eq!(vault.check_data(&contents, &identities, &()).unwrap(), []);
    let object = contents.private[0].object();
    let file = scratch.path("vault").join(&object);
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let sealed = vault.check_sealed(&contents, &()).unwrap();
    let data = vault.check_data(&contents, &identities, &()).unwrap();
    for faults in [sealed, data] {
        assert_eq!(faults.iter().map(|fault| fault.object.as_str()).collect::<Vec<_>>(), [object.as_str()]);
    }
    assert_eq!(vault.private(&contents, &identities, "luks/aaaa/header").unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_prune_and_an_erasure_keep_private_parts() {
    let (_scratch, vault, identities, contents) = setting();
    let _lock = vault.lock().unwrap();
    vault.put_manifest("host", 1, b"{}", b"sig").unwrap();
    let name = vault.manifest_names().unwrap().remove(0);
    let named = [Named { name, contents: &contents }];
    let path = EntryPath::from_argument(b"drop").unwrap();
    let erase = Erase { snapshots: &named, others: &[], paths: &[path], identities: &identities };
    let plan = vault.plan_erase(&erase).unwrap();
    let amended = vault.erase(&erase, &plan, &()).unwrap().remove(0);
    let prune = Prune { keep: &named, remove: &[], grace: 0, now: u64::MAX / 2 };
    let plan = vault.plan_prune(&prune).unwrap();
    vault.prune(&plan, &()).unwrap();
    assert_eq!(opened(&vault, &contents, &identities, "luks/aaaa/header"), Some(header()));
    assert_eq!(opened(&vault, &amended.contents, &identities, "luks/aaaa/header"), Some(header()));
}

#[test]
fn names_and_numbers_that_no_writer_gives_are_refused() {
    let (_scratch, vault, identities, contents) = setting();
    let refused = |change: &dyn Fn(&mut Contents)| {
        let mut other = contents.clone();
        change(&mut other);
        let kind = vault.private(&other, &identities, "empty").map(drop).unwrap_err().kind();
        assert_eq!(kind, Kind::Corrupt);
    };
    refused(&|other| other.private[1].number = 7);
    refused(&|other| other.private[1].number = other.private[0].number);
    refused(&|other| other.private[1].name = other.private[0].name.clone());
    refused(&|other| other.private[1].name = "../../etc/passwd".into());
    refused(&|other| other.private[1].opened = u64::MAX);
    refused(&|other| other.runs.clear());
}

#[test]
fn stock_tools_take_them_out() {
    let (scratch, vault, identities, contents) = setting();
    fs::write(scratch.path("identity"), identities.to_file_text()).unwrap();
    let text = serde_json::to_vec_pretty(&serde_json::json!({ "version": 1, "contents": contents })).unwrap();
    vault.put_manifest("host", 1, &text, b"").unwrap();
    let (dest, private) = (scratch.folder("dest"), scratch.folder("private"));
    let recover = || {
        let mut command = Command::new("sh");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/recover/recover.sh"));
        command.arg("--vault").arg(scratch.path("vault")).arg("--identity").arg(scratch.path("identity"));
        command.arg("--no-signature").arg("--to").arg(&dest);
        command
    };
    let output = recover().arg("--private").arg(&private).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(private.join("luks/aaaa/header")).unwrap() == header());
    assert_eq!(fs::read(private.join("luks/aaaa/volume-key")).unwrap(), [9; 64]);
    assert!(fs::read(dest.join("keep")).unwrap() == noise(50_000, 1));
    let output = recover().output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("left sealed"), "{output:?}");
}
