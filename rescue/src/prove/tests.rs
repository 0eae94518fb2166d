//! Comparing a restored tree with the catalogue: every kind of difference is seen.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use vault::{Backup, FolderStore, InitOptions};

use super::*;

#[test]
fn what_the_snapshot_does_not_have_is_found_and_not_descended_into() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("kept/deep")).unwrap();
    fs::create_dir_all(root.path().join("new/below")).unwrap();
    fs::write(root.path().join("kept/deep/odd"), b"").unwrap();
    let mut paths = Paths::default();
    for path in ["kept", "kept/deep"] {
        paths.add(path.as_bytes());
    }
    let mut extra = Vec::new();
    find_extra(root.path(), &mut Vec::new(), &|path| paths.has(path), &mut extra);
    extra.sort();
    assert_eq!(extra, [b"kept/deep/odd".to_vec(), b"new".to_vec()]);
}

/// A tree with one of each kind that needs no root, backed up.
fn captured(tree: &Path, store: &Path) -> Vec<Entry> {
    fs::create_dir(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/file"), b"content").unwrap();
    fs::hard_link(tree.join("folder/file"), tree.join("second")).unwrap();
    symlink("folder/file", tree.join("link")).unwrap();
    let key = Identities::generate();
    let vault = Vault::init(Arc::new(FolderStore::new(store)), &InitOptions::new(key.recipients())).unwrap();
    let done = vault.backup(&Backup::new(tree, "host", 1)).unwrap();
    vault.catalogue(&done.contents, &key).unwrap().collect::<vault::Result<Vec<Entry>>>().unwrap()
}

fn differences(tree: &Path, entries: &[Entry]) -> Vec<(String, String)> {
    let compared = entries.iter().filter_map(|entry| Some((entry.path.to_string(), compare(tree, entry)?)));
    compared.collect()
}

#[test]
fn an_unchanged_tree_has_no_differences_and_each_change_is_named() {
    let (tree, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = captured(tree.path(), store.path());
    assert_eq!(entries.len(), 5, "the root counts");
    assert_eq!(differences(tree.path(), &entries), []);

    let file = tree.path().join("folder/file");
    let kept = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, b"CONTENT").unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(kept).unwrap();
    let found = differences(tree.path(), &entries);
    assert_eq!(found, [("/folder/file".to_owned(), "content differs".to_owned())]);

    fs::write(&file, b"content").unwrap();
    let found = differences(tree.path(), &entries);
    assert!(found.len() == 1 && found[0].1.starts_with("mtime is "), "{found:?}");

    File::options().write(true).open(&file).unwrap().set_modified(kept).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
    let found = differences(tree.path(), &entries);
    assert!(found.len() == 1 && found[0].1.starts_with("mode is 4755, was "), "{found:?}");
}

#[test]
fn lost_links_and_types_are_named() {
    let (tree, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = captured(tree.path(), store.path());
    let root_time = fs::metadata(tree.path()).unwrap().modified().unwrap();
    fs::remove_file(tree.path().join("link")).unwrap();
    fs::create_dir(tree.path().join("link")).unwrap();
    fs::copy(tree.path().join("folder/file"), tree.path().join("copy")).unwrap();
    fs::rename(tree.path().join("copy"), tree.path().join("second")).unwrap();
    File::open(tree.path()).unwrap().set_modified(root_time).unwrap();
    let found = differences(tree.path(), &entries);
    let text = format!("{found:?}");
    assert!(text.contains("(\"/link\", \"is of another type\")"), "{text}");
    assert!(text.contains("is not a hard link to its first name"), "{text}");
}
