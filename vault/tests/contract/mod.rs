//! What every store promises, asked of each in the same way.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::io::{Read, Write};
use std::sync::Arc;

use vault::{Kind, Store};

/// Two stores that `make` gives see the same, empty place.
pub fn holds(make: &dyn Fn() -> Arc<dyn Store>) {
    let store = make();
    names_stay_inside(&*store);
    objects_are_written_once(&*store);
    objects_appear_whole_or_not_at_all(&*store, &*make());
    objects_of_any_size_come_back_as_they_were(&*store);
    lists_are_of_one_folder_and_in_order(&*store);
    what_is_removed_is_gone(&*store);
    logs_grow(&*store, &*make());
    one_writer_at_a_time(make);
}

fn kind<T: std::fmt::Debug>(outcome: vault::Result<T>) -> Kind {
    outcome.unwrap_err().kind()
}

fn names_stay_inside(store: &dyn Store) {
    for name in ["../x", "/etc/passwd", "a//b", ".hidden", "a/../b", "", "a b", "a;b"] {
        assert_eq!(kind(store.read(name, 9)), Kind::Invalid, "{name:?}");
        assert_eq!(kind(store.write_new(name, b"x")), Kind::Invalid, "{name:?}");
    }
}

fn objects_are_written_once(store: &dyn Store) {
    store.write_new("segments/ab/once", b"one").unwrap();
    assert_eq!(kind(store.write_new("segments/ab/once", b"two")), Kind::Invalid);
    assert_eq!(store.read("segments/ab/once", 3).unwrap(), b"one");
    assert_eq!(kind(store.read("segments/ab/once", 2)), Kind::Corrupt);
    assert_eq!(store.size("segments/ab/once").unwrap(), 3);
    for missing in ["segments/ab/none", "none"] {
        assert_eq!(kind(store.read(missing, 9)), Kind::NotFound, "{missing}");
    }
    assert_eq!(kind(store.open("segments/ab/none").map(drop)), Kind::NotFound);
    assert_eq!(kind(store.size("segments/ab/none")), Kind::NotFound);
}

fn objects_appear_whole_or_not_at_all(store: &dyn Store, other: &dyn Store) {
    let mut given_up = store.create().unwrap();
    given_up.write_all(b"half").unwrap();
    drop(given_up);
    let mut object = store.create().unwrap();
    object.write_all(b"who").unwrap();
    assert_eq!(other.list("whole").unwrap(), [""; 0]);
    object.write_all(b"le").unwrap();
    object.commit("whole/object").unwrap();
    store.sync().unwrap();
    assert_eq!(other.list("whole").unwrap(), ["whole/object"]);
    assert_eq!(other.read("whole/object", 9).unwrap(), b"whole");
}

fn objects_of_any_size_come_back_as_they_were(store: &dyn Store) {
    for size in [0usize, 1, 1 << 20, (3 << 20) + 17] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let name = format!("sizes/{size}");
        store.write_new(&name, &bytes).unwrap();
        let mut back = Vec::new();
        store.open(&name).unwrap().read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{size}");
        // A reader that wants the beginning only.
        let mut beginning = [0; 1];
        assert_eq!(store.open(&name).unwrap().read(&mut beginning).unwrap(), size.min(1));
    }
}

fn lists_are_of_one_folder_and_in_order(store: &dyn Store) {
    for name in ["lists/b/2", "lists/a", "lists/b/1", "listsother", "lists-other/c"] {
        store.write_new(name, name.as_bytes()).unwrap();
    }
    assert_eq!(store.list("lists").unwrap(), ["lists/a", "lists/b/1", "lists/b/2"]);
    assert_eq!(store.list("lists/b").unwrap(), ["lists/b/1", "lists/b/2"]);
    assert_eq!(store.list("nothing").unwrap(), [""; 0]);
    let sizes = store.list_sizes("lists").unwrap();
    assert_eq!(sizes, [("lists/a".to_owned(), 7), ("lists/b/1".to_owned(), 9), ("lists/b/2".to_owned(), 9)]);
}

fn what_is_removed_is_gone(store: &dyn Store) {
    store.write_new("gone/object", b"x").unwrap();
    store.remove("gone/object").unwrap();
    assert_eq!(kind(store.size("gone/object")), Kind::NotFound);
    assert_eq!(kind(store.remove("gone/object")), Kind::NotFound);
    store.write_new("gone/object", b"y").unwrap();
}

fn logs_grow(store: &dyn Store, other: &dyn Store) {
    store.append("audit/host.log", b"one\n").unwrap();
    other.append("audit/host.log", b"two\n").unwrap();
    store.append("audit/host.log", b"three\n").unwrap();
    assert_eq!(other.read("audit/host.log", 99).unwrap(), b"one\ntwo\nthree\n");
}

fn one_writer_at_a_time(make: &dyn Fn() -> Arc<dyn Store>) {
    let (first, second) = (make(), make());
    let lock = first.lock().unwrap();
    assert_eq!(kind(second.lock()), Kind::Locked);
    first.write_new("locked/object", b"x").unwrap();
    drop(lock);
    let lock = second.lock().unwrap();
    second.write_new("locked/another", b"x").unwrap();
    assert_eq!(kind(second.write_new("locked/object", b"y")), Kind::Invalid);
    drop(lock);
}
