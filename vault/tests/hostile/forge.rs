//! Vaults that no honest writer makes, sealed and listed as properly as any: the attacker holds a host's key.
//!
//! It seals with the ciphers themselves, not with the vault's code, and lets a fixture change any byte before that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use serde_json::{Value, json};
use vault::{Contents, Digest, FolderStore, Identities, InitOptions, Kind, Restore, Restored, Vault, escape};

/// The vault's segment size; small, so that a file of 80 kB is large.
pub const SEGMENT: u64 = 64 << 10;
/// The vault's block size.
pub const BLOCK: u64 = 4096;
const RUN: &str = "00112233445566778899aabbccddeeff";

/// A segment before it is sealed.
#[derive(Clone)]
pub struct Segment {
    pub number: u64,
    pub plain: Vec<u8>,
    /// What the manifest says of `opened`; the truth when `None`.
    pub opened: Option<u64>,
    /// Changes the compressed bytes.
    pub spoil: fn(Vec<u8>) -> Vec<u8>,
}

/// A snapshot that is being made.
pub struct Forge {
    folder: tempfile::TempDir,
    pub identities: Identities,
    pub key: [u8; 32],
    /// What the age file holds; the key's digits when `None`.
    pub key_text: Option<Vec<u8>>,
    pub header: Value,
    /// Entry lines and block lines, without the end.
    pub lines: Vec<String>,
    /// The last line; counts the entries when `None`.
    pub end: Option<String>,
    pub segments: Vec<Segment>,
    /// Changes the manifest's part after everything is sealed.
    pub contents: fn(&mut Value),
    /// Changes the compressed catalogue.
    pub spoil: fn(Vec<u8>) -> Vec<u8>,
}

