//! The walk over all filesystems of the images, beside the catalogue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, bail};
use layout::Kind;
use layout::blocks::FOLDER;
use layout::gpt::ESP;
use vault::{Entry, EntryKind, EntryPath};

use super::adapted::{REPORTS, Rules};
use super::compare::{self, Unlike};
use super::ext::ExtTree;
use super::fat::FatTree;
use super::found::Found;
use super::image::Image;
use super::storage::{part_with_guid, partition_below};
use super::{Adapted, Difference, Input, content};

/// What mke2fs puts into every filesystem.
const LOST_FOUND: &[u8] = b"lost+found";

/// What a walk gave.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) differences: Vec<Difference>,
    pub(super) adapted: Vec<Adapted>,
}

/// A filesystem in its place.
struct Mounted {
    /// Mount point without a leading slash; empty for the root.
    at: Vec<u8>,
    tree: Tree,
}

enum Tree {
    Ext(ExtTree),
    Fat(FatTree),
    /// Its partition or filesystem is not there.
    Missing(String),
}

/// Compares every entry of the catalogue with the images, and every entry of the images with the catalogue.
///
/// # Errors
/// When the catalogue or a filesystem cannot be read.
pub(super) fn compare(input: &Input<'_>, images: &[Image]) -> anyhow::Result<Walked> {
    let (mut expected, mut volumes) = (BTreeMap::new(), Vec::new());
    for entry in input.vault.catalogue(&input.manifest.contents, input.identities)? {
        let entry = entry?;
        if input.manifest.host.is_some() && is_below(entry.path.as_bytes(), FOLDER.as_bytes()) {
            volumes.push(entry.path.to_string());
            continue;
        }
        expected.insert(entry.path.as_bytes().to_vec(), entry);
    }
    let (mounted, esps) = match &input.manifest.host {
        Some(host) => of_host(host, images)?,
        None => (vec![only_filesystem(images)?], Vec::new()),
    };
    let swap_files = input.manifest.host.as_ref().map_or(&[][..], |host| &host.swap_files);
    let mut rules = Rules::new(&esps, swap_files);
    read_reports(&mounted, &mut rules)?;
    let bytes = expected.values().map(|entry| entry.size).sum();
    input.progress.expect(bytes, expected.len() as u64);
    let mut walk = Walk {
        input,
        rules,
        mounted: &mounted,
        places: HashMap::new(),
        result: Walked { adapted: volumes.into_iter().map(not_read).collect(), ..Walked::default() },
        catalogue: &expected,
        seen: BTreeSet::new(),
    };
    walk.result.entries = expected.len() as u64;
    for (index, place) in mounted.iter().enumerate() {
        let shown = || format!("the filesystem at /{}", String::from_utf8_lossy(&place.at));
        match &place.tree {
            Tree::Ext(tree) => walk.ext(index, place, tree).with_context(shown)?,
            Tree::Fat(tree) => walk.fat(place, tree).with_context(shown)?,
            Tree::Missing(why) => walk.missing(place, why),
        }
    }
    walk.links();
    walk.unseen();
    Ok(walk.result)
}

