//! One test for each kind of difference: an image is changed in one thing, and exactly that must be found.

#[path = "../../tests/lasting/mod.rs"]
mod lasting;
mod setting;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use manifest::{Manifest, Scope};

use self::setting::{ESP, PLACES, ROOT, SECTOR, SETTING, SWAP, local, populate, text, tool};
use super::*;

#[test]
fn an_image_as_recorded_has_no_differences() {
    let attestation = SETTING.copy().attest().unwrap();
    assert_eq!(attestation.differences, []);
    assert_eq!(attestation.verdict, Verdict::Identical);
    assert_eq!(attestation.entries, SETTING.manifest.contents.totals.entries);
    assert!(attestation.bytes > 1_200_000);
    let json = serde_json::to_value(&attestation).unwrap();
    assert_eq!((json["schema"].as_u64(), json["verdict"].as_str()), (Some(1), Some("identical")));
    // What mke2fs made and no snapshot has.
    assert_eq!(attestation.adapted.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/lost+found"]);
}

#[test]
fn permissions() {
    SETTING.copy().debugfs("sif /etc/secret mode 0100600\n").differs(&[("/etc/secret", "mode")]);
}

#[test]
fn owner_and_group() {
    let copy = SETTING.copy().debugfs("sif /etc/plain uid 70000\nsif /etc/plain gid 3\n");
    copy.differs(&[("/etc/plain", "owner"), ("/etc/plain", "group")]);
}

#[test]
fn mtime_to_the_nanosecond() {
    SETTING.copy().debugfs("sif /etc mtime_extra 4\n").differs(&[("/etc", "mtime")]);
}

#[test]
fn one_bit_of_content() {
    let copy = SETTING.copy();
    let bytes = fs::read(copy.file.path()).unwrap();
    let place = bytes.windows(14).position(|window| window == b"plain content\n").unwrap();
    File::options().write(true).open(copy.file.path()).unwrap().write_all_at(b"q", place as u64).unwrap();
    copy.differs(&[("/etc/plain", "content")]);
}

#[test]
fn content_and_metadata_with_times_before_1970() {
    let copy = SETTING.copy();
    let bytes = fs::read(copy.file.path()).unwrap();
    let place = bytes.windows(9000).position(|window| window == [3; 9000]).unwrap();
    File::options().write(true).open(copy.file.path()).unwrap().write_all_at(b"q", place as u64 + 8999).unwrap();
    let copy = copy.debugfs("sif /ancient uid 5\nsif /etc/own mode 0100600\n");
    copy.differs(&[("/ancient", "owner"), ("/etc/own", "mode"), ("/ancient/file", "content")]);
}

#[test]
fn size() {
    SETTING.copy().debugfs("sif /etc/plain size 13\n").differs(&[("/etc/plain", "size")]);
}

#[test]
fn type_of_an_entry() {
    let commands = "rm /etc/empty\nmkdir /etc/empty\nsif /etc mtime @1600000000\n";
    let attestation = SETTING.copy().debugfs(commands).attest().unwrap();
    let one = attestation.differences.iter().find(|one| one.path == "/etc/empty").unwrap();
    assert_eq!((one.what.as_str(), one.expected.as_str(), one.found.as_str()), ("type", "file", "folder"));
}

#[test]
fn target_of_a_symbolic_link() {
    let attestation = SETTING.copy().debugfs("rm /etc/link\nsymlink /etc/link elsewhere\n").attest().unwrap();
    let one = attestation.differences.iter().find(|one| one.path == "/etc/link" && one.what == "target").unwrap();
    assert_eq!((one.expected.as_str(), one.found.as_str()), ("\"plain\"", "\"elsewhere\""));
}

#[test]
fn a_missing_entry() {
    let attestation = SETTING.copy().debugfs("rm /etc/fifo\n").attest().unwrap();
    let one = attestation.differences.iter().find(|one| one.path == "/etc/fifo").unwrap();
    assert_eq!((one.what.as_str(), one.expected.as_str(), one.found.as_str()), ("entry", "fifo", "none"));
}

#[test]
fn an_entry_too_many() {
    let file = local("planted");
    let commands = format!("cd /home\nwrite {} planted\ncd /\nmkdir extra\n", text(file.path()));
    let attestation = SETTING.copy().debugfs(&commands).attest().unwrap();
    let extra: Vec<&str> =
        attestation.differences.iter().filter(|one| one.expected == "none").map(|one| one.path.as_str()).collect();
    assert_eq!(extra, ["/extra", "/home/planted"]);
}

#[test]
fn an_xattr_changed_missing_or_too_many() {
    SETTING
        .copy()
        .debugfs("ea_set /etc/attributes user.note other\n")
        .differs(&[("/etc/attributes", "xattr user.note")]);
    SETTING.copy().debugfs("ea_rm /etc/attributes user.note\n").differs(&[("/etc/attributes", "xattr user.note")]);
    SETTING
        .copy()
        .debugfs("ea_set /etc/plain security.selinux x\n")
        .differs(&[("/etc/plain", "xattr security.selinux")]);
}

#[test]
fn inode_flags() {
    // Extents, as mke2fs set it, and immutable.
    SETTING.copy().debugfs("sif /etc/plain flags 0x80010\n").differs(&[("/etc/plain", "inode flags")]);
}

#[test]
fn project_id() {
    SETTING.copy().debugfs("sif /etc/plain projid 7\n").differs(&[("/etc/plain", "project")]);
}

#[test]
fn a_hard_link_that_became_a_file_of_its_own() {
    let file = local("linked");
    let source = SETTING.folder.path().join("source/etc/second");
    let found = fs::metadata(source).unwrap();
    let commands = format!(
        "cd /etc\nrm second\nwrite {} second\nsif second mode 0{:o}\nsif second mtime @{}\nsif second mtime_extra 0\nsif second uid {}\nsif second gid {}\n\
         sif /etc mtime @{}\nsif /etc mtime_extra 0\n",
        text(file.path()),
        found.mode(),
        found.mtime(),
        found.uid(),
        found.gid(),
        fs::metadata(SETTING.folder.path().join("source/etc")).unwrap().mtime(),
    );
    SETTING.copy().debugfs(&commands).differs(&[("/etc/second", "hard link")]);
}

#[test]
fn two_files_that_became_one() {
    let time = fs::metadata(SETTING.folder.path().join("source/etc")).unwrap().mtime();
    let commands = format!("rm /etc/own\nln /etc/first /etc/own\nsif /etc mtime @{time}\nsif /etc mtime_extra 0\n");
    let attestation = SETTING.copy().debugfs(&commands).attest().unwrap();
    let links: Vec<&str> =
        attestation.differences.iter().filter(|one| one.what == "hard link").map(|one| one.path.as_str()).collect();
    assert_eq!(links, ["/etc/own"]);
}

#[test]
fn contents_names_and_extra_files_on_the_esp() {
    let change = |commands: &'static [&'static [&'static str]]| {
        SETTING.copy().with_part(ESP, |part| {
            for command in commands {
                let mut arguments = vec!["-i", text(part)];
                arguments.extend(&command[1..]);
                tool(command[0], &arguments);
            }
        })
    };
    let attestation = change(&[&["mdel", "::/EFI/debian/grubx64.efi"], &["mmd", "::/new"]]).attest().unwrap();
    let found: Vec<(&str, &str, &str)> = attestation
        .differences
        .iter()
        .map(|one| (one.path.as_str(), one.expected.as_str(), one.found.as_str()))
        .collect();
    assert_eq!(found, [("/boot/efi/new", "none", "folder"), ("/boot/efi/EFI/debian/grubx64.efi", "file", "none")]);
    let copy = SETTING.copy();
    let bytes = fs::read(copy.file.path()).unwrap();
    let start = (PLACES[ESP].0 << 20) as usize;
    let place = start + bytes[start..].windows(5000).position(|window| window == [7; 5000]).unwrap();
    File::options().write(true).open(copy.file.path()).unwrap().write_all_at(b"x", place as u64 + 100).unwrap();
    copy.differs(&[("/boot/efi/EFI/debian/grubx64.efi", "content")]);
    // FAT ignores case.
    let copy = SETTING.copy().with_part(ESP, |part| {
        tool("mdel", &["-i", text(part), "::/A long name.txt"]);
        tool("mcopy", &["-i", text(part), text(local("esp").path()), "::/A LONG name.txt"]);
    });
    copy.differs(&[]);
}

#[test]
fn disk_guid() {
    let copy = SETTING.copy().sgdisk(&["--disk-guid=R"]);
    copy.differs_in(&["disk GUID"]);
}

#[test]
fn partition_name_type_and_attributes() {
    SETTING.copy().sgdisk(&["--change-name=3:other"]).differs_in(&["partition 3 name"]);
    SETTING.copy().sgdisk(&["--typecode=3:8302"]).differs_in(&["partition 3 type"]);
    SETTING.copy().sgdisk(&["--attributes=1:set:2"]).differs_in(&["partition 1 attributes"]);
}

#[test]
fn a_partition_missing_or_too_many() {
    SETTING.copy().sgdisk(&["--delete=1"]).differs_in(&["partition 1"]);
    SETTING.copy().sgdisk(&["--align-end", "--new=9:91M:+512K"]).differs_in(&["partition 9"]);
}

#[test]
fn a_partition_with_another_guid_takes_its_filesystem_with_it() {
    SETTING.copy().sgdisk(&["--partition-guid=2:R"]).differs_in(&["partition 2 GUID", "filesystem"]);
}

#[test]
fn uuids_labels_and_features_of_filesystems() {
    let ext = |arguments: &'static [&'static str]| {
        SETTING.copy().with_part(ROOT, |part| drop(tool("tune2fs", &[arguments, &[text(part)]].concat())))
    };
    ext(&["-L", "other"]).differs_in(&["label"]);
    ext(&["-U", "11111111-2222-3333-4444-555555555555"]).differs_in(&["UUID"]);
    ext(&["-o", "journal_data_writeback"]).differs_in(&["default mount options"]);
    ext(&["-O", "^dir_index"]).differs_in(&["features"]);
    let esp =
        SETTING.copy().with_part(ESP, |part| drop(tool("mlabel", &["-N", "99999999", "-i", text(part), "::OTHER"])));
    esp.differs_in(&["volume serial number", "label"]);
    let swap = SETTING.copy().with_part(SWAP, |part| drop(tool("mkswap", &["-L", "swap0", text(part)])));
    swap.differs_in(&["UUID"]);
}

