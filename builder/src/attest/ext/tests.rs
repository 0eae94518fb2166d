//! Against debugfs: what it says of an inode is what the reader says.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use exec::Command;

use super::*;

fn debugfs(image: &Path, commands: &str) -> String {
    let output = Command::new("debugfs").args(["-w", "-f", "-"]).arg(image).stdin(commands).run().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An image with files whose content is their name.
fn image(arguments: &[&str]) -> tempfile::NamedTempFile {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("folder")).unwrap();
    for number in 0..600 {
        fs::write(source.path().join(format!("folder/file with a long name {number:04}")), format!("{number}"))
            .unwrap();
    }
    fs::write(source.path().join("file"), vec![1; 100_000]).unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(24 << 20).unwrap();
    Command::new("mke2fs").args(["-q", "-d"]).arg(source.path()).args(arguments).arg(image.path()).run().unwrap();
    image
}

fn open(image: &Path) -> Volume {
    let file = File::open(image).unwrap();
    let length = file.metadata().unwrap().len();
    Volume::open(Window::new(Arc::new(file), 0, length)).unwrap()
}

/// The inode that a path leads to.
fn inode(volume: &Volume, path: &str) -> Inode {
    path.split('/').filter(|part| !part.is_empty()).fold(volume.inode(2).unwrap(), |folder, part| {
        volume.inode(volume.folder(&folder).unwrap()[part.as_bytes()]).unwrap()
    })
}

const FORMS: &[&[&str]] = &[
    &["-t", "ext4"],
    &["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum"],
    &["-t", "ext4", "-I", "128", "-O", "^metadata_csum"],
    &["-t", "ext3"],
    &["-t", "ext2", "-b", "1024"],
];

#[test]
fn every_name_leads_to_the_inode_that_debugfs_names() {
    for form in FORMS {
        let image = image(form);
        let volume = open(image.path());
        let folder = inode(&volume, "folder");
        let names = volume.folder(&folder).unwrap();
        assert_eq!(names.len(), 600, "{form:?}");
        // `ls -p` prints /inode/mode/uid/gid/name/size/
        let listed = debugfs(image.path(), "ls -p /folder\n");
        let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('/').collect()).collect();
        let files = lines.iter().filter(|fields| fields.len() > 6 && fields[5].starts_with("file"));
        let mut count = 0;
        for fields in files {
            let number: u32 = fields[1].parse().unwrap();
            assert_eq!(names.get(fields[5].as_bytes()), Some(&number), "{form:?}");
            let inode = volume.inode(number).unwrap();
            let mode = u32::from_str_radix(fields[2], 8).unwrap();
            assert_eq!((inode.mode(), inode.size().to_string()), (mode & 0o7777, fields[6].to_owned()));
            count += 1;
        }
        assert_eq!(count, 600, "{form:?}");
    }
}

#[test]
fn fields_are_read_as_debugfs_set_them() {
    let image = image(&["-t", "ext4", "-O", "project"]);
    let commands = "mknod char c 1 1\nsif /char block[0] 0\nsif /char block[1] 0x11112c70\nmknod block b 8 1\nmknod fifo p\n\
        sif /file uid 100000\nsif /file gid 70000\nsif /file mtime @1700000000\nsif /file mtime_extra 493827161\n\
        sif /file projid 4711\nsif /file flags 0x800c0\n";
    debugfs(image.path(), commands);
    let volume = open(image.path());
    let file = inode(&volume, "file");
    assert_eq!((file.uid(), file.gid(), file.project(), file.flags()), (100_000, 70_000, 4711, 0x800c0));
    // 493827161 is 123456790 << 2 | 1: the lower bits add 2^32 seconds.
    assert_eq!(file.mtime(), (vault::Time { sec: 1_700_000_000 + (1 << 32), nsec: 123_456_790 }, true));
    assert_eq!(inode(&volume, "block").device(), (8, 1));
    assert_eq!(inode(&volume, "char").device(), (300, 70_000));
    assert_eq!(inode(&volume, "fifo").kind(), Some(EntryKind::Fifo));
    assert_eq!(inode(&volume, "block").kind(), Some(EntryKind::BlockDevice));
}

#[test]
fn an_inode_of_128_bytes_has_whole_seconds() {
    let image = image(&["-t", "ext4", "-I", "128", "-O", "^metadata_csum"]);
    debugfs(image.path(), "sif /file mtime @1700000000\n");
    assert_eq!(inode(&open(image.path()), "file").mtime(), (vault::Time { sec: 1_700_000_000, nsec: 0 }, false));
}

#[test]
fn xattrs_are_read_from_the_inode_from_a_block_and_from_inodes_of_their_own() {
    // debugfs sets values of up to 1024 bytes: more than a block of 1024 holds beside its header.
    let image = image(&["-t", "ext4", "-b", "1024", "-O", "ea_inode"]);
    let large = tempfile::NamedTempFile::new().unwrap();
    fs::write(large.path(), "L".repeat(1024)).unwrap();
    let middle = tempfile::NamedTempFile::new().unwrap();
    fs::write(middle.path(), "M".repeat(500)).unwrap();
    let commands = format!(
        "ea_set /file user.short value\nea_set /file security.capability cap\nea_set /file trusted.t \"a b\"\n\
         ea_set -f {} /file user.middle\nea_set -f {} /file user.large\n",
        middle.path().display(),
        large.path().display()
    );
    debugfs(image.path(), &commands);
    let volume = open(image.path());
    let found = volume.xattrs(&inode(&volume, "file")).unwrap();
    let shown: Vec<(String, usize)> =
        found.iter().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.len())).collect();
    let expected =
        [("security.capability", 3), ("trusted.t", 3), ("user.large", 1024), ("user.middle", 500), ("user.short", 5)];
    assert_eq!(shown, expected.map(|(name, length)| (name.to_owned(), length)));
    assert_eq!(found[4].1, b"value");
    assert!(found[2].1.iter().all(|byte| *byte == b'L'));
}

#[test]
fn a_damaged_filesystem_is_an_error_and_no_crash() {
    let image = image(&["-t", "ext4", "-O", "^metadata_csum"]);
    let bytes = fs::read(image.path()).unwrap();
    let volume = open(image.path());
    let folder = inode(&volume, "folder");
    assert!(volume.inode(0).is_err() && volume.inode(u32::MAX).is_err());
    assert!(volume.block(u64::MAX).is_err() && volume.block(1 << 40).is_err());
    // Every byte of the folder's inode, changed one at a time: whatever it becomes, reading ends.
    let start = bytes.windows(128).position(|window| window == &folder_bytes(&folder)[..128]).unwrap();
    for at in 0..128 {
        let mut damaged = bytes.clone();
        damaged[start + at] ^= 0xff;
        fs::write(image.path(), &damaged).unwrap();
        let volume = open(image.path());
        if let Ok(inode) = volume.inode(folder.number) {
            let _ = volume.folder(&inode);
            let _ = volume.xattrs(&inode);
        }
    }
}

fn folder_bytes(inode: &Inode) -> Vec<u8> {
    // The fields that are public to the module rebuild the bytes word by word.
    (0..32).flat_map(|word| inode.u32(4 * word).to_le_bytes()).collect()
}
