//! A sound database is read as the tree that it is; every rule that is broken is told.

use proptest::prelude::*;

use super::*;
use crate::archive::Faults;

fn row(inode: i64, parent: i64, name: &str, data: Option<&str>) -> Row {
    let kind = if data.is_some() { FILE } else { FOLDER };
    let data = data.map(|data| data.as_bytes().to_vec());
    Row { inode, parent, version: inode, writer: 1, mtime: 1_700_000_000, kind, name: name.to_owned(), data }
}

fn sample() -> Vec<Row> {
    vec![
        Row { kind: FILE, version: 42, ..row(0, 0, VERSION, None) },
        row(2, 0, "nodes", None),
        row(3, 2, "pve1", None),
        row(4, 3, "qemu-server", None),
        row(5, 4, "100.conf", Some("name: mail\n")),
        row(6, 3, "lxc", None),
        row(7, 6, "101.conf", Some("hostname: web\n")),
        row(8, 0, "storage.cfg", Some("dir: local\n\tpath /var/lib/vz\n")),
        row(9, 2, "pve10", None),
        row(10, 3, "config", Some("")),
        row(11, 0, "empty", None),
    ]
}

fn faults(change: impl Fn(&mut Vec<Row>)) -> Vec<String> {
    let mut rows = sample();
    change(&mut rows);
    match Tree::check(rows) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn files_are_read_by_their_paths_as_a_node_sees_them() {
    let tree = Tree::check(sample()).unwrap();
    assert_eq!(tree.version(), 42);
    assert_eq!(tree.get("/nodes/pve1/qemu-server/100.conf"), Some(&b"name: mail\n"[..]));
    assert_eq!(tree.get_on("pve1", "/qemu-server/100.conf"), Some(&b"name: mail\n"[..]));
    assert_eq!(tree.get_on("pve1", "local/lxc/101.conf"), Some(&b"hostname: web\n"[..]));
    assert!(tree.get_on("pve1", "storage.cfg").is_some());
    assert_eq!(tree.get_on("pve10", "/qemu-server/100.conf"), None);
    assert_eq!((tree.get("nodes"), tree.get("nodes/pve1/config")), (None, Some(&b""[..])));
    assert_eq!(tree.nodes(), ["pve1", "pve10"]);
    assert_eq!(tree.list(""), ["empty", "nodes", "storage.cfg"]);
    assert_eq!(tree.list("/nodes/pve1/"), ["config", "lxc", "qemu-server"]);
    assert_eq!(tree.files().count(), 4);
    assert!(!tree.is_clustered());
}

#[test]
fn every_rule_that_is_broken_is_told() {
    type Change = fn(&mut Vec<Row>);
    let cases: [(Change, &str); 14] = [
        (|rows| drop(rows.remove(0)), "row 0: is missing"),
        (|rows| rows[0].name = "x".to_owned(), "row 0: is \"x\" and not __version__, an empty file at the top"),
        (
            |rows| rows[0].data = Some(vec![1]),
            "row 0: is \"__version__\" and not __version__, an empty file at the top",
        ),
        (
            |rows| rows.push(row(12, 4, "100.conf", Some(""))),
            "row 12: \"100.conf\" is in row 5 too, in the same folder",
        ),
        (|rows| rows.push(row(12, 99, "lost", Some(""))), "row 12: \"lost\" lies in row 99, which is not there"),
        (|rows| rows.push(row(12, 5, "in", Some(""))), "row 12: \"in\" lies in row 5, which is a file"),
        (|rows| rows[10].data = Some(vec![1]), "row 11: folder \"empty\" has 1 bytes of data"),
        (|rows| rows[10].kind = 6, "row 11: \"empty\" is of type 6; 8 is a file, 4 a folder"),
        (|rows| rows[10].name = "..".to_owned(), "row 11: \"..\" is no name of a file"),
        (|rows| rows[10].name = "a/b".to_owned(), "row 11: \"a/b\" is no name of a file"),
        (|rows| rows[10].name = VERSION.to_owned(), "row 11: \"__version__\" is no name of a file"),
        (
            |rows| rows[7].data = Some(vec![0; (1 << 20) + 1]),
            "row 8: file \"storage.cfg\" has 1048577 bytes; 1048576 are allowed",
        ),
        (|rows| rows.push(row(11, 0, "other", Some(""))), "the database: has two rows with the same number"),
        (|rows| (rows[1].parent, rows[1].inode) = (3, 2), "row 2: folder of \"nodes\" lies in itself"),
    ];
    assert_eq!(faults(|_| ()), [""; 0]);
    for (change, wanted) in cases {
        let found = faults(change);
        assert!(found.contains(&wanted.to_owned()), "{wanted:?} is not in {found:#?}");
    }
}

#[test]
fn the_whole_may_not_be_larger_than_the_node_takes() {
    let found = faults(|rows| {
        rows.extend(
            (0..130).map(|at| Row { data: Some(vec![0; 1 << 20]), ..row(100 + at, 11, &at.to_string(), Some("")) }),
        );
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("134217728 are allowed"), "{found:?}");
}

#[test]
fn a_table_of_another_shape_is_told() {
    let column =
        |name: &str, kind: &str, not_null, key| Column { name: name.to_owned(), kind: kind.to_owned(), not_null, key };
    let good = || {
        let mut columns = vec![column("inode", "INTEGER", true, true)];
        columns
            .extend(["parent", "version", "writer", "mtime", "type"].map(|name| column(name, "INTEGER", true, false)));
        columns.extend([column("name", "TEXT", true, false), column("data", "BLOB", false, false)]);
        columns
    };
    let said = |columns: &[Column]| Tree::check_columns(columns).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(said(&good()), [""; 0]);
    assert_eq!(said(&good()[1..]), ["table tree: has no column inode"]);
    let mut other = good();
    other[6].kind = "BLOB".to_owned();
    other.push(column("extra", "TEXT", false, false));
    assert_eq!(
        said(&other),
        ["column name: is of type BLOB, not TEXT", "table tree: has a column extra, which is not known"]
    );
}

proptest! {
    /// Whatever rows there are, the answer is a tree of all of them or a fault.
    #[test]
    fn a_tree_has_every_row_or_there_is_a_fault(
        rows in prop::collection::vec((0..12_i64, 0..12_i64, "[ab]{0,2}", any::<bool>()), 0..12)
    ) {
        let rows: Vec<Row> = std::iter::once(sample()[0].clone())
            .chain(rows.iter().map(|(inode, parent, name, file)| row(*inode, *parent, name, file.then_some("x"))))
            .collect();
        let count = rows.len();
        let checked: Result<Tree, Faults> = Tree::check(rows);
        match checked {
            Ok(tree) => prop_assert_eq!(tree.files.len(), count - 1),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}
