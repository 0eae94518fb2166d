//! `storage.cfg`: where guests' disks and backups lie.
//!
//! ```text
//! TYPE: ID
//!         PROPERTY VALUE
//!         FLAG
//! ```
//!
//! A section ends at an empty line; lines that begin with `#` are comments. A file may hold passwords, so no value is shown but those that are
//! asked for by name.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{Place, boolean, lines, list};
use super::{ConfigError, text};

/// A storage.
#[derive(Clone, PartialEq, Eq)]
pub struct Storage {
    /// `dir`, `lvmthin`, `pbs` and so on.
    pub kind: String,
    /// Its name.
    pub id: String,
    /// The line on which it begins; 0 for one that is there without being named.
    pub line: usize,
    properties: BTreeMap<String, String>,
}

/// A server for backups: what is needed to find them again. Its key and password lie in files of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupServer {
    /// `USER@REALM@SERVER[:PORT]:DATASTORE`, as its client is told.
    pub repository: String,
    /// Namespace in the datastore, where one is used.
    pub namespace: Option<String>,
    /// SHA-256 of its certificate, where it is pinned.
    pub fingerprint: Option<String>,
    /// Backups are encrypted, and lost without the key in `/etc/pve/priv/storage/ID.enc`.
    pub encrypted: bool,
}

/// All storages, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storages(Vec<Storage>);

/// The storage that is there though no file names it.
const LOCAL: &str = "local";
/// Kinds that are mounted by the host below this folder where no path is given.
const MOUNTED: (&[&str], &str) = (&["nfs", "cifs", "cephfs", "glusterfs"], "/mnt/pve");

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("Storage").field("kind", &self.kind).field("id", &self.id).field("properties", &keys).finish()
    }
}

impl Storages {
    /// Reads the file; `file` is its name in errors.
    ///
    /// # Errors
    /// When it breaks the grammar, or names something twice.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut storages: Vec<Storage> = Vec::new();
        let mut open = false;
        for (line, content) in lines(text) {
            let place = Place { file, line };
            if content.trim_start().starts_with('#') {
                continue;
            }
            if content.is_empty() {
                open = false;
            } else if !content.starts_with([' ', '\t']) {
                let storage = section(place, content)?;
                if let Some(first) = storages.iter().find(|other| other.id == storage.id) {
                    let what = format!("storage {} is there already, from line {}", storage.id, first.line);
                    return Err(place.error(what));
                }
                storages.push(storage);
                open = true;
            } else if let Some(storage) = storages.last_mut().filter(|_| open) {
                property(place, content.trim_start(), storage)?;
            } else {
                return Err(place.error(format!("{:?} belongs to no storage", first_word(content))));
            }
        }
        if !storages.iter().any(|storage| storage.id == LOCAL) {
            storages.insert(0, Storage::local());
        }
        Ok(Self(storages))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Storage> {
        self.0.iter()
    }

    /// The one with this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Storage> {
        self.0.iter().find(|storage| storage.id == id)
    }

    /// Those on which the node can find guests' backups.
    pub fn with_backups<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Storage> {
        self.0.iter().filter(move |storage| storage.is_enabled() && storage.is_on(node) && storage.holds("backup"))
    }
}

fn first_word(content: &str) -> &str {
    content.split_ascii_whitespace().next().unwrap_or_default()
}

fn section(place: Place<'_>, content: &str) -> Result<Storage, ConfigError> {
    let wanted = || place.error(format!("{:?} is not of the form \"type: id\"", first_word(content)));
    let (kind, id) = content.split_once(':').ok_or_else(wanted)?;
    let id = id.trim();
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Err(wanted());
    }
    if !is_id(id) {
        return Err(place.error(format!("{id:?} is no name of a storage")));
    }
    Ok(Storage { kind: kind.to_owned(), id: id.to_owned(), line: place.line, properties: BTreeMap::new() })
}

/// Names begin with a letter and end with a letter or digit.
pub(super) fn is_id(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn property(place: Place<'_>, content: &str, storage: &mut Storage) -> Result<(), ConfigError> {
    let (key, value) = content.split_once([' ', '\t']).unwrap_or((content, ""));
    let value = value.trim();
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Err(place.error(format!("{key:?} is no property")));
    }
    if ["disable", "shared"].contains(&key) && !value.is_empty() && boolean(value).is_none() {
        return Err(place.error(format!("{key} is neither yes nor no")));
    }
    if key == "path" && !value.starts_with('/') {
        return Err(place.error(format!("path {value:?} is not absolute")));
    }
    if storage.properties.insert(key.to_owned(), value.to_owned()).is_some() {
        return Err(place.error(format!("{key} comes twice in storage {}", storage.id)));
    }
    Ok(())
}

impl Storage {
    /// What an installation begins with, and what is there when the file does not say otherwise.
    fn local() -> Self {
        let properties = [("path", "/var/lib/vz"), ("content", "backup,iso,vztmpl")];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { kind: "dir".to_owned(), id: LOCAL.to_owned(), line: 0, properties }
    }

