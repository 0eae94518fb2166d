//! The entries of an image, by path. Parents are made as needed; links in a parent's path are followed, as the kernel
//! will follow them when it unpacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sysroot::Sysroot;

/// What an entry is for: sizes are reported by group, and the archive is in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Directories, links between them, device nodes and small settings.
    Frame,
    /// The rescue program and what it trusts.
    Rescue,
    /// Other programs and their settings.
    Programs,
    /// Shared libraries.
    Libraries,
    /// Kernel modules.
    Modules,
}

impl Group {
    /// All of them, in the archive's order.
    pub const ALL: [Self; 5] = [Self::Frame, Self::Rescue, Self::Programs, Self::Libraries, Self::Modules];

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Rescue => "rescue",
            Self::Programs => "programs",
            Self::Libraries => "libraries",
            Self::Modules => "modules",
        }
    }
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with its content.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Link(PathBuf),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// One entry. All belong to root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// What it is for.
    pub group: Group,
}

/// The entries of an image.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries by path; paths start with `/`.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// The entry that `path` leads to, the last component not followed.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(&self.place(path, 0)?)
    }

    /// Makes a directory and its parents.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something else lies there.
    pub fn directory(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        self.insert(path, Entry { node: Node::Directory, mode, group: Group::Frame })
    }

    /// Puts a file.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something else lies there.
    pub fn file(&mut self, path: &Path, mode: u32, content: Vec<u8>, group: Group) -> Result<(), Error> {
        self.insert(path, Entry { node: Node::File(content), mode, group })
    }

    /// Puts a symbolic link.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something else lies there.
    pub fn link(&mut self, path: &Path, target: &Path) -> Result<(), Error> {
        self.insert(path, Entry { node: Node::Link(target.to_owned()), mode: 0o777, group: Group::Frame })
    }

    /// Puts a character device.
    ///
    /// # Errors
    /// [`Error::Conflict`] when something else lies there.
    pub fn char_device(&mut self, path: &Path, mode: u32, major: u32, minor: u32) -> Result<(), Error> {
        self.insert(path, Entry { node: Node::CharDevice { major, minor }, mode, group: Group::Frame })
    }

    /// Copies the file that `path` leads to, with the links on the way. Says where its content lies; none where there is no such
    /// file.
    ///
    /// # Errors
    /// When it cannot be read or something else lies in its place.
    pub fn copy(&mut self, sysroot: &Sysroot, path: &Path, group: Group) -> Result<Option<PathBuf>, Error> {
        let Some(resolved) = sysroot.file(path)? else { return Ok(None) };
        for (link, target) in &resolved.links {
            self.link(link, target)?;
        }
        if !self.entries.contains_key(&resolved.real) {
            let outside = sysroot.outside(&resolved.real);
            let read = || -> std::io::Result<(u32, Vec<u8>)> {
                use std::os::unix::fs::PermissionsExt as _;
                Ok((std::fs::metadata(&outside)?.permissions().mode() & 0o777, std::fs::read(&outside)?))
            };
            let (mode, content) = read().map_err(|source| Error::Read { path: outside.clone(), source })?;
            self.file(&resolved.real, mode, content, group)?;
        }
        Ok(Some(resolved.real))
    }

    /// Puts an entry; the same entry twice is one.
    fn insert(&mut self, path: &Path, entry: Entry) -> Result<(), Error> {
        let conflict = |what| Error::Conflict { path: path.to_owned(), what };
        let place = self.place(path, 0).ok_or_else(|| conflict("its parents are links that lead in a circle"))?;
        self.parents(&place)?;
        match self.entries.get(&place) {
            None => {
                self.entries.insert(place, entry);
                Ok(())
            }
            Some(there) if there.node == entry.node => Ok(()),
            // A directory may be asked for where a link leads to one (`/lib` of a merged /usr).
            Some(Entry { node: Node::Link(_), .. }) if entry.node == Node::Directory => Ok(()),
            Some(_) => Err(conflict("something else lies there")),
        }
    }

    fn parents(&mut self, place: &Path) -> Result<(), Error> {
        let parents: Vec<PathBuf> = place.ancestors().skip(1).map(Path::to_owned).collect();
        for parent in parents.into_iter().rev().filter(|parent| parent.parent().is_some()) {
            let made = Entry { node: Node::Directory, mode: 0o755, group: Group::Frame };
            let there = self.entries.entry(parent).or_insert(made);
            if there.node != Node::Directory {
                return Err(Error::Conflict { path: place.to_owned(), what: "its parent is no directory" });
            }
        }
        Ok(())
    }

    /// `path` with the links in its parents followed.
    fn place(&self, path: &Path, depth: usize) -> Option<PathBuf> {
        let name = path.file_name()?;
        let Some(parent) = path.parent().filter(|parent| parent.parent().is_some()) else {
            return Some(Path::new("/").join(name));
        };
        let parent = self.place(parent, depth)?;
        match self.entries.get(&parent) {
            Some(Entry { node: Node::Link(target), .. }) if depth < 40 => {
                let base = parent.parent()?;
                let target = normal(&base.join(target));
                self.place(&target.join(name), depth + 1)
            }
            Some(Entry { node: Node::Link(_), .. }) => None,
            _ => Some(parent.join(name)),
        }
    }
}

/// A path with its `..` taken out; valid here because directories of a tree are real ones.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                result.pop();
            }
            std::path::Component::Normal(name) => result.push(name),
            _ => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_made_and_links_in_them_are_followed() {
        let mut tree = Tree::new();
        tree.link(Path::new("/lib"), Path::new("usr/lib")).unwrap();
        tree.file(Path::new("/lib/modules/1/a.ko"), 0o644, b"a".to_vec(), Group::Modules).unwrap();
        let paths: Vec<&str> = tree.entries().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["/lib", "/usr", "/usr/lib", "/usr/lib/modules", "/usr/lib/modules/1", "/usr/lib/modules/1/a.ko"]
        );
        assert!(tree.get(Path::new("/lib/modules/1/a.ko")).is_some());
    }

    #[test]
    fn the_same_entry_twice_is_one_and_another_at_its_place_is_refused() {
        let mut tree = Tree::new();
        tree.file(Path::new("/a"), 0o644, b"1".to_vec(), Group::Frame).unwrap();
        tree.file(Path::new("/a"), 0o644, b"1".to_vec(), Group::Frame).unwrap();
        assert!(matches!(tree.file(Path::new("/a"), 0o644, b"2".to_vec(), Group::Frame), Err(Error::Conflict { .. })));
        assert!(matches!(tree.directory(Path::new("/a/b"), 0o755), Err(Error::Conflict { .. })));
    }

    #[test]
    fn a_circle_of_links_is_refused() {
        let mut tree = Tree::new();
        tree.link(Path::new("/a"), Path::new("b")).unwrap();
        tree.link(Path::new("/b"), Path::new("a")).unwrap();
        assert!(matches!(tree.directory(Path::new("/a/x"), 0o755), Err(Error::Conflict { .. })));
    }
}
