//! What `zpool` and `zfs` print, read as it is recorded; and text that is none of theirs.

use super::*;

const POOL: &str = "tank\tsize\t1996488704\t-\ntank\tallocated\t5000\t-\ntank\tguid\t42\t-\ntank\tversion\t-\tdefault\ntank\tbootfs\ttank/a\tlocal\n\
                    tank\tashift\t12\tlocal\ntank\tautotrim\ton\tlocal\ntank\tcachefile\tnone\tlocal\ntank\tcomment\ttwo words\tlocal\n\
                    tank\tfeature@zstd_compress\tenabled\tlocal\ntank\tfeature@async_destroy\tactive\tlocal\ntank\tfeature@draid\tdisabled\tlocal\n";
const STATUS_TEXT: &str = "  pool: tank\nconfig:\n\n\tNAME STATE\n\ttank ONLINE\n\t  mirror-0 ONLINE\n\t    /dev/vda3 ONLINE\n\t    /dev/vdb3 ONLINE\n";
const DATASETS: &str = "tank/v\ttype\tvolume\t-\ntank/v\tvolsize\t67108864\tlocal\ntank/v\tvolblocksize\t16384\t-\ntank/v\trefreservation\t70\tlocal\n\
                        tank\ttype\tfilesystem\t-\ntank\tcompression\ton\tlocal\ntank\tcasesensitivity\tsensitive\t-\ntank\tmountpoint\t/tank\tdefault\n\
                        tank/a\ttype\tfilesystem\t-\ntank/a\tcompression\ton\tinherited from tank\ntank/a\tnormalization\tformD\t-\n\
                        tank/a\torg.own:key\ta\tb\tlocal\ntank/a\trecordsize\t1048576\treceived\ntank/a\tsnapshot_limit\t18446744073709551615\tlocal\n\
                        tank/a\tencryption\taes-256-gcm\t-\ntank/a\tkeylocation\tprompt\tlocal\ntank/a\torigin\ttank/b@x\t-\ntank/a\treferenced\t77\t-\n";

fn report() -> Report {
    parse(POOL, STATUS_TEXT, DATASETS, "tank/a@one\ntank/a@two\ntank/gone@x\n")
}

#[test]
fn a_pool_keeps_what_was_set_on_it_and_its_features() {
    let report = report();
    let [found] = report.pools.as_slice() else { panic!("{report:?}") };
    assert_eq!((found.pool.guid.as_str(), found.pool.ashift, found.size.0), ("42", 12, 1_996_488_704));
    assert_eq!(found.pool.features, ["async_destroy", "zstd_compress"]);
    assert_eq!(found.pool.bootfs.as_deref(), Some("tank/a"));
    let kept: Vec<(&str, &str)> =
        found.pool.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("autotrim", "on"), ("comment", "two words")]);
    assert_eq!(found.devices, ["/dev/vda3", "/dev/vdb3"]);
    assert_eq!(found.pool.hindrance, None);
}

#[test]
fn datasets_keep_what_was_set_received_or_chosen_and_nothing_inherited() {
    let report = report();
    let names: Vec<&str> = report.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    assert_eq!(names, ["tank", "tank/a", "tank/v"]);
    let kept = |at: usize| -> Vec<String> {
        report.datasets[at].properties.iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    assert_eq!(kept(0), ["compression=on"]);
    assert_eq!(kept(1), ["normalization=formD", "org.own:key=a\tb", "recordsize=1048576", "snapshot_limit=none"]);
    assert_eq!(kept(2), ["refreservation=70"]);
    let a = &report.datasets[1];
    assert!(a.encrypted && a.origin.as_deref() == Some("tank/b@x"));
    assert_eq!((a.snapshots, a.newest_snapshot.as_deref()), (2, Some("two")));
    assert_eq!(report.datasets[2].volume, Some(Volume { size: Bytes(64 << 20), block: Bytes(16384) }));
}

#[test]
fn a_pool_of_an_old_format_is_named() {
    let old = parse(&POOL.replace("version\t-", "version\t28"), STATUS_TEXT, DATASETS, "");
    assert!(old.pools[0].pool.hindrance.as_ref().unwrap().contains("zpool upgrade"));
}

#[test]
fn a_host_without_pools_has_an_empty_report() {
    assert_eq!(parse("", "no pools available\n", "", ""), Report::default());
}

#[test]
fn the_nearest_value_counts() {
    let mut datasets = report().datasets;
    datasets[0].properties.insert("snapdir".to_owned(), "visible".to_owned());
    assert_eq!(super::super::inherited(datasets.iter(), "tank/a", "snapdir"), Some("visible"));
    datasets[1].properties.insert("snapdir".to_owned(), "hidden".to_owned());
    assert_eq!(super::super::inherited(datasets.iter(), "tank/a", "snapdir"), Some("hidden"));
    assert_eq!(super::super::inherited(datasets.iter(), "tank/ab", "snapdir"), Some("visible"));
}

#[test]
fn the_sector_shift_is_in_a_devices_label() {
    assert_eq!(ashift("    vdev_tree:\n        type: 'mirror'\n        ashift: 12\n"), Some(12));
    assert_eq!(ashift("failed to unpack label 0\n"), None);
}
