//! Filesystems of many kinds, made by their own tools, read by `layout`, and made again as the rescue makes them: what the tools then
//! say of the second must be what they say of the first.

use std::path::Path;

use layout::Bytes;
use layout::btrfs::Btrfs;
use layout::ext::Ext;
use layout::xfs::Xfs;

const SIZE: u64 = 128 << 20;
/// XFS and btrfs take more.
const LARGE: u64 = 512 << 20;

fn image(folder: &Path, name: &str, size: u64) -> String {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(tool: &str, args: &[String]) -> String {
    let ran = exec::Command::new(exec::find(tool).unwrap()).args(args).read();
    ran.unwrap_or_else(|error| panic!("{error}"))
}

fn start_of(path: &str, length: u64) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().take(length).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Lines of a report without those that say when, or that are drawn anew.
fn facts(report: &str, passing: &[&str]) -> Vec<String> {
    let kept = report.lines().filter(|line| !passing.iter().any(|word| line.contains(word)));
    kept.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn ext_filesystems_come_back_with_their_features_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        "-t ext2",
        "-t ext3",
        "-t ext3 -b 1024 -I 128",
        "-t ext4",
        "-t ext4 -O ^64bit,^metadata_csum",
        "-t ext4 -O ^has_journal",
        "-t ext4 -O bigalloc -C 65536",
        "-t ext4 -O casefold -E encoding=utf8,encoding_flags=strict",
        "-t ext4 -O casefold,encrypt,verity",
        "-t ext4 -O quota,project -E quotatype=usrquota:prjquota",
        "-t ext4 -O quota",
        "-t ext4 -O metadata_csum_seed,inline_data,large_dir,ea_inode,stable_inodes",
        "-t ext4 -O orphan_file",
        "-t ext4 -O meta_bg,^resize_inode",
        "-t ext4 -O sparse_super2",
        "-t ext4 -O fast_commit",
        "-t ext4 -J size=8 -e remount-ro -E stride=16,stripe_width=64 -G 32 -m 1",
        "-t ext4 -O ^ext_attr,^dir_index,^huge_file -e panic",
    ];
    // The directory hash's seed is drawn for each filesystem and means nothing outside it; the checksum's seed follows from it.
    let passing = [
        "time",
        "created",
        "Seed",
        "seed",
        "checksum",
        "Checksum",
        "write",
        "Mount count",
        "Last",
        "last",
        "sequence",
        "start:",
    ];
    for (index, line) in table.iter().enumerate() {
        let (old, new) = (image(folder.path(), "old", SIZE), image(folder.path(), "new", SIZE));
        let mut args: Vec<String> = ["-q", "-F", "-L", "a label"].map(str::to_owned).into();
        args.extend(line.split(' ').map(str::to_owned));
        args.push(old.clone());
        run("mke2fs", &args);
        if index % 2 == 0 {
            run("tune2fs", &["-o", "journal_data_writeback,^acl", &old].map(str::to_owned));
        }
        let ext = Ext::parse(&start_of(&old, 2048)[1024..]).unwrap();
        run("mke2fs", &ext.mke2fs(&new, Bytes(SIZE), Bytes(SIZE)));
        run("tune2fs", &ext.tune2fs(&new, Bytes(SIZE), Bytes(SIZE)));
        let say = |path: &str| facts(&run("dumpe2fs", &["-h".to_owned(), path.to_owned()]), &passing);
        assert_eq!(say(&new), say(&old), "{line}");
        run("e2fsck", &["-f", "-n", &new].map(str::to_owned));
    }
}

#[test]
fn xfs_filesystems_come_back_with_their_features_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        "",
        "-m crc=0",
        "-m reflink=0,rmapbt=1",
        "-m bigtime=0,inobtcount=0",
        "-m finobt=0,reflink=0,inobtcount=0",
        "-i sparse=0,size=1024",
        "-n size=8192 -s size=4096",
        "-b size=1024",
    ];
    for line in table {
        let (old, new) = (image(folder.path(), "old", LARGE), image(folder.path(), "new", LARGE));
        let mut args: Vec<String> = ["-q", "-f", "-L", "label"].map(str::to_owned).into();
        args.extend(line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        args.push(old.clone());
        run("mkfs.xfs", &args);
        let xfs = Xfs::parse(&start_of(&old, 512)).unwrap();
        run("mkfs.xfs", &xfs.mkfs_xfs(&new, Bytes(LARGE), Bytes(LARGE), 512));
        let say = |path: &str| {
            run("xfs_db", &["-r", "-c", "info", "-c", "uuid", "-c", "label", path].map(str::to_owned)).replace(path, "")
        };
        assert_eq!(say(&new), say(&old), "{line}");
    }
}

#[test]
fn btrfs_filesystems_come_back_with_their_features_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        ("", "single", "dup"),
        ("--csum xxhash -n 32k", "single", "dup"),
        ("--csum sha256 -O ^no-holes -R ^free-space-tree", "single", "single"),
        ("-M", "single", "single"),
    ];
    let passing = [
        "csum\t",
        "bytenr",
        "dev_item.uuid",
        "generation",
        "root",
        "bytes_used",
        "device=",
        "cache_",
        "sys_array",
        "transid",
        "CHANGED",
    ];
    for (line, data, metadata) in table {
        let (old, new) = (image(folder.path(), "old", LARGE), image(folder.path(), "new", LARGE));
        let mut args: Vec<String> = ["-q", "-f", "-L", "a label", "-d", data, "-m", metadata].map(str::to_owned).into();
        args.extend(line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        args.push(old.clone());
        run("mkfs.btrfs", &args);
        let bytes = start_of(&old, 128 << 10);
        let (mut btrfs, _) = Btrfs::parse(&bytes[64 << 10..]).unwrap();
        (btrfs.data, btrfs.metadata) = (data.to_owned(), metadata.to_owned());
        // mkfs.btrfs does not take a UUID twice on one machine.
        std::fs::remove_file(&old).unwrap();
        let kept = folder.path().join("kept");
        std::fs::write(&kept, &bytes).unwrap();
        std::fs::OpenOptions::new().write(true).open(&kept).unwrap().set_len(LARGE).unwrap();
        run("mkfs.btrfs", &btrfs.mkfs_btrfs(std::slice::from_ref(&new)));
        let dump = |path: &str| {
            let args = ["inspect-internal", "dump-super", path].map(str::to_owned);
            facts(&run("btrfs", &args), &passing)
        };
        assert_eq!(dump(&new), dump(kept.to_str().unwrap()), "{line}");
    }
}
