//! A tree that was backed up comes back as it was, judged by a checker that shares no code with the vault.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::prelude::*;
use tree::{Scratch, assert_same, noise, set_mtime, set_xattr, small_vault, sparse, zoo};
use vault::{Backup, Contents, EntryPath, Exclusion, Identities, Kind, Onto, Restore, Selection, Stream, Vault};

fn restore(vault: &Vault, contents: &Contents, identities: &Identities, dest: &Path) {
    let restored = vault.restore(&Restore::new(contents, identities, dest)).unwrap();
    assert_eq!(restored.problems, []);
    assert_eq!(restored.entries, contents.totals.entries);
}

#[test]
fn one_of_everything_comes_back() {
    let scratch = Scratch::new();
    zoo(&scratch.path("source"));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let done = vault.backup(&Backup::new(scratch.path("source"), "host", 1)).unwrap();
    assert_eq!(done.problems, []);
    let dest = scratch.folder("dest");
    restore(&vault, &done.contents, &identities, &dest);
    assert_same(&scratch.path("source"), &dest);
    assert_eq!(vault.check_sealed(&done.contents, &()).unwrap(), []);
    assert_eq!(vault.check_data(&done.contents, &identities, &()).unwrap(), []);
    assert_eq!(vault.catalogue(&done.contents, &identities).unwrap().count() as u64, done.contents.totals.entries);
}

type Opens = dyn Fn() -> std::io::Result<Box<dyn std::io::Read>>;

/// A volume that a file is restored into: longer than the file, and full of what was there before.
fn used_volume(path: &Path, len: u64) -> fs::File {
    fs::write(path, vec![0xee; len as usize]).unwrap();
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn the_content_of_a_file_goes_onto_what_is_open_already_and_nothing_else_of_it_is_made() {
    let scratch = Scratch::new();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    // Blocks of zeroes between others; and one that is shorter than a segment.
    let large = [noise(3_000_000, 1), vec![0; 5_000_000], noise(1_000_001, 2)].concat();
    let small = [noise(1000, 3), vec![0; 8000]].concat();
    let open: [Box<Opens>; 2] = [&large, &small].map(|bytes| {
        let bytes = bytes.clone();
        Box::new(move || Ok(Box::new(std::io::Cursor::new(bytes.clone())) as Box<dyn std::io::Read>)) as Box<_>
    });
    let mut backup = Backup::new(scratch.folder("source"), "host", 1);
    let streams = ["volumes/large", "volumes/small"].iter().zip(&open);
    backup.streams = streams
        .map(|(path, open)| Stream {
            path: EntryPath::new(path.as_bytes()).unwrap(),
            open: open.as_ref(),
            needed: true,
        })
        .collect();
    let done = vault.backup(&backup).unwrap();
    for zeroed in [false, true] {
        let lengths = [large.len() as u64 + 4096, small.len() as u64];
        let targets = ["a", "b"].map(|name| scratch.path(name));
        let files = [0, 1].map(|n| match zeroed {
            false => used_volume(&targets[n], lengths[n]),
            true => {
                let file = used_volume(&targets[n], 0);
                file.set_len(lengths[n]).unwrap();
                file
            }
        });
        let paths = backup.streams.iter().map(|stream| stream.path.clone());
        let onto: Vec<Onto> = paths.zip(files).map(|(path, target)| Onto { path, target, zeroed }).collect();
        let select = Selection::Paths(onto.iter().map(|one| one.path.clone()).collect());
        let dest = scratch.folder(if zeroed { "aside-1" } else { "aside-2" });
        let restored = vault
            .restore(&Restore { select, onto: &onto, ..Restore::new(&done.contents, &identities, &dest) })
            .unwrap();
        assert_eq!(restored.problems, []);
        assert!(fs::read(&targets[0]).unwrap()[..large.len()] == large && fs::read(&targets[1]).unwrap() == small);
        let behind = if zeroed { 0 } else { 0xee };
        assert!(fs::read(&targets[0]).unwrap()[large.len()..].iter().all(|byte| *byte == behind), "not a byte further");
        assert_eq!(fs::read_dir(dest.join("volumes")).unwrap().count(), 0);
    }
}

#[test]
fn a_hole_beside_attributes_in_a_block_of_their_own_stays_a_hole() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    sparse(&source.join("hole"), 2620, &[]);
    // Too long for the inode: the filesystem counts the block that holds it as the file's.
    set_xattr(&source.join("hole"), "user.long", &noise(3000, 1));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let done = vault.backup(&Backup::new(&source, "host", 1)).unwrap();
    let dest = scratch.folder("dest");
    restore(&vault, &done.contents, &identities, &dest);
    assert_same(&source, &dest);
}