/// The filesystems that come back, each found by its partition's GUID; and where ESPs are mounted.
fn of_host(host: &manifest::Host, images: &[Image]) -> anyhow::Result<(Vec<Mounted>, Vec<String>)> {
    let (mut mounted, mut esps) = (Vec::new(), Vec::new());
    for mount in host.layout.mounts.iter().filter(|mount| host.coverage.restores(&mount.node)) {
        let at = mount.path.trim_matches('/').to_owned();
        let Some(node) = host.layout.node(&mount.node) else { continue };
        let partition =
            partition_below(&host.layout, node).filter(|_| matches!(node.kind, Kind::Ext(_) | Kind::Vfat(_)));
        let Some(partition) = partition else {
            // To say that all of it differs would be wrong, and to say nothing worse.
            bail!(
                "the filesystem at {} lies on {}: only ext and FAT filesystems that lie on partitions are read from outside; \
                 the report of the restore says what was compared inside",
                mount.path,
                node.path
            );
        };
        if partition.type_guid.as_str() == ESP {
            esps.push(at.clone());
        }
        let tree = match part_with_guid(images, &partition.guid) {
            None => Tree::Missing(format!("no partition with the GUID {}", partition.guid)),
            Some(part) => {
                let opened = match node.kind {
                    Kind::Vfat(_) => FatTree::open(part.window()).map(Tree::Fat),
                    _ => ExtTree::open(part.window()).map(Tree::Ext),
                };
                let readable = content::ext(&part.window()).is_ok() || content::vfat(&part.window()).is_ok();
                match opened {
                    Ok(tree) => tree,
                    // No filesystem at all is a difference; one that cannot be read leaves the question open.
                    Err(error) if !readable => Tree::Missing(format!("{error:#}")),
                    Err(error) => return Err(error.context(format!("the filesystem at {}", mount.path))),
                }
            }
        };
        mounted.push(Mounted { at: at.into_bytes(), tree });
    }
    Ok((mounted, esps))
}

/// A snapshot of a tree is compared with the only ext filesystem that there is.
fn only_filesystem(images: &[Image]) -> anyhow::Result<Mounted> {
    let parts = images.iter().flat_map(Image::partitions);
    let mut ext = parts.filter(|part| content::ext(&part.window()).is_ok());
    match (ext.next(), ext.next()) {
        (Some(part), None) => Ok(Mounted { at: Vec::new(), tree: Tree::Ext(ExtTree::open(part.window())?) }),
        (None, _) => bail!("the snapshot is of a tree, and no image holds an ext filesystem to compare it with"),
        (Some(_), Some(_)) => {
            bail!("the snapshot is of a tree, and there are several ext filesystems: give an image that holds one")
        }
    }
}

/// Reads what restores declared, from whichever filesystem holds the reports' folder.
fn read_reports(mounted: &[Mounted], rules: &mut Rules) -> anyhow::Result<()> {
    let folder = REPORTS.as_bytes();
    let Some(place) = holder(mounted, folder) else { return Ok(()) };
    let Tree::Ext(tree) = &place.tree else { return Ok(()) };
    let inside = folder.strip_prefix(place.at.as_slice()).unwrap_or(folder);
    let inside: Vec<u8> = inside.strip_prefix(b"/").unwrap_or(inside).to_vec();
    for name in tree.names(&inside).into_iter().filter(|name| name.ends_with(b".json")) {
        let report = tree.read(&[&inside[..], b"/", &name].concat()).unwrap_or_default();
        rules.declare(&report).with_context(|| format!("reading /{REPORTS}/{}", String::from_utf8_lossy(&name)))?;
    }
    Ok(())
}

/// The filesystem that a path lies in: the one with the longest mount point above it.
fn holder<'a>(mounted: &'a [Mounted], path: &[u8]) -> Option<&'a Mounted> {
    mounted.iter().filter(|place| is_within(path, &place.at)).max_by_key(|place| place.at.len())
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The word on the blocks of a volume, or on a folder above them.
fn not_read(path: String) -> Adapted {
    let reason = "its blocks are in a volume, which is not read from outside; the report of the restore says whether they are the same";
    Adapted { path, what: "content".to_owned(), reason: reason.to_owned() }
}

struct Walk<'a> {
    input: &'a Input<'a>,
    rules: Rules,
    mounted: &'a [Mounted],
    /// Names of each inode that is no folder, by filesystem and number.
    places: HashMap<(usize, u32), Vec<Vec<u8>>>,
    /// What is expected, by path.
    catalogue: &'a BTreeMap<Vec<u8>, Entry>,
    /// Paths of the catalogue that were found.
    seen: BTreeSet<&'a [u8]>,
    result: Walked,
}

