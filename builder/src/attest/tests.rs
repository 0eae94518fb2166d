//! A source tree is backed up; images of it are made with sgdisk, mke2fs and mkfs.fat; each test changes one thing with
//! debugfs, sgdisk, mcopy or a write to the image, and names what must be found.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use exec::Command;
use layout::lsblk::BlockDevice;
use layout::probe::{Content, Probe, assemble};
use layout::{Bytes, Layout, mountinfo};
use manifest::host::{BootChain, Firmware, Hardware, Host, Identity, Kernel, Network};
use manifest::{Manifest, Scope, Serial};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use vault::{Backup, FolderStore, InitOptions};

use super::*;
use crate::capture::coverage::coverage;
use crate::capture::table;

const SECTOR: u64 = 512;
/// Where each partition lies, in MiB: first and length.
const PLACES: [(u64, u64); 4] = [(1, 1), (2, 40), (42, 48), (92, 4)];
const ROOT: usize = 2;
const ESP: usize = 1;
const SWAP: usize = 3;

/// A snapshot, and an image that is as it says. Made once; tests work on copies.
struct Setting {
    folder: tempfile::TempDir,
    manifest: Manifest<Contents>,
    vault: Vault,
    identities: Identities,
}

static SETTING: LazyLock<Setting> = LazyLock::new(Setting::make);

fn tool(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(arguments).run().unwrap().stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes an ext4 filesystem with the source in it. mke2fs leaves its own time on the root folder.
fn populate(image: &Path, source: &Path, arguments: &[&str]) {
    tool("mke2fs", &[&["-q", "-t", "ext4", "-d", text(source)], arguments, &[text(image)]].concat());
    let time = fs::metadata(source).unwrap().mtime();
    debugfs(image, &format!("sif / mtime @{time}\nsif / mtime_extra 0\n"));
}

/// Whole seconds: mke2fs -d of e2fsprogs 1.47.0 drops the rest.
fn set_times(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            set_times(&path);
        } else {
            stamp(&path);
        }
    }
    stamp(root);
}

fn stamp(path: &Path) {
    let time = Timespec { tv_sec: 1_600_000_000 + (path.as_os_str().len() as i64), tv_nsec: 0 };
    utimensat(CWD, path, &Timestamps { last_access: time, last_modification: time }, AtFlags::SYMLINK_NOFOLLOW)
        .unwrap();
}

