//! Boot entries, settled in a folder that stands in for the firmware's variables.

use std::path::Path;

use super::*;

fn guid(last: u8) -> Guid {
    Guid::new(&format!("36FD683A-32C8-42F2-B0B7-C0FE8554C9{last:02X}")).unwrap()
}

fn option(label: &str, partition: u8, file: &str) -> LoadOption {
    let place = Place { number: 2, start: 4096, sectors: 131_072, guid: guid(partition) };
    LoadOption::new(label, place, file, Vec::new())
}

const GRUB: &str = "\\EFI\\debian\\grubx64.efi";

/// Firmware with these entries, tried in this order.
fn firmware(folder: &Path, entries: &[(u16, LoadOption)], order: &[u16]) -> Store {
    let store = Store::at(folder);
    for (number, option) in entries {
        store.write(&name(*number), &option.write()).unwrap();
    }
    store.set_order(order).unwrap();
    store
}

fn shown(store: &Store) -> (Vec<(u16, String)>, Vec<u16>) {
    (store.entries().into_iter().map(|(number, option)| (number, option.label)).collect(), store.order())
}

#[test]
fn restoring_twice_leaves_one_entry_and_the_order_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let shell = LoadOption::read(&[1, 0, 0, 0, 4, 0, b'S', 0, 0, 0, 0x7f, 0xff, 4, 0]).unwrap();
    let store = firmware(folder.path(), &[(0, shell.clone()), (7, shell)], &[7, 0]);
    let wanted = [option("debian", 1, GRUB)];
    let alive = BTreeSet::from([guid(1)]);
    for _ in 0..3 {
        settle(&store, &wanted, &alive).unwrap();
        let (entries, order) = shown(&store);
        assert_eq!(entries, [(0, "S".into()), (1, "debian".into()), (7, "S".into())]);
        assert_eq!(order, [1, 7, 0]);
    }
}

#[test]
fn what_piled_up_goes_and_what_is_somebody_else_s_stays() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [
        (0, option("debian", 9, GRUB)),
        (1, option("debian", 1, "\\efi\\DEBIAN\\GRUBX64.EFI")),
        (2, option("Debian old", 1, GRUB)),
        (3, option("debian", 2, GRUB)),
        (4, option("Windows Boot Manager", 8, "\\EFI\\Microsoft\\Boot\\bootmgfw.efi")),
    ];
    let store = firmware(folder.path(), &entries, &[4, 0, 1, 2, 3]);
    store.write("BootNext", &[4, 0]).unwrap();
    // Partition 2 is on another disk of this machine: another Debian.
    let lines = settle(&store, &[option("debian", 1, GRUB)], &BTreeSet::from([guid(1), guid(2)])).unwrap();
    let (entries, order) = shown(&store);
    assert_eq!(entries, [(1, "debian".into()), (3, "debian".into()), (4, "Windows Boot Manager".into())]);
    assert_eq!(order, [1, 4, 3]);
    assert_eq!(store.read("BootNext"), None);
    assert_eq!(store.entries()[0].1, option("debian", 1, GRUB), "written anew, for the partition as it is now");
    assert!(lines.iter().any(|line| line.contains("Boot0000") && line.contains("gone")), "{lines:?}");
}

#[test]
fn several_entries_of_the_host_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = firmware(folder.path(), &[], &[]);
    let mut old = option("old kernel", 1, "\\vmlinuz");
    old.data = b"root=UUID=1\0".to_vec();
    let wanted = [option("new", 1, "\\EFI\\systemd\\systemd-bootx64.efi"), option("kernel", 1, "\\vmlinuz"), old];
    settle(&store, &wanted, &BTreeSet::from([guid(1)])).unwrap();
    let labels: Vec<String> = store.entries().into_iter().map(|(_, option)| option.label).collect();
    assert_eq!(
        (labels.as_slice(), store.order().as_slice()),
        (&["new".into(), "kernel".into(), "old kernel".into()][..], &[0, 1, 2][..])
    );
}

#[test]
fn a_store_that_cannot_be_written_is_an_error_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(&folder.path().join("gone"));
    assert!(settle(&store, &[option("debian", 1, GRUB)], &BTreeSet::new()).is_err());
}
