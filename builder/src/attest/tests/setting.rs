//! A source tree, a snapshot of it, and an image that is as the snapshot says, made with sgdisk, mke2fs and mkfs.fat; and copies
//! of the image that tests change with debugfs, sgdisk, mcopy or a write.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use exec::Command;
use layout::lsblk::BlockDevice;
use layout::probe::{Content, Probe, Stacks, assemble};
use layout::{Bytes, Layout, mountinfo};
use manifest::host::{BootChain, Firmware, Hardware, Host, Identity, Kernel, Network};
use manifest::{Manifest, Scope, Serial};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use vault::{Backup, Contents, FolderStore, Identities, InitOptions, Vault};

use super::lasting;
use crate::attest::{Attestation, Image, Input, Verdict, attest};
use crate::capture::coverage::coverage;
use crate::capture::{content, table};

pub(super) const SECTOR: u64 = 512;
/// Where each partition lies, in MiB: first and length.
pub(super) const PLACES: [(u64, u64); 4] = [(1, 1), (2, 40), (42, 48), (92, 4)];
pub(super) const ROOT: usize = 2;
pub(super) const ESP: usize = 1;
pub(super) const SWAP: usize = 3;

/// A snapshot, and an image that is as it says. Made once; tests work on copies.
pub(super) struct Setting {
    pub(super) folder: tempfile::TempDir,
    pub(super) manifest: Manifest<Contents>,
    pub(super) vault: Vault,
    pub(super) identities: Identities,
}

pub(super) static SETTING: LazyLock<Setting> = LazyLock::new(Setting::make);

pub(super) fn tool(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(arguments).run().unwrap().stdout).unwrap()
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes an ext4 filesystem with the source in it. mke2fs leaves its own time on the root folder.
pub(super) fn populate(image: &Path, source: &Path, arguments: &[&str]) {
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
        lasting::until_the_end(folder.path());
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
            amended: Vec::new(),
        };
        Self { folder, manifest, vault, identities }
    }

    /// A copy of the image that can be changed.
    pub(super) fn copy(&self) -> Copy {
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
    let found = table::read(&mut File::open(image).unwrap(), 512).unwrap();
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
    let layout: Layout = assemble(&devices, &probes, &Stacks::default(), &mountinfo::parse(mounts));
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
        containers: Vec::new(),
        guests: Vec::new(),
        gaps: Vec::new(),
    }
}

/// An image that a test changes.
pub(super) struct Copy {
    pub(super) file: tempfile::NamedTempFile,
}

impl Copy {
    pub(super) fn attest(&self) -> anyhow::Result<Attestation> {
        attest(&Input {
            images: &[self.file.path().to_owned()],
            manifest: &SETTING.manifest,
            vault: &SETTING.vault,
            identities: &SETTING.identities,
            progress: &(),
        })
    }

    /// Takes a partition out, lets `change` work on it, and puts it back.
    pub(super) fn with_part(self, index: usize, change: impl FnOnce(&Path)) -> Self {
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

    pub(super) fn debugfs(self, commands: &str) -> Self {
        self.with_part(ROOT, |part| debugfs(part, commands))
    }

    pub(super) fn sgdisk(self, arguments: &[&str]) -> Self {
        tool("sgdisk", &[arguments, &[text(self.file.path())]].concat());
        self
    }

    /// Exactly these (path, what) differ.
    pub(super) fn differs(self, expected: &[(&str, &str)]) {
        let attestation = self.attest().unwrap();
        let found: Vec<(&str, &str)> =
            attestation.differences.iter().map(|one| (one.path.as_str(), one.what.as_str())).collect();
        assert_eq!(found, expected, "{:#?}", attestation.differences);
        assert_eq!(attestation.verdict, if expected.is_empty() { Verdict::Identical } else { Verdict::Different });
    }

    /// These storage properties differ, of whichever object.
    pub(super) fn differs_in(self, expected: &[&str]) {
        let attestation = self.attest().unwrap();
        let found: Vec<&str> = attestation.differences.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(found, expected, "{:#?}", attestation.differences);
    }
}

pub(super) fn local(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    file
}