impl<'a> Walk<'a> {
    fn ext(&mut self, index: usize, place: &Mounted, tree: &ExtTree) -> anyhow::Result<()> {
        let root = tree.root()?;
        self.entry(index, place, tree, &root)?;
        let mut open = vec![root];
        while let Some(folder) = open.pop() {
            for child in tree.children(&folder)? {
                let full = joined(&place.at, &child.path);
                // Another filesystem covers this folder, and is compared by itself.
                if self.mounted.iter().any(|other| other.at == full && !other.at.is_empty()) {
                    continue;
                }
                if child.path == LOST_FOUND && !self.catalogue.contains_key(&full) && tree.children(&child)?.is_empty()
                {
                    let unlike = Unlike::new("entry", "none", "folder");
                    self.adapted(&full, &unlike, "made by mke2fs in every filesystem");
                    continue;
                }
                let known = self.entry(index, place, tree, &child)?;
                // A folder that should not be there is one difference, not one for each thing in it.
                if known && child.kind == EntryKind::Directory {
                    open.push(child);
                }
            }
        }
        Ok(())
    }

    /// Compares one entry; false when the catalogue has none of its name.
    fn entry(&mut self, index: usize, place: &Mounted, tree: &ExtTree, found: &Found) -> anyhow::Result<bool> {
        let full = joined(&place.at, &found.path);
        let Some((key, expected)) = self.catalogue.get_key_value(&full) else {
            self.differs(&full, Unlike::new("entry", "none", compare::kind(found.kind)));
            return Ok(false);
        };
        self.seen.insert(key);
        self.input.progress.advance(0, 1);
        let expected = self.first_name(expected);
        if found.kind != EntryKind::Directory {
            self.places.entry((index, found.inode)).or_default().push(full.clone());
        }
        let unlike = compare::metadata(expected, found);
        let same_shape = !unlike.iter().any(|unlike| matches!(unlike.what.as_str(), "type" | "size"));
        unlike.into_iter().for_each(|unlike| self.differs(&full, unlike));
        if same_shape && found.kind == EntryKind::File {
            let hasher = expected.content_hasher();
            let digest = tree.hash(found, hasher, self.input.progress);
            let digest = digest.with_context(|| format!("reading {}", shown(&full)))?;
            self.result.bytes += found.size;
            if let Some(unlike) = compare::content(expected.content, &digest) {
                self.differs(&full, unlike);
            }
        }
        Ok(true)
    }

