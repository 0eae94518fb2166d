//! The rules that rows must keep; every break of one is told.

use std::collections::{BTreeMap, BTreeSet};

use super::{Column, FILE, FOLDER, LARGEST_FILE, LARGEST_TREE, Row, Tree, VERSION};
use crate::archive::Faults;

/// The table's columns.
const COLUMNS: [(&str, &str); 8] = [
    ("inode", "INTEGER"),
    ("parent", "INTEGER"),
    ("version", "INTEGER"),
    ("writer", "INTEGER"),
    ("mtime", "INTEGER"),
    ("type", "INTEGER"),
    ("name", "TEXT"),
    ("data", "BLOB"),
];

impl Tree {
    /// Whether the table has the columns that it must have.
    #[must_use]
    pub fn check_columns(columns: &[Column]) -> Faults {
        let mut faults = Faults::default();
        for (name, kind) in COLUMNS {
            let Some(column) = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) else {
                faults.add("table tree", format!("has no column {name}"));
                continue;
            };
            if !column.kind.eq_ignore_ascii_case(kind) {
                faults.add(format!("column {name}"), format!("is of type {}, not {kind}", column.kind));
            }
            if column.key != (name == "inode") {
                faults.add(format!("column {name}"), "the primary key is inode alone");
            }
            if name == "name" && !column.not_null {
                faults.add("column name", "may be NULL");
            }
        }
        for column in columns {
            if !COLUMNS.iter().any(|(name, _)| column.name.eq_ignore_ascii_case(name)) {
                faults.add("table tree", format!("has a column {}, which is not known", column.name));
            }
        }
        faults
    }

    /// Takes all rows.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn check(rows: Vec<Row>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let version = rows.iter().find(|row| row.inode == 0).map(|row| version(row, &mut faults));
        if version.is_none() {
            faults.add("row 0", "is missing");
        }
        each(&rows, &mut faults);
        let paths = paths(&rows, &mut faults);
        let total: u64 = rows.iter().filter_map(|row| row.data.as_ref()).map(|data| data.len() as u64).sum();
        if total > LARGEST_TREE {
            faults.add("the database", format!("holds {total} bytes of files; {LARGEST_TREE} are allowed"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let data = |row: Row| (row.kind == FILE).then(|| row.data.unwrap_or_default());
        let files = rows.into_iter().filter_map(|row| Some((paths.get(&row.inode)?.clone(), data(row)))).collect();
        Ok(Self { version: version.unwrap_or_default(), files })
    }
}

fn version(row: &Row, faults: &mut Faults) -> i64 {
    let Row { parent, kind, name, data, .. } = row;
    if (*parent, *kind, name.as_str(), data) != (0, FILE, VERSION, &None) {
        faults.add("row 0", format!("is {name:?} and not {VERSION}, an empty file at the top"));
    }
    row.version
}

/// What a row must keep by itself.
fn each(rows: &[Row], faults: &mut Faults) {
    for row in rows.iter().filter(|row| row.inode != 0) {
        let place = format!("row {}", row.inode);
        let size = row.data.as_ref().map_or(0, |data| data.len() as u64);
        if row.kind != FILE && row.kind != FOLDER {
            faults.add(&place, format!("{:?} is of type {}; 8 is a file, 4 a folder", row.name, row.kind));
        }
        if row.kind == FOLDER && size > 0 {
            faults.add(&place, format!("folder {:?} has {size} bytes of data", row.name));
        }
        if size > LARGEST_FILE {
            faults.add(&place, format!("file {:?} has {size} bytes; {LARGEST_FILE} are allowed", row.name));
        }
        let odd =
            row.name.is_empty() || row.name.contains(['/', '\0']) || [".", "..", VERSION].contains(&row.name.as_str());
        if odd {
            faults.add(&place, format!("{:?} is no name of a file", row.name));
        }
        if row.inode < 0 {
            faults.add(&place, "its number is negative");
        }
    }
}

/// Paths of all rows that have one; a row without one is an orphan, a double, or in a ring of folders.
fn paths(rows: &[Row], faults: &mut Faults) -> BTreeMap<i64, String> {
    let by_number: BTreeMap<i64, &Row> = rows.iter().map(|row| (row.inode, row)).collect();
    let mut names = BTreeMap::<(i64, &str), i64>::new();
    let mut children = BTreeMap::<i64, Vec<&Row>>::new();
    for row in rows.iter().filter(|row| row.inode != 0) {
        let place = format!("row {}", row.inode);
        match by_number.get(&row.parent) {
            _ if row.parent == 0 => {}
            None => faults.add(&place, format!("{:?} lies in row {}, which is not there", row.name, row.parent)),
            Some(parent) if parent.kind != FOLDER => {
                faults.add(&place, format!("{:?} lies in row {}, which is a file", row.name, row.parent));
            }
            Some(_) => {}
        }
        if let Some(first) = names.insert((row.parent, &row.name), row.inode) {
            faults.add(&place, format!("{:?} is in row {first} too, in the same folder", row.name));
        }
        children.entry(row.parent).or_default().push(row);
    }
    if by_number.len() < rows.len() {
        faults.add("the database", "has two rows with the same number");
    }
    let mut paths = BTreeMap::new();
    let mut open = vec![(0, String::new())];
    while let Some((number, path)) = open.pop() {
        for row in children.remove(&number).unwrap_or_default() {
            let path = if path.is_empty() { row.name.clone() } else { format!("{path}/{}", row.name) };
            open.push((row.inode, path.clone()));
            paths.insert(row.inode, path);
        }
    }
    // Under a parent that is not there it has been told above; what is left lies in itself.
    let missing: BTreeSet<i64> = children.keys().filter(|parent| by_number.contains_key(parent)).copied().collect();
    for row in missing.iter().flat_map(|parent| &children[parent]) {
        let roots = roots(row, &by_number);
        if !roots {
            faults.add(format!("row {}", row.inode), format!("folder of {:?} lies in itself", row.name));
        }
    }
    paths
}

/// Whether going up from a row comes to an end.
fn roots(row: &Row, rows: &BTreeMap<i64, &Row>) -> bool {
    let mut passed = BTreeSet::new();
    let mut parent = row.parent;
    while parent != 0 && passed.insert(parent) {
        match rows.get(&parent) {
            Some(row) => parent = row.parent,
            None => return true,
        }
    }
    parent == 0
}
