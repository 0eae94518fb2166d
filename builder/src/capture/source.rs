//! Reading the small files of a host, below its root. A file that is missing or unreadable is `None`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use layout::mountinfo::{self, MountEntry};

/// A host's files.
#[derive(Clone, Debug)]
pub(super) struct Source {
    root: PathBuf,
    at_rest: bool,
    /// What was mounted when it was first asked for.
    visible: OnceLock<Vec<MountEntry>>,
}

impl Source {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), at_rest: false, visible: OnceLock::new() }
    }

    /// A host whose tools are not used, though it may be the running system.
    pub(super) fn at_rest(root: &Path) -> Self {
        Self { root: root.to_owned(), at_rest: true, visible: OnceLock::new() }
    }

    /// Whether what runs on it does not matter.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// Whether this is the running system, whose devices and tools may be used.
    pub(super) fn is_live(&self) -> bool {
        self.root == Path::new("/") && !self.at_rest
    }

    /// Where `path` of the host lies.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn bytes(&self, path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.path(path))
    }

    /// A file's text without blanks at its ends; `None` when that is empty.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = self.bytes(path).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|char: char| char.is_whitespace() || char == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// The names in a folder, sorted; none when there is no such folder.
    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last component of what a symbolic link points to.
    pub(super) fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Where a path leads when all links are followed, as a path of the host.
    pub(super) fn real(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let real = self.path(path).canonicalize().ok()?;
        let root = self.root.canonicalize().ok()?;
        Some(Path::new("/").join(real.strip_prefix(root).ok()?))
    }

    /// Where the file that a path leads to lies: on the filesystem itself, where a bind mount shows it.
    pub(super) fn lies(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let real = self.real(path)?;
        let visible = self.visible.get_or_init(|| {
            let table = mountinfo::parse(&self.bytes("/proc/self/mountinfo").unwrap_or_default());
            mountinfo::visible(&table).into_iter().cloned().collect()
        });
        let seen = real.to_str().map(|real| mountinfo::first_view(visible, real).into());
        Some(seen.unwrap_or(real))
    }
}