#[test]
fn a_second_run_stores_only_what_changed_and_both_snapshots_restore() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    zoo(&source);
    fs::write(source.join("dies"), noise(100_000, 4)).unwrap();
    fs::write(source.join("becomes-folder"), "f").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let run = |serial| {
        let mut backup = Backup::new(&source, "host", serial);
        backup.cache = Some(scratch.path("cache"));
        vault.backup(&backup).unwrap()
    };
    let first = run(1);
    let before = scratch.folder("before");
    restore(&vault, &first.contents, &identities, &before);

    let unchanged = run(2);
    assert_eq!(unchanged.contents.totals.added, 0);
    assert_eq!(unchanged.contents.totals.unchanged, unchanged.contents.totals.entries);

    fs::remove_file(source.join("dies")).unwrap();
    fs::remove_file(source.join("becomes-folder")).unwrap();
    fs::create_dir(source.join("becomes-folder")).unwrap();
    fs::write(source.join("becomes-folder/new"), "new").unwrap();
    {
        use std::os::unix::fs::FileExt;
        let file = fs::OpenOptions::new().write(true).open(source.join("large")).unwrap();
        file.write_all_at(b"changed", 1_000_000).unwrap();
    }
    fs::remove_file(source.join("z-middle")).unwrap();
    set_xattr(&source.join("dir/.hidden"), "user.late", b"1");
    let third = run(3);
    let added = third.contents.totals.added;
    assert!(added > 16 << 10 && added < 40_000, "one block, one small file and some headers, not {added} bytes");
    for (serial, done) in [(2, &unchanged), (3, &third)] {
        let dest = scratch.folder(&format!("dest{serial}"));
        restore(&vault, &done.contents, &identities, &dest);
        assert_eq!(vault.check_data(&done.contents, &identities, &()).unwrap(), []);
    }
    assert_same(&source, &scratch.path("dest3"));
    assert_same(&before, &scratch.path("dest2"));
}

#[test]
fn a_restore_that_was_cut_is_completed_and_complete_files_are_left_alone() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    zoo(&source);
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    let dest = scratch.folder("dest");
    restore(&vault, &contents, &identities, &dest);
    // What a cut can leave: files missing, half written, without their time; a folder that is open; wrong bytes in a block.
    tree::thaw(&dest);
    fs::remove_file(dest.join("one")).unwrap();
    fs::write(dest.join("middle"), "half").unwrap();
    fs::write(dest.join("large-sparse"), noise(70_000, 1)).unwrap();
    fs::remove_dir_all(dest.join("d".repeat(120))).unwrap();
    fs::remove_file(dest.join("z-middle")).unwrap();
    fs::write(dest.join("z-middle"), "not a link").unwrap();
    fs::remove_file(dest.join("link")).unwrap();
    fs::create_dir(dest.join("link")).unwrap();
    let mut again = Restore::new(&contents, &identities, &dest);
    again.skip_complete = true;
    let restored = vault.restore(&again).unwrap();
    assert_eq!(restored.problems, []);
    assert!(restored.skipped >= 5, "{}", restored.skipped);
    assert_same(&source, &dest);
}

#[test]
fn a_selection_restores_those_paths_and_the_folders_that_lead_there() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    zoo(&source);
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    let dest = scratch.folder("dest");
    let path = |t: &str| EntryPath::from_argument(t.as_bytes()).unwrap();
    let mut some = Restore::new(&contents, &identities, &dest);
    // z-middle is a hard link to a name that is not selected.
    some.select = Selection::Paths(vec![path("/shut"), path("z-middle"), path("dir/.hidden")]);
    assert_eq!(vault.restore(&some).unwrap().problems, []);
    let names: BTreeSet<Vec<u8>> = tree::describe(&dest).into_keys().collect();
    let wanted = ["", "dir", "dir/.hidden", "shut", "shut/in", "z-middle"];
    assert_eq!(names, wanted.iter().map(|n| n.as_bytes().to_vec()).collect());
    assert_eq!(fs::read(dest.join("z-middle")).unwrap(), noise(200_000, 5));
    some.select = Selection::Paths(vec![path("/nosuch")]);
    assert_eq!(vault.restore(&some).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_folder_that_is_left_out_comes_back_empty_with_its_metadata() {
    let scratch = Scratch::new();
    let source = scratch.path("source");
    zoo(&source);
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let contents = vault.backup(&Backup::new(&source, "host", 1)).unwrap().contents;
    let dest = scratch.folder("dest");
    let mut rest = Restore::new(&contents, &identities, &dest);
    rest.except = vec![EntryPath::from_argument(b"/shut").unwrap()];
    assert_eq!(vault.restore(&rest).unwrap().problems, []);
    let mut wanted = tree::describe(&source);
    wanted.retain(|name, _| !name.starts_with(b"shut/"));
    assert_eq!(tree::describe(&dest), wanted);
}

#[test]
fn excluded_folders_are_kept_empty_and_named() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    fs::create_dir_all(source.join("var/cache/x")).unwrap();
    fs::write(source.join("var/cache/x/y"), "y").unwrap();
    fs::write(source.join("a.tmp"), "t").unwrap();
    fs::write(source.join("keep"), "k").unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let mut backup = Backup::new(&source, "host", 1);
    backup.exclude = ["/var/cache", "**.tmp"].map(|e| e.parse::<Exclusion>().unwrap()).into();
    let done = vault.backup(&backup).unwrap();
    let entries = vault.catalogue(&done.contents, &identities).unwrap();
    let names: Vec<String> = entries.map(|e| e.unwrap().path.to_string()).collect();
    assert_eq!(names, ["/", "/keep", "/var", "/var/cache"]);
    let left_out: Vec<String> = done.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out, ["/a.tmp", "/var/cache"]);
}