    /// A hard link has the metadata and content of its first name.
    fn first_name(&self, entry: &'a Entry) -> &'a Entry {
        match (&entry.kind, &entry.link) {
            (EntryKind::HardLink, Some(first)) => self.catalogue.get(first).unwrap_or(entry),
            _ => entry,
        }
    }

    fn fat(&mut self, place: &Mounted, tree: &FatTree) -> anyhow::Result<()> {
        let lower = |path: &[u8]| String::from_utf8_lossy(path).to_lowercase();
        let below = self.catalogue.iter().filter(|(path, _)| is_within(path, &place.at));
        let expected: HashMap<String, (&'a Vec<u8>, &'a Entry)> =
            below.map(|(path, entry)| (lower(path), (path, entry))).collect();
        if let Some((root, _)) = expected.get(&lower(&place.at)) {
            self.seen.insert(root);
        }
        for (path, found) in &tree.entries {
            let full = joined(&place.at, path.as_bytes());
            let kind = if found.folder { EntryKind::Directory } else { EntryKind::File };
            let Some((key, entry)) = expected.get(&lower(&full)).copied() else {
                self.differs(&full, Unlike::new("entry", "none", compare::kind(kind)));
                continue;
            };
            self.seen.insert(key);
            self.input.progress.advance(0, 1);
            if entry.kind != kind {
                self.differs(&full, Unlike::new("type", compare::kind(entry.kind), compare::kind(kind)));
            } else if entry.size != found.size {
                self.differs(&full, Unlike::new("size", entry.size.to_string(), found.size.to_string()));
            } else if !found.folder {
                let digest = tree.hash(path, entry.content_hasher(), self.input.progress);
                let digest = digest.with_context(|| format!("reading {}", shown(&full)))?;
                self.result.bytes += found.size;
                if let Some(unlike) = compare::content(entry.content, &digest) {
                    self.differs(&full, unlike);
                }
            }
        }
        Ok(())
    }

    /// A filesystem that is not there is one difference, not one for each of its entries.
    fn missing(&mut self, place: &Mounted, why: &str) {
        self.differs(&place.at, Unlike::new("filesystem", "as recorded", why));
        let owned = |path: &&'a Vec<u8>| holder(self.mounted, path).is_some_and(|holder| holder.at == place.at);
        let below: Vec<&'a Vec<u8>> = self.catalogue.keys().filter(owned).collect();
        self.seen.extend(below.into_iter().map(Vec::as_slice));
    }

    /// Each group of hard links must be one inode, and no inode may have names of two groups.
    fn links(&mut self) {
        let group = |path: &[u8]| match self.catalogue.get(path) {
            Some(Entry { kind: EntryKind::HardLink, link: Some(first), .. }) => first.clone(),
            _ => path.to_vec(),
        };
        let mut inode_of: HashMap<Vec<u8>, (usize, u32)> = HashMap::new();
        let mut unlike = Vec::new();
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_by_key(|(_, names)| names.iter().min().cloned());
        for (inode, names) in &places {
            let mut names: Vec<&Vec<u8>> = names.iter().collect();
            names.sort_by_key(|name| (group(name) != **name, (*name).clone()));
            for name in &names {
                inode_of.insert((*name).clone(), **inode);
                if group(name) != group(names[0]) {
                    let found = format!("linked to {}", shown(names[0]));
                    unlike.push(((*name).clone(), Unlike::new("hard link", "not linked to it", found)));
                }
            }
        }
        for (path, entry) in self.catalogue {
            let (EntryKind::HardLink, Some(first)) = (entry.kind, &entry.link) else { continue };
            let (Some(here), Some(there)) = (inode_of.get(path), inode_of.get(first)) else { continue };
            if here != there {
                let expected = format!("linked to {}", shown(first));
                unlike.push((path.clone(), Unlike::new("hard link", expected, "a file of its own")));
            }
        }
        unlike.into_iter().for_each(|(path, unlike)| self.differs(&path, unlike));
    }

    /// What the catalogue has and no image.
    fn unseen(&mut self) {
        let unseen: Vec<(&Vec<u8>, &Entry)> =
            self.catalogue.iter().filter(|(path, _)| !self.seen.contains(path.as_slice())).collect();
        for (path, entry) in unseen {
            self.differs(path, Unlike::new("entry", compare::kind(entry.kind), "none"));
        }
    }

    fn differs(&mut self, path: &[u8], unlike: Unlike) {
        match self.rules.reason(path).map(str::to_owned) {
            Some(reason) => self.adapted(path, &unlike, &reason),
            None => {
                let Unlike { what, expected, found } = unlike;
                self.result.differences.push(Difference::new(shown(path), what, expected, found));
            }
        }
    }

    fn adapted(&mut self, path: &[u8], unlike: &Unlike, reason: &str) {
        let (path, what, reason) = (shown(path), unlike.what.clone(), reason.to_owned());
        self.result.adapted.push(Adapted { path, what, reason });
    }
}

fn joined(folder: &[u8], path: &[u8]) -> Vec<u8> {
    match (folder.is_empty(), path.is_empty()) {
        (true, _) => path.to_vec(),
        (_, true) => folder.to_vec(),
        _ => [folder, b"/", path].concat(),
    }
}

/// A path as messages show it.
fn shown(path: &[u8]) -> String {
    EntryPath::new(path).map_or_else(|| String::from_utf8_lossy(path).into_owned(), |path| path.to_string())
}
