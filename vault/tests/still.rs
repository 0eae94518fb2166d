//! A tree that is made to stand still: when it is asked for, what is read then, and that nothing is kept of what did not hold.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod tree;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use tree::{Scratch, noise, small_vault};
use vault::{Backup, EntryPath, Kind, Restore, Still, Stream};

/// A copy that is made when it is asked for, and writes down when that is.
struct Copy<'a> {
    folder: PathBuf,
    from: PathBuf,
    log: &'a RefCell<Vec<&'static str>>,
    holds: Cell<bool>,
}

impl Still for Copy<'_> {
    fn begin(&self) -> Result<PathBuf, String> {
        self.log.borrow_mut().push("begin");
        fs::create_dir_all(&self.folder).unwrap();
        for entry in fs::read_dir(&self.from).unwrap() {
            let name = entry.unwrap().file_name();
            fs::copy(self.from.join(&name), self.folder.join(&name)).unwrap();
        }
        // What is written from here on is not in it.
        fs::write(self.from.join("file"), "too late").unwrap();
        Ok(self.folder.clone())
    }

    fn held(&self) -> Result<(), String> {
        self.log.borrow_mut().push("held");
        if self.holds.get() { Ok(()) } else { Err("it was full".to_owned()) }
    }
}

struct Setting {
    scratch: Scratch,
    log: RefCell<Vec<&'static str>>,
}

impl Setting {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::write(scratch.folder("source").join("file"), "in time").unwrap();
        fs::write(scratch.path("source/other"), noise(200_000, 1)).unwrap();
        Self { scratch, log: RefCell::default() }
    }

    fn copy(&self, holds: bool) -> Copy<'_> {
        let (folder, from) = (self.scratch.path("still"), self.scratch.path("source"));
        Copy { folder, from, log: &self.log, holds: Cell::new(holds) }
    }
}

#[test]
fn it_is_asked_for_after_the_streams_and_read_in_the_place_of_the_tree() {
    let setting = Setting::new();
    let (vault, identities) = small_vault(&setting.scratch.path("vault"));
    let still = setting.copy(true);
    let open = || -> io::Result<Box<dyn Read>> {
        setting.log.borrow_mut().push("stream");
        Ok(Box::new(Cursor::new("dump")))
    };
    let mut backup = Backup::new(setting.scratch.path("source"), "host", 1);
    backup.still = Some(&still);
    backup.streams = vec![Stream { path: EntryPath::new("dump").unwrap(), open: &open, needed: true }];
    let finished = vault.backup(&backup).unwrap();
    assert_eq!(*setting.log.borrow(), ["stream", "begin", "held"]);
    let out = setting.scratch.folder("out");
    vault.restore(&Restore::new(&finished.contents, &identities, &out)).unwrap();
    assert_eq!(fs::read_to_string(out.join("file")).unwrap(), "in time");
    assert_eq!(fs::read_to_string(out.join("dump")).unwrap(), "dump");
    let [share] = finished.shares.as_slice() else { panic!("{:?}", finished.shares) };
    assert!(share.path.is_root());
    assert_eq!((share.entries, share.bytes), (4, 200_000 + 7 + 4));
}

#[test]
fn what_did_not_hold_is_not_kept_and_nothing_of_it_is_relied_on() {
    let setting = Setting::new();
    let (vault, _) = small_vault(&setting.scratch.path("vault"));
    let cache = setting.scratch.path("cache");
    let run = |still: Option<&dyn Still>| {
        let mut backup = Backup::new(setting.scratch.path("source"), "host", 1);
        (backup.still, backup.cache) = (still, Some(cache.clone()));
        vault.backup(&backup)
    };
    let torn = setting.copy(false);
    let error = run(Some(&torn)).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Torn, "it was full"));
    let finished = run(None).unwrap();
    assert_eq!(finished.contents.totals.unchanged, 0, "everything is read again");
    assert!(finished.contents.totals.added > 200_000);
}

#[test]
fn entries_are_counted_by_the_filesystem_that_they_lie_in() {
    let setting = Setting::new();
    let (vault, _) = small_vault(&setting.scratch.path("vault"));
    for (path, size) in [("a", 10), ("b", 100), ("b/c", 1000), ("b-", 10_000)] {
        let folder = setting.scratch.path("source").join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), noise(size, 3)).unwrap();
    }
    let mut backup = Backup::new(setting.scratch.path("source"), "host", 1);
    backup.cross = vec!["/b/c".into(), "/b".into()];
    let finished = vault.backup(&backup).unwrap();
    let shares: Vec<(String, u64, u64)> =
        finished.shares.iter().map(|share| (share.path.to_string(), share.entries, share.bytes)).collect();
    let root = EntryPath::root().to_string();
    let own = 200_000 + 7 + 10 + 10_000;
    assert_eq!(shares, [(root, 7, own), ("/b".to_owned(), 2, 100), ("/b/c".to_owned(), 2, 1000)]);
    assert_eq!(shares.iter().map(|(_, entries, _)| entries).sum::<u64>(), finished.contents.totals.entries);
}
