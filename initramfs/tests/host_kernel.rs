//! The modules of a real kernel: the newest in /lib/modules that `depmod` has indexed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use initramfs::{Compression, ESSENTIAL_MODULES, ModuleTree, Node, RESCUE_MODULES, Sysroot, Tree};

/// What an image with this machine's kernel may weigh, well below what is refused: growth should be noticed.
const EXPECTED: usize = 24 << 20;

fn release() -> String {
    let folders = std::fs::read_dir("/lib/modules").expect("linux-image-amd64 is installed").flatten();
    let indexed = folders.filter(|folder| folder.path().join("modules.dep").is_file());
    indexed.map(|folder| folder.file_name().into_string().unwrap()).max().expect("linux-image-amd64 is installed")
}

fn packed() -> (String, Tree) {
    let release = release();
    let modules = ModuleTree::read(&Sysroot::new("/"), &release).unwrap();
    let selection = modules.select(RESCUE_MODULES, ESSENTIAL_MODULES);
    assert!(selection.missing.is_empty(), "{:?}", selection.missing);
    let mut tree = Tree::new();
    modules.pack(&mut tree, &selection).unwrap();
    (release, tree)
}

/// `modprobe` works out what must be loaded from the full indexes; all of it must be in the image.
#[test]
fn every_module_that_modprobe_would_load_is_there() {
    let (release, tree) = packed();
    let there: BTreeSet<PathBuf> = tree.entries().map(|(path, _)| path.to_owned()).collect();
    for name in [
        "ext4",
        "xfs",
        "btrfs",
        "vfat",
        "ahci",
        "nvme",
        "uas",
        "xhci_pci",
        "hid_generic",
        "dm_thin_pool",
        "megaraid_sas",
        "e1000e",
    ] {
        let output = Command::new("/sbin/modprobe").args(["-S", &release, "--show-depends", name]).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let path = line.split_whitespace().next().unwrap();
            let plain = &path[..path.rfind(".ko").unwrap() + 3];
            let real = Path::new("/usr").join(plain.strip_prefix('/').unwrap());
            assert!(there.contains(Path::new(plain)) || there.contains(&real), "{name} needs {plain}");
        }
    }
}

/// Debian 12 has plain modules, 13 compressed ones; the image has ELF files, signatures and all.
#[test]
fn every_module_is_an_elf_file_and_stands_in_the_index() {
    let (release, tree) = packed();
    let folder = Path::new("/lib/modules").join(&release);
    let Node::File(index) = &tree.get(&folder.join("modules.dep")).unwrap().node else {
        panic!("modules.dep is a file")
    };
    let index = String::from_utf8(index.clone()).unwrap();
    let mut modules = 0;
    for line in index.lines() {
        let (path, needs) = line.split_once(':').unwrap();
        for path in std::iter::once(path).chain(needs.split_whitespace()) {
            let entry = tree.get(&folder.join(path)).unwrap_or_else(|| panic!("{path} is in the index"));
            assert!(matches!(&entry.node, Node::File(content) if content.starts_with(b"\x7fELF")), "{path}");
        }
        modules += 1;
    }
    let files = tree.entries().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "ko")).count();
    assert_eq!(modules, files);
}

#[test]
fn the_modules_stay_within_the_size_that_was_measured() {
    let (_, tree) = packed();
    let image = tree.archive().compress(Compression::Zstd, 2).unwrap();
    assert!(image.bytes.len() < EXPECTED, "{image}");
}
