//! The cluster database of a Proxmox node: a consistent copy of it, and the files that it holds.
//!
//! The database is in use and has a write-ahead log: a copy of the file alone loses what is in the log. So SQLite copies it, in one read
//! transaction, while the node goes on. What the rows must be like is [`guests::proxmox::cluster`]'s to know.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use guests::proxmox::cluster::{Column, Row, Tree};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::exit::{Exit, refusal};

/// How often, and with which pause, a database that is being written to is asked again.
const TRIES: (u32, Duration) = (100, Duration::from_millis(100));

/// Copies `database` to `to`, a new file that only its owner can read, for it holds passwords.
///
/// # Errors
/// When the database cannot be read or stays locked, or the copy not be written.
pub fn copy(database: &Path, to: &Path) -> anyhow::Result<()> {
    let source = open(database)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.with_context(|| format!("making the copy {}", to.display()))?;
    let mut target = Connection::open(to).map_err(|error| told("opening", to, &error))?;
    let backup = Backup::new(&source, &mut target).map_err(|error| told("copying", database, &error))?;
    for _ in 0..TRIES.0 {
        // All pages at once: in steps, every change in between would begin it again.
        match backup.step(-1).map_err(|error| told("copying", database, &error))? {
            StepResult::Done => return Ok(()),
            _ => sleep(TRIES.1),
        }
    }
    Err(anyhow!("copying {}: it has been locked all the time; nothing was copied", database.display()))
}

/// All files of a database that nobody else uses: the copy that [`copy`] made.
///
/// # Errors
/// When SQLite finds it damaged, or a node would refuse it (21): each reason is told.
pub fn read(database: &Path) -> anyhow::Result<Tree> {
    let connection = open_alone(database)?;
    let failed = |error: rusqlite::Error| told("reading", database, &error);
    let integrity = integrity(&connection).map_err(failed)?;
    if !integrity.is_empty() {
        return Err(corrupt(database, &integrity.join("; ")));
    }
    let shape = Tree::check_columns(&columns(&connection).map_err(failed)?);
    if !shape.is_empty() {
        return Err(corrupt(database, &sentence(&shape)));
    }
    let rows = rows(&connection).map_err(failed)?;
    Tree::check(rows).map_err(|faults| corrupt(database, &sentence(&faults)))
}

/// Takes a cluster out of the database of a node that does not run, so that the node stands on its own. What the cluster knew of other nodes goes
/// too, unless `keep_others`.
///
/// # Errors
/// When the database is damaged (21) or cannot be written; then it stays as it was.
pub fn leave(database: &Path, node: &str, keep_others: bool) -> anyhow::Result<()> {
    if !read(database)?.nodes().contains(&node) {
        let message = format!("the cluster database {} has no node {node}; it was not changed", database.display());
        return Err(refusal(Exit::Usage, message));
    }
    let failed = |error: rusqlite::Error| told("changing", database, &error);
    let mut connection = Connection::open(database).map_err(failed)?;
    let change = connection.transaction().map_err(failed)?;
    let gone = "WITH RECURSIVE gone(inode) AS (
        SELECT inode FROM tree WHERE parent = 0 AND name = 'corosync.conf' AND type = 8
        UNION SELECT inode FROM tree WHERE ?2 AND parent = 0 AND inode != 0 AND name IN ('ha', 'replication.cfg')
        UNION SELECT other.inode FROM tree other JOIN tree nodes ON other.parent = nodes.inode
            WHERE ?2 AND nodes.parent = 0 AND nodes.name = 'nodes' AND other.name != ?1
        UNION SELECT tree.inode FROM tree JOIN gone ON tree.parent = gone.inode)
        DELETE FROM tree WHERE inode IN gone AND inode != 0";
    change.execute(gone, rusqlite::params![node, !keep_others]).map_err(failed)?;
    // A change that the version does not count is none for the node.
    change
        .execute("UPDATE tree SET version = (SELECT MAX(version) + 1 FROM tree) WHERE inode = 0", [])
        .map_err(failed)?;
    change.commit().map_err(failed)?;
    // All of it in the one file: nothing beside it that could be lost.
    let mode: String = connection.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0)).map_err(failed)?;
    drop(connection);
    anyhow::ensure!(mode == "delete", "the log of {} could not be folded into it", database.display());
    read(database).map(|_| ())
}

fn open(database: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(|error| told("opening", database, &error))?;
    connection.busy_timeout(TRIES.1).map_err(|error| told("opening", database, &error))?;
    Ok(connection)
}

/// A database that nobody else uses: SQLite then lays no log and no lock file beside it, which would be taken for parts of it.
fn open_alone(database: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri(database), flags).map_err(|error| told("opening", database, &error))
}