fn make_source(root: &Path) {
    for folder in ["etc", "boot/grub", "boot/efi/EFI/debian", "var/lib/lifeboat/restores", "home/empty", "many"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/plain"), "plain content\n").unwrap();
    fs::write(root.join("etc/empty"), "").unwrap();
    fs::write(root.join("etc/large"), (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    fs::write(root.join("etc/secret"), "secret").unwrap();
    fs::set_permissions(root.join("etc/secret"), fs::Permissions::from_mode(0o4600)).unwrap();
    fs::write(root.join("etc/first"), "linked").unwrap();
    fs::hard_link(root.join("etc/first"), root.join("etc/second")).unwrap();
    fs::write(root.join("etc/own"), "linked").unwrap();
    symlink("plain", root.join("etc/link")).unwrap();
    symlink("x".repeat(200), root.join("etc/long-link")).unwrap();
    fs::write(root.join("etc/na me\\with 'odd' \u{fc}"), "odd").unwrap();
    fs::write(root.join("etc/attributes"), "attributes").unwrap();
    rustix::fs::setxattr(root.join("etc/attributes"), "user.note", b"value", rustix::fs::XattrFlags::empty()).unwrap();
    // user::rw- user:1000:r-- group::r-- mask::r-- other::---, as acl(5) and setxattr(2) have it.
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let entries = [
        entry(1, 6, u32::MAX),
        entry(2, 4, 1000),
        entry(4, 4, u32::MAX),
        entry(0x10, 4, u32::MAX),
        entry(0x20, 0, u32::MAX),
    ];
    let acl = [&2u32.to_le_bytes()[..], &entries.concat()].concat();
    rustix::fs::setxattr(root.join("etc/attributes"), "system.posix_acl_access", &acl, rustix::fs::XattrFlags::empty())
        .unwrap();
    rustix::fs::mknodat(CWD, root.join("etc/fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), "menu").unwrap();
    fs::write(root.join("boot/efi/EFI/debian/grubx64.efi"), vec![7; 5000]).unwrap();
    fs::write(root.join("boot/efi/A long name.txt"), "esp").unwrap();
    for number in 0..400 {
        fs::write(root.join(format!("many/a rather long name to fill blocks {number}")), format!("{number}")).unwrap();
    }
    fs::create_dir(root.join("ancient")).unwrap();
    fs::write(root.join("ancient/file"), vec![3; 9000]).unwrap();
    symlink("file", root.join("ancient/link")).unwrap();
    set_times(root);
    // The last seconds of 1969.
    let time = Timespec { tv_sec: -2, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, root.join("ancient"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    utimensat(CWD, root.join("etc/own"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

impl Setting {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        make_source(&source);
        let identities = Identities::generate();
        let store = Arc::new(FolderStore::new(folder.path().join("vault")));
        let vault = Vault::init(store, &InitOptions::new(identities.recipients())).unwrap();
        let finished = vault.backup(&Backup::new(&source, "box", 1)).unwrap();
        assert!(finished.problems.is_empty(), "{:?}", finished.problems);
        let image = folder.path().join("image");
        make_image(&image, &source, folder.path());
        let manifest = Manifest {
            format: manifest::FORMAT,
            vault: vault.id().parse().unwrap(),
            host_name: "box".parse().unwrap(),
            serial: Serial(1),
            previous: None,
            tool: "test".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: jiff::Timestamp::UNIX_EPOCH,
            stale_after: None,
            scope: Scope::Host,
            sources: Vec::new(),
            host: Some(host(&image)),
            problems: Vec::new(),
            boot_files: Vec::new(),
            contents: finished.contents,
        };
        Self { folder, manifest, vault, identities }
    }

    /// A copy of the image that can be changed.
    fn copy(&self) -> Copy {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::copy(self.folder.path().join("image"), file.path()).unwrap();
        Copy { file }
    }
}

fn make_image(image: &Path, source: &Path, work: &Path) {
    File::create(image).unwrap().set_len(97 << 20).unwrap();
    let place = |index: usize| format!("{}:{}M:+{}M", index + 1, PLACES[index].0, PLACES[index].1);
    let new: Vec<String> = (0..4).map(|index| format!("--new={}", place(index))).collect();
    let mut arguments: Vec<&str> = new.iter().map(String::as_str).collect();
    arguments.extend([
        "--typecode=1:ef02",
        "--typecode=2:ef00",
        "--typecode=4:8200",
        "--change-name=3:root",
        text(image),
    ]);
    tool("sgdisk", &arguments);
    let part = |index: usize| {
        let path = work.join(format!("part{index}"));
        File::create(&path).unwrap().set_len(PLACES[index].1 << 20).unwrap();
        path
    };
    let (esp, root, swap) = (part(ESP), part(ROOT), part(SWAP));
    populate(&root, source, &["-L", "root", "-O", "project"]);
    let remove = "rm /boot/efi/EFI/debian/grubx64.efi\nrmdir /boot/efi/EFI/debian\nrmdir /boot/efi/EFI\nrm \"/boot/efi/A long name.txt\"\n";
    debugfs(&root, remove);
    tool("mkfs.fat", &["-F", "32", "-s", "1", "-n", "ESP", "-i", "1234abcd", text(&esp)]);
    let (efi, long) = (source.join("boot/efi/EFI"), source.join("boot/efi/A long name.txt"));
    tool("mcopy", &["-s", "-i", text(&esp), text(&efi), text(&long), "::"]);
    tool("mkswap", &["-L", "swap0", text(&swap)]);
    let whole = File::options().write(true).open(image).unwrap();
    for (index, path) in [(ESP, esp), (ROOT, root), (SWAP, swap)] {
        whole.write_all_at(&fs::read(path).unwrap(), PLACES[index].0 << 20).unwrap();
    }
}

fn debugfs(image: &Path, commands: &str) {
    let output = Command::new("debugfs").args(["-w", "-f", "-"]).arg(image).stdin(commands).run().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = complaints.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    assert!(complaints.is_empty(), "{commands}: {complaints:?}");
}

/// The host whose disk the image is.
fn host(image: &Path) -> Host {
    let opened = Image::open(image).unwrap();
    let device = |kname: &str, kind: &str, number: usize| BlockDevice {
        kname: kname.into(),
        path: format!("/dev/{kname}"),
        number: format!("8:{number}"),
        kind: kind.into(),
        size: Bytes::GIB,
        serial: Some("S1".into()),
        parents: if kind == "part" { vec!["sda".into()] } else { Vec::new() },
        ..BlockDevice::default()
    };
    let found = table::read(&mut opened.window(), 512).unwrap();
    let mut devices = vec![device("sda", "disk", 0)];
    let mut probes = std::collections::BTreeMap::new();
    for (index, part) in opened.partitions().iter().enumerate() {
        let kname = format!("sda{}", index + 1);
        devices.push(device(&kname, "part", index + 1));
        let window = part.window();
        let content = content::ext(&window)
            .map(Content::Ext)
            .or_else(|_| content::vfat(&window).map(Content::Vfat))
            .or_else(|_| content::swap(&window).map(Content::Swap))
            .unwrap_or(Content::Blank);
        probes.insert(kname, Probe { table: None, content });
    }
    probes.insert("sda".into(), Probe { table: Some((found.table, found.partitions)), content: Content::Unknown });
    let mounts = b"1 0 8:3 / / rw - ext4 /dev/sda3 rw\n2 1 8:2 / /boot/efi rw - vfat /dev/sda2 rw\n";
    let layout: Layout = assemble(&devices, &probes, &mountinfo::parse(mounts));
    let coverage = coverage(&layout, &[], None);
    assert_eq!(coverage.uncovered().count(), 0);
    let boot = BootChain {
        firmware: Firmware::Uefi,
        secure_boot: None,
        loaders: Vec::new(),
        efi: None,
        command_line: String::new(),
        kernel: Kernel::default(),
        modules: Vec::new(),
    };
    Host {
        identity: Identity::default(),
        layout,
        coverage,
        boot,
        network: Network::default(),
        hardware: Hardware::default(),
        fstab: Vec::new(),
        swap_files: Vec::new(),
        gaps: Vec::new(),
    }
}

/// An image that a test changes.
struct Copy {
    file: tempfile::NamedTempFile,
}

impl Copy {
    fn attest(&self) -> anyhow::Result<Attestation> {
        attest(&Input {
            images: &[self.file.path().to_owned()],
            manifest: &SETTING.manifest,
            vault: &SETTING.vault,
            identities: &SETTING.identities,
            progress: &(),
        })
    }

    /// Takes a partition out, lets `change` work on it, and puts it back.
    fn with_part(self, index: usize, change: impl FnOnce(&Path)) -> Self {
        let (start, length) = (PLACES[index].0 << 20, (PLACES[index].1 << 20) as usize);
        let part = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; length];
        self.file.as_file().read_exact_at(&mut bytes, start).unwrap();
        fs::write(part.path(), bytes).unwrap();
        change(part.path());
        File::options()
            .write(true)
            .open(self.file.path())
            .unwrap()
            .write_all_at(&fs::read(part.path()).unwrap(), start)
            .unwrap();
        self
    }

    fn debugfs(self, commands: &str) -> Self {
        self.with_part(ROOT, |part| debugfs(part, commands))
    }

    fn sgdisk(self, arguments: &[&str]) -> Self {
        tool("sgdisk", &[arguments, &[text(self.file.path())]].concat());
        self
    }

    /// Exactly these (path, what) differ.
    fn differs(self, expected: &[(&str, &str)]) {
        let attestation = self.attest().unwrap();
        let found: Vec<(&str, &str)> =
            attestation.differences.iter().map(|one| (one.path.as_str(), one.what.as_str())).collect();
        assert_eq!(found, expected, "{:#?}", attestation.differences);
        assert_eq!(attestation.verdict, if expected.is_empty() { Verdict::Identical } else { Verdict::Different });
    }

    /// These storage properties differ, of whichever object.
    fn differs_in(self, expected: &[&str]) {
        let attestation = self.attest().unwrap();
        let found: Vec<&str> = attestation.differences.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(found, expected, "{:#?}", attestation.differences);
    }
}

fn local(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    file
}

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
fn partitions_are_found_by_number_guid_type_name_and_label() {
    let image = Image::open(&SETTING.folder.path().join("image")).unwrap();
    let guid = |index: usize| image.partitions()[index].entry.as_ref().unwrap().guid.clone();
    let esp_type = layout::Guid::new(layout::gpt::ESP).unwrap();
    for (pick, index) in [
        (Pick::Number(3), ROOT),
        (Pick::Guid(guid(SWAP)), SWAP),
        (Pick::Type(esp_type), ESP),
        (Pick::Name("root".into()), ROOT),
        (Pick::Label("root".into()), ROOT),
        (Pick::Label("ESP".into()), ESP),
    ] {
        let part = image.find(&pick).unwrap();
        assert_eq!(part.entry.as_ref().unwrap().guid, guid(index), "{pick}");
        assert_eq!(part.window().length(), PLACES[index].1 << 20);
        assert_eq!(part.entry.as_ref().unwrap().first_lba * SECTOR, PLACES[index].0 << 20);
    }
    let error = image.find(&Pick::Label("LIFEBOAT".into())).unwrap_err().to_string();
    assert!(error.contains("no partition with the volume label \"LIFEBOAT\""), "{error}");
    assert!(image.find(&Pick::Name(String::new())).unwrap_err().to_string().contains("several"));
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