    /// A property's value; empty for a flag.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// A flag alone means yes.
    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.is_empty() || boolean(value) == Some(true))
    }

    /// It is not switched off.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.flag("disable")
    }

    /// All nodes see the same content.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        let always = ["nfs", "cifs", "cephfs", "glusterfs", "pbs", "rbd", "iscsi", "iscsidirect", "zfs", "esxi"];
        self.flag("shared") || always.contains(&self.kind.as_str())
    }

    /// The node uses it.
    #[must_use]
    pub fn is_on(&self, node: &str) -> bool {
        self.get("nodes").is_none_or(|nodes| list(nodes).iter().any(|other| other == node))
    }

    /// What it may hold: `images`, `rootdir`, `backup` and others.
    #[must_use]
    pub fn content(&self) -> Vec<String> {
        let kept = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        match self.get("content") {
            Some(kinds) => list(kinds),
            None if self.kind == "pbs" => kept(&["backup"]),
            None => kept(&["images", "rootdir"]),
        }
    }

    /// Whether it may hold `kind`.
    #[must_use]
    pub fn holds(&self, kind: &str) -> bool {
        self.content().iter().any(|other| other == kind)
    }

    /// Its folder on a node, where it has one.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match self.get("path") {
            Some(path) => Some(path.trim_end_matches('/').to_owned()),
            None if MOUNTED.0.contains(&self.kind.as_str()) => Some(format!("{}/{}", MOUNTED.1, self.id)),
            None => None,
        }
    }

    /// The folder with guests' archives: `dump`, or what `content-dirs` says.
    #[must_use]
    pub fn dump(&self) -> Option<String> {
        let other = self.get("content-dirs").and_then(|dirs| text::Properties::parse(dirs, "").ok());
        let folder = other.and_then(|dirs| dirs.get("backup").map(str::to_owned)).unwrap_or_else(|| "dump".to_owned());
        Some(format!("{}/{}", self.path()?, folder.trim_matches('/')))
    }

    /// The folder must be a mount point: unless something is mounted there, nothing of it is there. Either a path, or the storage's own.
    #[must_use]
    pub fn mount_point(&self) -> Option<String> {
        match self.get("is_mountpoint") {
            Some(path) if path.starts_with('/') => Some(path.to_owned()),
            Some(_) if self.flag("is_mountpoint") => self.path(),
            _ => None,
        }
    }

    /// The server, for a storage that is one.
    #[must_use]
    pub fn backup_server(&self) -> Option<BackupServer> {
        if self.kind != "pbs" {
            return None;
        }
        let port = self.get("port").map(|port| format!(":{port}")).unwrap_or_default();
        let user = self.get("username").unwrap_or("root@pam");
        let own = |key: &str| self.get(key).map(str::to_owned);
        Some(BackupServer {
            repository: format!("{user}@{}{port}:{}", self.get("server")?, self.get("datastore")?),
            namespace: own("namespace"),
            fingerprint: own("fingerprint"),
            encrypted: self.get("encryption-key").is_some_and(|key| key != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RELEASES: [(&str, &str); 3] = [
        ("7", include_str!("../../fixtures/storage/release-7.cfg")),
        ("8", include_str!("../../fixtures/storage/release-8.cfg")),
        ("9", include_str!("../../fixtures/storage/release-9.cfg")),
    ];

    fn read(text: &str) -> Storages {
        Storages::parse("storage.cfg", text).unwrap_or_else(|why| panic!("{why}"))
    }

    fn refused(text: &str) -> String {
        Storages::parse("storage.cfg", text).unwrap_err().to_string()
    }

    #[test]
    fn files_of_all_releases_are_read() {
        for (release, text) in RELEASES {
            let storages = read(text);
            assert!(storages.get("local").is_some_and(|local| local.line > 0), "{release}");
            let with_backups: Vec<&str> = storages.with_backups("pve1").map(|storage| storage.id.as_str()).collect();
            let wanted: &[&str] = match release {
                "7" => &["local", "backup-disk", "nas"],
                "8" => &["local", "usb", "pbs-main"],
                _ => &["local", "data", "pbs-off-site", "share"],
            };
            assert_eq!(with_backups, wanted, "{release}");
        }
    }

    #[test]
    fn folders_of_archives_are_found() {
        let dumps = |text, node| read(text).with_backups(node).filter_map(Storage::dump).collect::<Vec<String>>();
        assert_eq!(dumps(RELEASES[0].1, "pve1"), ["/var/lib/vz/dump", "/srv/backup/dump", "/mnt/pve/nas/dump"]);
        assert_eq!(dumps(RELEASES[1].1, "pve2"), ["/var/lib/vz/dump"]);
        assert_eq!(
            dumps(RELEASES[2].1, "pve1"),
            ["/var/lib/vz/dump", "/srv/data/guests/archives", "/mnt/pve/share/dump"]
        );
        assert_eq!(read(RELEASES[1].1).get("usb").unwrap().mount_point().as_deref(), Some("/mnt/usb"));
    }

    /// Every type that there is: which of them the node looks for backups on, and where.
    #[test]
    fn storages_of_every_type_are_read() {
        let storages = read(include_str!("../../fixtures/storage/every-type.cfg"));
        assert_eq!(storages.iter().count(), 20);
        let places: Vec<(&str, Option<String>)> =
            storages.with_backups("pve2").map(|storage| (storage.id.as_str(), storage.dump())).collect();
        let folder = |id, path: &str| (id, Some(path.to_owned()));
        assert_eq!(
            places,
            [
                folder("local", "/var/lib/vz/dump"),
                folder("elsewhere", "/srv/elsewhere/archives/guests"),
                folder("nas", "/mnt/pve/nas/dump"),
                folder("share", "/mnt/pve/share/dump"),
                folder("gluster", "/mnt/pve/gluster/dump"),
                folder("files", "/mnt/pve/files/dump"),
                folder("data", "/srv/btrfs/dump"),
                ("plain-server", None),
                ("full-server", None),
            ]
        );
        assert!(!storages.with_backups("pve4").any(|storage| storage.id == "elsewhere"));
        let get = |id| storages.get(id).unwrap();
        assert_eq!(get("elsewhere").mount_point().as_deref(), Some("/srv"));
        assert!(get("elsewhere").is_shared() && get("on-iscsi").is_shared() && !get("plain").is_shared());
        assert_eq!((get("local-lvm").get("vgname"), get("plain").get("tagged_only")), (Some("pve"), Some("")));
        assert_eq!(get("plain-server").backup_server().unwrap().repository, "root@pam@pbs.example.org:main");
        let full = get("full-server").backup_server().unwrap();
        assert_eq!(
            (full.repository.as_str(), full.namespace.as_deref()),
            ("backup@pbs!token@2001:db8::10:8443:tank", Some("a/b/c"))
        );
    }

    #[test]
    fn a_backup_server_is_recorded_with_all_that_finds_it_again() {
        let storages = read(RELEASES[1].1);
        let server = storages.get("pbs-main").unwrap().backup_server().unwrap();
        assert_eq!(server.repository, "backup@pbs!pve@192.0.2.10:8008:tank");
        assert_eq!(server.namespace.as_deref(), Some("site/a"));
        assert!(server.fingerprint.unwrap().starts_with("aa:bb:"));
        assert!(server.encrypted);
        assert_eq!(storages.get("local").unwrap().backup_server(), None);
    }

    #[test]
    fn local_is_there_without_being_named() {
        let storages = read("");
        assert_eq!(storages.with_backups("any").filter_map(Storage::dump).collect::<Vec<_>>(), ["/var/lib/vz/dump"]);
        let named = read("dir: local\n\tpath /srv\n\tcontent iso\n");
        assert_eq!(named.with_backups("any").count(), 0);
    }

    #[test]
    fn broken_files_name_file_and_line() {
        let cases = [
            ("dir local\n", "storage.cfg, line 1: \"dir\" is not of the form \"type: id\""),
            ("dir: 1\n", "storage.cfg, line 1: \"1\" is no name of a storage"),
            ("dir: a b\n", "storage.cfg, line 1: \"a b\" is no name of a storage"),
            ("\tpath /a\n", "storage.cfg, line 1: \"path\" belongs to no storage"),
            ("dir: one\n\tpath /a\n\n\tcontent iso\n", "storage.cfg, line 4: \"content\" belongs to no storage"),
            ("dir: one\n\tpath a\n", "storage.cfg, line 2: path \"a\" is not absolute"),
            ("dir: one\n\tpath /a\n\tpath /b\n", "storage.cfg, line 3: path comes twice in storage one"),
            ("dir: one\n\ndir: one\n", "storage.cfg, line 3: storage one is there already, from line 1"),
            ("dir: one\n\tdisable maybe\n", "storage.cfg, line 2: disable is neither yes nor no"),
            ("dir: one\n\tpa/th x\n", "storage.cfg, line 2: \"pa/th\" is no property"),
        ];
        for (text, wanted) in cases {
            assert_eq!(refused(text), wanted);
        }
    }

    #[test]
    fn no_value_is_shown_unasked() {
        let storages = read("cifs: share\n\tserver nas\n\tshare backup\n\tpassword hunter2\n");
        let shown = format!("{storages:?}");
        assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
        let refused = refused("cifs: share\n\tpassword hunter2\n\tpassword hunter3\n");
        assert!(!refused.contains("hunter"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "((dir|pbs): [a-z]{0,3}\n)?([ \t]?[a-z#:/ ,=-]{0,20}\n){0,6}") {
            if let Ok(storages) = Storages::parse("f", &text) {
                for one in storages.iter() {
                    let _ = (one.dump(), one.mount_point(), one.backup_server());
                }
            }
        }
    }
}