#[test]
fn paths_longer_than_the_kernel_takes_at_once_come_back() {
    let scratch = Scratch::new();
    let source = scratch.folder("source");
    let dest = scratch.folder("dest");
    let mut folder = fs::File::open(&source).unwrap();
    for depth in 0..40 {
        let name = format!("{depth}-{}", "n".repeat(150));
        rustix::fs::mkdirat(&folder, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        folder = rustix::fs::openat(&folder, name.as_str(), flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    rustix::fs::openat(&folder, "end", flags, rustix::fs::Mode::RUSR).unwrap();
    let (vault, identities) = small_vault(&scratch.path("vault"));
    let done = vault.backup(&Backup::new(&source, "host", 1)).unwrap();
    assert_eq!(done.problems, []);
    restore(&vault, &done.contents, &identities, &dest);
    let mut again = Backup::new(&dest, "other", 1);
    again.level = 1;
    let other = vault.backup(&again).unwrap();
    let list = |contents: &Contents| -> Vec<_> {
        let entries = vault.catalogue(contents, &identities).unwrap().map(Result::unwrap);
        entries.map(|e| (e.path, e.mode, e.mtime)).collect()
    };
    assert_eq!(list(&done.contents), list(&other.contents));
    // std's removal cannot go that deep by path either way; rm can.
    for tree in [&source, &dest] {
        assert!(std::process::Command::new("rm").arg("-rf").arg(tree).status().unwrap().success());
    }
}

#[derive(Debug, Clone)]
enum Node {
    File(Vec<(u32, Vec<u8>)>, u32),
    Link(Vec<u8>),
    Folder,
    HardLink(usize),
}

fn node() -> impl Strategy<Value = Node> {
    let part = (0u32..600_000, proptest::collection::vec(any::<u8>(), 1..5000));
    prop_oneof![
        4 => (proptest::collection::vec(part, 0..4), 0u32..600_000).prop_map(|(parts, size)| Node::File(parts, size)),
        1 => proptest::collection::vec(1u8..=255, 1..200).prop_map(Node::Link),
        2 => Just(Node::Folder),
        1 => any::<usize>().prop_map(Node::HardLink),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|b| if b == 0 || b == b'/' { b'_' } else { b });
    proptest::collection::vec(byte, 1..40).prop_filter("a name", |n| n != b"." && n != b"..")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_back(
        nodes in proptest::collection::vec((name(), any::<usize>(), node(), 0u32..0o10000, -1i64 << 31..1 << 33, 0i64..1_000_000_000), 1..30),
    ) {
        let scratch = Scratch::new();
        let source = scratch.folder("source");
        let (mut folders, mut files) = (vec![source.clone()], Vec::new());
        let mut made = Vec::new();
        for (name, parent, node, mode, sec, nsec) in nodes {
            let path = folders[parent % folders.len()].join(std::ffi::OsStr::from_bytes(&name));
            if path.symlink_metadata().is_ok() {
                continue;
            }
            match node {
                Node::File(parts, size) => {
                    let parts: Vec<(u64, &[u8])> = parts.iter().map(|(at, bytes)| (u64::from(*at), &bytes[..])).collect();
                    sparse(&path, size.into(), &parts);
                    files.push(path.clone());
                }
                Node::Link(target) => std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), &path).unwrap(),
                Node::Folder => {
                    fs::create_dir(&path).unwrap();
                    folders.push(path.clone());
                }
                Node::HardLink(of) if !files.is_empty() => fs::hard_link(&files[of % files.len()], &path).unwrap(),
                Node::HardLink(_) => continue,
            }
            made.push((path, mode, sec, nsec));
        }
        for (path, mode, sec, nsec) in made.iter().rev() {
            if !path.is_symlink() {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            set_mtime(path, *sec, *nsec);
        }
        let (vault, identities) = small_vault(&scratch.path("vault"));
        let done = vault.backup(&Backup::new(&source, "host", 1)).unwrap();
        prop_assert_eq!(&done.problems[..], &[]);
        let dest = scratch.folder("dest");
        restore(&vault, &done.contents, &identities, &dest);
        assert_same(&source, &dest);
        prop_assert_eq!(&vault.check_data(&done.contents, &identities, &()).unwrap()[..], &[]);
    }
}