#[test]
fn a_filesystem_in_a_volume_leaves_the_question_open() {
    let copy = SETTING.copy();
    let mut manifest = SETTING.manifest.clone();
    let layout = &mut manifest.host.as_mut().unwrap().layout;
    let root = layout.mount_at("/").unwrap().node.clone();
    layout.nodes.iter_mut().find(|node| node.id == root).unwrap().on = vec![layout::NodeId("lv:root".into())];
    let input = Input {
        images: &[copy.file.path().to_owned()],
        manifest: &manifest,
        vault: &SETTING.vault,
        identities: &SETTING.identities,
        progress: &(),
    };
    let error = attest(&input).unwrap_err().to_string();
    assert!(error.contains("the filesystem at / lies on"), "{error}");
}

#[test]
fn a_partition_that_holds_nothing() {
    let copy = SETTING.copy().with_part(ROOT, |part| fs::write(part, vec![0; 48 << 20]).unwrap());
    // One for the filesystem, one for the tree: not one for each file.
    copy.differs_in(&["filesystem", "filesystem"]);
}

#[test]
fn what_the_restore_declared_is_set_apart_and_cannot_hide_anything_else() {
    let report = local(
        r#"{"adapted":[{"path":"/boot/grub/","reason":"boot loader"},{"path":"/etc/plain","reason":"no"},{"path":"/boot/efi/EFI/debian/grubx64.efi","reason":"ESP"}]}"#,
    );
    let grub = local("new menu");
    let commands = format!(
        "cd /var/lib/lifeboat/restores\nwrite {} 1.json\ncd /boot/grub\nrm grub.cfg\nwrite {} grub.cfg\nmkdir i386-pc\nsif /etc/plain mode 0100600\n",
        text(report.path()),
        text(grub.path())
    );
    let copy = SETTING.copy().debugfs(&commands);
    let copy = copy.with_part(ESP, |part| drop(tool("mdel", &["-i", text(part), "::/EFI/debian/grubx64.efi"])));
    let attestation = copy.attest().unwrap();
    let paths: Vec<&str> = attestation.differences.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/etc/plain"], "{:#?}", attestation.differences);
    let adapted =
        |path: &str| attestation.adapted.iter().filter(|one| one.path == path).map(|one| one.reason.as_str()).next();
    assert_eq!(adapted("/boot/grub/grub.cfg"), Some("boot loader"));
    assert_eq!(adapted("/boot/grub/i386-pc"), Some("boot loader"));
    assert_eq!(adapted("/boot/efi/EFI/debian/grubx64.efi"), Some("ESP"));
    assert!(adapted("/var/lib/lifeboat/restores/1.json").is_some());
}

#[test]
fn a_filesystem_with_changes_in_its_journal_is_not_judged() {
    // needs_recovery beside the features that mke2fs set.
    let copy = SETTING.copy().debugfs("feature needs_recovery\n");
    let error = format!("{:#}", copy.attest().unwrap_err());
    assert!(error.contains("not unmounted cleanly"), "{error}");
}

#[test]
fn a_file_that_is_no_image_is_named() {
    let empty = local("");
    let input = Input {
        images: &[PathBuf::from("/no/such/image")],
        manifest: &SETTING.manifest,
        vault: &SETTING.vault,
        identities: &SETTING.identities,
        progress: &(),
    };
    assert!(format!("{:#}", attest(&input).unwrap_err()).starts_with("opening /no/such/image"));
    let images = [empty.path().to_owned()];
    let attestation = attest(&Input { images: &images, ..input }).unwrap();
    assert_eq!(attestation.verdict, Verdict::Different);
}

#[test]
fn partitions_are_found_by_their_number() {
    let image = Image::open(&SETTING.folder.path().join("image")).unwrap();
    let part = image.partition(3).unwrap();
    assert_eq!(part.entry.as_ref().unwrap().first_lba * SECTOR, PLACES[ROOT].0 << 20);
    let error = image.partition(9).unwrap_err().to_string();
    assert!(error.ends_with("has no partition 9"), "{error}");
}

#[test]
fn a_snapshot_of_a_tree_is_compared_with_a_bare_filesystem() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(48 << 20).unwrap();
    let source = SETTING.folder.path().join("source");
    populate(image.path(), &source, &[]);
    let manifest = Manifest { host: None, scope: Scope::Tree, ..SETTING.manifest.clone() };
    let images = [image.path().to_owned()];
    let input = Input {
        images: &images,
        manifest: &manifest,
        vault: &SETTING.vault,
        identities: &SETTING.identities,
        progress: &(),
    };
    assert_eq!(attest(&input).unwrap().differences, []);
}