fn same(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

/// A tar member of one header and its data, and how the catalogue refers to it.
pub fn header(kind: u8, name: &str, link: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(5);
    header.set_size(data.len() as u64);
    header.as_old_mut().name[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
    header.as_old_mut().linkname[..link.len().min(100)].copy_from_slice(&link.as_bytes()[..link.len().min(100)]);
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.extend_from_slice(data);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

impl Forge {
    /// A sound snapshot: a folder `d`, files `d/good` and `other`, a symlink `link`, and a large file `z`.
    pub fn new() -> Self {
        let mut forge = Forge {
            folder: tempfile::tempdir().unwrap(),
            identities: Identities::generate(),
            key: [7; 32],
            key_text: None,
            header: json!({"catalogue": 1, "host": "host", "serial": 1, "segment_size": SEGMENT, "block_size": BLOCK, "runs": [RUN]}),
            lines: Vec::new(),
            end: None,
            segments: vec![Segment { number: 1, plain: Vec::new(), opened: None, spoil: same }],
            contents: |_| (),
            spoil: same,
        };
        forge
            .entry("", 'd', "")
            .entry("d", 'd', "")
            .file("d/good", b"good")
            .entry("link", 'l', "d/good")
            .file("other", b"other");
        forge.large("z", 20);
        forge
    }

    /// A folder beside the vault that nothing may touch; fixtures name it.
    pub fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn member(&mut self, member: &[u8], head: usize) -> String {
        let segment = self.segments.last_mut().unwrap();
        let offset = segment.plain.len();
        segment.plain.extend_from_slice(member);
        format!("[0,{},{offset},{},{head}]", segment.number, member.len())
    }

    /// Adds an entry without data, with its member. `link` is the target of links.
    pub fn entry(&mut self, path: &str, kind: char, link: &str) -> &mut Self {
        let line = self.entry_line(path, kind, link);
        self.lines.push(line);
        self
    }

    /// The line of such an entry, its member stored.
    pub fn entry_line(&mut self, path: &str, kind: char, link: &str) -> String {
        let letter = match kind {
            'd' => b'5',
            'l' => b'2',
            'h' => b'1',
            'c' => b'3',
            'b' => b'4',
            _ => b'6',
        };
        let name =
            if path.is_empty() { "./".to_owned() } else { format!("{path}{}", if kind == 'd' { "/" } else { "" }) };
        let member = self.member(&header(letter, &name, link, 0o755, b""), 512);
        let link =
            if matches!(kind, 'l' | 'h') { format!(r#","link":"{}""#, escape(link.as_bytes())) } else { String::new() };
        let rdev = if matches!(kind, 'c' | 'b') { r#","rdev":[0,0]"# } else { "" };
        format!(
            r#"{{"path":"{}","type":"{kind}","mode":"0755","uid":0,"gid":0,"mtime":[5,0],"atime":[5,0],"ctime":[5,0],"inode":3{link}{rdev},"member":{member}}}"#,
            escape(path.as_bytes())
        )
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, data: &[u8]) -> &mut Self {
        let line = self.file_line(path, data);
        self.lines.push(line);
        self
    }

    /// The line of a file, its member stored.
    pub fn file_line(&mut self, path: &str, data: &[u8]) -> String {
        let member = self.member(&header(b'0', path, "", 0o755, data), 512);
        format!(
            r#"{{"path":"{}","type":"f","mode":"0755","uid":0,"gid":0,"size":{},"mtime":[5,0],"atime":[5,0],"ctime":[5,0],"inode":3,"blake3":"{}","member":{member}}}"#,
            escape(path.as_bytes()),
            data.len(),
            blake3::hash(data)
        )
    }

    /// Adds a large file of so many blocks of data.
    pub fn large(&mut self, path: &str, blocks: u64) -> &mut Self {
        let size = blocks * BLOCK;
        let map = format!("1\n{size}\n0\n");
        let mut map = map.into_bytes();
        map.resize(512, 0);
        let pax: String = [
            ("GNU.sparse.major", "1".to_owned()),
            ("GNU.sparse.minor", "0".to_owned()),
            ("GNU.sparse.name", path.to_owned()),
            ("GNU.sparse.realsize", size.to_string()),
        ]
        .iter()
        .map(|(keyword, value)| {
            let rest = keyword.len() + value.len() + 3;
            format!("{} {keyword}={value}\n", rest + 2)
        })
        .collect();
        let head = [
            header(b'x', "PaxHeaders/x", "", 0, pax.as_bytes()),
            header(b'0', "GNUSparseFile.0/sparse", "", 0o755, &map),
        ]
        .concat();
        let member = self.member(&head, head.len());
        self.lines.push(format!(
            r#"{{"path":"{path}","type":"f","mode":"0755","uid":0,"gid":0,"size":{size},"mtime":[5,0],"atime":[5,0],"ctime":[5,0],"inode":3,"member":{member},"blocks":{blocks}}}"#
        ));
        for at in 0..blocks {
            let data = vec![at as u8 + 1; BLOCK as usize];
            let mut head = tar::Header::from_byte_slice(
                &header(b'0', &format!("lifeboat-blocks/{:016x}/{:016x}", 3, at * BLOCK), "", 0o600, &data)[..512],
            )
            .clone();
            head.set_mtime(0);
            head.set_cksum();
            let member = self.member(&[head.as_bytes(), &data[..]].concat(), 512);
            let from = at * BLOCK;
            self.lines.push(format!(
                r#"{{"block":{from},"blake3":"{}","member":{member},"extents":[[{from},{BLOCK}]]}}"#,
                blake3::hash(&data)
            ));
        }
        self
    }

    /// The line of an entry, to be changed.
    pub fn line(&mut self, path: &str) -> &mut String {
        let start = format!(r#"{{"path":"{path}","#);
        self.lines.iter_mut().find(|line| line.starts_with(&start)).unwrap()
    }

    /// Changes the line of an entry.
    pub fn swap(&mut self, path: &str, from: &str, to: &str) -> &mut Self {
        let line = self.line(path);
        assert!(line.contains(from), "{line} has no {from}");
        *line = line.replacen(from, to, 1);
        self
    }

    /// Puts a line before the one of `path`.
    pub fn before(&mut self, path: &str, line: String) -> &mut Self {
        let start = format!(r#"{{"path":"{path}","#);
        let at = self.lines.iter().position(|line| line.starts_with(&start)).unwrap();
        self.lines.insert(at, line);
        self
    }

    fn sealed(&self, number: u64, plain: &[u8], spoil: fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
        let mut bytes = spoil(zstd::bulk::compress(plain, 1).unwrap());
        let iv = (u128::from(number) << 64).to_be_bytes();
        Ctr128BE::<Aes256>::new(&self.key.into(), &iv.into()).apply_keystream(&mut bytes);
        bytes
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Value {
        let path = self.folder.path().join("vault").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        json!({"sha256": Digest::sha256(bytes), "size": bytes.len()})
    }

    /// Seals everything; the vault, and what the manifest lists.
    pub fn finish(&self) -> (Vault, Contents) {
        let store = Arc::new(FolderStore::new(self.folder.path().join("vault")));
        let mut options = InitOptions::new(self.identities.recipients());
        (options.segment_size, options.block_size) = (SEGMENT, BLOCK);
        let vault = Vault::init(store, &options).unwrap();
        let digits: String = self.key.iter().map(|b| format!("{b:02x}")).collect();
        let text = self.key_text.clone().unwrap_or_else(|| format!("{digits}\n").into_bytes());
        let recipient: age::x25519::Recipient = self.identities.recipients()[0].to_string().parse().unwrap();
        let key = self.put(&format!("keys/{RUN}.age"), &age::encrypt(&recipient, &text).unwrap());
        let segments: Vec<Value> = self.segments.iter().map(|segment| {
            let bytes = self.sealed(segment.number, &segment.plain, segment.spoil);
            let hex = Digest::sha256(&bytes).to_string();
            let object = self.put(&format!("segments/{}/{hex}", &hex[..2]), &bytes);
            json!({"run": RUN, "number": segment.number, "sha256": object["sha256"], "size": object["size"], "opened": segment.opened.unwrap_or(segment.plain.len() as u64)})
        }).collect();
        let entries = self.lines.iter().filter(|line| !line.starts_with("{\"block\"")).count();
        let end = self.end.clone().unwrap_or_else(|| format!("{{\"end\":{entries}}}\n"));
        let catalogue = format!("{}\n{}\n{end}", self.header, self.lines.join("\n"));
        let sealed = self.put("catalogues/host/1", &self.sealed(0, catalogue.as_bytes(), self.spoil));
        let mut contents = json!({
            "runs": [{"id": RUN, "key_sha256": key["sha256"], "key_size": key["size"]}],
            "segments": segments,
            "catalogue": {"object": "catalogues/host/1", "run": RUN, "sha256": sealed["sha256"], "size": sealed["size"], "opened": catalogue.len()},
            "totals": {"entries": entries, "files": 3, "bytes": 1, "sealed": 1, "unchanged": 0, "added": 1, "added_sealed": 1},
        });
        (self.contents)(&mut contents);
        (vault, serde_json::from_value(contents).unwrap())
    }

    /// Removes what was restored, though it be frozen.
    pub fn clear(&self) {
        let dest = self.folder.path().join("dest");
        if dest.exists() {
            thaw(&dest);
            fs::remove_dir_all(&dest).unwrap();
        }
    }

    /// An empty folder to restore into.
    pub fn dest(&self) -> PathBuf {
        let dest = self.folder.path().join("dest");
        self.clear();
        fs::create_dir(&dest).unwrap();
        dest
    }

    /// What is outside, and must stay as it is.
    pub fn guard(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let outside = self.outside();
        if !outside.exists() {
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("secret"), "secret").unwrap();
        }
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                let inside = entry.path() == self.folder.path().join("dest");
                match entry.file_type().unwrap().is_dir() {
                    true if !inside => open.push(entry.path()),
                    true => {}
                    false => found.push((entry.path(), fs::read(entry.path()).unwrap_or_default())),
                }
            }
        }
        found.sort();
        found
    }
}

fn thaw(path: &Path) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() || kind.is_file() {
        let file = fs::File::open(path).unwrap();
        let _ = rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::empty());
    }
    if kind.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| thaw(&entry.unwrap().path()));
    }
}

/// Restores into `dest`, without devices.
pub fn restore(
    vault: &Vault,
    contents: &Contents,
    identities: &Identities,
    dest: &Path,
    on: bool,
) -> Result<Restored, Kind> {
    let mut restore = Restore::new(contents, identities, dest);
    restore.keep_going = on;
    restore.devices = false;
    vault.restore(&restore).map_err(|error| error.kind())
}