/// Bytes that have a meaning in a URI are encoded.
fn uri(database: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    let encoded = database.as_os_str().as_bytes().iter().map(|byte| match byte {
        byte if plain(*byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("file:{}?immutable=1", encoded.collect::<String>())
}

fn told(doing: &str, database: &Path, error: &rusqlite::Error) -> anyhow::Error {
    let message = format!("{doing} the cluster database {}: {error}", database.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => refusal(Exit::Corrupt, message),
        Some(ErrorCode::DiskFull) => refusal(Exit::NoSpace, message),
        Some(ErrorCode::SystemIoFailure) => refusal(Exit::Io, message),
        // A value of another type than the table says.
        None if matches!(error, rusqlite::Error::InvalidColumnType(..)) => refusal(Exit::Corrupt, message),
        _ => anyhow!(message),
    }
}

fn corrupt(database: &Path, why: &str) -> anyhow::Error {
    let message = format!("the cluster database {} would be refused by its node: {why}", database.display());
    refusal(Exit::Corrupt, message)
}

fn sentence(faults: &guests::archive::Faults) -> String {
    let mut told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    if faults.more() > 0 {
        told.push(format!("and {} more", faults.more()));
    }
    told.join("; ")
}

/// What SQLite's own check finds.
fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let lines: rusqlite::Result<Vec<String>> = check.query_map([], |row| row.get(0))?.collect();
    Ok(lines?.into_iter().filter(|line| line != "ok").collect())
}

fn columns(connection: &Connection) -> rusqlite::Result<Vec<Column>> {
    let mut table = connection.prepare("PRAGMA table_info(tree)")?;
    let columns = table.query_map([], |row| {
        Ok(Column { name: row.get(1)?, kind: row.get(2)?, not_null: row.get(3)?, key: row.get::<_, i64>(5)? > 0 })
    })?;
    columns.collect()
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut table = connection
        .prepare("SELECT inode, parent, version, writer, mtime, type, name, data FROM tree ORDER BY inode")?;
    let rows = table.query_map([], |row| {
        let data = match row.get_ref(7)? {
            ValueRef::Null => None,
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(bytes.to_vec()),
            other => return Err(rusqlite::Error::InvalidColumnType(7, "data".to_owned(), other.data_type())),
        };
        Ok(Row {
            inode: row.get(0)?,
            parent: row.get(1)?,
            version: row.get(2)?,
            writer: row.get(3)?,
            mtime: row.get(4)?,
            kind: row.get(5)?,
            name: row.get(6)?,
            data,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The table as a node makes it.
    const SCHEMA: &str = "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, \
        parent INTEGER NOT NULL CHECK(typeof(parent)=='integer'), version INTEGER NOT NULL CHECK(typeof(version)=='integer'), \
        writer INTEGER NOT NULL CHECK(typeof(writer)=='integer'), mtime INTEGER NOT NULL CHECK(typeof(mtime)=='integer'), \
        type INTEGER NOT NULL CHECK(typeof(type)=='integer'), name TEXT NOT NULL, data BLOB);";

    fn database(folder: &Path) -> Connection {
        let connection = Connection::open(folder.join("config.db")).unwrap();
        // As a node has it: changes go to a log first.
        let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        connection.execute_batch(SCHEMA).unwrap();
        connection.execute_batch("INSERT INTO tree VALUES (0, 0, 9, 1, 0, 8, '__version__', NULL);").unwrap();
        add(&connection, 2, 0, "nodes", None);
        add(&connection, 3, 2, "pve1", None);
        connection
    }

    fn add(connection: &Connection, inode: i64, parent: i64, name: &str, data: Option<&[u8]>) {
        let kind = if data.is_some() { 8 } else { 4 };
        let values = rusqlite::params![inode, parent, kind, name, data];
        connection.execute("INSERT INTO tree VALUES (?1, ?2, 9, 1, 0, ?3, ?4, ?5)", values).unwrap();
    }

    fn copied(folder: &Path) -> anyhow::Result<Tree> {
        let copied = folder.join("copy.db");
        let _ = fs::remove_file(&copied);
        copy(&folder.join("config.db"), &copied)?;
        read(&copied)
    }

    #[test]
    fn a_copy_of_a_database_in_use_has_what_is_in_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let connection = database(folder.path());
        (10..40).for_each(|at| add(&connection, at, 3, &format!("file{at}"), Some(&[7; 3000])));
        // A plain copy has none of it: this is what the backup is for.
        let log = folder.path().join("config.db-wal");
        assert!(fs::metadata(&log).unwrap().len() > 0);
        let plain = folder.path().join("plain.db");
        fs::copy(folder.path().join("config.db"), &plain).unwrap();
        assert!(read(&plain).is_err());
        let tree = copied(folder.path()).unwrap();
        assert_eq!(tree.files().count(), 30);
        assert_eq!(tree.get("nodes/pve1/file39"), Some(&[7; 3000][..]));
        let mode = fs::metadata(folder.path().join("copy.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let beside =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let beside: Vec<String> = beside.filter(|name| name.starts_with("copy.db")).collect();
        assert_eq!(beside, ["copy.db"], "the copy stands alone");
        add(&connection, 50, 3, "later", Some(b"x"));
    }

    #[test]
    fn a_copy_can_be_made_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let connection = database(folder.path());
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        add(&connection, 10, 3, "half", Some(b"x"));
        let tree = copied(folder.path()).unwrap();
        assert_eq!(tree.get("nodes/pve1/half"), None, "what is not committed is not there");
        connection.execute_batch("COMMIT").unwrap();
        assert!(copied(folder.path()).unwrap().get("nodes/pve1/half").is_some());
    }

    #[test]
    fn a_node_that_leaves_its_cluster_keeps_its_own_guests_and_only_a_seed_keeps_the_others() {
        let folder = tempfile::tempdir().unwrap();
        for keep_others in [false, true] {
            let _ = fs::remove_file(folder.path().join("config.db"));
            let connection = database(folder.path());
            add(&connection, 4, 2, "pve2", None);
            add(&connection, 5, 0, "corosync.conf", Some(b"totem {}"));
            add(&connection, 6, 3, "100.conf", Some(b"own"));
            add(&connection, 7, 4, "200.conf", Some(b"other"));
            add(&connection, 8, 0, "ha", None);
            add(&connection, 9, 8, "resources.cfg", Some(b"vm: 100"));
            add(&connection, 10, 3, "ha", Some(b"a file of this name somewhere else"));
            drop(connection);
            let place = folder.path().join("config.db");
            leave(&place, "pve1", keep_others).unwrap();
            let tree = read(&place).unwrap();
            assert!(!tree.is_clustered());
            assert_eq!(tree.version(), 10);
            assert_eq!(tree.get("nodes/pve1/100.conf"), Some(&b"own"[..]));
            assert!(tree.get("nodes/pve1/ha").is_some());
            assert_eq!(tree.get("nodes/pve2/200.conf").is_some(), keep_others);
            assert_eq!(tree.get("ha/resources.cfg").is_some(), keep_others);
            assert!(!folder.path().join("config.db-wal").exists());
            assert!(leave(&place, "pve7", false).is_err());
        }
    }

    #[test]
    fn a_path_with_odd_characters_is_the_path_that_it_is() {
        assert_eq!(uri(Path::new("/a b/c?d#e%f")), "file:/a%20b/c%3Fd%23e%25f?immutable=1");
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("odd ?mode=rwc#%41");
        fs::create_dir(&odd).unwrap();
        database(&odd);
        assert_eq!(copied(&odd).unwrap().nodes(), ["pve1"]);
    }

    #[test]
    fn what_a_node_would_refuse_is_told_and_corrupt() {
        let said = |change: &str| {
            let folder = tempfile::tempdir().unwrap();
            database(folder.path()).execute_batch(change).unwrap();
            let error = copied(folder.path()).unwrap_err();
            assert_eq!(crate::exit::exit_of(&error), Exit::Corrupt, "{error:#}");
            format!("{error:#}")
        };
        assert!(said("DELETE FROM tree WHERE inode = 0").contains("row 0: is missing"));
        let orphan = "INSERT INTO tree VALUES (7, 99, 1, 1, 0, 8, 'lost', 'x')";
        assert!(said(orphan).contains("row 7: \"lost\" lies in row 99, which is not there"));
        assert!(said("ALTER TABLE tree RENAME COLUMN mtime TO changed").contains("has no column mtime"));
        assert!(said("DROP TABLE tree").contains("has no column inode"));
        assert!(said("UPDATE tree SET data = 5 WHERE inode = 3").contains("Invalid column type"));
    }

    #[test]
    fn what_is_no_database_or_damaged_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.db"), [7; 9000]).unwrap();
        assert_eq!(crate::exit::exit_of(&copied(folder.path()).unwrap_err()), Exit::Corrupt);
        fs::remove_file(folder.path().join("config.db")).unwrap();
        let connection = database(folder.path());
        (10..300).for_each(|at| add(&connection, at, 3, &format!("file{at}"), Some(&[7; 900])));
        drop(connection);
        let mut bytes = fs::read(folder.path().join("config.db")).unwrap();
        bytes[4096..8192].fill(0xff);
        fs::write(folder.path().join("config.db"), bytes).unwrap();
        assert_eq!(crate::exit::exit_of(&copied(folder.path()).unwrap_err()), Exit::Corrupt);
        let missing = copy(&folder.path().join("none.db"), &folder.path().join("new.db")).unwrap_err();
        assert!(format!("{missing:#}").contains("none.db"), "{missing:#}");
        assert!(!folder.path().join("new.db").exists());
    }
}
